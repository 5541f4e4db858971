"""Every row of the disconnect policy (ARCHITECTURE, section 6) on the whole product, played by the fake WhatsApp.

The row "440, lease lost" needs a second replica: test_two_replicas.py has it, by that name.
"""

import itertools
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from tests.support.event_stream import Heard, listening
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
        environ = {**whatsapp.environ, "KEEP_ALIVE_SECONDS": "1", "QR_SECONDS": "2.5"}
        async with tree(folder / "data", folder / "log", environ) as started:
            await started.ready()
            yield started
            assert await started.terminate() == 0


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    return itertools.count(1)


@dataclass
class Line:
    """A session that is linked and open, what WhatsApp may do to it, and what its owner hears of it."""

    product: Tree
    whatsapp: FakeWhatsApp
    session_id: str
    phone: str
    heard: Heard
    opened_at: str

    async def kick(self, kind: str, **more: Any) -> None:
        answer = await self.whatsapp.call("POST", "/kick", {"phone": self.phone, "kind": kind, **more})
        assert answer["sockets"] == 1

    async def fail(self, kind: str, **more: Any) -> None:
        await self.whatsapp.call("POST", "/failures", {"phone": self.phone, "kind": kind, **more})

    async def session(self) -> Any:
        return await self.product.session(self.session_id)

    async def comes_to(self, state: str, seconds: float = 15.0) -> dict[str, Any]:
        return await self.heard.wait_for("session.state", seconds, connection_state=state)

    async def is_open_again(self, seconds: float = 30.0) -> None:
        """Open, later than before, as the same device: nobody scanned anything."""
        await self.product.open(self.session_id, after=self.opened_at, seconds=seconds)
        now = await self.session()
        self.opened_at = now["last_open_at"]
        assert now["generation"] == 1
        sent = await self.product.send(self.session_id, await self.whatsapp.contact(), "oi")
        assert sent.status == 201, sent.body

    async def starts(self) -> None:
        """Its owner presses start."""
        assert (await self.product.call("POST", f"/v1/sessions/{self.session_id}/start")).status == 200

    async def alert(self, alert: str) -> dict[str, Any]:
        return await self.heard.wait_for("session.alert", alert=alert)


@pytest.fixture(scope="module")
def healthy() -> list[tuple[str, str]]:
    """Sessions and phones of earlier tests that are as good as new: to link one takes longer than most tests."""
    return []


@pytest_asyncio.fixture(loop_scope="module")
async def line(
    product: Tree, whatsapp: FakeWhatsApp, numbers: Iterator[int], healthy: list[tuple[str, str]]
) -> AsyncIterator[Line]:
    if healthy:
        session_id, phone = healthy.pop()
        for action in ("stop", "start"):  # a new connection remembers nothing of the one before
            assert (await product.call("POST", f"/v1/sessions/{session_id}/{action}")).status == 200
        await product.open(session_id)
    else:
        number = next(numbers)
        session_id, phone = f"s{number}", f"55119999800{number:02}"
        await product.pair(session_id, phone, whatsapp)
    async with listening(product, f"?session_id={session_id}") as heard:
        opened_at = (await product.session(session_id))["last_open_at"]
        yield Line(product, whatsapp, session_id, phone, heard, opened_at)
    if (await product.session(session_id))["connection_state"] == "open":
        healthy.append((session_id, phone))


async def test_515_restart_required_reconnects_at_once(line: Line) -> None:
    await line.kick("stream_error", code=515)
    await line.is_open_again()
    assert not [s for s in line.heard.of("session.state") if s["connection_state"] == "waiting_retry"]


@pytest.mark.parametrize(
    ("kind", "code"),
    [("tcp_drop", None), ("xmlstreamend", None), ("close", None), ("stream_error", 500), ("stream_error", 503)],
    ids=["428-lost", "428-ended", "428-closed", "500", "503"],
)
async def test_a_lost_connection_comes_back(line: Line, kind: str, code: int | None) -> None:
    await line.kick(kind, **({"code": code} if code else {}))
    await line.comes_to("waiting_retry")
    await line.is_open_again()


async def test_an_unknown_reason_is_a_lost_connection(line: Line) -> None:
    await line.kick("stream_error", code=599)
    await line.is_open_again()


async def test_408_a_connection_on_which_nothing_comes_in_is_recycled(line: Line) -> None:
    await line.fail("silence")
    await line.is_open_again()


async def test_408_qr_refs_ended_stops_the_pairing_and_keeps_the_session(product: Tree, whatsapp: FakeWhatsApp) -> None:
    assert (await product.call("POST", "/v1/sessions", {"session_id": "nobody-scans"})).status == 201
    async with listening(product, "?session_id=nobody-scans") as heard:
        failed = await heard.wait_for("session.pairing_failed", 60, retrying=False)
        assert failed["code"] == "timed_out"
        await heard.wait_for("session.state", connection_state="stopped")
    kept = await product.session("nobody-scans")
    assert (kept["generation"], kept["pairing_failure"]) == (1, "timed_out")
    await product.call("POST", "/v1/sessions/nobody-scans/start")

    async def another() -> str | None:
        answer = await product.call("GET", "/v1/sessions/nobody-scans/qr")
        return answer.json["qr"] if answer.status == 200 else None

    qr = await eventually(another, 20, "a QR code of a new attempt")
    assert qr is not None
    await whatsapp.scan(qr, "5511999980099")
    await product.open("nobody-scans")


async def test_open_but_deaf_a_connection_from_which_nothing_arrives_is_recycled(line: Line) -> None:
    """Keep-alives are answered, so that only the message shows it: nobody acknowledges that."""
    await line.fail("deaf")
    contact = await line.whatsapp.contact()
    assert (await line.product.send(line.session_id, contact, "hello?")).status == 201
    await line.is_open_again()


async def test_440_a_replaced_connection_tries_once_and_then_leaves_the_device_to_the_other(line: Line) -> None:
    await line.kick("replaced")
    await line.is_open_again()
    await line.kick("replaced")
    assert "replaced the connection twice" in (await line.comes_to("conflict"))["reason"]
    await line.alert("conflict")
    await line.starts()
    await line.is_open_again()


async def test_401_device_removed_is_a_proven_logout(line: Line) -> None:
    await line.kick("device_removed")
    await line.comes_to("quarantined")
    assert (await line.alert("quarantined"))["by"] == "whatsapp"
    kept = (await line.product.call("GET", f"/v1/sessions/{line.session_id}/generations")).json["generations"]
    assert [(g["generation"], g["restorable"], g["set_aside_by"]) for g in kept] == [(1, True, "whatsapp")]
    refused = await line.product.call("POST", f"/v1/sessions/{line.session_id}/start")
    assert (refused.status, refused.code) == (409, "session_quarantined")


@pytest.mark.parametrize("reason", [401, 403, 406])
async def test_a_refusal_that_is_not_repeated_is_no_logout(line: Line, reason: int) -> None:
    await line.fail("refuse_login", reason=reason)
    await line.kick("tcp_drop")
    await line.is_open_again()


@pytest.mark.parametrize("reason", [401, 403, 406])
async def test_a_repeated_refusal_quarantines_and_the_generation_can_be_brought_back(line: Line, reason: int) -> None:
    path = f"/v1/sessions/{line.session_id}"
    assert (await line.product.call("POST", f"{path}/stop")).status == 200
    await line.starts()
    await line.is_open_again()  # without the 515 of the pairing, after which a refusal proves nothing
    await line.fail("refuse_login", reason=reason, times=2)
    await line.kick("tcp_drop")
    await line.comes_to("quarantined", 30)
    assert (await line.product.call("POST", f"{path}/generations/2/restore")).code == "generation_not_found"
    restored = await line.product.call("POST", f"{path}/generations/1/restore")
    assert (restored.status, restored.json["desired_state"]) == (200, "running")
    await line.is_open_again()
    audit = (await line.product.call("GET", f"{path}/audit")).json["audit"]
    assert [(entry["action"], entry["actor"]) for entry in audit[:2]] == [
        ("restored", "owner"),
        ("set_aside", "whatsapp"),
    ]
    again = await line.product.call("POST", f"{path}/generations/1/restore")
    assert (again.status, again.code) == (409, "generation_in_use")


async def test_a_false_401_right_after_a_515_is_no_logout_however_often_it_comes(line: Line) -> None:
    await line.fail("refuse_login", reason=401, times=3)
    await line.kick("stream_error", code=515)
    await line.is_open_again()


async def test_402_a_ban_is_waited_for(line: Line) -> None:
    await line.fail("refuse_login", reason=402, expire=2)
    await line.kick("tcp_drop")
    assert "blocked the account until" in (await line.comes_to("paused"))["reason"]
    assert "blocked the account until" in (await line.alert("banned"))["reason"]
    await line.is_open_again()


async def test_405_an_outdated_client_comes_back_as_the_newest_version(line: Line) -> None:
    """From here on WhatsApp refuses the version that Baileys has."""
    await line.whatsapp.call("POST", "/client-revision", {"revision": 2_000_000_000})
    await line.kick("tcp_drop")
    await line.is_open_again()


async def test_405_again_waits_long_and_touches_nothing(line: Line) -> None:
    await line.fail("refuse_login", reason=405)
    await line.kick("tcp_drop")

    async def waits() -> bool:
        return "outdated" in ((await line.session())["reason"] or "")

    await eventually(waits, 15, "the session to say that the client is outdated")
    assert (await line.session())["connection_state"] == "waiting_retry"
    await line.starts()
    await line.is_open_again()


async def test_hundreds_of_messages_whose_receipts_went_with_the_connection_are_taken_once(line: Line) -> None:
    """As on a connection that is seconds late: far more than the plaintexts that are kept for it."""
    contact, number = await line.whatsapp.contact(), 200
    await line.fail("drop_receipts", times=number)
    texts = [f"late {count}" for count in range(number)]
    sent = [await line.whatsapp.send(contact, line.phone, text) for text in texts]
    for text in texts:
        await line.heard.wait_for("message.received", text=text)

    async def all_lost() -> bool:
        left = (await line.whatsapp.call("GET", "/failures"))["failures"]
        return not any(failure["kind"] == "drop_receipts" for failure in left)

    await eventually(all_lost, what="the last receipt to be lost")
    await line.kick("tcp_drop")
    await line.is_open_again()
    assert (await line.whatsapp.idle(30, line.phone))["idle"]
    status = {one["id"]: one["status"] for one in await line.whatsapp.messages("in", line.phone)}
    assert {status[message_id] for message_id in sent} == {"receipted"}
    told = [data["text"] for data in line.heard.of("message.received") if str(data.get("text")).startswith("late ")]
    assert sorted(told) == sorted(texts)


async def test_411_without_multi_device_it_stops_until_somebody_switched_it_on(line: Line) -> None:
    await line.kick("downgrade")
    assert "Multi-device is off" in (await line.comes_to("paused"))["reason"]
    assert "Multi-device is off" in (await line.alert("multi_device_off"))["reason"]
    await line.starts()
    await line.is_open_again()


async def test_a_deletion_asks_for_confirmation_and_can_be_undone(line: Line) -> None:
    path = f"/v1/sessions/{line.session_id}"
    for query in ("", "?confirm=", "?confirm=another"):
        refused = await line.product.call("DELETE", path + query)
        assert (refused.status, refused.code) == (409, "confirmation_required")
    assert (await line.session())["connection_state"] == "open"
    assert (await line.product.call("DELETE", f"{path}?confirm={line.session_id}")).status == 204
    assert (await line.product.call("GET", path)).status == 404
    restored = await line.product.call("POST", f"{path}/generations/1/restore")
    assert restored.status == 200
    await line.is_open_again()
