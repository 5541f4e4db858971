"""PostgreSQL is away for minutes: the sockets stay, everybody goes on talking, and nothing is lost."""

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.support.event_stream import listening
from tests.support.fake_whatsapp import FakeWhatsApp
from tests.support.longer import longer
from tests.support.own_server import own_server
from tests.support.side_by_side import NOTHING_WRONG, PHONE, RATE, SESSION, sender, talk_of
from tests.support.traffic import verdict
from tests.support.tree import tree

OUTAGE_SECONDS = longer(12.0, 300.0)
HEALING_SECONDS = 60.0
TOKEN = "a-token-for-the-operator"


@pytest.mark.timeout(900)
async def test_traffic_goes_on_while_postgresql_is_away_and_the_journal_drains(
    short_path: Path, whatsapp: FakeWhatsApp
) -> None:
    with own_server(short_path / "pg") as server:
        environ = {**whatsapp.environ, "DATABASE_URL": server.url, "SESSION_ENCRYPTION_KEYS": "5e" * 32}
        data = short_path / "data"
        async with tree(data, short_path / "log", environ, token=TOKEN) as ours:
            await ours.ready()
            async with listening(ours) as heard:
                await ours.pair(SESSION, PHONE, whatsapp)
                talk = await talk_of(whatsapp)
                async with talk.going_on(sender(ours), RATE):
                    await talk.accepts_more_than(10)
                    logins = await logins_of(whatsapp)
                    server.stop()
                    await heard.wait_for("session.degraded", seconds=30, degraded=True)
                    accepted = len(talk.accepted)
                    await asyncio.sleep(OUTAGE_SECONDS)
                    # Sends go on; how fast is a question for the benchmark.
                    assert len(talk.accepted) > accepted + OUTAGE_SECONDS
                    assert ours.journal_bytes > 0
                    server.start()
                    await heard.wait_for("session.degraded", seconds=30, degraded=False)
                    await talk.accepts_more_than(len(talk.accepted) + 10)
                assert await verdict(talk, HEALING_SECONDS) == NOTHING_WRONG
                assert await logins_of(whatsapp) == logins  # the socket stayed
                await ours.stored()
                for message in await whatsapp.messages("in", PHONE):
                    await heard.wait_for("message.received", seconds=30, message_id=message["id"])
                ours.kill_everything()
        # All of it is in PostgreSQL: a new container, without the journal's disk, goes on where the old one was.
        shutil.rmtree(data)
        async with tree(data, short_path / "log2", environ, token=TOKEN) as ours:
            await ours.open(SESSION)
            await talk.exchange(sender(ours), 20, RATE * 5)
            assert await verdict(talk, HEALING_SECONDS) == NOTHING_WRONG
            assert await ours.terminate() == 0


@pytest.mark.timeout(180)
async def test_a_sidecar_killed_during_an_outage_leaves_its_journal_to_the_next(
    short_path: Path, whatsapp: FakeWhatsApp
) -> None:
    """Nothing but the journal has the newest ratchets; without them message numbers would be used twice."""
    with own_server(short_path / "pg") as server:
        environ = {**whatsapp.environ, "DATABASE_URL": server.url}
        async with tree(short_path / "data", short_path / "log", environ) as ours:
            await ours.ready()
            async with listening(ours) as heard:
                await ours.pair(SESSION, PHONE, whatsapp)
                talk = await talk_of(whatsapp)
                async with talk.going_on(sender(ours), RATE):
                    await talk.accepts_more_than(10)
                    server.stop()
                    await heard.wait_for("session.degraded", seconds=30, degraded=True)
                    await talk.accepts_more_than(len(talk.accepted) + 20)
                    await ours.kill("baileys")
                    await asyncio.sleep(1)  # the time without PostgreSQL goes on for the next process
                    server.start()
                    await talk.accepts_more_than(len(talk.accepted) + 20)
                assert await verdict(talk, HEALING_SECONDS, kills=1) == NOTHING_WRONG
                for message in await whatsapp.messages("in", PHONE):
                    await heard.wait_for("message.received", seconds=30, message_id=message["id"])
                assert await ours.terminate() == 0


async def logins_of(whatsapp: FakeWhatsApp) -> list[int]:
    accounts = (await whatsapp.call("GET", "/accounts"))["accounts"]
    return [device["logins"] for account in accounts for device in account["devices"]]
