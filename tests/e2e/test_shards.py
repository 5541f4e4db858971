"""Several sidecars in one replica: what happens to one of them doesn't concern the sessions of the others."""

import os
import signal
from pathlib import Path

import pytest

from tests.support.event_stream import listening
from tests.support.fake_whatsapp import FakeWhatsApp
from tests.support.tree import tree
from tests.support.waiting import eventually

PHONES = {f"loja-{number}": f"55119999880{number:02}" for number in range(1, 5)}


@pytest.mark.timeout(180)
async def test_a_sidecar_that_is_killed_takes_only_its_own_sessions_along_and_they_come_back(
    short_path: Path, whatsapp: FakeWhatsApp
) -> None:
    environ = {**whatsapp.environ, "SIDECAR_SHARDS": "2"}
    async with tree(short_path / "data", short_path / "log", environ) as product:
        await product.ready()
        for session_id, phone in PHONES.items():
            await product.pair(session_id, phone, whatsapp)
        of_first = {session["session_id"] for session in await product.sidecar_sessions()}
        theirs = PHONES.keys() - of_first
        assert of_first
        assert theirs

        async def opened() -> dict[str, str]:
            return {session_id: (await product.session(session_id))["last_open_at"] for session_id in PHONES}

        before, seen = await opened(), len((await whatsapp.call("GET", "/gaps"))["gaps"])
        first, second = product.pids("baileys")
        os.kill(second, signal.SIGKILL)

        async def came_back() -> bool:
            now = await opened()
            return {session_id for session_id in PHONES if now[session_id] != before[session_id]} >= theirs

        await eventually(came_back, 60, "the sessions of the killed sidecar to be open again")
        await product.open(*PHONES)
        gaps = (await whatsapp.call("GET", "/gaps"))["gaps"][seen:]
        assert {gap["phone"] for gap in gaps} == {PHONES[session_id] for session_id in theirs}
        assert first in product.pids("baileys")

        contact = await whatsapp.contact()
        async with listening(product) as heard:
            for session_id, phone in PHONES.items():
                assert (await product.send(session_id, contact, f"from {session_id}")).status == 201
                await whatsapp.send(contact, phone, f"to {session_id}")
                await heard.wait_for("message.received", session_id=session_id, text=f"to {session_id}")
        assert (await whatsapp.counts())["registrations"] == len(PHONES)
        assert await product.terminate() == 0
