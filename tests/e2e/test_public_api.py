"""What a program does with the service, on the real Baileys and the fake WhatsApp."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.support.event_stream import listening
from tests.support.fake_whatsapp import FakeWhatsApp, fake_whatsapp
from tests.support.postgres import short_folder
from tests.support.tree import Tree, tree
from tests.support.waiting import eventually

# One process tree serves all of these tests; each has a session and a phone of its own.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whatsapp() -> AsyncIterator[FakeWhatsApp]:
    async with fake_whatsapp() as server:
        yield server
        assert await server.violations() == {}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def product(whatsapp: FakeWhatsApp) -> AsyncIterator[Tree]:
    with short_folder() as folder:
        async with tree(folder / "data", folder / "log", whatsapp.environ) as started:
            await started.ready()
            yield started
            assert await started.terminate() == 0


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    return itertools.count(1)


@pytest.fixture
def phone(numbers: Iterator[int]) -> str:
    return f"55119999900{next(numbers):02}"


@pytest.fixture
def session_id(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)[:64]


async def registrations(whatsapp: FakeWhatsApp) -> int:
    return int((await whatsapp.counts())["registrations"])


async def devices(whatsapp: FakeWhatsApp, phone: str) -> list[dict[str, object]]:
    accounts = (await whatsapp.call("GET", "/accounts"))["accounts"]
    return next(list(account["devices"]) for account in accounts if account["phone"] == phone)


async def disconnected(whatsapp: FakeWhatsApp, phone: str) -> None:
    """Wait until WhatsApp has seen the socket close; the device stays linked."""

    async def condition() -> bool:
        return [device["connected"] for device in await devices(whatsapp, phone)] == [False]

    await eventually(condition, 5, "the socket to be closed")


async def test_a_qr_code_comes_in_every_format_and_pairs(
    product: Tree, whatsapp: FakeWhatsApp, session_id: str, phone: str
) -> None:
    await product.call("POST", "/v1/sessions", {"session_id": session_id})
    shown = await product.qr(session_id)
    assert set(shown.json) == {"qr", "expires_at", "remaining_seconds", "rotated"}
    png = await product.call("GET", f"/v1/sessions/{session_id}/qr", Accept="image/png")
    assert png.body.startswith(b"\x89PNG")
    svg = await product.call("GET", f"/v1/sessions/{session_id}/qr", Accept="image/svg+xml")
    assert b"<svg" in svg.body
    text = await product.call("GET", f"/v1/sessions/{session_id}/qr", Accept="text/plain")
    assert "█" in text.body.decode()
    assert {a.headers["Cache-Control"] for a in (shown, png, svg, text)} == {"no-store"}
    assert (await product.session(session_id))["connection_state"] == "pairing"
    paired = await whatsapp.scan(shown.json["qr"], phone)
    await product.open(session_id)
    session = await product.session(session_id)
    assert session["jid"] == paired["jid"]
    assert (session["generation"], session["degraded"]) == (1, False)
    assert session["last_open_at"] is not None
    assert session["last_backup_at"] is not None
    for method, path, body in (("GET", "qr", None), ("POST", "pairing-code", {"phone": phone})):
        refused = await product.call(method, f"/v1/sessions/{session_id}/{path}", body)
        assert (refused.status, refused.code) == (409, "already_paired")


async def test_a_pairing_code_pairs(product: Tree, whatsapp: FakeWhatsApp, session_id: str, phone: str) -> None:
    await product.call("POST", "/v1/sessions", {"session_id": session_id})
    answer = await product.call("POST", f"/v1/sessions/{session_id}/pairing-code", {"phone": phone})
    assert answer.status == 200, answer.body
    code = answer.json["pairing_code"]
    assert len(code) == 9
    assert code[4] == "-"
    await whatsapp.call("POST", "/enter-code", {"code": code, "phone": phone})
    await product.open(session_id)


async def test_messages_and_receipts_arrive_as_events(
    product: Tree, whatsapp: FakeWhatsApp, session_id: str, phone: str
) -> None:
    await product.pair(session_id, phone, whatsapp)
    contact = await whatsapp.contact()
    group = await whatsapp.group(contact, phone)
    async with listening(product, f"?session_id={session_id}") as heard:
        await whatsapp.send(contact, phone, "Olá, tudo bem?")
        received = await heard.wait_for("message.received", text="Olá, tudo bem?")
        assert (received["session_id"], received["type"], received["from_me"]) == (session_id, "text", False)
        await whatsapp.send(contact, phone, "para todos", group)
        assert (await heard.wait_for("message.received", text="para todos"))["chat"] == group
        sent = await product.send(session_id, contact.split("@")[0], "Tudo!")
        assert (sent.status, sent.json["to"]) == (201, contact)
        await heard.wait_for("message.receipt", message_id=sent.json["message_id"], status="delivered")
    assert (await whatsapp.idle(10))["idle"]


async def test_two_sessions_write_to_each_other(
    product: Tree, whatsapp: FakeWhatsApp, session_id: str, phone: str
) -> None:
    other, other_phone = session_id[:60] + "-two", phone.replace("55", "44", 1)
    await asyncio.gather(product.pair(session_id, phone, whatsapp), product.pair(other, other_phone, whatsapp))
    async with listening(product) as heard:
        await product.send(session_id, other_phone, "oi")
        await heard.wait_for("message.received", session_id=other, text="oi")
        await product.send(other, phone, "oi de volta")
        await heard.wait_for("message.received", session_id=session_id, text="oi de volta")


async def test_a_stopped_session_stays_stopped_over_a_restart_and_starts_without_a_qr(
    product: Tree, whatsapp: FakeWhatsApp, session_id: str, phone: str
) -> None:
    await product.pair(session_id, phone, whatsapp)
    before = await registrations(whatsapp)
    stopped = await product.call("POST", f"/v1/sessions/{session_id}/stop")
    assert (stopped.json["desired_state"], stopped.json["connection_state"]) == ("stopped", "stopped")
    await disconnected(whatsapp, phone)
    refused = await product.send(session_id, "5511988887777", "oi")
    assert (refused.status, refused.code) == (409, "session_not_open")
    await product.kill("baileys")
    await product.kill("orchestrator")
    await product.ready()

    async def shown_as_stopped() -> bool:
        return bool((await product.session(session_id))["connection_state"] == "stopped")

    # Its journal may be written first, under its lease.
    await eventually(shown_as_stopped, 15, "the session to be shown as stopped")
    await product.call("POST", f"/v1/sessions/{session_id}/start")
    await product.open(session_id)
    assert await registrations(whatsapp) == before


async def test_a_logout_removes_the_device_and_the_next_start_pairs_anew(
    product: Tree, whatsapp: FakeWhatsApp, session_id: str, phone: str
) -> None:
    await product.pair(session_id, phone, whatsapp)
    logged_out = await product.call("POST", f"/v1/sessions/{session_id}/logout")
    assert (logged_out.status, logged_out.json["connection_state"]) == (200, "stopped")

    async def removed() -> bool:
        return await devices(whatsapp, phone) == []

    await eventually(removed, 5, "WhatsApp to remove the device")
    await product.call("POST", f"/v1/sessions/{session_id}/start")
    qr = await product.qr(session_id)
    await whatsapp.scan(qr.json["qr"], phone)
    await product.open(session_id)
    assert (await product.session(session_id))["generation"] == 2


async def test_a_new_pairing_that_fails_gives_the_one_that_worked_back_without_a_qr(
    product: Tree, whatsapp: FakeWhatsApp, session_id: str, phone: str
) -> None:
    await product.pair(session_id, phone, whatsapp)
    contact = await whatsapp.contact()
    await product.send(session_id, contact.split("@")[0], "before")
    before = await registrations(whatsapp)
    await whatsapp.call("POST", "/failures", {"kind": "refuse_registration", "reason": 403})
    async with listening(product, f"?session_id={session_id}") as heard:
        again = {"new_pairing": True, "replace": True}
        answer = await product.call("POST", f"/v1/sessions/{session_id}/start", again)
        assert (answer.status, answer.json["generation"]) == (200, 2), answer.json
        failed = await heard.wait_for("session.pairing_failed", retrying=False)
        assert (failed["code"], failed["generation"]) == ("banned", 1)
        await heard.wait_for("session.state", connection_state="open")
    shown = await product.session(session_id)
    assert (shown["generation"], shown["pairing_failure"]) == (1, "banned")
    await product.send(session_id, contact.split("@")[0], "after")
    assert (await whatsapp.idle(10))["idle"]
    assert await registrations(whatsapp) == before


async def test_a_device_removed_on_the_phone_is_quarantined_with_an_alert(
    product: Tree, whatsapp: FakeWhatsApp, session_id: str, phone: str
) -> None:
    await product.pair(session_id, phone, whatsapp)
    async with listening(product) as heard:
        await whatsapp.call("POST", "/kick", {"phone": phone, "kind": "device_removed"})
        await heard.wait_for("session.alert", alert="quarantined", session_id=session_id)
    session = await product.session(session_id)
    assert session["connection_state"] == "quarantined"
    assert session["reason"]
    refused = await product.call("POST", f"/v1/sessions/{session_id}/start")
    assert (refused.status, refused.code) == (409, "session_quarantined")
    anew = await product.call("POST", f"/v1/sessions/{session_id}/start", {"new_pairing": True})
    assert anew.json["generation"] == 2


async def test_a_single_401_at_login_is_doubted_and_survived(
    product: Tree, whatsapp: FakeWhatsApp, session_id: str, phone: str
) -> None:
    await product.pair(session_id, phone, whatsapp)
    before, opened = await registrations(whatsapp), (await product.session(session_id))["last_open_at"]
    await whatsapp.call("POST", "/failures", {"phone": phone, "kind": "refuse_login", "reason": 401})
    await whatsapp.call("POST", "/kick", {"phone": phone, "kind": "tcp_drop"})

    async def refused() -> bool:
        return bool((await whatsapp.counts())["refused_logins"])

    await eventually(refused, 30, "the login to be refused")
    await product.open(session_id, after=opened)
    assert await registrations(whatsapp) == before


async def test_a_deleted_session_is_gone_and_its_socket_closed(
    product: Tree, whatsapp: FakeWhatsApp, session_id: str, phone: str
) -> None:
    await product.pair(session_id, phone, whatsapp)
    assert (await product.call("DELETE", f"/v1/sessions/{session_id}?confirm={session_id}")).status == 204
    assert (await product.call("GET", f"/v1/sessions/{session_id}")).status == 404
    await disconnected(whatsapp, phone)
