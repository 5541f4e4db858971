"""The dashboard without a browser's scripts: who gets in, who sees what, and everything that its forms do."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
import pytest_asyncio
import sqlalchemy as sa

from orchestrator.domain.language import Language
from orchestrator.domain.reminder import Weekday
from orchestrator.domain.reminder_text import VARIABLES
from orchestrator.domain.session import ConnectionState
from orchestrator.pages.dashboard.routes import PAGES
from orchestrator.pages.dashboard.texts import DASHBOARD
from tests.support.dashboard import Visitor, visitor
from tests.support.postgres import migrated_database
from tests.support.processes import PATIENCE
from tests.support.public_api import PublicApi, public_api
from tests.support.webhook_receiver import Receiver
from tests.support.webhook_receiver import receiver as webhook_receiver

pytestmark = pytest.mark.asyncio(loop_scope="module")

EN, PT = DASHBOARD[Language.EN], DASHBOARD[Language.PT_BR]
#: It is in every page that shows something of the owner's session.
SESSION = "the-owners-session"
OF_SESSION = f"/tenants/acme/sessions/{SESSION}"

CUSTOMER = {
    "name": "Maria Silva",
    "phone": "+55 (11) 98888-7777",
    "amount": "R$ 1.150,50",
    "due_date": "2099-12-31",
    "recurrence": "monthly",
}
SCHEDULE = {"time_of_day": "09:00", "time_zone": "America/Sao_Paulo", "catch_up_hours": "24", "language": "en"}
PACE = {"applies_to": "all", "pace": "6", "jitter": "0,25"}
SHEET = b"nome;telefone;valor;vencimento\nJo\xc3\xa3o;5511977776666;10,00;10/12/2099\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def acme(shared_api: PublicApi) -> str:
    """A token of the tenant acme, which has a session."""
    token = await shared_api.tenant("acme")
    assert (await shared_api.call("POST", "/v1/sessions", {"session_id": SESSION}, token=token)).status == 201
    return token


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def other(shared_api: PublicApi) -> str:
    return await shared_api.tenant("other")


@pytest_asyncio.fixture(loop_scope="module")
async def anybody(shared_api: PublicApi) -> AsyncIterator[Visitor]:
    async with visitor(shared_api.url) as somebody:
        yield somebody


@pytest_asyncio.fixture(loop_scope="module")
async def owner(anybody: Visitor, acme: str) -> Visitor:
    assert (await anybody.log_in(acme)).title == EN.sessions
    return anybody


@pytest_asyncio.fixture(loop_scope="module")
async def admin(shared_api: PublicApi, acme: str) -> AsyncIterator[Visitor]:
    async with visitor(shared_api.url) as somebody:
        assert (await somebody.log_in(shared_api.token)).title == EN.sessions
        yield somebody


async def acts(api: PublicApi, tenant_id: str = "acme") -> list[tuple[str, str, str | None]]:
    """What is on record of a tenant, newest first: actor, operation, from where."""
    found = await api.call("GET", f"/v1/audit?tenant_id={tenant_id}")
    return [(act["actor"], act["action"], act["address"]) for act in found.json["audit"]]


# -- who gets in


async def test_who_is_not_logged_in_is_sent_to_the_log_in_page_and_back(anybody: Visitor, acme: str) -> None:
    page = await anybody.get(f"{OF_SESSION}?x=1")
    assert (page.status, page.title) == (200, EN.login)
    page = await anybody.post("/login", {**page.form("/login"), "token": acme})
    assert page.path == f"{OF_SESSION}?x=1"
    assert page.title == SESSION


@pytest.mark.parametrize("token", ["", "wrong", "bo_wrong", "ação", "a" * 1000, "a\nb"])
async def test_a_token_that_opens_nothing_is_refused_in_one_sentence(anybody: Visitor, token: str) -> None:
    page = await anybody.log_in(token)
    assert (page.status, page.alert(), anybody.cookies) == (401, EN.login_wrong, {})


async def test_the_cookie_is_no_token_of_programs_and_is_kept_from_scripts_and_other_sites(
    shared_api: PublicApi, acme: str
) -> None:
    headers = {"Origin": shared_api.url, "X-Forwarded-Proto": "https"}
    async with shared_api.http.post(
        f"{shared_api.url}/login", data={"token": acme}, headers=headers, allow_redirects=False
    ) as response:
        cookie = response.cookies["login"]
    assert cookie.value != acme
    assert (cookie["httponly"], cookie["secure"], cookie["samesite"], cookie["path"]) == (True, True, "Lax", "/")
    assert 0 < int(cookie["max-age"]) <= 12 * 3600
    assert response.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("elsewhere", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x"])
async def test_nobody_is_sent_elsewhere_after_the_log_in(anybody: Visitor, acme: str, elsewhere: str) -> None:
    page = await anybody.post("/login", {"token": acme, "next": elsewhere})
    assert page.path == "/"


async def test_a_log_in_ends_with_the_token_behind_it(shared_api: PublicApi, anybody: Visitor, acme: str) -> None:
    made = await shared_api.call("POST", "/v1/tokens", {"name": "short", "scopes": ["read"]}, token=acme)
    assert (await anybody.log_in(made.json["token"])).title == EN.sessions
    await shared_api.call("DELETE", f"/v1/tokens/{made.json['token_id']}", token=acme)
    await shared_api.services.access.confirm()
    assert (await anybody.get("/")).title == EN.login
    assert "login" not in anybody.cookies


async def test_a_log_in_lives_no_longer_than_the_token_behind_it(
    shared_api: PublicApi, anybody: Visitor, acme: str
) -> None:
    ends = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    made = await shared_api.call(
        "POST", "/v1/tokens", {"name": "short", "scopes": ["read"], "expires_at": ends}, token=acme
    )
    login = await shared_api.call("POST", "/v1/logins", {}, token=made.json["token"])
    assert datetime.fromisoformat(login.json["expires_at"]) == datetime.fromisoformat(made.json["expires_at"])
    again = await shared_api.call("POST", "/v1/logins", {}, token=login.json["token"])
    assert again.json["expires_at"] == login.json["expires_at"]


async def test_an_expired_log_in_opens_nothing(shared_api: PublicApi, owner: Visitor) -> None:
    async with shared_api.database.begin() as connection:
        past = "UPDATE api_tokens SET expires_at = now() - interval '1 second' WHERE login AND tenant_id = 'acme'"
        await connection.execute(sa.text(past))
    await shared_api.services.access.confirm()
    assert (await owner.get("/")).title == EN.login


async def test_who_logs_out_is_out_with_what_was_in_the_cookie_too(shared_api: PublicApi, owner: Visitor) -> None:
    cookie = owner.cookies["login"]
    page = await owner.submit(await owner.get("/"), "/logout")
    assert page.title == EN.login
    assert "login" not in owner.cookies
    owner.cookies["login"] = cookie
    assert (await owner.get("/")).title == EN.login
    assert (await shared_api.call("GET", "/v1/sessions", token=cookie)).status == 401


async def test_a_changed_admin_token_locks_out_who_logged_in_with_the_one_before(
    shared_api: PublicApi, admin: Visitor
) -> None:
    access = shared_api.services.access
    before, access._admin = access._admin, b"another"
    assert (await admin.get("/")).title == EN.login
    access._admin = before


async def test_a_blocked_tenant_is_told_so(shared_api: PublicApi, anybody: Visitor) -> None:
    token = await shared_api.tenant("blocked")
    await anybody.log_in(token)
    await shared_api.call("PATCH", "/v1/tenants/blocked", {"blocked": True})
    page = await anybody.get("/")
    assert page.status == 403
    assert "blocked by the operator" in page.text


async def test_a_link_from_the_bot_logs_in_once_and_looking_at_it_does_not_use_it_up(
    shared_api: PublicApi, anybody: Visitor, acme: str
) -> None:
    made = await shared_api.call("POST", "/v1/login-links", {}, headers={"X-Tenant": "acme"})
    path = made.json["url"].removeprefix(shared_api.url)
    for _ in range(3):
        assert EN.login_link in (await anybody.get(path)).text
    page = await anybody.post(path, {})
    assert (page.title, page.path) == (EN.sessions, "/")
    assert SESSION in page.text
    assert (await anybody.get("/audit")).status == 403  # the tenant's rights, though the admin made the link
    async with visitor(shared_api.url) as second:
        page = await second.post(path, {})
        assert (page.status, page.alert()) == (404, EN.login_link_over)
        assert second.cookies == {}
    assert [act[1] for act in (await acts(shared_api))[:2]] == ["logins_open_link", "logins_make_link"]


async def test_a_link_made_with_a_token_gives_no_more_than_the_token(
    shared_api: PublicApi, anybody: Visitor, acme: str
) -> None:
    reader = await shared_api.tenant_token("acme", "read")
    made = await shared_api.call("POST", "/v1/login-links", {}, token=reader)
    await anybody.post(made.json["url"].removeprefix(shared_api.url), {})
    page = await anybody.get(OF_SESSION)
    assert page.status == 200
    assert f"{OF_SESSION}/stop" not in page.text
    login = anybody.cookies["login"]
    assert (await shared_api.call("POST", f"/v1/sessions/{SESSION}/stop", {}, token=login)).status == 403


async def test_a_link_of_the_admin_opens_everything_and_an_old_one_nothing(
    shared_api: PublicApi, anybody: Visitor
) -> None:
    made = await shared_api.call("POST", "/v1/login-links", {})
    old = await shared_api.call("POST", "/v1/login-links", {})
    await anybody.post(made.json["url"].removeprefix(shared_api.url), {})
    assert (await anybody.get("/audit")).title == EN.audit
    async with shared_api.database.begin() as connection:
        await connection.execute(sa.text("UPDATE login_links SET expires_at = now() WHERE used_at IS NULL"))
    assert (await anybody.post(old.json["url"].removeprefix(shared_api.url), {})).status == 404


async def test_guessing_is_slowed_down_by_the_visitor_s_own_address(postgres_server: str) -> None:
    with migrated_database(postgres_server) as url:
        limits: dict[str, Any] = {"failed_logins_per_minute": 3, "trusted_proxies": 1}
        async with public_api(url, **limits) as api, visitor(api.url) as guesser:
            here, elsewhere = {"X-Forwarded-For": "203.0.113.9"}, {"X-Forwarded-For": "203.0.113.7"}
            for _ in range(3):
                assert (await guesser.post("/login", {"token": "bo_wrong"}, **here)).status == 401
            page = await guesser.post("/login", {"token": "bo_wrong"}, **here)
            assert (page.status, EN.too_often in page.text) == (429, True)
            assert (await guesser.post("/login", {"token": "bo_wrong"}, **elsewhere)).status == 401
            guesser.cookies["login"] = "bo_wrong"
            assert (await guesser.get("/", **here)).status == 429


# -- forms of others


async def test_a_form_of_another_site_does_nothing(shared_api: PublicApi, owner: Visitor) -> None:
    page = await owner.get("/")
    fields = {**page.form("/create"), "session_id": "foreign"}
    attempts = [
        (fields, {"Origin": "https://evil.example"}),
        (fields, {"Origin": "null"}),
        (fields, {"Sec-Fetch-Site": "cross-site"}),
        (fields, {"Sec-Fetch-Site": "same-site"}),
        ({"session_id": "foreign"}, {}),
        ({**fields, "csrf": "0" * 64}, {}),
        ({**fields, "csrf": "é"}, {}),
    ]
    for posted, headers in attempts:
        refused = await owner.post("/create", posted, **headers)
        assert refused.status == 403, headers
        assert EN.form_refused in refused.text
    listed = await shared_api.call("GET", "/v1/sessions", headers={"X-Tenant": "acme"})
    assert "foreign" not in [one["session_id"] for one in listed.json["sessions"]]


async def test_a_form_of_another_log_in_does_nothing(shared_api: PublicApi, owner: Visitor, other: str) -> None:
    async with visitor(shared_api.url) as stranger:
        await stranger.log_in(other)
        fields = {**(await stranger.get("/")).form("/create"), "session_id": "foreign"}
    assert (await owner.post("/create", fields)).status == 403


async def test_another_site_neither_logs_in_nor_out(owner: Visitor, acme: str) -> None:
    evil = {"Origin": "https://evil.example"}
    assert (await owner.post("/login", {"token": acme}, **evil)).status == 403
    await owner.post("/logout", (await owner.get("/")).form("/logout"), **evil)
    await owner.post("/logout", {})
    assert "login" in owner.cookies


async def test_what_is_no_form_is_refused(shared_api: PublicApi, owner: Visitor) -> None:
    headers = {"Cookie": f"login={owner.cookies['login']}", "Content-Type": "multipart/form-data"}
    async with shared_api.http.post(f"{shared_api.url}/create", data=b"x", headers=headers) as response:
        assert response.status == 403


# -- who sees what


NAMED = {
    "tenant_id": "acme",
    "session_id": SESSION,
    "webhook_id": "wh_1",
    "process": "baileys",
    "contact_id": f"ct_{'0' * 24}",
    "schedule_id": f"sch_{'0' * 24}",
    "template_id": "due.en",
    "bulk_id": "bulk_1",
}


def _paths() -> list[str]:
    return [path.format_map(NAMED) for path, _, _ in PAGES]


@pytest.mark.parametrize("path", _paths())
async def test_a_tenant_sees_nothing_of_another(anybody: Visitor, other: str, path: str, acme: str) -> None:
    await anybody.log_in(other)
    page = await anybody.get(path)
    assert page.status == (
        200 if path in ("/", "/backups") else 403 if "/acme" not in path or path == "/tenants/acme" else 404
    )
    assert SESSION not in page.text.replace(path, "").replace(quote(path, safe=""), "")


@pytest.mark.parametrize("path", _paths())
async def test_nobody_sees_anything_without_a_log_in(anybody: Visitor, path: str, acme: str) -> None:
    assert (await anybody.get(path)).path.startswith("/login?next=")
    assert (await anybody.get(path, Accept="text/event-stream")).status == 401


@pytest.mark.parametrize(
    "action",
    sorted(f"{path.format_map(NAMED).rstrip('/')}/{one.name}" for path, _, actions in PAGES for one in actions),
)
async def test_a_tenant_does_nothing_to_another(
    shared_api: PublicApi, anybody: Visitor, other: str, acme: str, action: str
) -> None:
    await anybody.log_in(other)
    csrf = (await anybody.get("/")).form("/logout")["csrf"]
    sane = {"history_sync": "none", "generation": "1", "link_id": "1", "passphrase": "a" * 12, "days": "", "price": "1"}
    sane |= {
        "unit": "month",
        "extend_days": "1",
        "requested_by": "x",
        "session": SESSION,
        "message_id": "x",
        "events": "*",
    }
    sane |= CUSTOMER | SCHEDULE | PACE | {"text": "x", "due": "2099-12-31", "recipients": "5511988887777"}
    file = {"sheet": io.BytesIO(SHEET)} if action.endswith("/import") else {}
    page = await anybody.post(
        action, {**sane, "csrf": csrf, "sure": "yes", "tenant_id": "acme", "session_id": "", **file}
    )
    assert page.status in (403, 404, 422), page.text  # its own session without a name: 422
    assert (page.status == 422) == (action == "/create")
    assert (await shared_api.call("GET", f"/v1/sessions/{SESSION}", headers={"X-Tenant": "acme"})).json[
        "desired_state"
    ] == "running"


async def test_the_admin_sees_all_and_picks_a_tenant(shared_api: PublicApi, admin: Visitor, other: str) -> None:
    await shared_api.call("POST", "/v1/sessions", {"session_id": "another-one"}, token=other)
    everything = await admin.get("/")
    assert SESSION in everything.text
    assert "another-one" in everything.text
    picked = await admin.get("/?tenant=acme")
    assert SESSION in picked.text
    assert "another-one" not in picked.text
    assert (await admin.get("/?tenant=nobody")).status == 404
    assert "another-one" not in (await admin.get("/?search=owners")).text
    assert SESSION not in (await admin.get("/?states=open")).text


@pytest.mark.parametrize("path", ["/tenants/a%00b/outbox", "/tenants/%E2%98%83/tokens", "/?tenant=a%0Ab", "/?cursor=x"])
async def test_a_strange_address_is_no_failure_of_ours(admin: Visitor, path: str) -> None:
    page = await admin.get(path)
    assert page.status in (404, 422)
    assert page.headers["Content-Type"].startswith("text/html")


async def test_what_is_done_is_on_record_with_the_visitor_s_address(
    shared_api: PublicApi, admin: Visitor, owner: Visitor
) -> None:
    await admin.submit(await admin.get(OF_SESSION), f"{OF_SESSION}/restart")
    done = [act for act in await acts(shared_api) if act[1] != "pairing_list_links"]
    assert done[0] == ("admin", "sessions_restart", "127.0.0.1")
    page = await owner.get("/tenants/acme/tokens")
    await owner.submit(page, "/tenants/acme/tokens/create", name="x")
    actor, action, address = (await acts(shared_api))[0]
    assert (actor.partition("-")[0], action, address) == ("login", "tenants_create_token", "127.0.0.1")


async def test_pages_speak_the_visitor_s_language_and_the_chosen_one(shared_api: PublicApi, acme: str) -> None:
    async with visitor(shared_api.url, "pt-BR,pt;q=0.9") as person:
        assert (await person.get("/")).title == PT.login
        await person.log_in(acme)
        page = await person.get("/tenants/nobody/outbox")
        assert (page.status, page.title) == (404, PT.gone_title)
        page = await person.get(f"/language?to=en&next={OF_SESSION}")
        assert page.path == OF_SESSION
        assert EN.timeline in page.text
        assert (await person.get("/language?to=xx&next=//evil.example")).path == "/"


async def test_pages_let_browsers_run_nothing_but_our_files(owner: Visitor) -> None:
    page = await owner.get("/")
    policy = page.headers["Content-Security-Policy"]
    assert "script-src 'self'; style-src 'self'" in policy
    assert "unsafe" not in policy
    assert " style=" not in page.text
    assert " onclick=" not in page.text
    for file in ("page.css", "dashboard.css", "dashboard.js", "htmx-2.0.11.min.js", "htmx.LICENSE"):
        assert (await owner.get(f"/static/{file}")).status == 200


# -- what is done


async def test_a_session_is_made_stopped_started_and_deleted(owner: Visitor) -> None:
    page = await owner.submit(await owner.get("/"), "/create", session_id="loja-1")
    path = "/tenants/acme/sessions/loja-1"
    assert (page.title, page.path.partition("?")[0], page.note()) == ("loja-1", path, EN.notes["created"])
    page = await owner.submit(page, f"{path}/stop")
    assert page.note() == EN.notes["stopped"]
    page = await owner.submit(page, f"{path}/start")
    assert page.note() == EN.notes["started"]
    asked = await owner.post(f"{path}/delete", page.form(f"{path}/delete"))
    assert EN.questions["delete_session"].format(session_id="loja-1") in asked.title
    page = await owner.submit(page, f"{path}/delete")
    assert (page.path, page.note()) == ("/?note=deleted", EN.notes["deleted"])
    gone = await owner.get(path)
    assert EN.session_deleted in gone.text


async def test_what_is_refused_is_said_in_the_visitor_s_language_and_stays_in_the_form(
    shared_api: PublicApi, acme: str
) -> None:
    async with visitor(shared_api.url, "pt-BR") as person:
        await person.log_in(acme)
        page = await person.submit(await person.get("/"), "/create", session_id="com espaço")
        assert (page.status, page.alert()) == (422, PT.fields["session_id"])
        assert page.form("/create")["session_id"] == "com espaço"
        page = await person.submit(page, "/create", session_id=SESSION)
        assert (page.status, page.alert()) == (409, PT.errors["session_exists"])


async def test_without_a_sidecar_nothing_is_closed_and_the_page_says_what_can_be_done(owner: Visitor) -> None:
    page = await owner.submit(await owner.get(OF_SESSION), f"{OF_SESSION}/code", phone="+55 (11) 9")
    assert (page.status, page.alert()) == (422, EN.fields["phone"])
    csrf = page.form("/logout")["csrf"]
    page = await owner.post(f"{OF_SESSION}/logout", {"csrf": csrf, "sure": "yes"})
    assert (page.status, page.alert()) == (409, "The session is not connected at the moment.")


async def test_a_pairing_link_is_shown_once_and_revoked(shared_api: PublicApi, owner: Visitor) -> None:
    page = await owner.submit(await owner.get(OF_SESSION), f"{OF_SESSION}/link", requested_by="Padaria <Ana>")
    url = page.secret()
    assert url.startswith(f"{shared_api.url}/pair/")
    assert "Padaria &lt;Ana&gt;" in page.text
    page = await owner.get(OF_SESSION)
    assert url not in page.text
    page = await owner.submit(page, f"{OF_SESSION}/revoke-link")
    assert page.note() == EN.notes["revoked"]
    async with shared_api.http.get(url) as response:
        assert response.status == 404


async def test_settings_are_changed_and_a_hidden_proxy_password_stays(shared_api: PublicApi, owner: Visitor) -> None:
    path, own = f"{OF_SESSION}/settings", {"X-Tenant": "acme"}
    proxy = {"proxy": "socks5://loja:senha@127.0.0.1:1080"}
    await shared_api.call("PATCH", f"/v1/sessions/{SESSION}/settings", proxy, headers=own)
    page = await owner.get(OF_SESSION)
    assert "senha" not in page.text
    page = await owner.submit(page, path, ignore_groups="yes", device_name="Loja", retention_days="30")
    assert page.note() == EN.notes["saved"]
    settings = (await shared_api.call("GET", f"/v1/sessions/{SESSION}/settings", headers=own)).json
    assert (settings["ignore_groups"], settings["device_name"], settings["retention_days"]) == (True, "Loja", 30)
    assert settings["proxy"] == "socks5://loja:***@127.0.0.1:1080"
    page = await owner.submit(page, f"{OF_SESSION}/code", phone="12")
    assert page.alert() == EN.fields["phone"]
    assert page.form(path)["ignore_groups"] == "yes"  # another form was refused
    page = await owner.submit(page, path, proxy="", device_name="Loja")
    settings = (await shared_api.call("GET", f"/v1/sessions/{SESSION}/settings", headers=own)).json
    assert settings["proxy"] is None
    page = await owner.submit(page, path, retention_days="many")
    assert (page.status, page.alert()) == (422, EN.fields["retention_days"])


async def test_why_a_session_is_in_its_state_is_said_in_the_visitor_s_language(
    shared_api: PublicApi, owner: Visitor
) -> None:
    unknown, known = "The moon is in the way.", "WhatsApp blocked the account until 2026-12-01T12:00:00.000Z."
    await owner.submit(await owner.get("/"), "/create", session_id="why")
    path = "/tenants/acme/sessions/why"
    change = sa.text("UPDATE sessions SET connection_state = :state, reason = :why WHERE session_id = 'why'")
    async with shared_api.database.begin() as connection:
        for state, why in (("conflict", unknown), ("paused", known)):
            await connection.execute(change, {"state": state, "why": why})
    page = await owner.get(path)
    assert (page.text.count(known), page.text.count(unknown)) == (2, 1)  # now, and in the timeline
    owner.language = "pt-BR"
    page = await owner.get(path)
    assert (page.text.count(known), page.text.count(unknown)) == (0, 1)
    assert page.text.count("O WhatsApp bloqueou a conta até 2026-12-01T12:00:00.000Z.") == 2


async def test_an_earlier_pairing_is_restored(shared_api: PublicApi, owner: Visitor) -> None:
    made = await owner.submit(await owner.get("/"), "/create", session_id="again")
    path = "/tenants/acme/sessions/again"
    async with shared_api.database.begin() as connection:
        await connection.execute(
            sa.text(
                """
                WITH s AS (SELECT session_ref FROM sessions WHERE session_id = 'again'),
                g AS (UPDATE generations SET paired_at = now(), account_jid = '5511900003001:1@s.whatsapp.net'
                      WHERE session_ref IN (SELECT session_ref FROM s) RETURNING session_ref, generation)
                INSERT INTO creds (session_ref, generation, value) SELECT session_ref, generation, '' FROM g
                """
            )
        )
    await owner.submit(await owner.get(path), f"{path}/delete")
    page = await owner.get(path)
    assert "+5511900003001" in page.text
    page = await owner.submit(page, f"{path}/restore")
    assert page.note() == EN.notes["restored"], page.text
    assert made.status == 200
    csrf = page.form("/logout")["csrf"]
    page = await owner.post(f"{path}/link-again", {"csrf": csrf, "sure": "yes"})
    assert page.note() == EN.notes["started"]
    assert (await shared_api.call("GET", "/v1/sessions/again", headers={"X-Tenant": "acme"})).json["generation"] == 2


async def test_the_admin_downloads_a_sealed_backup_and_nobody_else(
    shared_api: PublicApi, admin: Visitor, owner: Visitor
) -> None:
    csrf = (await admin.get("/")).form("/logout")["csrf"]
    page = await admin.post(f"{OF_SESSION}/export", {"csrf": csrf, "passphrase": "short"})
    assert (page.status, page.alert()) == (422, EN.fields["passphrase"])
    page = await admin.post(f"{OF_SESSION}/export", {"csrf": csrf, "passphrase": "correct horse battery"})
    assert page.status == 404  # never paired: there is nothing to give
    csrf = (await owner.get("/")).form("/logout")["csrf"]
    assert (await owner.post(f"{OF_SESSION}/export", {"csrf": csrf, "passphrase": "a" * 12})).status == 403


async def test_a_tenant_is_made_changed_blocked_and_deleted(admin: Visitor) -> None:
    page = await admin.submit(await admin.get("/tenants"), "/tenants/create", name="Padaria da Ana", tenant_id="ana")
    assert (page.title, page.note()) == ("Padaria da Ana", EN.notes["created"])
    page = await admin.submit(page, "/tenants/ana/change", name="Ana", sessions="3", messages_per_minute="x")
    assert (page.status, page.alert()) == (422, EN.fields["messages_per_minute"])
    page = await admin.submit(page, "/tenants/ana/change", messages_per_minute="60")
    assert (page.title, page.note()) == ("Ana", EN.notes["saved"])
    assert page.form("/tenants/ana/change")["sessions"] == "3"
    page = await admin.submit(page, "/tenants/ana/block", reason="did not pay")
    assert page.note() == EN.notes["blocked"]
    assert "did not pay" in page.text
    page = await admin.submit(page, "/tenants/ana/unblock")
    assert page.note() == EN.notes["unblocked"]
    page = await admin.submit(page, "/tenants/ana/delete")
    assert (page.title, page.note()) == (EN.tenants, EN.notes["deleted"])
    page = await admin.submit(page, "/tenants/create", name="Ana", tenant_id="ana")
    assert (page.status, page.alert()) == (409, "There is, or was, a tenant with this name.")


async def test_a_token_is_shown_once_works_and_is_revoked(shared_api: PublicApi, owner: Visitor) -> None:
    path = "/tenants/acme/tokens"
    page = await owner.submit(await owner.get(path), f"{path}/create", name="The shop", days="30", manage="")
    token = page.secret()
    assert (await shared_api.call("GET", "/v1/sessions", token=token)).status == 200
    assert (await shared_api.call("POST", "/v1/sessions", {"session_id": "x"}, token=token)).status == 403
    page = await owner.get(path)
    assert token not in page.text
    assert "The shop" in page.text
    page = await owner.submit(page, f"{path}/revoke")
    assert page.note() == EN.notes["revoked"]
    assert (await shared_api.call("GET", "/v1/sessions", token=token)).status == 401
    none = {"csrf": page.form("/logout")["csrf"], "name": "nothing", "days": ""}
    refused = await owner.post(f"{path}/create", none)
    assert (refused.status, refused.alert()) == (422, EN.fields["scopes"])


@pytest_asyncio.fixture(loop_scope="module")
async def receiver() -> AsyncIterator[Receiver]:
    async with webhook_receiver() as listening:
        yield listening


async def test_a_webhook_is_made_tested_changed_and_its_dead_letters_are_replayed(
    shared_api: PublicApi, owner: Visitor, receiver: Receiver
) -> None:
    path = "/tenants/acme/webhooks"
    page = await owner.submit(await owner.get(path), f"{path}/create", url="ftp://x")
    assert (page.status, page.alert()) == (422, EN.fields["url"])
    page = await owner.submit(
        page, f"{path}/create", url=receiver.url("/hook"), events="message.received, session.state"
    )
    assert page.secret().startswith("whsec_")
    assert page.form(f"{path}/create")["url"] == ""  # it would be made twice
    listed = (await shared_api.call("GET", "/v1/webhooks", headers={"X-Tenant": "acme"})).json["webhooks"]
    one = f"{path}/{listed[0]['webhook_id']}"
    assert listed[0]["events"] == ["message.received", "session.state"]
    page = await owner.get(one)
    page = await owner.submit(page, f"{one}/test")
    assert EN.succeeded in page.text
    page = await owner.submit(page, f"{one}/rotate")
    assert page.secret().startswith("whsec_")
    assert page.form(f"{one}/change")["enabled"] == "yes"  # a form that was posted beside it didn't switch it off
    async with shared_api.database.begin() as connection:
        dead = """
            INSERT INTO webhook_deliveries (webhook_id, session_ref, event_id, type, payload, state)
            SELECT webhook_id, (SELECT min(session_ref) FROM sessions WHERE tenant_id = 'acme'), 'evt_' || n, 'session.alert', '', 'dead'
            FROM webhooks, generate_series(1, 2) n
        """
        await connection.execute(sa.text(dead))
    page = await owner.get(f"{one}?state=dead")
    assert page.text.count(f'action="{one}/replay"') == 3  # each of them, and all
    number = page.text.partition('name="number" value="')[2].partition('"')[0]
    fields = {"csrf": page.form("/logout")["csrf"]}
    page = await owner.post(f"{one}/replay", {**fields, "number": number})
    assert page.note() == EN.notes["replayed"]
    page = await owner.post(f"{one}/replay", fields)
    assert page.note() == EN.notes["replayed"]
    assert (await owner.get(f"{one}?state=dead")).text.count(f'action="{one}/replay"') == 1
    page = await owner.submit(page, f"{one}/change", enabled="")
    assert EN.switched_off in page.text
    page = await owner.submit(page, f"{one}/delete")
    assert page.note() == EN.notes["deleted"]


async def test_a_message_that_waits_is_cancelled(shared_api: PublicApi, owner: Visitor) -> None:
    body = {"to": "5511988887777", "type": "text", "text": "Olá", "queue": True}
    made = await shared_api.call("POST", f"/v1/sessions/{SESSION}/messages", body, headers={"X-Tenant": "acme"})
    assert made.status == 202
    path = "/tenants/acme/outbox"
    page = await owner.get(f"{path}?session={SESSION}&state=queued")
    assert "+5511988887777" in page.text
    page = await owner.submit(page, f"{path}/cancel")
    assert page.note() == EN.notes["cancelled"]
    assert EN.message_states["cancelled"] in page.text
    again = {
        "csrf": page.form("/logout")["csrf"],
        "session": SESSION,
        "message_id": "none",
        "sure": "yes",
    }
    page = await owner.post(f"{path}/cancel", again)
    assert (page.status, page.alert()) == (404, EN.errors["message_not_found"])


async def test_a_customer_is_added_found_changed_paid_and_deleted(shared_api: PublicApi, owner: Visitor) -> None:
    path, own = "/tenants/acme/contacts", {"X-Tenant": "acme"}
    page = await owner.submit(await owner.get(path), f"{path}/create", **CUSTOMER, note="Mensalidade\r\n<b>de dezembro")
    assert (page.title, page.note()) == ("Maria Silva", EN.notes["created"])
    one = page.path.partition("?")[0]
    made = (await shared_api.call("GET", f"/v1{one.removeprefix('/tenants/acme')}", headers=own)).json
    assert (made["phone"], made["amount_cents"], made["due_date"]) == ("5511988887777", 115050, "2099-12-31")
    assert (made["recurrence"], made["note"]) == ("monthly", "Mensalidade\n<b>de dezembro")
    unfound = await owner.get(f"{path}?search=nobody")
    assert "Maria Silva" not in unfound.text
    assert EN.nothing in unfound.text
    found = await owner.get(f"{path}?search=988887&state=open")
    assert "R$ 1.150,50" in found.text
    assert "Dec 31, 2099" in found.text
    # What nobody touches stays, the day on which it is due too.
    page = await owner.submit(page, f"{one}/change", amount="10")
    assert page.note() == EN.notes["saved"]
    changed = (await shared_api.call("GET", f"/v1{one.removeprefix('/tenants/acme')}", headers=own)).json
    assert changed == {**made, "amount_cents": 1000}
    twice = page.form(f"{one}/paid")
    for _ in range(2):
        page = await owner.post(f"{one}/paid", twice)
        assert page.note() == EN.notes["paid"]
    assert "Jan 31, 2100" in page.text
    page = await owner.submit(page, f"{one}/change", due_date="2100-02-28")
    stale = await owner.post(f"{one}/paid", {**twice, "due": "2100-01-31"})
    assert (stale.status, stale.alert()) == (409, "This is due another day by now. Look at it again.")
    assert stale.form(f"{one}/change")["due_date"] == "2100-02-28"
    asked = await owner.post(f"{one}/delete", page.form(f"{one}/delete"))
    assert asked.title == EN.questions["delete_contact"].format(name="Maria Silva")
    page = await owner.submit(page, f"{one}/delete")
    assert (page.title, page.note()) == (EN.contacts, EN.notes["deleted"])
    assert (await owner.get(one)).status == 404


async def test_more_customers_than_a_page_shows_are_on_the_next(shared_api: PublicApi, anybody: Visitor) -> None:
    token = await shared_api.tenant("many")
    lines = "".join(f"Cliente {n:02d},55119000{n:05d},1,2099-01-01\n" for n in range(52))
    sheet = f"name,phone,amount,due_date\n{lines}".encode()
    async with shared_api.http.post(
        f"{shared_api.url}/v1/contacts.csv",
        data=sheet,
        headers={"Authorization": f"Bearer {token}", "Content-Type": "text/csv"},
    ) as response:
        assert response.status == 200
    await anybody.log_in(token)
    page = await anybody.get("/tenants/many/contacts?search=Cliente")
    assert "Cliente 49" in page.text
    assert "Cliente 50" not in page.text
    more = unescape(page.text.partition('class="turn">')[2].partition('href="')[2].partition('"')[0])
    assert "search=Cliente" in more
    page = await anybody.get(more)
    assert "Cliente 49" not in page.text
    assert "Cliente 51" in page.text


@pytest.mark.parametrize(
    ("field", "typed"),
    [
        ("contact_name", {"name": "a" * 101}),
        ("phone", {"phone": "119"}),
        ("amount", {"amount": "much"}),
        ("amount", {"amount": "0"}),
        ("due_date", {"due_date": "31/02/2099"}),
        ("recurrence", {"recurrence": "often"}),
        ("pix_code", {"pix_code": "00020126"}),
        ("note", {"note": "a" * 501}),
    ],
)
async def test_what_is_wrong_about_a_customer_is_said_and_stays_in_the_form(
    owner: Visitor, field: str, typed: dict[str, str]
) -> None:
    path = "/tenants/acme/contacts"
    page = await owner.submit(await owner.get(path), f"{path}/create", **{**CUSTOMER, **typed})
    assert (page.status, page.alert()) == (422, EN.fields[field])
    (name,) = typed
    if name != "recurrence":
        assert page.form(f"{path}/create")[name] == typed[name]


async def test_what_a_customer_was_told_is_shown(shared_api: PublicApi, owner: Visitor) -> None:
    path = "/tenants/acme/contacts"
    made = await owner.submit(await owner.get(path), f"{path}/create", **{**CUSTOMER, "phone": "5511900001111"})
    one = made.path.partition("?")[0]
    assert EN.nothing in made.text
    async with shared_api.database.begin() as connection:
        await connection.execute(
            sa.text(
                """
                INSERT INTO reminders
                    (tenant_id, contact_id, kind, due_date, offset_days, session_id, phone, decided_at, deadline, message_id, error)
                SELECT 'acme', :contact, kind, '2099-12-31', days, :session, '5511900001111', now(), now(), message_id, error
                FROM (VALUES ('before_due', -3, '3EB0AA', NULL), ('due', 0, NULL, 'withdrawn')) AS told (kind, days, message_id, error)
                """
            ),
            {"contact": one.rpartition("/")[2], "session": SESSION},
        )
    page = await owner.get(one)
    assert "Before the due date (-3)" in page.text
    assert EN.in_outbox in page.text
    assert EN.reminder_errors["withdrawn"] in page.text
    await owner.submit(page, f"{one}/delete")


async def test_customers_come_from_a_file_and_go_into_one(shared_api: PublicApi, anybody: Visitor) -> None:
    await anybody.log_in(await shared_api.tenant("files"))
    path, own = "/tenants/files/contacts", {"X-Tenant": "files"}
    page = await anybody.get(path)
    csrf = page.form(f"{path}/import")

    async def names() -> list[str]:
        listed = await shared_api.call("GET", "/v1/contacts", headers=own)
        return [one["name"] for one in listed.json["contacts"]]

    wrong = SHEET + b"Ana;119;muito;10/12/2099\nJo;5511977776666;1;10/12/2099\n"
    page = await anybody.post(f"{path}/import", {**csrf, "sheet": io.BytesIO(wrong)})
    assert page.status == 422
    assert "Line 3: That is no amount." in page.text
    assert "Line 3: That is no phone number" in page.text
    assert "Line 4: is in line 2 already" in page.text
    page = await anybody.post(f"{path}/import", {**csrf, "sheet": io.BytesIO(SHEET), "dry_run": "yes"})
    assert page.note() == EN.import_checked.format(created=1, updated=0, unchanged=0)
    assert await names() == []
    page = await anybody.post(f"{path}/import", {**csrf, "sheet": io.BytesIO(SHEET)})
    assert page.note() == "Imported: 1 new, 0 changed, 0 as they were."
    assert await names() == ["João"]
    file = await anybody.post(f"{path}/download", csrf)
    assert file.headers["Content-Type"].startswith("text/csv")
    assert file.headers["Content-Disposition"] == 'attachment; filename="contacts.csv"'
    assert "João,5511977776666,10.00,2099-12-10" in file.text
    page = await anybody.post(f"{path}/import", {**csrf, "sheet": io.BytesIO(file.body)})
    assert page.note() == "Imported: 0 new, 0 changed, 1 as they were."
    for fields in (csrf, {**csrf, "sheet": "no file"}):
        page = await anybody.post(f"{path}/import", fields)
        assert (page.status, page.alert()) == (422, EN.fields["sheet"])


async def test_a_file_may_be_as_large_as_the_api_takes_and_no_larger(owner: Visitor) -> None:
    path = "/tenants/acme/contacts"
    csrf = (await owner.get(path)).form(f"{path}/import")
    page = await owner.post(
        f"{path}/import", {**csrf, "sheet": io.BytesIO(SHEET + b"\n" * 3_000_000), "dry_run": "yes"}
    )
    assert page.status == 200
    page = await owner.post(f"{path}/import", {**csrf, "sheet": io.BytesIO(SHEET + b"\n" * 5_000_000)})
    assert (page.status, EN.errors["body_too_large"] in page.text) == (413, True)


async def test_a_schedule_is_made_changed_and_deleted(shared_api: PublicApi, owner: Visitor) -> None:
    path, own = "/tenants/acme/reminders", {"X-Tenant": "acme"}
    page = await owner.submit(
        await owner.get(path), f"{path}/create", session_id=SESSION, days_before="5, 2;1", quiet_sunday="yes"
    )
    assert page.note() == EN.notes["created"], page.alert()
    (made,) = (await shared_api.call("GET", "/v1/schedules", headers=own)).json["schedules"]
    assert (made["session_id"], made["language"], made["days_before"]) == (SESSION, "en", [5, 2, 1])
    assert (made["days_after"], made["quiet_weekdays"], made["thank"]) == ([1, 3], ["sunday"], True)
    one = f"{path}/schedules/{made['schedule_id']}"
    page = await owner.submit(await owner.get(one), f"{one}/change")
    assert page.note() == EN.notes["saved"]
    assert (await shared_api.call("GET", "/v1/schedules", headers=own)).json["schedules"] == [made]
    page = await owner.submit(
        page, f"{one}/change", time_of_day="8h", days_after="", thank="", welcome="yes", language="pt-BR"
    )
    (changed,) = (await shared_api.call("GET", "/v1/schedules", headers=own)).json["schedules"]
    expected = {"time_of_day": "08:00", "days_after": [], "thank": False, "welcome": True, "language": "pt-BR"}
    assert changed == {**made, **expected}
    asked = await owner.post(f"{one}/delete", page.form(f"{one}/delete"))
    assert asked.title == EN.questions["delete_schedule"].format(session_id=SESSION)
    page = await owner.submit(page, f"{one}/delete")
    assert (page.title, page.note()) == (EN.reminders, EN.notes["deleted"])


@pytest.mark.parametrize(
    ("field", "typed"),
    [
        ("time_of_day", {"time_of_day": "25:00"}),
        ("time_zone", {"time_zone": "Mars/Base"}),
        ("days_before", {"days_before": "soon"}),
        ("days_before", {"days_before": "61"}),
        ("days_after", {"days_after": "1 2 3 4 5 6 7 8 9 10 11"}),
        ("catch_up_hours", {"catch_up_hours": "-1"}),
        ("catch_up_hours", {"catch_up_hours": "169"}),
        ("language", {"language": "la"}),
        ("quiet_weekdays", {f"quiet_{day}": "yes" for day in Weekday}),
    ],
)
async def test_what_is_wrong_about_a_schedule_is_said(owner: Visitor, field: str, typed: dict[str, str]) -> None:
    path = "/tenants/acme/reminders"
    page = await owner.submit(await owner.get(path), f"{path}/create", **typed)
    assert (page.status, page.alert()) == (422, EN.fields[field])


async def test_a_text_is_written_anew_and_the_usual_one_comes_back(shared_api: PublicApi, owner: Visitor) -> None:
    one, own = "/tenants/acme/reminders/texts/due.pt-BR", {"X-Tenant": "acme"}

    async def text() -> str:
        return str((await shared_api.call("GET", "/v1/templates/due.pt-BR", headers=own)).json["text"])

    listed, usual = await owner.get("/tenants/acme/reminders"), await text()
    assert (listed.text.count(EN.usual_text), listed.text.count(EN.own_text)) == (10, 0)
    page = await owner.get(one)
    assert page.form(f"{one}/change")["text"] == usual
    for name in VARIABLES:
        assert f"<code>{{{{{name}}}}}</code>" in page.text
    refused = await owner.submit(page, f"{one}/change", text="Pague, {{nobody}}")
    assert (refused.status, refused.alert()) == (422, EN.fields["text"])
    assert refused.form(f"{one}/change")["text"] == "Pague, {{nobody}}"
    page = await owner.submit(page, f"{one}/change", text="Oi, {{name}}!\r\n{{note}} </textarea>")
    assert page.note() == EN.notes["saved"]
    assert await text() == "Oi, {{name}}!\n{{note}} </textarea>"
    assert page.form(f"{one}/change")["text"] == await text()
    assert (await owner.get("/tenants/acme/reminders")).text.count(EN.own_text) == 1
    page = await owner.submit(page, f"{one}/reset")
    assert (page.note(), await text()) == (EN.notes["text_reset"], usual)
    assert f'action="{one}/reset"' not in page.text
    assert (await owner.get("/tenants/acme/reminders/texts/nothing")).status == 404


async def test_who_may_only_read_sees_customers_and_reminders_and_is_given_no_forms(
    shared_api: PublicApi, anybody: Visitor, acme: str
) -> None:
    own = {"X-Tenant": "acme"}
    body = {"name": "Read", "phone": "5511900002222", "amount_cents": 1, "due_date": "2099-01-01"}
    contact = (await shared_api.call("POST", "/v1/contacts", body, headers=own)).json["contact_id"]
    plan = (await shared_api.call("POST", "/v1/schedules", {"session_id": SESSION}, headers=own)).json["schedule_id"]
    await anybody.log_in(await shared_api.tenant_token("acme", "read"))
    csrf = (await anybody.get("/")).form("/logout")
    for path, shown, actions in (
        ("/tenants/acme/contacts", "Read", ("create", "import")),
        (f"/tenants/acme/contacts/{contact}", "Read", ("change", "paid", "delete")),
        ("/tenants/acme/reminders", SESSION, ("create",)),
        (f"/tenants/acme/reminders/schedules/{plan}", SESSION, ("change", "delete")),
        ("/tenants/acme/reminders/texts/due.en", "{{amount}}", ("change", "reset")),
        (f"{OF_SESSION}/bulks", EN.paced["bulk"], ("create", "pace")),
    ):
        page = await anybody.get(path)
        assert (page.status, shown in page.text) == (200, True)
        for action in actions:
            assert f'action="{path}/{action}"' not in page.text
            posted = {**CUSTOMER, **SCHEDULE, **PACE, "session_id": SESSION, "text": "x", "sure": "yes", **csrf}
            posted |= {"due": "2099-01-01", "recipients": "5511988887777"}
            file = {"sheet": io.BytesIO(SHEET)} if action == "import" else {}
            assert (await anybody.post(f"{path}/{action}", {**posted, **file})).status == 403
    assert (await anybody.post("/tenants/acme/contacts/download", csrf)).status == 200
    await shared_api.call("DELETE", f"/v1/contacts/{contact}", headers=own)
    await shared_api.call("DELETE", f"/v1/schedules/{plan}", headers=own)


async def test_a_tenant_without_sessions_is_told_to_link_one_first(shared_api: PublicApi, anybody: Visitor) -> None:
    await anybody.log_in(await shared_api.tenant("empty"))
    page = await anybody.get("/tenants/empty/reminders")
    assert "Connect a WhatsApp first" in page.text
    assert 'action="/tenants/empty/reminders/create"' not in page.text


async def test_a_message_to_many_is_sent_once_followed_and_cancelled(shared_api: PublicApi, owner: Visitor) -> None:
    path = f"{OF_SESSION}/bulks"
    page = await owner.get(path)
    many = "+55 11 98888-0001, Ana\r\n\r\n5511988880002; Zé, da padaria"
    form = {**page.form(f"{path}/create"), "text": "Olá, {{name}}!", "recipients": many}
    first = await owner.post(f"{path}/create", form)
    again = await owner.post(f"{path}/create", form)
    assert (first.title, first.note(), again.path) == (EN.bulk, EN.notes["created"], first.path)
    one = first.path.partition("?")[0]
    bulk_id = one.rpartition("/")[2]
    listed = await shared_api.call(
        "GET", f"/v1/sessions/{SESSION}/outbox?bulk_id={bulk_id}", headers={"X-Tenant": "acme"}
    )
    assert sorted(message["to"] for message in listed.json["messages"]) == [
        "5511988880001@s.whatsapp.net",
        "5511988880002@s.whatsapp.net",
    ]
    assert "waiting: 2" in first.text
    page = await owner.submit(first, f"{one}/cancel")
    assert page.note() == EN.notes["cancelled"]
    assert "cancelled: 2" in page.text
    assert f'action="{one}/cancel"' not in page.text
    other = await owner.post(f"{path}/create", {**form, "text": "Another"})
    assert (other.status, other.alert()) == (409, EN.errors["idempotency_key_reused"])
    corrected = await owner.submit(other, f"{path}/create")
    assert corrected.note() == EN.notes["created"]
    await owner.submit(corrected, f"{corrected.path.partition('?')[0]}/cancel")
    for field, typed in (
        ("recipients", {"recipients": "somebody"}),
        ("recipients", {"recipients": ""}),
        ("recipients", {"recipients": "5511988880001\n" * 1001}),
        ("messages", {"recipients": "5511988880001"}),
        ("bulk_text", {"text": " "}),
    ):
        refused = await owner.post(f"{path}/create", {**form, "key": "", **typed})
        assert (refused.status, refused.alert()) == (422, EN.fields[field])
    assert (await owner.get(f"{path}/bulk_none")).status == 404


async def test_the_pace_of_a_session_is_changed(shared_api: PublicApi, owner: Visitor) -> None:
    path = f"{OF_SESSION}/bulks"

    async def pacing() -> Any:
        return (await shared_api.call("GET", f"/v1/sessions/{SESSION}/pacing", headers={"X-Tenant": "acme"})).json

    before, page = await pacing(), await owner.get(path)
    page = await owner.submit(page, f"{path}/pace")
    assert (page.note(), await pacing()) == (EN.notes["saved"], before)
    more = {"time_zone": "America/Manaus", "begins": "22:00", "ends": "07:00", "first_day": "20", "growth": "1,5"}
    page = await owner.submit(page, f"{path}/pace", **PACE, **more, days="7")
    assert page.note() == EN.notes["saved"]
    assert await pacing() == {
        "applies_to": "all",
        "messages_per_minute": 6,
        "jitter": 0.25,
        "time_zone": "America/Manaus",
        "quiet_hours": {"begins": "22:00", "ends": "07:00"},
        "warm_up": {"first_day": 20, "growth": 1.5, "days": 7},
    }
    for field, typed in (
        ("applies_to", "some"),
        ("pace", "0"),
        ("pace", "nan"),
        ("jitter", "2"),
        ("time_zone", "Mars/Base"),
        ("ends", ""),
        ("growth", "11"),
        ("days", "x"),
        ("days", "1.5"),
    ):
        refused = await owner.submit(page, f"{path}/pace", **{field: typed})
        assert (refused.status, refused.alert()) == (422, EN.fields[field])
    page = await owner.submit(page, f"{path}/pace", begins="", ends="", first_day="")
    assert ((await pacing())["quiet_hours"], (await pacing())["warm_up"]) == (None, None)


async def test_plans_are_made_and_withdrawn(admin: Visitor) -> None:
    page = await admin.get("/payments")
    page = await admin.submit(page, "/payments/create-plan", plan_id="basic", name="Básico", price="49,9")
    assert (page.status, page.alert()) == (422, EN.fields["price"])
    page = await admin.submit(page, "/payments/create-plan", price="R$ 49,90", sessions="2")
    assert page.note() == EN.notes["created"]
    assert "R$ 49,90" in page.text
    page = await admin.submit(page, "/payments/change-plan")
    assert EN.plan_withdrawn in unescape(page.text)
    page = await admin.submit(page, "/payments/reconcile")
    assert (page.status, page.alert()) == (409, "Payments are not taken here.")


async def test_alerts_are_muted_and_heard_again(shared_api: PublicApi, admin: Visitor) -> None:
    async def muted() -> list[str]:
        return [one["kind"] for one in (await shared_api.call("GET", "/v1/alerts")).json["alerts"] if one["muted"]]

    page = await admin.get("/alerts")
    assert (page.status, page.title) == (200, EN.alerts)
    csrf = page.form("/logout")["csrf"]
    page = await admin.post("/alerts/mute", {"csrf": csrf, "kind": "journal"})
    assert (page.note(), await muted()) == (EN.notes["muted"], ["journal"])
    page = await admin.submit(page, "/alerts/unmute")  # the only one that is muted
    assert (page.note(), await muted()) == (EN.notes["unmuted"], [])
    page = await admin.post("/alerts/mute", {"csrf": csrf, "kind": "happiness"})
    assert (page.status, page.alert()) == (404, EN.errors["alert_not_found"])


async def test_without_a_bot_a_broadcast_is_refused_and_the_text_stays(admin: Visitor) -> None:
    page = await admin.get("/broadcasts")
    assert (page.status, page.title) == (200, EN.broadcasts)
    page = await admin.submit(page, "/broadcasts/create", text="Hello\r\nall")
    assert (page.status, page.alert()) == (409, EN.errors["bot_off"])
    assert page.form("/broadcasts/create")["text"] == "Hello\r\nall"


async def test_a_broadcast_is_sent_watched_and_stopped(postgres_server: str) -> None:
    with migrated_database(postgres_server) as database_url:
        async with public_api(database_url, bot_token="1:for-a-test") as api, visitor(api.url) as admin:
            await admin.log_in(api.token)
            page = await admin.submit(await admin.get("/broadcasts"), "/broadcasts/create", text=" Hello \r\n all ")
            assert page.note() == EN.notes["broadcast_begun"]
            made = (await api.call("GET", "/v1/broadcasts")).json["broadcasts"][0]
            assert made["text"] == "Hello \n all"
            again = await admin.submit(page, "/broadcasts/create", text="Another")
            assert (again.status, again.alert()) == (409, EN.errors["broadcast_under_way"])
            epoch = (await api.call("POST", "/v1/bot/lease", {"holder": "a-bot"})).json["epoch"]
            report = {"epoch": epoch, "recipients": 4, "told": 2, "failed": 1, "after_chat": 7}
            await api.call("PUT", f"/v1/bot/broadcasts/{made['broadcast_id']}", report)
            page = await admin.get("/broadcasts")
            assert '<progress max="4" value="3"' in page.text
            assert EN.broadcast_counts.format(told=2, recipients=4, failed=1) in page.text
            page = await admin.submit(page, "/broadcasts/cancel")
            assert page.note() == EN.notes["cancelled"]
            assert EN.broadcast_states["cancelled"] in page.text


async def test_replicas_are_shown_though_supervisord_does_not_answer(admin: Visitor) -> None:
    page = await admin.get("/processes")
    assert (page.status, page.title) == (200, EN.processes)
    csrf = page.form("/logout")["csrf"]
    page = await admin.post("/processes/restart", {"csrf": csrf, "process": "baileys", "sure": "yes"})
    assert (page.status, page.alert()) == (503, EN.unavailable)


# -- what keeps itself up to date


async def _parts(shared_api: PublicApi, who: Visitor, path: str, number: int) -> list[dict[str, str]]:
    """What a page's stream says first, and then as often as it is asked for: each time the session's state is another."""
    headers = {"Accept": "text/event-stream", "Cookie": f"login={who.cookies['login']}"}
    told: list[dict[str, str]] = []
    states = iter([ConnectionState.OPEN, ConnectionState.WAITING_RETRY])
    async with shared_api.http.get(
        shared_api.url + path, headers=headers, timeout=aiohttp.ClientTimeout(total=30 * PATIENCE)
    ) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        part: dict[str, str] = {}
        async for line in response.content:
            if line.startswith(b"data: "):
                part |= json.loads(line.removeprefix(b"data: "))
                if not part.keys() & {"live-state", "live-list"}:
                    continue  # a look at the moment of a change may see the half of it, and the rest next time
                told.append(part)
                part = {}
                if len(told) == number:
                    return told
                await _set_state(shared_api, next(states))
    return told


async def _set_state(shared_api: PublicApi, state: ConnectionState) -> None:
    """As a replica that runs the session would, and tell it."""
    async with shared_api.database.begin() as connection:
        await connection.execute(
            sa.text(
                """
                WITH r AS (
                    INSERT INTO replicas (replica_id, ttl_seconds) VALUES ('runs', 3600)
                    ON CONFLICT (replica_id) DO UPDATE SET renewed_at = now() RETURNING replica_id
                ), s AS (
                    UPDATE sessions SET connection_state = :state WHERE session_id = :name RETURNING session_ref
                )
                UPDATE leases SET owner = (SELECT replica_id FROM r) WHERE session_ref IN (SELECT session_ref FROM s)
                """
            ),
            {"state": state.value, "name": SESSION},
        )
    shared_api.services.events.publish(
        "acme", "session.state", SESSION, {"connection_state": state, "reason": None, "jid": None}
    )


async def test_a_page_tells_only_what_has_changed(shared_api: PublicApi, owner: Visitor) -> None:
    first, second, third = await _parts(shared_api, owner, OF_SESSION, 3)
    assert set(first) == {"live-state", "live-pairing", "live-activity", "live-changes", "live-pairings"}
    assert ">connected<" in second["live-state"]
    assert ">connected<" in second["live-changes"]
    assert "live-pairings" not in second
    assert ">connecting again soon<" in third["live-state"]


async def test_the_list_of_the_admin_follows_all_tenants(shared_api: PublicApi, admin: Visitor) -> None:
    first, second = await _parts(shared_api, admin, "/", 2)
    assert set(first) == {"live-overview", "live-list"}
    assert ">connected<" in second["live-list"]
    assert "connected: 1" in second["live-overview"]


async def test_the_stream_of_a_log_in_that_ends_is_over(shared_api: PublicApi, owner: Visitor) -> None:
    headers = {"Accept": "text/event-stream", "Cookie": f"login={owner.cookies['login']}"}
    async with shared_api.http.get(f"{shared_api.url}{OF_SESSION}", headers=headers) as response:
        await response.content.readline()
        await shared_api.call("DELETE", "/v1/logins/current", token=owner.cookies["login"])
        shared_api.services.events.publish(
            "acme", "session.state", SESSION, {"connection_state": ConnectionState.OPEN, "reason": None, "jid": None}
        )
        async with asyncio.timeout(30 * PATIENCE):
            rest = await response.content.read()
    assert rest.endswith(b"event: gone\ndata: {}\n\n")


async def test_pictures_show_what_was_recorded(shared_api: PublicApi, owner: Visitor) -> None:
    async with shared_api.database.begin() as connection:
        await connection.execute(
            sa.text(
                """
                INSERT INTO session_hours (session_ref, hour, samples, open_samples, sent, received)
                SELECT session_ref, date_trunc('hour', now()) - n * interval '1 hour', 60, CASE n WHEN 2 THEN 30 ELSE 60 END, n, 2 * n
                FROM sessions, generate_series(1, 5) n WHERE session_id = :name
                """
            ),
            {"name": SESSION},
        )
    page = await owner.get(OF_SESSION)
    assert page.text.count('class="heat-4"') == 4
    assert page.text.count('class="heat-2"') == 1
    assert "90.0 %" in page.text
    assert "30 received, 15 sent" in page.text
    assert page.text.count("<polyline") == 2
    listed = await owner.get("/")
    assert listed.text.count('class="heat-4"') == 4
