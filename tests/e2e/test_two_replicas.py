"""Two replicas on one database: they share the sessions, answer for one another, and take over from one that dies."""

import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.support.event_stream import Heard, listening
from tests.support.fake_whatsapp import FakeWhatsApp
from tests.support.processes import descendants
from tests.support.tree import Tree, tree
from tests.support.waiting import eventually

TOKEN = "a-token-for-the-operator"
TTL_SECONDS = 8
PHONES = {f"loja-{number}": f"55119999770{number:02}" for number in range(1, 5)}


@pytest.fixture
def environ(database_url: str, whatsapp: FakeWhatsApp) -> dict[str, str]:
    return {
        **whatsapp.environ,
        "DATABASE_URL": database_url,
        "REBALANCE_AFTER_SECONDS": "1",
        "LEASE_TTL_SECONDS": str(TTL_SECONDS),
    }


@contextlib.asynccontextmanager
async def replica(folder: Path, name: str, environ: dict[str, str]) -> AsyncIterator[Tree]:
    async with tree(folder / name, folder / f"log-{name}", environ, token=TOKEN) as started:
        await started.ready()
        yield started


async def shared(a: Tree, b: Tree) -> None:
    """Wait until each has its half and all are open."""

    async def even() -> bool:
        return await opened(a) == await opened(b) == len(PHONES) // 2

    await eventually(even, 60, "both replicas to run their half")
    await a.open(*PHONES)


async def opened(product: Tree) -> int:
    """Sessions that are open in this replica's own sidecar."""
    listed = await product.sidecar_sessions()
    return sum(session["state"] == "open" for session in listed)


async def sends_both_ways(a: Tree, b: Tree, whatsapp: FakeWhatsApp, heard: tuple[Heard, Heard]) -> None:
    """Through either replica every session sends, and what every session gets is heard at both."""
    contact = await whatsapp.contact()
    for session_id, phone in PHONES.items():
        for through in (a, b):
            sent = await through.send(session_id, contact, f"through {through.port}")
            assert sent.status == 201, sent.body
        text = f"to {session_id} at {time.monotonic()}"
        await whatsapp.send(contact, phone, text)
        for one in heard:
            await one.wait_for("message.received", session_id=session_id, text=text)
    assert (await whatsapp.idle(30))["idle"]


async def files_go_through_either(a: Tree, b: Tree, whatsapp: FakeWhatsApp) -> None:
    """A file that came to the wrong replica is sent on while it is read, both ways."""
    contact, content = await whatsapp.contact(), os.urandom(2_000_000)
    for session_id in PHONES:
        for through in (a, b):
            message = f'{{"to": "{contact}", "type": "document"}}'
            answer = await through.upload(session_id, message, content, "a.bin", "application/x-test")
            assert answer.status == 201, answer.body
            message_id = answer.json["message_id"]
            assert (await whatsapp.read_by(contact, message_id))["media"]["size"] == len(content)
            back = await through.call("GET", f"/v1/sessions/{session_id}/messages/{message_id}/media")
            assert (back.status, back.body == content) == (200, True)
            assert back.headers["Content-Type"] == "application/x-test"


def whole_tree(product: Tree) -> list[int]:
    return [product.child.pid, *descendants(product.child.pid)]


@pytest.mark.timeout(240)
async def test_two_replicas_share_answer_for_one_another_and_take_over(
    short_path: Path, environ: dict[str, str], whatsapp: FakeWhatsApp, measured: Callable[[str], None]
) -> None:
    async with replica(short_path, "a", environ) as a:
        for session_id, phone in PHONES.items():
            await a.pair(session_id, phone, whatsapp)
        async with replica(short_path, "b", environ) as b:
            await shared(a, b)
            async with listening(a) as at_a, listening(b) as at_b:
                await sends_both_ways(a, b, whatsapp, (at_a, at_b))
            await files_go_through_either(a, b, whatsapp)

            # Frozen for longer than its leases last, then woken: it neither writes nor keeps a socket.
            frozen = whole_tree(b)
            for pid in frozen:
                os.kill(pid, signal.SIGSTOP)

            async def taken_over() -> bool:
                return await opened(a) == len(PHONES)

            since = time.monotonic()
            await eventually(taken_over, 60, "the sessions of the frozen replica to be open elsewhere")
            measured(f"taken over {time.monotonic() - since:.1f} s after SIGSTOP, the TTL is {TTL_SECONDS} s")
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)
            await b.ready()
            await shared(a, b)  # it lets go, and then gets its share again
            async with listening(a) as at_a, listening(b) as at_b:
                await sends_both_ways(a, b, whatsapp, (at_a, at_b))

            since = time.monotonic()
            b.kill_everything()
            await eventually(taken_over, 60, "the sessions of the killed replica to be open elsewhere")
            measured(f"taken over {time.monotonic() - since:.1f} s after SIGKILL, the TTL is {TTL_SECONDS} s")
        counts = await whatsapp.counts()
        assert counts["registrations"] == len(PHONES)
        assert await a.terminate() == 0


@pytest.mark.timeout(180)
async def test_440_with_the_lease_lost_it_stops_and_leaves_the_connection_to_the_new_owner(
    short_path: Path, environ: dict[str, str], whatsapp: FakeWhatsApp
) -> None:
    environ["REBALANCE_AFTER_SECONDS"] = "3600"  # so that nothing is given back by itself
    async with replica(short_path, "old", environ) as old:
        await old.pair("loja-1", PHONES["loja-1"], whatsapp)
        async with replica(short_path, "new", environ) as new:
            before, frozen = await whatsapp.counts(), whole_tree(old)
            with_the_old = (await new.session("loja-1"))["last_open_at"]
            for pid in frozen:
                os.kill(pid, signal.SIGSTOP)

            async def taken_over() -> bool:
                return await opened(new) == 1

            await eventually(taken_over, 60, "the session to be open at its new owner")
            await new.open("loja-1", after=with_the_old)
            opened_at = (await new.session("loja-1"))["last_open_at"]
            for pid in frozen:  # what it finds first is WhatsApp's 440
                os.kill(pid, signal.SIGCONT)
            await old.ready()

            async def stopped() -> bool:
                return await old.sidecar_sessions() == []

            await eventually(stopped, 30, "the old owner to let go of the session")
            async with listening(new) as heard:
                contact = await whatsapp.contact()
                assert (await old.send("loja-1", contact, "through the old owner")).status == 201
                await whatsapp.send(contact, PHONES["loja-1"], "to the new owner")
                await heard.wait_for("message.received", text="to the new owner")
            after = await whatsapp.counts()
            assert {name: after[name] - before[name] for name in ("logins", "evictions", "registrations")} == {
                "logins": 1,
                "evictions": 1,  # of the frozen one, by the new owner; nobody took it back
                "registrations": 0,
            }
            assert (await new.session("loja-1"))["last_open_at"] == opened_at


@pytest.mark.timeout(120)
async def test_a_session_that_is_created_at_one_replica_is_paired_through_the_other(
    short_path: Path, environ: dict[str, str], whatsapp: FakeWhatsApp
) -> None:
    async with replica(short_path, "a", environ) as a, replica(short_path, "b", environ) as b:
        for number, (maker, asker) in enumerate(((a, b), (b, a)), start=1):
            session_id = f"loja-{number}"
            assert (await maker.call("POST", "/v1/sessions", {"session_id": session_id})).status == 201
            qr = await asker.qr(session_id)
            picture = await asker.call("GET", f"/v1/sessions/{session_id}/qr", Accept="image/png")
            assert picture.body.startswith(b"\x89PNG")
            assert picture.headers["Content-Type"] == "image/png"
            await whatsapp.scan(qr.json["qr"], PHONES[session_id])
            await asker.open(session_id)
        for through in (a, b):
            stopped = await through.call("POST", "/v1/sessions/loja-1/stop")
            assert stopped.json["connection_state"] == "stopped"
            assert (await through.call("POST", "/v1/sessions/loja-1/start")).status == 200
            await through.open("loja-1")
        assert (await b.call("DELETE", "/v1/sessions/loja-2")).code == "confirmation_required"
        assert (await b.call("GET", "/v1/sessions/nobody")).code == "session_not_found"
