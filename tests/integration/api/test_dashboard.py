"""The dashboard without a browser's scripts: who gets in, who sees what, and everything that its forms do."""

import asyncio
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
from orchestrator.domain.session import ConnectionState
from orchestrator.pages.dashboard.routes import PAGES
from orchestrator.pages.dashboard.texts import DASHBOARD
from tests.support.dashboard import Visitor, visitor
from tests.support.postgres import migrated_database
from tests.support.public_api import PublicApi, public_api
from tests.support.webhook_receiver import Receiver
from tests.support.webhook_receiver import receiver as webhook_receiver

pytestmark = pytest.mark.asyncio(loop_scope="module")

EN, PT = DASHBOARD[Language.EN], DASHBOARD[Language.PT_BR]
#: It is in every page that shows something of the owner's session.
SESSION = "the-owners-session"
OF_SESSION = f"/tenants/acme/sessions/{SESSION}"


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


def _paths() -> list[str]:
    names = {"{tenant_id}": "acme", "{session_id}": SESSION, "{webhook_id}": "wh_1", "{process}": "baileys"}
    paths = [path for path, _, _ in PAGES]
    for name, value in names.items():
        paths = [path.replace(name, value) for path in paths]
    return paths


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
    "action", sorted(f"{path.rstrip('/')}/{one.name}" for path, _, actions in PAGES for one in actions)
)
async def test_a_tenant_does_nothing_to_another(
    shared_api: PublicApi, anybody: Visitor, other: str, acme: str, action: str
) -> None:
    for name, value in {"{tenant_id}": "acme", "{session_id}": SESSION, "{webhook_id}": "wh_1"}.items():
        action = action.replace(name, value)
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
    page = await anybody.post(action, {**sane, "csrf": csrf, "sure": "yes", "tenant_id": "acme", "session_id": ""})
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
    page = await owner.submit(page, path, proxy="", device_name="Loja")
    settings = (await shared_api.call("GET", f"/v1/sessions/{SESSION}/settings", headers=own)).json
    assert settings["proxy"] is None
    page = await owner.submit(page, path, retention_days="many")
    assert (page.status, page.alert()) == (422, EN.fields["retention_days"])


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
    listed = (await shared_api.call("GET", "/v1/webhooks", headers={"X-Tenant": "acme"})).json["webhooks"]
    one = f"{path}/{listed[0]['webhook_id']}"
    assert listed[0]["events"] == ["message.received", "session.state"]
    page = await owner.get(one)
    page = await owner.submit(page, f"{one}/test")
    assert EN.succeeded in page.text
    page = await owner.submit(page, f"{one}/rotate")
    assert page.secret().startswith("whsec_")
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
        shared_api.url + path, headers=headers, timeout=aiohttp.ClientTimeout(total=30)
    ) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        async for line in response.content:
            if line.startswith(b"data: "):
                told.append(json.loads(line.removeprefix(b"data: ")))
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
        async with asyncio.timeout(30):
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
