"""Pairing over HTTP as far as it goes without a sidecar: links, their page, and what streams are told."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from orchestrator.domain.session import Lease
from orchestrator.domain.tenant import OPERATOR_TENANT
from orchestrator.store.database import Database
from orchestrator.store.leases import LeaseStore
from orchestrator.store.sessions import SessionStore
from tests.support.event_stream import listening
from tests.support.public_api import PublicApi, public_api

REPLICA = "a" * 32
QR = "https://wa.me/settings/linked_devices#2@abc,def,ghi,jkl,1"
LINKS = "/v1/sessions/loja-1/pairing-links"


@pytest.fixture
async def api(database: Database, database_url: str) -> AsyncIterator[PublicApi]:
    """This replica holds the lease of session loja-1, which waits for a phone."""
    await SessionStore(database).create(OPERATOR_TENANT, "loja-1")
    await LeaseStore(database, REPLICA, 3600.0).claim(1)
    async with public_api(database_url, REPLICA) as api:
        await api.services.leases.adopt(alone=False)
        await report(api, "connection.state", state="pairing", reason=None, code=None, jid=None)
        yield api


class Browser:
    """One browser: its own cookies, no token."""

    def __init__(self, api: PublicApi, language: str = "en") -> None:
        self._base = f"http://127.0.0.1:{api.port}"
        self._headers = {"Accept-Language": language}
        # A cookie of an IP address, which the fake host is.
        self._http = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))

    async def __aenter__(self) -> "Browser":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def get(self, path: str) -> tuple[int, str]:
        async with self._http.get(self._base + path, headers=self._headers) as response:
            assert response.headers["Cache-Control"] == "no-store"
            assert "default-src 'none'" in response.headers["Content-Security-Policy"]
            return response.status, await response.text()

    async def post(self, path: str, **fields: str) -> tuple[int, str]:
        async with self._http.post(self._base + path, data=fields, headers=self._headers) as response:
            return response.status, await response.text()


def lease_of(api: PublicApi) -> Lease:
    (lease,) = api.services.leases.held.values()
    return lease


async def report(api: PublicApi, type_: str, **data: Any) -> None:
    lease = lease_of(api)
    await api.services.sidecar_events.handle(lease.session_ref, lease.epoch, type_, data)


def milliseconds(seconds_from_now: float) -> int:
    return round((datetime.now(UTC).timestamp() + seconds_from_now) * 1000)


async def call(api: PublicApi, method: str, path: str, body: object = None) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {api.token}"}
    async with api.http.request(method, f"http://127.0.0.1:{api.port}{path}", json=body, headers=headers) as response:
        return response.status, await response.json() if response.content_length else None


async def new_link(api: PublicApi, **more: Any) -> tuple[int, str]:
    """Its number and the path of its page."""
    status, link = await call(api, "POST", LINKS, {"requested_by": "Loja <do> João", **more})
    assert status == 201
    return link["link_id"], re.sub(r"^http://127\.0\.0\.1:\d+", "", link["url"])


async def test_whoever_begins_to_listen_is_told_of_the_qr_code_that_is_valid_now(api: PublicApi) -> None:
    await report(api, "pairing.qr", qr=QR + "0", expires_at=milliseconds(-1), rotated=False)
    await report(api, "pairing.qr", qr=QR, expires_at=milliseconds(600), rotated=True)
    await report(api, "pairing.code", pairing_code="ABCD-EFGH", expires_at=milliseconds(900))
    async with listening(api) as heard:
        told = await heard.wait_for("session.qr")
        assert (told["qr"], told["rotated"]) == (QR, True)
        assert 500 < told["remaining_seconds"] <= 600
        assert (await heard.wait_for("session.pairing_code"))["pairing_code"] == "ABCD-EFGH"
        assert len(heard.of("session.qr")) == 1
    status, shown = await call(api, "GET", "/v1/sessions/loja-1/qr")
    assert (status, shown["qr"], shown["rotated"]) == (200, QR, True)
    assert 500 < shown["remaining_seconds"] <= 600
    await report(api, "connection.state", state="connecting", reason=None, code=None, jid=None)
    async with listening(api) as heard:
        await report(api, "message.receipt", message_id="the last")
        await heard.wait_for("message.receipt")
        assert heard.of("session.qr") == []


async def test_a_failure_has_a_code_sentences_and_whether_it_goes_on(api: PublicApi) -> None:
    async with listening(api) as heard:
        await report(api, "pairing.failed", code="secret_rotated", reason="for the log", retrying=True)
        retried = await heard.wait_for("session.pairing_failed", retrying=True)
        assert retried["code"] == "secret_rotated"
        assert set(retried["reasons"]) == {"en", "pt-BR"}
        assert retried["reason"] == retried["reasons"]["en"]
        await report(api, "pairing.failed", code="passkey_required", reason="for the log", retrying=False)
        ended = await heard.wait_for("session.pairing_failed", retrying=False)
        assert (ended["code"], ended["generation"]) == ("passkey_required", None)
    _, session = await call(api, "GET", "/v1/sessions/loja-1")
    assert (session["connection_state"], session["desired_state"]) == ("stopped", "stopped")
    assert (session["pairing_failure"], session["reason"]) == ("passkey_required", ended["reason"])
    status, problem = await call(api, "GET", "/v1/sessions/loja-1/qr")
    assert (status, problem["code"]) == (409, "not_pairing")
    assert "passkey" in problem["detail"]


async def test_a_link_is_shown_once_listed_and_revoked(api: PublicApi) -> None:
    number, path = await new_link(api)
    _, listed = await call(api, "GET", LINKS)
    assert [(link["link_id"], link["requested_by"]) for link in listed["pairing_links"]] == [(number, "Loja <do> João")]
    assert path.removeprefix("/pair/") not in str(listed)
    async with Browser(api) as browser:
        assert (await browser.get(path))[0] == 200
        assert (await call(api, "DELETE", f"{LINKS}/{number}"))[0] == 204
        status, page = await browser.get(path)
        assert status == 404
        assert "not available" in page
    assert (await call(api, "DELETE", f"{LINKS}/99"))[1]["code"] == "pairing_link_not_found"
    assert (await call(api, "DELETE", f"{LINKS}/x"))[1]["code"] == "pairing_link_not_found"
    assert (await call(api, "GET", "/v1/sessions/other/pairing-links"))[1]["code"] == "session_not_found"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "requested_by"),
        ({"requested_by": ""}, "requested_by"),
        ({"requested_by": "x" * 81}, "requested_by"),
        ({"requested_by": "x", "expires_in_seconds": 59}, "expires_in_seconds"),
        ({"requested_by": "x", "expires_in_seconds": 604_801}, "expires_in_seconds"),
        ({"requested_by": "x", "role": "admin"}, "role"),
    ],
)
async def test_a_link_that_is_asked_for_badly_names_the_field(api: PublicApi, body: object, field: str) -> None:
    status, problem = await call(api, "POST", LINKS, body)
    assert status == 422
    assert [error["field"] for error in problem["errors"]] == [field]


async def test_a_page_that_nobody_opened_shows_who_asks_and_no_secret(api: PublicApi) -> None:
    await report(api, "pairing.qr", qr=QR, expires_at=milliseconds(20), rotated=False)
    _, path = await new_link(api)
    async with Browser(api, "pt-BR") as preview:
        status, page = await preview.get(path)
        assert status == 200
        assert "Loja &lt;do&gt; João pede para conectar" in page
        assert "data:image/svg+xml" not in page
        for address in ("/state?seen=", "/state"):
            assert (await preview.get(path + address))[0] == 404
        for action in ("/start", "/code"):
            assert (await preview.post(path + action))[0] == 404
    # A preview of the link in a chat has not used it up.
    async with Browser(api) as browser:
        status, page = await browser.post(path + "/open")
        assert status == 200
        assert "data:image/svg+xml" in page


async def test_a_page_opens_in_one_browser_and_follows_the_pairing_to_its_end(api: PublicApi) -> None:
    _, path = await new_link(api)
    async with Browser(api) as browser, Browser(api) as other:
        assert "Asking WhatsApp for a code" in (await browser.post(path + "/open"))[1]
        assert (await other.post(path + "/open"))[0] == 404
        assert (await other.get(path))[0] == 404
        _, state = await browser.get(path + "/state?lang=en")
        assert '"phase":"waiting"' in state
        await report(api, "pairing.qr", qr=QR, expires_at=milliseconds(20), rotated=False)
        _, state = await browser.get(path + "/state?lang=en")
        assert '"phase":"scan"' in state
        await report(api, "pairing.failed", code="timed_out", reason="for the log", retrying=False)
        _, page = await browser.get(path + "?lang=pt-BR")
        assert "Nenhum celular foi conectado a tempo." in page
        status, page = await browser.post(path + "/start?lang=en")
        assert status == 200
        assert "No phone was linked in time" not in page
        _, session = await call(api, "GET", "/v1/sessions/loja-1")
        assert (session["desired_state"], session["pairing_failure"]) == ("running", None)
        status, page = await browser.post(path + "/code?lang=en", phone="not a number")
        assert "Only digits, with the country code" in page


async def test_guessing_is_slowed_down_and_a_right_link_is_not(api: PublicApi, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = api.services.rate_limits._failures
    now = failures._clock()
    monkeypatch.setattr(failures, "_clock", lambda: now)
    _, path = await new_link(api)
    async with Browser(api) as browser:
        statuses = [(await browser.get(f"/pair/guess-{number}"))[0] for number in range(200)]
        assert statuses == [404] * 60 + [429] * 140
        assert (await browser.get(path))[0] == 200
        status, page = await browser.get("/pair/guess")
        assert (status, "Too many attempts" in page) == (429, True)


async def test_the_page_of_a_session_that_is_linked_gives_no_right_at_all(api: PublicApi, database: Database) -> None:
    _, path = await new_link(api)
    async with Browser(api) as browser:
        await browser.post(path + "/open")
        async with database.begin() as connection:
            await connection.exec_driver_sql("UPDATE generations SET paired_at = now(), account_jid = '5511:1@s'")
        await report(api, "connection.state", state="open", reason=None, code=None, jid="5511:1@s")
        status, page = await browser.get(path)
        assert status == 200
        assert "data:image/svg+xml" not in page
        assert '"phase":"linked"' in page
        await browser.post(path + "/start")
        _, session = await call(api, "GET", "/v1/sessions/loja-1")
        assert (session["connection_state"], session["generation"]) == ("open", 1)
        _, listed = await call(api, "GET", LINKS)
        assert listed["pairing_links"][0]["used_at"] is not None
    async with Browser(api) as other:
        assert (await other.get(path))[0] == 404
    status, problem = await call(api, "POST", LINKS, {"requested_by": "Loja"})
    assert (status, problem["code"]) == (409, "already_paired")


async def test_a_new_pairing_in_the_place_of_one_that_works_asks_first(api: PublicApi, database: Database) -> None:
    async with database.begin() as connection:
        await connection.exec_driver_sql("UPDATE generations SET paired_at = now(), account_jid = '5511:1@s'")
    status, problem = await call(api, "POST", "/v1/sessions/loja-1/start", {"new_pairing": True})
    assert (status, problem["code"]) == (409, "generation_in_use")
    assert '"replace": true' in problem["detail"]
    _, session = await call(api, "GET", "/v1/sessions/loja-1")
    assert session["generation"] == 1
