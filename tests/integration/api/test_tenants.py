"""Tenants, their tokens and limits, and what is put on record, on a real PostgreSQL."""

import asyncio
import gzip
import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping

import pytest
import sqlalchemy as sa

from orchestrator.domain.errors import DatabaseUnavailable
from orchestrator.services.housekeeping import ACT_DAYS
from orchestrator.store.acts import ActStore
from orchestrator.store.database import Database
from tests.support.postgres import out_of_reach
from tests.support.processes import PATIENCE
from tests.support.public_api import PublicApi, public_api

ALL = ["read", "send", "manage"]


@pytest.fixture
async def api(database: Database, database_url: str) -> AsyncIterator[PublicApi]:
    async with public_api(database_url) as api:
        yield api


async def made(api: PublicApi, token: str, *session_ids: str) -> list[int]:
    answers = [await api.call("POST", "/v1/sessions", {"session_id": name}, token=token) for name in session_ids]
    return [answer.status for answer in answers]


async def listed(
    api: PublicApi, token: str, path: str = "/v1/sessions", headers: Mapping[str, str] | None = None
) -> list[str]:
    answer = await api.call("GET", path, token=token, headers=headers)
    return [session["session_id"] for session in answer.json["sessions"]]


async def test_a_tenant_is_made_shown_changed_listed_and_deleted(api: PublicApi) -> None:
    created = await api.call("POST", "/v1/tenants", {"tenant_id": "acme", "name": "Acme", "limits": {"sessions": 3}})
    assert (created.status, created.headers["Location"]) == (201, "/v1/tenants/acme")
    assert created.json["limits"] == {"sessions": 3, "messages_per_minute": None, "storage_bytes": None}
    again = await api.call("POST", "/v1/tenants", {"tenant_id": "acme", "name": "Acme"})
    assert (again.status, again.code) == (409, "tenant_exists")
    change = {"limits": {"messages_per_minute": 60}, "chat_retention_days": 7}
    changed = (await api.call("PATCH", "/v1/tenants/acme", change)).json
    assert changed["limits"] == {"sessions": 3, "messages_per_minute": 60, "storage_bytes": None}
    assert (changed["name"], changed["chat_retention_days"]) == ("Acme", 7)
    unlimited = await api.call("PATCH", "/v1/tenants/acme", {"limits": {"sessions": None}})
    assert unlimited.json["limits"]["sessions"] is None
    chosen = (await api.call("POST", "/v1/tenants", {"name": "Without an id"})).json["tenant_id"]
    known = [tenant["tenant_id"] for tenant in (await api.call("GET", "/v1/tenants")).json["tenants"]]
    assert {"acme", chosen, "operator"} <= set(known)
    assert known == sorted(known)
    assert (await api.call("DELETE", "/v1/tenants/acme")).status == 204
    assert (await api.call("GET", "/v1/tenants/acme")).code == "tenant_not_found"
    assert (await api.call("PATCH", "/v1/tenants/acme", {"name": "x"})).code == "tenant_not_found"
    assert (await api.call("POST", "/v1/tenants", {"tenant_id": "acme", "name": "x"})).code == "tenant_exists"


async def test_the_operator_s_tenant_and_one_with_sessions_stay(api: PublicApi) -> None:
    for method, body in (("DELETE", None), ("PATCH", {"blocked": True})):
        refused = await api.call(method, "/v1/tenants/operator", body)
        assert (refused.status, refused.code) == (409, "operator_tenant")
    token = await api.tenant("acme")
    await made(api, token, "loja-1")
    refused = await api.call("DELETE", "/v1/tenants/acme")
    assert (refused.status, refused.code) == (409, "tenant_in_use")
    await api.call("DELETE", "/v1/sessions/loja-1?confirm=loja-1", token=token)
    assert (await api.call("DELETE", "/v1/tenants/acme")).status == 204
    assert (await api.call("GET", "/v1/sessions", token=token)).status == 401


BAD_TENANTS = [
    ({"name": ""}, "name"),
    ({}, "name"),
    ({"name": "a", "tenant_id": "a b"}, "tenant_id"),
    ({"name": "a\u0000"}, "name"),
    ({"name": "a", "limits": {"sessions": -1}}, "limits.sessions"),
    ({"name": "a", "limits": {"sesions": 1}}, "limits.sesions"),
    ({"name": "a", "chat_retention_days": 1e9}, "chat_retention_days"),
]
BAD_TOKENS = [
    ({"name": "a", "scopes": []}, "scopes"),
    ({"name": "a", "scopes": ["admin"]}, "scopes[0]"),
    ({"name": "a", "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
    ({"name": "a", "scopes": ["read"], "expires_at": "2999-01-01T00:00:00"}, "expires_at"),
    ({"name": "a", "scopes": ["read"], "expires_at": "9999-12-31T23:59:59-12:00"}, "expires_at"),
]


async def test_bad_input_names_the_field(api: PublicApi, subtests: pytest.Subtests) -> None:
    cases: Iterable[tuple[str, object, str]] = [
        *(("/v1/tenants", body, field) for body, field in BAD_TENANTS),
        *(("/v1/tokens", body, field) for body, field in BAD_TOKENS),
    ]
    for path, body, field in cases:
        with subtests.test(path=path, body=body):
            answer = await api.call("POST", path, body)
            assert (answer.status, answer.code) == (422, "invalid_request")
            assert answer.json["errors"][0]["field"] == field
    for query, field in (
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("cursor=x", "cursor"),
        ("page=2", "page"),
    ):
        with subtests.test(query=query):
            answer = await api.call("GET", f"/v1/tenants?{query}")
            assert (answer.status, answer.json["errors"][0]["field"]) == (422, field)


async def test_a_token_is_shown_once_and_stored_as_a_digest(api: PublicApi) -> None:
    token = await api.tenant("acme")
    made = await api.call("POST", "/v1/tokens", {"name": "Shop", "scopes": ["read"]}, token=token)
    secret = made.json["token"]
    assert secret.startswith("bo_")
    assert secret.startswith(made.json["hint"])
    assert made.headers["Cache-Control"] == "no-store"
    shown = await api.call("GET", "/v1/tokens", token=token)
    assert secret not in shown.body.decode()
    newest = shown.json["tokens"][0]
    assert (newest["name"], newest["scopes"], newest["revoked_at"]) == ("Shop", ["read"], None)
    async with api.database.begin() as connection:
        rows = (await connection.execute(sa.text("SELECT t::text, digest FROM api_tokens t"))).all()
    assert hashlib.sha256(secret.encode()).digest() in [bytes(row.digest) for row in rows]
    assert not [row for row in rows if secret in row[0]]


async def test_no_token_makes_one_that_can_do_more_than_itself(api: PublicApi) -> None:
    await api.tenant("acme")
    manager = await api.tenant_token("acme", "manage")
    for scopes, status in ((["manage"], 201), (["send"], 403), (ALL, 403)):
        answer = await api.call("POST", "/v1/tokens", {"name": "x", "scopes": scopes}, token=manager)
        assert answer.status == status


async def test_tenants_don_t_see_each_other_and_the_admin_says_whom_it_means(api: PublicApi) -> None:
    acme, other = await api.tenant("acme"), await api.tenant("rival")
    assert await made(api, acme, "loja-1", "loja-2") == [201, 201]
    assert await made(api, other, "loja-1") == [201]
    assert await listed(api, acme) == ["loja-1", "loja-2"]
    assert await listed(api, other) == ["loja-1"]
    assert await listed(api, api.token) == []
    assert await listed(api, api.token, headers={"X-Tenant": "acme"}) == ["loja-1", "loja-2"]
    assert (await api.call("GET", "/v1/sessions/loja-2", token=other)).code == "session_not_found"
    mine = (await api.call("GET", "/v1/tokens", token=acme)).json["tokens"][0]["token_id"]
    foreign = await api.call("DELETE", f"/v1/tokens/{mine}", token=other)
    assert (foreign.status, foreign.code) == (404, "token_not_found")
    assert (await api.call("DELETE", f"/v1/tenants/rival/tokens/{mine}")).code == "token_not_found"
    assert (await api.call("GET", "/v1/sessions", token=acme)).status == 200


async def test_who_may_only_look_hears_no_code_with_which_a_session_is_linked(api: PublicApi) -> None:
    await api.tenant("acme")
    looking, managing = await api.tenant_token("acme", "read"), await api.tenant_token("acme", "read", "manage")
    heard = []
    for token in (looking, managing):
        headers = {"Authorization": f"Bearer {token}"}
        async with api.http.get(f"{api.url}/v1/events", headers=headers) as stream, asyncio.timeout(5 * PATIENCE):
            assert await stream.content.readline() == b": listening\n"
            api.services.events.publish("acme", "session.qr", "loja-1", {"qr": "secret"})
            api.services.events.publish("acme", "session.alert", "loja-1", {})
            await stream.content.readline()
            heard.append(await stream.content.readline())
    assert heard == [b"event: session.alert\n", b"event: session.qr\n"]


async def test_what_is_done_with_tenants_tokens_and_others_sessions_is_on_record(api: PublicApi) -> None:
    token = await api.tenant("acme")
    theirs = {"X-Tenant": "acme"}
    await api.call("POST", "/v1/sessions", {"session_id": "loja-1"}, headers=theirs)
    await api.call("GET", "/v1/sessions/loja-1", headers=theirs)
    await api.call("POST", "/v1/sessions/loja-1/logout", headers={**theirs, "X-Request-Id": "the-logout"})
    await api.call("POST", "/v1/sessions", {"session_id": "of the operator"})
    await api.call("POST", "/v1/tokens", {"name": "x", "scopes": ["read"]}, token=token)
    entries = (await api.call("GET", "/v1/audit?tenant_id=acme")).json["audit"]
    assert [(entry["action"], entry["status"]) for entry in entries] == [
        ("tenants_create_token", 201),
        ("sessions_log_out", 409),
        ("sessions_create", 201),
        ("tenants_create_tenant_token", 201),
    ]
    assert (entries[1]["request_id"], entries[1]["actor"]) == ("the-logout", "admin")
    assert entries[0]["actor"].startswith("tok-")
    assert entries[2]["result"] == "/v1/sessions/loja-1"
    everything = (await api.call("GET", "/v1/audit")).json["audit"]
    assert ("tenants_create", "/v1/tenants/acme") in [(entry["action"], entry["result"]) for entry in everything]
    assert (await api.call("GET", "/v1/audit", token=token)).code == "scope_missing"


async def test_a_revocation_reaches_the_other_replica_and_a_block_too(api: PublicApi, database_url: str) -> None:
    token = await api.tenant("acme")
    async with public_api(database_url, "b" * 32, token=api.token) as other:

        async def both() -> list[int]:
            await other.services.access.confirm()
            return [(await one.call("GET", "/v1/sessions", token=token)).status for one in (api, other)]

        assert await both() == [200, 200]
        await api.call("PATCH", "/v1/tenants/acme", {"blocked": True, "blocked_reason": "unpaid"})
        assert await both() == [403, 403]
        assert (await api.call("GET", "/v1/sessions", token=token)).code == "tenant_blocked"
        assert (await api.call("PATCH", "/v1/tenants/acme", {"blocked": False})).json["blocked_reason"] is None
        assert await both() == [200, 200]
        newest = (await api.call("GET", "/v1/tenants/acme/tokens")).json["tokens"][0]["token_id"]
        await api.call("DELETE", f"/v1/tokens/{newest}", token=token)
        assert await both() == [401, 401]
        assert (await api.call("GET", "/v1/tenants/acme/tokens")).json["tokens"][0]["revoked_at"]


async def test_while_the_database_is_away_known_tokens_go_on_and_unknown_ones_are_unknown(
    api: PublicApi, postgres_server: str, database_url: str
) -> None:
    known, unknown = await api.tenant("acme"), await api.tenant_token("acme")
    assert (await api.call("GET", "/v1/nothing", token=known)).status == 404
    with out_of_reach(postgres_server, database_url):
        with pytest.raises(DatabaseUnavailable):
            await api.services.access.confirm()
        assert (await api.call("GET", "/v1/nothing", token=known)).status == 404
        answer = await api.call("GET", "/v1/nothing", token=unknown)
        assert (answer.status, answer.code) == (503, "database_unavailable")
        assert (await api.call("GET", "/v1/nothing", token="garbage")).status == 401


async def test_the_last_use_is_recorded_but_not_with_each_request(api: PublicApi) -> None:
    token = await api.tenant("acme")

    async def last_used() -> str | None:
        return str((await api.call("GET", "/v1/tenants/acme/tokens")).json["tokens"][0]["last_used_at"])

    await api.call("GET", "/v1/sessions", token=token)
    await api.services.access.confirm()
    assert await last_used() == "None"
    await api.services.access.record_use()
    assert await last_used() != "None"


async def test_a_tenant_has_no_more_sessions_than_it_may(api: PublicApi) -> None:
    token = await api.tenant("acme", sessions=3)
    statuses = await asyncio.gather(*(made(api, token, f"loja-{n}") for n in range(8)))
    assert sorted(status for (status,) in statuses) == [201] * 3 + [409] * 5
    refused = await api.call("POST", "/v1/sessions", {"session_id": "one-more"}, token=token)
    assert refused.code == "session_limit"
    (gone, *_) = await listed(api, token)
    await api.call("DELETE", f"/v1/sessions/{gone}?confirm={gone}", token=token)
    assert await made(api, token, "one-more") == [201]


async def test_a_tenant_that_stores_too_much_makes_no_further_session(api: PublicApi) -> None:
    token = await api.tenant("acme", storage_bytes=1000)
    assert await made(api, token, "loja-1") == [201]
    async with api.database.begin() as connection:
        await connection.execute(
            sa.text(
                "INSERT INTO signal_keys (session_ref, generation, key_type, key_id, value) "
                "SELECT session_ref, 1, 'session', 'x', decode(repeat('ab', 2000), 'hex') FROM sessions"
            )
        )
    await api.services.tenants.measure(every_seconds=60.0)
    assert (await api.call("GET", "/v1/tenants/acme")).json["stored_bytes"] >= 2000
    refused = await api.call("POST", "/v1/sessions", {"session_id": "loja-2"}, token=token)
    assert (refused.status, refused.code) == (409, "storage_limit")


async def test_what_waits_in_the_outbox_counts_and_no_more_of_it_is_accepted_than_there_is_room_for(
    api: PublicApi,
) -> None:
    token = await api.tenant("acme", storage_bytes=1500)
    assert await made(api, token, "loja-1") == [201]
    message = {"to": "5511988887777", "type": "text", "text": secrets.token_hex(2000), "queue": True}
    path = "/v1/sessions/loja-1/messages"
    waiting = await api.call("POST", path, message, token=token)
    assert waiting.status == 202
    await api.services.tenants.measure(every_seconds=60.0)
    for method, refused_path, body in (
        ("POST", path, message),
        (
            "POST",
            "/v1/sessions/loja-1/bulk",
            {"template": {"type": "text", "text": "x"}, "messages": [{"to": "5511988887777"}]},
        ),
    ):
        refused = await api.call(method, refused_path, body, token=token)
        assert (refused.status, refused.code) == (409, "storage_limit")
    await api.call("DELETE", f"/v1/sessions/loja-1/outbox/{waiting.json['message_id']}", token=token)
    await api.services.tenants.measure(every_seconds=0.0)
    assert (await api.call("POST", path, message, token=token)).status == 202


async def test_requests_and_messages_have_a_rate_and_every_answer_tells_it(
    database: Database, database_url: str
) -> None:
    async with public_api(database_url, requests_per_minute=5) as api:
        token = await api.tenant("acme", messages_per_minute=1)
        first = await api.call("GET", "/v1/sessions", token=token)
        assert (first.headers["RateLimit-Limit"], first.headers["RateLimit-Remaining"]) == ("5", "4")
        assert int(first.headers["RateLimit-Reset"]) > 0
        message = {"to": "5511988887777", "type": "text", "text": "a"}
        path = "/v1/sessions/loja-1/messages"
        answers = [await api.call("POST", path, message, token=token) for _ in range(2)]
        assert [answer.code for answer in answers] == ["session_not_found", "rate_limited"]
        assert (answers[1].status, answers[1].headers["RateLimit-Limit"]) == (429, "1")
        assert 55 <= int(answers[1].headers["Retry-After"]) <= 60
        statuses = [(await api.call("GET", "/v1/sessions", token=token)).status for _ in range(4)]
        assert statuses == [200, 200, 429, 429]
        assert (await api.call("GET", "/v1/sessions", token=await api.tenant_token("acme"))).status == 200
        admin = await api.call("GET", "/v1/sessions")
        assert "RateLimit-Limit" not in admin.headers
        handed_on = {"X-Peer-Token": api.peer_token}  # by a replica that has counted it
        assert (await api.call("GET", "/v1/sessions", token=token, headers=handed_on)).status == 200
        forged = {"X-Peer-Token": "guessed", "X-Forwarded-By-Replica": "a"}
        assert (await api.call("GET", "/v1/sessions", token=token, headers=forged)).status == 429


async def test_who_guesses_tokens_waits_and_who_is_known_does_not(database: Database, database_url: str) -> None:
    async with public_api(database_url, failed_logins_per_minute=3, trusted_proxies=1) as api:
        token = await api.tenant("acme")
        here = {"X-Forwarded-For": "spoofed, 203.0.113.7"}
        await api.call("GET", "/v1/sessions", token=token, headers=here)
        guesses = [await api.call("GET", "/v1/sessions", token=f"bo_{n}", headers=here) for n in range(5)]
        assert [guess.status for guess in guesses] == [401, 401, 401, 429, 429]
        assert int(guesses[-1].headers["Retry-After"]) > 0
        assert (await api.call("GET", "/metrics", token="guessed", headers=here)).status == 429
        assert (await api.call("GET", "/v1/sessions", token=token, headers=here)).status == 200
        assert (await api.call("GET", "/v1/sessions", headers=here)).status == 200
        elsewhere = {"X-Forwarded-For": "203.0.113.7, 203.0.113.8"}
        assert (await api.call("GET", "/v1/sessions", token="bo_x", headers=elsewhere)).status == 401


async def test_every_request_has_a_name(api: PublicApi) -> None:
    given = await api.call("GET", "/v1/nothing", headers={"X-Request-Id": "abc-123"})
    assert (given.headers["X-Request-Id"], given.json["request_id"]) == ("abc-123", "abc-123")
    for odd in ("", "a b", "x" * 200, '{"a": 1}'):
        made_up = await api.call("GET", "/v1/sessions", token=None, headers={"X-Request-Id": odd})
        assert made_up.headers["X-Request-Id"] == made_up.json["request_id"]
        assert made_up.json["request_id"] not in ("", odd)
    assert (await api.call("GET", "/healthz", token=None)).headers["X-Request-Id"]


async def test_answers_are_compressed_and_requests_may_be_within_the_limit_of_what_they_unfold_to(
    api: PublicApi,
) -> None:
    async with api.http.get(f"{api.url}/openapi.json", headers={"Accept-Encoding": "gzip"}) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        assert (await response.json())["openapi"] == "3.1.0"
    async with api.http.get(f"{api.url}/openapi.json", headers={"Accept-Encoding": "gzip;q=0"}) as response:
        assert "Content-Encoding" not in response.headers
    zipped = gzip.compress(json.dumps({"session_id": "loja-1"}).encode())
    assert (await api.call("POST", "/v1/sessions", raw=zipped, headers={"Content-Encoding": "gzip"})).status == 201
    bomb = gzip.compress(b'{"session_id": "' + b"a" * (100 * 1024 * 1024) + b'"}')
    refused = await api.call("POST", "/v1/sessions", raw=bomb, headers={"Content-Encoding": "gzip"})
    assert (refused.status, refused.code) == (413, "body_too_large")


async def test_a_list_comes_in_pages(api: PublicApi) -> None:
    token = await api.tenant("acme")
    names = [f"loja-{n}" for n in range(5)]
    await made(api, token, *names)
    for path, things in (
        ("/v1/sessions", "sessions"),
        ("/v1/tokens", "tokens"),
        ("/v1/tenants", "tenants"),
        ("/v1/audit", "audit"),
        ("/v1/sessions/loja-1/generations", "generations"),
    ):
        await api.tenant_token("acme")
        asked = api.token if path in ("/v1/tenants", "/v1/audit") else token
        whole = (await api.call("GET", path, token=asked)).json
        assert whole["next_cursor"] is None
        found: list[object] = []
        query = "limit=2"
        while query:
            page = (await api.call("GET", f"{path}?{query}", token=asked)).json
            assert 1 <= len(page[things]) <= 2
            found += page[things]
            query = f"limit=2&cursor={page['next_cursor']}" if page["next_cursor"] else ""
        assert found == whole[things]


async def test_the_audit_log_goes_back_a_year(api: PublicApi) -> None:
    await api.tenant("acme")
    log = ActStore(api.database)
    kept = (await api.call("GET", "/v1/audit")).json["audit"]
    assert len(kept) == 2  # the tenant, and its token
    async with api.database.begin() as connection:
        older = "UPDATE acts SET at = now() - interval '366 days' WHERE act_id = (SELECT min(act_id) FROM acts)"
        await connection.execute(sa.text(older))
    assert [await log.prune(days=ACT_DAYS, most=10) for _ in range(2)] == [1, 0]
    assert (await api.call("GET", "/v1/audit")).json["audit"] == kept[:1]
