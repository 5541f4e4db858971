"""Every operation by every kind of token that must not do it, and by the one that may.

It walks OPERATIONS, so a new operation is in it from the start. One whose path names a new kind of thing fails until THINGS
says how to make one of those for a tenant.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import msgspec
import pytest
import pytest_asyncio
import sqlalchemy as sa

from orchestrator.api.operations import EVENT_STREAM, ROUTES, Operation
from orchestrator.api.public import OPERATIONS, public_app
from orchestrator.domain.tenant import TENANT_SCOPES, Scope
from orchestrator.peer.client import DATABASE_PATH, EVENTS_PATH
from orchestrator.services import pairing
from tests.support.public_api import PublicApi

pytestmark = pytest.mark.asyncio(loop_scope="module")

OWNER, OTHER = "acme", "other"
#: It is in every answer that tells something of the owner's session.
SESSION = "the-owners-session"

#: What needs no token of ours: nobody's secrets are behind it, or it asks for a secret of its own.
OPEN = {"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/telegram/webhook", "/webhooks/mercadopago"}


async def session(api: PublicApi, token: str) -> str:
    await api.call("POST", "/v1/sessions", {"session_id": SESSION}, token=token)
    return SESSION


async def token_id(api: PublicApi, token: str) -> str:
    made = await api.call("POST", "/v1/tokens", {"name": "to be revoked", "scopes": ["read"]}, token=token)
    return str(made.json["token_id"])


async def link_id(api: PublicApi, token: str) -> str:
    await session(api, token)
    made = await api.call("POST", f"/v1/sessions/{SESSION}/pairing-links", {"requested_by": "the owner"}, token=token)
    return str(made.json["link_id"])


async def owner(api: PublicApi, token: str) -> str:
    return OWNER


async def first(api: PublicApi, token: str) -> str:
    return "1"


async def process(api: PublicApi, token: str) -> str:
    return "baileys"


async def document(api: PublicApi, token: str) -> str:
    return "chat:1"


async def alert(api: PublicApi, token: str) -> str:
    return "memory"


async def broadcast_id(api: PublicApi, token: str) -> str:
    insert = "INSERT INTO broadcasts (text, ended_at) VALUES ('Hello', now()) RETURNING broadcast_id"
    async with api.database.begin() as connection:
        return str((await connection.execute(sa.text(insert))).scalar_one())


async def message_id(api: PublicApi, token: str) -> str:
    await session(api, token)
    body = {"to": "5511988887777", "type": "text", "text": "Olá", "queue": True}
    made = await api.call("POST", f"/v1/sessions/{SESSION}/messages", body, token=token)
    return str(made.json["message_id"])


async def bulk_id(api: PublicApi, token: str) -> str:
    await session(api, token)
    body = {"template": {"type": "text", "text": "Olá"}, "messages": [{"to": "5511988887777"}]}
    return str((await api.call("POST", f"/v1/sessions/{SESSION}/bulk", body, token=token)).json["bulk_id"])


async def webhook_id(api: PublicApi, token: str) -> str:
    await session(api, token)
    there = (await api.call("GET", "/v1/webhooks", token=token)).json["webhooks"]
    if there:
        return str(there[0]["webhook_id"])
    body = {"url": "https://receiver.invalid/", "events": ["*"], "session_id": SESSION}
    return str((await api.call("POST", "/v1/webhooks", body, token=token)).json["webhook_id"])


async def number(api: PublicApi, token: str) -> str:
    """Of a delivery that was given up."""
    dead = """
        INSERT INTO webhook_deliveries (webhook_id, session_ref, event_id, type, payload, state)
        SELECT webhook_id, session_ref, 'evt_1', 'session.alert', '', 'dead' FROM webhooks WHERE webhook_id = :webhook_id
        RETURNING number
    """
    async with api.database.begin() as connection:
        made = await connection.execute(sa.text(dead), {"webhook_id": await webhook_id(api, token)})
        return str(made.scalar_one())


def known_to_whatsapp(name: str) -> Callable[[PublicApi, str], Awaitable[str]]:
    """What WhatsApp makes and not we: whether the owner has it shows only while the session is open."""

    async def thing(api: PublicApi, token: str) -> str:
        return name

    return thing


async def plan_id(api: PublicApi, token: str) -> str:
    await api.call("POST", "/v1/plans", {"plan_id": "basic", "name": "Basic", "price_cents": 4990})
    return "basic"


async def charge_id(api: PublicApi, token: str) -> str:
    """As if billing were on."""
    made, fields = "chg-0123456789abcdef", "charge_id, tenant_id, plan_id, state, amount_cents, currency, payer_email"
    values = f"'{made}', '{OWNER}', '{await plan_id(api, token)}', 'paid', 4990, 'BRL', 'm@example.com'"
    insert = f"INSERT INTO charges ({fields}, expires_at) VALUES ({values}, now()) ON CONFLICT DO NOTHING"
    async with api.database.begin() as connection:
        await connection.execute(sa.text(insert))
    return made


async def contact_id(api: PublicApi, token: str) -> str:
    body = {"name": "Maria", "phone": "5511977776666", "amount_cents": 100, "due_date": "2026-12-10"}
    await api.call("POST", "/v1/contacts", body, token=token)
    there = await api.call("GET", "/v1/contacts?search=5511977776666", token=token)
    return str(there.json["contacts"][0]["contact_id"])


async def schedule_id(api: PublicApi, token: str) -> str:
    await session(api, token)
    there = (await api.call("GET", "/v1/schedules", token=token)).json["schedules"]
    if there:
        return str(there[0]["schedule_id"])
    return str((await api.call("POST", "/v1/schedules", {"session_id": SESSION}, token=token)).json["schedule_id"])


async def template_id(api: PublicApi, token: str) -> str:
    """There is one of each kind and language for everybody; what is in it is the tenant's own."""
    await api.call("PUT", "/v1/templates/due.en", {"text": f"Of {SESSION}"}, token=token)
    return "due.en"


#: Plans are nobody's: every tenant may look at them. Templates are there for everybody, each with texts of its own.
EVERYBODYS = {"plans_show", "reminder_templates_show", "reminder_templates_put", "reminder_templates_delete"}

#: How to make, with the owner's token, what a path names, so that a foreign 404 isn't one because nothing is there.
THINGS: Mapping[str, Callable[[PublicApi, str], Awaitable[str]]] = {
    "session_id": session,
    "generation": first,
    "tenant_id": owner,
    "token_id": token_id,
    "link_id": link_id,
    "process": process,
    "document": document,
    "alert": alert,
    "broadcast_id": broadcast_id,
    "plan_id": plan_id,
    "contact_id": contact_id,
    "schedule_id": schedule_id,
    "template_id": template_id,
    "charge_id": charge_id,
    "chat": known_to_whatsapp("5511988887777"),
    "contact": known_to_whatsapp("5511988887777"),
    "group": known_to_whatsapp("120363041234567890@g.us"),
    "channel": known_to_whatsapp("120363101234567890@newsletter"),
    "label": known_to_whatsapp("7"),
    "invite": known_to_whatsapp("AbCdEf0123456789"),
    "message_id": message_id,
    "bulk_id": bulk_id,
    "webhook_id": webhook_id,
    "number": number,
}


@dataclass(frozen=True)
class Tokens:
    owner: str
    other: str
    expired: str
    revoked: str
    by_scopes: dict[frozenset[Scope], str] = field(default_factory=dict)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tokens(shared_api: PublicApi) -> Tokens:
    api = shared_api
    mine, other = await api.tenant(OWNER), await api.tenant(OTHER)
    expired = await api.tenant_token(OWNER, expires_at="2999-01-01T00:00:00Z")
    revoked = await api.tenant_token(OWNER)
    assert (await api.call("GET", "/v1/sessions", token=revoked)).status == 200
    listed = (await api.call("GET", "/v1/tokens", token=mine)).json["tokens"]
    newest = listed[0]["token_id"]
    assert (await api.call("DELETE", f"/v1/tokens/{newest}", token=mine)).status == 204
    async with api.database.begin() as connection:
        past = "UPDATE api_tokens SET expires_at = now() - interval '1 second' WHERE expires_at IS NOT NULL"
        await connection.execute(sa.text(past))
    scoped = {
        frozenset(TENANT_SCOPES - {scope}): await api.tenant_token(OWNER, *(TENANT_SCOPES - {scope}))
        for scope in TENANT_SCOPES
    }
    return Tokens(mine, other, expired, revoked, scoped)


async def called(
    api: PublicApi, tokens: Tokens, operation: Operation, token: str | None, **headers: str
) -> tuple[int, bytes]:
    """Call an operation on the owner's things with some token; of a stream only how it begins."""
    path = operation.path
    for name, make in THINGS.items():
        if f"{{{name}}}" in path:
            path = path.replace(f"{{{name}}}", await make(api, tokens.owner))
    assert "{" not in path, "THINGS must say how to make what this path names"
    if names_session_in_query(operation):
        path += f"?session_id={await session(api, tokens.owner)}"
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    data = None if operation.takes is None else msgspec.json.encode(operation.example)
    if operation.example_text is not None:
        data = operation.example_text.encode()
    async with api.http.request(operation.method, api.url + path, data=data, headers=headers) as response:
        streams = response.content_type == EVENT_STREAM
        return response.status, b"" if streams else await response.read()


def names_session_in_query(operation: Operation) -> bool:
    return operation.query is not None and "session_id" in operation.query.__struct_fields__


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairing, "QR_WAIT_SECONDS", 0.01)


GUARDED = [operation for operation in OPERATIONS if operation.scope is not None]
NAMES_A_THING = [
    operation
    for operation in GUARDED
    if "{" in operation.path and operation.scope is not Scope.ADMIN and operation.name not in EVERYBODYS
]


async def test_only_what_is_meant_to_be_open_needs_no_token(shared_api: PublicApi) -> None:
    assert {operation.path for operation in OPERATIONS if operation.scope is None} == OPEN
    app = public_app(shared_api.services, "unused")
    beside = {route.resource.canonical for route in app.router.routes() if route not in app[ROUTES] and route.resource}
    assert beside == {EVENTS_PATH, DATABASE_PATH}


@pytest.mark.parametrize("operation", GUARDED, ids=lambda operation: operation.name)
async def test_a_token_that_opens_nothing_or_too_little_is_refused(
    shared_api: PublicApi, tokens: Tokens, operation: Operation
) -> None:
    for token in (None, "garbage", "bo_garbage", tokens.expired, tokens.revoked):
        status, body = await called(shared_api, tokens, operation, token)
        assert status == 401
        assert SESSION.encode() not in body
    if operation.scope is Scope.ADMIN:
        scopeless = tokens.owner
    else:
        assert operation.scope is not None
        scopeless = tokens.by_scopes[TENANT_SCOPES - {operation.scope}]
    assert (await called(shared_api, tokens, operation, scopeless))[0] == 403


@pytest.mark.parametrize("operation", GUARDED, ids=lambda operation: operation.name)
async def test_another_tenant_finds_nothing_of_it(shared_api: PublicApi, tokens: Tokens, operation: Operation) -> None:
    status, body = await called(shared_api, tokens, operation, tokens.other)
    if operation.scope is Scope.ADMIN:
        assert status == 403
    elif operation in NAMES_A_THING or names_session_in_query(operation):
        empty = operation.name == "seed_status"  # the old API lists what there is of that id
        assert status == (200 if empty else 404)
    else:
        assert status < 500
    assert SESSION.encode() not in body
    named, body = await called(shared_api, tokens, operation, tokens.other, **{"X-Tenant": OWNER})
    assert named == (403 if operation.scope is Scope.ADMIN else 404)
    assert SESSION.encode() not in body


@pytest.mark.parametrize("operation", NAMES_A_THING, ids=lambda operation: operation.name)
async def test_what_another_tenant_does_not_find_is_there_for_its_owner_and_for_the_admin(
    shared_api: PublicApi, tokens: Tokens, operation: Operation
) -> None:
    for token, headers in ((tokens.owner, {}), (shared_api.token, {"X-Tenant": OWNER})):
        status, _ = await called(shared_api, tokens, operation, token, **headers)
        assert status not in (401, 403, 404)
        assert status < 500


async def test_the_admin_finds_no_tenant_that_there_is_not(shared_api: PublicApi, subtests: pytest.Subtests) -> None:
    for name in ("nobody", "..", "a\u00e9", "x" * 65):
        with subtests.test(tenant=name):
            answer = await shared_api.call("GET", "/v1/sessions", headers={"X-Tenant": name})
            assert (answer.status, answer.code) == (404, "tenant_not_found")


async def test_the_things_are_what_paths_name() -> None:
    used = {name for operation in OPERATIONS for name in THINGS if f"{{{name}}}" in operation.path}
    assert used == set(THINGS)
