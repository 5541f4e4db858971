"""What the way through the product costs: sends by the public API, and events to a webhook, beside bare Baileys.

Both stand on one fake WhatsApp and are measured one right after the other, while the other one idles. Bare Baileys is the
limit: one Node process with all accounts, an auth state in memory, and nobody in between.
"""

import asyncio
import contextlib
import json
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp

from tests.bench.disks import FAST
from tests.bench.messages import Account, Stage, stage
from tests.bench.plan import BARE, EVENTS, OURS, SENDS
from tests.bench.runs import Run
from tests.bench.stores import NODE_BENCH
from tests.support.fake_whatsapp import FakeWhatsApp
from tests.support.waiting import eventually
from tests.support.webhook_receiver import Receiver, receiver

#: Sends of one session that are under way at a time; Baileys itself sends one after the other.
AT_ONCE = 4
#: Sends of each session before anything is measured: new contacts cost more than known ones.
WARM_UP = 5
RECEIVED_PER_SECOND = 50.0
LONGEST_SECONDS = 300.0
#: A pairing of bare Baileys takes about as long as one of ours.
LINKING_SECONDS = 300.0
#: More than the largest answer: the time of each of some thousand messages.
_LONGEST_LINE = 16 * 1024 * 1024


@dataclass(frozen=True)
class Sent:
    """How long all sends took together, and each of them; in seconds and milliseconds."""

    seconds: float
    latencies_ms: Sequence[float]


class Way(Protocol):
    """One of the two that are compared."""

    async def send(self, each: int) -> Sent:
        """So many from each session."""

    async def receive(self, number: int) -> Mapping[str, float]:
        """When each of the next ``number`` texts that contacts sent was there, in seconds since 1970."""


async def measure(sessions: int, sends: int, received: int, rounds: int) -> AsyncIterator[Run]:
    """One run of each kind for each side and round; ``sends`` and ``received`` are of all sessions together."""
    nearby = {"OUTBOUND_ALLOWED_NETWORKS": "127.0.0.0/8"}
    async with (
        receiver() as receiving,
        stage(FAST, sessions, nearby) as on,
        bare_baileys(on) as bare,
        through_us(on, receiving) as ours,
    ):
        await on.verified()
        ways: dict[str, tuple[Way, Sequence[Account]]] = {OURS: (ours, on.accounts), BARE: (bare, bare.accounts)}
        for way, accounts in ways.values():
            await way.send(WARM_UP)
            await _delays(on.whatsapp, way, accounts, len(accounts))
        for round_ in range(rounds):
            names = list(ways) if round_ % 2 == 0 else list(reversed(ways))
            for name in names:
                way, _ = ways[name]
                yield Run(FAST.name, SENDS, name, sessions, round_, _sends(await way.send(sends // sessions)))
                await _settled(on.whatsapp)
            for name in names:
                way, accounts = ways[name]
                delays = await _delays(on.whatsapp, way, accounts, received)
                yield Run(FAST.name, EVENTS, name, sessions, round_, _percentiles(delays))
            sys.stderr.write(f"  round {round_ + 1}, {sessions} sessions through the API and to a webhook\n")


def _sends(sent: Sent) -> dict[str, float]:
    return {"sends_per_second": len(sent.latencies_ms) / sent.seconds, **_percentiles(sent.latencies_ms)}


def _percentiles(milliseconds: Sequence[float]) -> dict[str, float]:
    return {
        "p50_ms": statistics.median(milliseconds),
        "p99_ms": statistics.quantiles(milliseconds, n=100, method="inclusive")[98],
    }


async def _delays(whatsapp: FakeWhatsApp, way: Way, accounts: Sequence[Account], number: int) -> list[float]:
    """Milliseconds from the moment that a contact is told to send a message to the one in which it is there."""
    sent: dict[str, float] = {}
    due = time.monotonic()
    for count in range(number):
        account, text = accounts[count % len(accounts)], f"measured {count} {due}"
        sent[text] = time.time()
        await whatsapp.send(account.contact, account.phone, text)
        due += 1 / RECEIVED_PER_SECOND
        await asyncio.sleep(max(0.0, due - time.monotonic()))
    async with asyncio.timeout(LONGEST_SECONDS):
        there = await way.receive(number)
    await _settled(whatsapp)
    return [(there[text] - at) * 1000 for text, at in sent.items()]


async def _settled(whatsapp: FakeWhatsApp) -> None:
    idle = await whatsapp.idle(LONGEST_SECONDS)
    assert idle["idle"], f"messages are outstanding: {idle}"


@dataclass
class _Product:
    """The whole product, asked over HTTP, with a receiver of its webhook."""

    on: Stage
    receiving: Receiver
    http: aiohttp.ClientSession

    async def send(self, each: int) -> Sent:
        latencies: list[float] = []
        product = self.on.product
        headers = {"Authorization": f"Bearer {product.token}"}

        async def of(account: Account) -> None:
            url = f"http://127.0.0.1:{product.port}/v1/sessions/{account.session_id}/messages"
            left = iter(range(each))

            async def one() -> None:
                for count in left:
                    body = json.dumps({"to": account.contact, "type": "text", "text": f"ours {count}"})
                    began = time.perf_counter()
                    async with self.http.post(url, data=body, headers=headers) as response:
                        assert response.status == 201, await response.read()
                        await response.read()
                    latencies.append((time.perf_counter() - began) * 1000)

            await asyncio.gather(*(one() for _ in range(AT_ONCE)))

        began = time.perf_counter()
        await asyncio.gather(*(of(account) for account in self.on.accounts))
        return Sent(time.perf_counter() - began, latencies)

    async def receive(self, number: int) -> Mapping[str, float]:
        async def all_of_them() -> bool:
            return len(self.receiving.posted) >= number

        await eventually(all_of_them, LONGEST_SECONDS, f"{number} events to be posted")
        there = {posted.data["text"]: posted.at for posted in self.receiving.posted}
        self.receiving.posted.clear()
        return there


@contextlib.asynccontextmanager
async def through_us(on: Stage, receiving: Receiver) -> AsyncIterator[_Product]:
    hook = {"url": receiving.url(), "events": ["message.received"]}
    made = await on.product.call("POST", "/v1/webhooks", hook)
    assert made.status == 201, made.body
    # No limit of connections: who waits for one would count as a slow send.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        yield _Product(on, receiving, http)


@dataclass
class _Bare:
    process: asyncio.subprocess.Process
    accounts: Sequence[Account]

    async def send(self, each: int) -> Sent:
        answer = await self.ask({"send": each, "at_once": AT_ONCE})
        return Sent(answer["seconds"], answer["latencies_ms"])

    async def receive(self, number: int) -> Mapping[str, float]:
        there: Mapping[str, float] = (await self.ask({"receive": number}))["received_at"]
        return there

    async def ask(self, order: Mapping[str, int]) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        return await self.answer()

    async def answer(self, seconds: float = LONGEST_SECONDS) -> Any:
        assert self.process.stdout is not None
        async with asyncio.timeout(seconds):
            line = await self.process.stdout.readline()
        assert line, "bare Baileys ended"
        return json.loads(line)


@contextlib.asynccontextmanager
async def bare_baileys(on: Stage) -> AsyncIterator[_Bare]:
    """As many accounts as ours, on the same fake WhatsApp."""
    whatsapp = on.whatsapp
    accounts = [
        Account(f"bare{number}", f"55118{number:08}", await whatsapp.contact(), "")
        for number in range(len(on.accounts))
    ]
    server = {"wsUrl": whatsapp.ws_url, "controlUrl": whatsapp.control_url, "rootKey": whatsapp.root_key}
    named = [{"phone": account.phone, "contact": account.contact} for account in accounts]
    environ = {**os.environ, "BENCH_OPTIONS": json.dumps({"server": server, "accounts": named})}
    process = await asyncio.create_subprocess_exec(
        "node",
        str(NODE_BENCH / "bare-baileys.js"),
        env=environ,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LONGEST_LINE,
        start_new_session=True,
    )
    try:
        bare = _Bare(process, accounts)
        assert await bare.answer(LINKING_SECONDS) == {"linked": len(accounts)}
        yield bare
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
