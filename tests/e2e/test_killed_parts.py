"""Scan once, never again: kill -9 of the sidecar, the orchestrator and PostgreSQL, under traffic both ways."""

import asyncio
from pathlib import Path

import pytest

from tests.support.fake_whatsapp import fake_whatsapp
from tests.support.longer import only_longer
from tests.support.side_by_side import (
    KILLS,
    PHONE,
    RATE,
    SESSION,
    TRAFFIC_SECONDS,
    Reference,
    both_talking,
    judge,
    sender,
    talk_of,
)
from tests.support.tree import tree

MESSAGES = 200


@only_longer
@pytest.mark.timeout(400)
async def test_killed_parts_come_back_without_a_qr_and_nothing_is_lost(short_path: Path, reference: Reference) -> None:
    """The sidecar, the orchestrator and PostgreSQL, again and again, on the embedded database."""
    async with fake_whatsapp() as whatsapp, tree(short_path / "data", short_path / "log", whatsapp.environ) as ours:
        await ours.ready()
        await ours.pair(SESSION, PHONE, whatsapp)
        talk, send = await talk_of(whatsapp), sender(ours)
        await asyncio.gather(
            talk.exchange(send, MESSAGES, RATE * 5), reference.talk.exchange(reference.bot.send, MESSAGES, RATE * 5)
        )
        await judge(talk, reference)
        async with both_talking(talk, send, reference):
            for program in ("baileys", "orchestrator", "postgres"):
                for _ in range(KILLS):
                    await asyncio.sleep(TRAFFIC_SECONDS)
                    accepted = len(talk.accepted)
                    await asyncio.gather(ours.kill(program), reference.kill())
                    await talk.accepts_more_than(accepted)
                    await ours.open(SESSION)
        await judge(talk, reference, kills=KILLS)
        assert await ours.terminate() == 0
