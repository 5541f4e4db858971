"""Our product and a plain file store side by side: the same traffic, killed at the same moments, judged alike."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp

from tests.support.baseline import Baseline
from tests.support.fake_whatsapp import FakeWhatsApp
from tests.support.processes import DeadlineError
from tests.support.traffic import Send, Talk, Verdict, verdict
from tests.support.tree import Tree

PHONE, SESSION = "5511999990001", "loja-1"
#: Messages a second each way.
RATE = 10.0
#: Kills of each kind, and seconds of traffic before each.
KILLS = 5
TRAFFIC_SECONDS = 1.0
#: Seconds that the phones' retries get to settle everything; the file store often isn't done by then.
OUR_HEALING_SECONDS = 60.0
ITS_HEALING_SECONDS = 20.0

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
    """The file-store bot with its own fake WhatsApp and its own traffic, killed whenever ours is."""

    bot: Baseline
    talk: Talk
    lost: bool = False
    """It came back with a QR code, as it does when it is killed while it writes creds.json; nothing can be sent from then on."""

    async def kill(self) -> None:
        await self.bot.kill()
        await self.bot.start()
        if not self.lost:
            try:
                await self.bot.open(20)
            except DeadlineError:
                self.lost = True


@contextlib.asynccontextmanager
async def both_talking(ours: Talk, send: Send, reference: Reference) -> AsyncIterator[None]:
    async with ours.going_on(send, RATE), reference.talk.going_on(reference.bot.send, RATE):
        yield


async def judge(ours: Talk, reference: Reference, *, kills: int = 0) -> None:
    """Ours has nothing wrong, and is no worse than the file store in any count."""
    our_verdict, its_verdict = await asyncio.gather(
        verdict(ours, OUR_HEALING_SECONDS, kills=kills), verdict(reference.talk, ITS_HEALING_SECONDS, kills=None)
    )
    print(f"ours: {our_verdict}\nfile store: {its_verdict}")
    assert our_verdict.worse_than(its_verdict) == {}
    assert our_verdict == NOTHING_WRONG
