"""A message that WhatsApp believes to be delivered reaches the program, whenever the process is killed."""

import asyncio
import random
from pathlib import Path

import pytest

from tests.support.event_stream import listening
from tests.support.fake_whatsapp import FakeWhatsApp
from tests.support.longer import longer
from tests.support.side_by_side import PHONE, SESSION
from tests.support.tree import tree

KILLS = longer(2, 20)
MESSAGES_EACH_TIME = 15
#: Baileys holds events back for up to 20 s after a login; all kills but each fifth fall into that time.
LATE_KILL_SECONDS = 21.0


@pytest.mark.timeout(600)
async def test_every_message_becomes_an_event_though_the_sidecar_is_killed(
    short_path: Path, whatsapp: FakeWhatsApp
) -> None:
    async with tree(short_path / "data", short_path / "log", whatsapp.environ) as ours:
        await ours.ready()
        async with listening(ours) as heard:
            await ours.pair(SESSION, PHONE, whatsapp)
            contact = await whatsapp.contact()
            group = await whatsapp.group(contact, PHONE)
            moments = random.Random(3)
            for kill in range(KILLS):
                await ours.open(SESSION)
                if kill % 5 == 4:
                    await asyncio.sleep(LATE_KILL_SECONDS)
                states = len(heard.of("session.state"))
                traffic = {"phone": PHONE, "contacts": [contact], "groups": [group], "rate_per_second": 30}
                await whatsapp.call(
                    "POST", "/traffic", {**traffic, "count": MESSAGES_EACH_TIME, "prefix": f"kill {kill}:"}
                )
                await asyncio.sleep(moments.uniform(0.02, 0.5))
                await ours.kill("baileys")
                await heard.wait_for_more("session.state", states)  # its death was noticed
            await ours.open(SESSION)
            idle = await whatsapp.idle(60, PHONE)
            assert idle["idle"], idle
            sent = await whatsapp.messages("in", PHONE)
            assert len(sent) == KILLS * MESSAGES_EACH_TIME
            for message in sent:
                await heard.wait_for("message.received", seconds=30, message_id=message["id"], text=message["text"])
            print(f"{len(sent)} messages, {len(heard.of('message.received'))} events, {KILLS} kills")
            assert await ours.terminate() == 0


@pytest.mark.timeout(120)
async def test_messages_that_came_while_nobody_listened_are_told_to_the_first_who_does(
    short_path: Path, database_url: str, whatsapp: FakeWhatsApp
) -> None:
    environ, token = {**whatsapp.environ, "DATABASE_URL": database_url}, "a-token-for-the-operator"
    async with tree(short_path / "old", short_path / "log1", environ, token=token) as ours:
        await ours.ready()
        await ours.pair(SESSION, PHONE, whatsapp)
        sent = await whatsapp.send(await whatsapp.contact(), PHONE, "olá")
        assert (await whatsapp.idle(30, PHONE))["idle"]
        ours.kill_everything()
    async with tree(short_path / "new", short_path / "log2", environ, token=token) as ours:
        await ours.ready()
        async with listening(ours) as heard:
            assert (await heard.wait_for("message.received", message_id=sent))["text"] == "olá"
        assert await ours.terminate() == 0
