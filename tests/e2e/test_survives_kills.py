"""Scan once, never again: kill -9 of every part, under traffic both ways, next to a plain file store killed as often."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.support.baseline import Baseline, baseline
from tests.support.fake_whatsapp import FakeWhatsApp, fake_whatsapp
from tests.support.postgres import short_folder
from tests.support.traffic import Send, Talk, Verdict, verdict
from tests.support.tree import Tree, tree

PHONE, SESSION = "5511999990001", "loja-1"
MESSAGES = 200
RATE = 10.0
KILLS = 5
#: Seconds of traffic before each kill.
TRAFFIC_SECONDS = 1.0
#: Seconds that the phones' retries get to settle everything; the file store often isn't done by then.
OUR_HEALING_SECONDS = 60.0
ITS_HEALING_SECONDS = 20.0

pytestmark = pytest.mark.timeout(400)

NOTHING_WRONG = Verdict(0, 0, 0, 0, 0, 0, 0, 0)


async def talk_of(whatsapp: FakeWhatsApp) -> Talk:
    contact = await whatsapp.contact()
    return Talk(whatsapp, PHONE, contact, await whatsapp.group(contact, PHONE))


def sender(product: Tree) -> Send:
    async def send(to: str, text: str) -> str | None:
        try:
            answer = await product.send(SESSION, to, text)
        except (aiohttp.ClientError, OSError):
            return None
        return str(answer.json["message_id"]) if answer.status == 201 else None

    return send


@dataclass
class Reference:
    """The baseline bot with its own fake WhatsApp and its own traffic, killed whenever ours is."""

    bot: Baseline
    talk: Talk

    async def kill(self) -> None:
        await self.bot.kill()
        await self.bot.start()
        await self.bot.open()


@pytest.fixture
async def reference() -> AsyncIterator[Reference]:
    with short_folder() as folder:
        async with fake_whatsapp() as whatsapp, baseline(folder, whatsapp) as bot:
            await bot.pair(PHONE)
            yield Reference(bot, await talk_of(whatsapp))


@contextlib.asynccontextmanager
async def both_talking(ours: Talk, send: Send, reference: Reference) -> AsyncIterator[None]:
    async with ours.going_on(send, RATE), reference.talk.going_on(reference.bot.send, RATE):
        yield


async def judge(ours: Talk, reference: Reference) -> None:
    """Ours has nothing wrong, and is no worse than the baseline in any count."""
    our_verdict, its_verdict = await asyncio.gather(
        verdict(ours, OUR_HEALING_SECONDS), verdict(reference.talk, ITS_HEALING_SECONDS)
    )
    print(f"ours: {our_verdict}\nfile store: {its_verdict}")
    assert our_verdict.worse_than(its_verdict) == {}
    assert our_verdict == NOTHING_WRONG


async def test_killed_parts_come_back_without_a_qr_and_nothing_is_lost(short_path: Path, reference: Reference) -> None:
    """The sidecar, the orchestrator and PostgreSQL, each five times, on the embedded database."""
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
        await judge(talk, reference)
        assert await ours.terminate() == 0


async def test_a_new_container_with_an_empty_disk_brings_the_session_back(
    short_path: Path, database_url: str, reference: Reference
) -> None:
    """The whole tree, five times: everything but the database is thrown away."""
    async with fake_whatsapp() as whatsapp:
        environ = {**whatsapp.environ, "DATABASE_URL": database_url, "SESSION_ENCRYPTION_KEYS": "5e" * 32}
        token, port, talk = "a-token-for-the-operator", None, None
        for start in range(KILLS + 1):
            data = short_path / "data"
            async with tree(data, short_path / f"log{start}", environ, port=port, token=token) as ours:
                await ours.ready()
                if start == 0:
                    await ours.pair(SESSION, PHONE, whatsapp)
                await ours.open(SESSION)
                talk = talk or await talk_of(whatsapp)
                async with both_talking(talk, sender(ours), reference):
                    await asyncio.sleep(TRAFFIC_SECONDS)
                    if start < KILLS:
                        ours.kill_everything()
                        await reference.kill()
                if start == KILLS:
                    await judge(talk, reference)
                    assert await ours.terminate() == 0
                port = ours.port
            shutil.rmtree(data)
