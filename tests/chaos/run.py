"""One run: draw faults, play them under traffic, heal everything, and let the fake WhatsApp say what went wrong."""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.chaos.faults import DRAIN_SECONDS, KINDS, Draw, Fault, NothingThereError, deploy, draw
from tests.chaos.world import READY_SECONDS, World, stage
from tests.support.event_stream import listening
from tests.support.fake_whatsapp import VIOLATIONS
from tests.support.processes import PATIENCE, DeadlineError
from tests.support.traffic import Counts
from tests.support.waiting import eventually

#: Seconds from one fault to the next, whether the one before is over or not, and how many may hold at a time.
PAUSE_SECONDS = (1.0, 6.0)
AT_ONCE = 2
#: After the last fault: until all sessions are open, and until the phones' retries have settled everything.
OPEN_SECONDS = 60.0
SETTLE_SECONDS = 120.0
#: A fault that isn't over by then is a fault of the test.
LONGEST_FAULT_SECONDS = 240.0


@dataclass(frozen=True)
class Verdict(Counts):
    """What went wrong, in counts; each is zero for a product that loses nothing."""

    qr_after_the_first: int
    message_numbers_reused: int
    prekeys_reused: int
    sent_and_undecryptable: int
    acknowledged_and_lost: int
    """WhatsApp took the message, and the contact never read it."""
    incoming_not_taken: int
    incoming_given_up: int
    incoming_never_told: int
    """WhatsApp was told that it arrived, and no listener ever heard of it."""
    two_live_sockets: int
    not_open_again: int


@dataclass
class Outcome:
    seed: int
    faults: int
    sessions: int
    verdict: Verdict
    played: dict[str, int]
    skipped: int
    open_again_seconds: float
    accepted: int
    refused: int
    unconfirmed: int
    accepted_and_never_arrived: int
    """Answered with 201 and written to a socket that died: no store can know of it before WhatsApp acknowledges it."""
    incoming: int
    logins: int
    evictions: int
    seconds: float
    findings: dict[str, object]


Stage = Callable[[random.Random, int], contextlib.AbstractAsyncContextManager[World]]


async def run(
    seed: int,
    faults: int,
    sessions: int,
    say: Callable[[str], None],
    on: Stage = stage,
    kinds: Mapping[str, Draw] = KINDS,
) -> Outcome:
    rng = random.Random(seed)
    began = time.monotonic()
    # The faults have a generator of their own: what the traffic draws depends on time.
    async with on(random.Random(seed + 1), sessions) as world:
        say(f"{sessions} sessions are linked and open after {time.monotonic() - began:.0f} s")
        if any(replica.clock is None for replica in world.replicas):
            say("clocks can't jump here, because there is no C compiler (cc)")
        played: Counter[str] = Counter()
        skipped = 0
        async with world.traffic():
            skipped = await _play(world, [draw(rng, kinds) for _ in range(faults)], rng, played, say)
            open_again, closed = await _all_open(world, say)
        verdict, never_arrived, incoming, findings = await _judge(world, closed)
        counts = await world.whatsapp.counts()
        return Outcome(
            seed,
            faults,
            sessions,
            verdict,
            dict(played),
            skipped,
            open_again,
            len(world.sent.accepted),
            world.sent.refused,
            world.sent.unconfirmed,
            never_arrived,
            incoming,
            counts["logins"],
            counts["evictions"],
            time.monotonic() - began,
            findings,
        )


async def _play(
    world: World, faults: list[Fault], rng: random.Random, played: Counter[str], say: Callable[[str], None]
) -> int:
    gate = asyncio.Semaphore(AT_ONCE)
    skipped = 0

    async def play(number: int, fault: Fault) -> None:
        nonlocal skipped
        try:
            async with asyncio.timeout(LONGEST_FAULT_SECONDS * PATIENCE):
                await fault.play(world)
            played[fault.kind] += 1
        except (NothingThereError, ProcessLookupError):
            skipped += 1
        finally:
            gate.release()
        states = Counter((await world.states()).values())
        shown = ", ".join(f"{number} {state}" for state, number in states.most_common()) or "no replica answers"
        say(f"{number:4}/{len(faults)}  {fault.description}: {shown}")

    async with asyncio.TaskGroup() as group:
        for number, fault in enumerate(faults, start=1):
            await gate.acquire()
            group.create_task(play(number, fault))
            await asyncio.sleep(rng.uniform(*PAUSE_SECONDS))
    return skipped


@dataclass
class Gaps:
    """How long devices were without a connection in deploys, in milliseconds; a drain of 0 is SIGKILL at once."""

    drain_seconds: float
    deploys: int = 0
    milliseconds: list[int] = field(default_factory=list)


async def hand_over(deploys: int, sessions: int, say: Callable[[str], None]) -> list[Gaps]:
    """One container replaced again and again under traffic, as hosts do it: half of the time with a drain."""
    results = [Gaps(DRAIN_SECONDS), Gaps(0.0)]
    async with stage(random.Random(1), sessions, "a") as world, world.traffic():
        for number in range(deploys):
            gaps = results[number % 2]
            await world.whatsapp.call("POST", "/reset-counts")
            await deploy(world, 0, gaps.drain_seconds)
            seconds, closed = await _all_open(world, lambda _line: None)
            assert closed == 0, f"{closed} sessions are not open {seconds:.0f} s after a deploy"

            async def measured() -> list[dict[str, Any]] | None:
                gaps: list[dict[str, Any]] = (await world.whatsapp.call("GET", "/gaps"))["gaps"]
                return gaps if len({gap["phone"] for gap in gaps}) == sessions else None

            told = await eventually(measured, 30, "a gap of each device") or []
            gaps.deploys += 1
            gaps.milliseconds += [int(gap["ms"]) for gap in told]
            say(
                f"{number + 1:4}/{deploys}  drain {gaps.drain_seconds:.0f} s: worst gap {max(g['ms'] for g in told)} ms"
            )
    return results


async def _all_open(world: World, say: Callable[[str], None]) -> tuple[float, int]:
    """Seconds until all are open after the last fault, and how many aren't after all the time that they have."""
    began = time.monotonic()

    async def all_open() -> bool:
        states = await world.states()
        return len(states) == len(world.sessions) and set(states.values()) == {"open"}

    with contextlib.suppress(DeadlineError):
        await eventually(all_open, OPEN_SECONDS)
        seconds = time.monotonic() - began
        say(f"all open {seconds:.1f} s after the last fault")
        return seconds, 0
    for product in world.alive:
        with contextlib.suppress(DeadlineError):
            await product.ready(READY_SECONDS)
    states = await world.states()
    closed = {name: state for name, state in states.items() if state != "open"}
    say(f"not open again: {closed or 'nobody answers'}")
    return OPEN_SECONDS, len(closed) if states else len(world.sessions)


async def _settled(world: World) -> None:
    """What waits at WhatsApp is delivered, and phones have asked again for what they couldn't read; or nothing moves any more."""
    before, now = -1, await _outstanding(world)
    while now != before and not (await world.whatsapp.idle(SETTLE_SECONDS))["idle"]:
        before, now = now, await _outstanding(world)


async def _outstanding(world: World) -> int:
    return int((await world.whatsapp.counts())["in"]["outstanding"])


async def _judge(world: World, closed: int) -> tuple[Verdict, int, int, dict[str, object]]:
    await _settled(world)
    counts = await world.whatsapp.counts()
    out = {m["id"]: m for m in await world.whatsapp.messages("out")}
    read = {i for i, message in out.items() if message["status"] == "decrypted"}
    # WhatsApp acknowledges too what Baileys asks of the account's own phone; nobody else reads that.
    lost = {i for i in world.acknowledged - read if i in out or i in world.sent.accepted}
    taken = {m["text"] for m in await world.whatsapp.messages("in") if m["status"] == "receipted"}

    async def all_told() -> bool:
        return taken <= world.heard

    heard = -1
    while not await all_told() and len(world.heard) > heard:
        heard = len(world.heard)
        with contextlib.suppress(DeadlineError):
            await eventually(all_told, 40)  # a stream looks every 15 s for what another replica stored
    await world.stop_listening()
    verdict = Verdict(
        qr_after_the_first=counts["registrations"] - len(world.sessions),
        message_numbers_reused=counts["message_number_reused"],
        prekeys_reused=counts["prekey_reused"],
        sent_and_undecryptable=counts["undecryptable"],
        acknowledged_and_lost=len(lost),
        incoming_not_taken=counts["in"]["outstanding"],
        incoming_given_up=counts["in"]["nacked"],
        incoming_never_told=len(taken - world.heard),
        two_live_sockets=counts["simultaneous_sockets"],
        not_open_again=closed,
    )
    never_arrived = sum(i not in out for i in world.sent.accepted)
    return (
        verdict,
        never_arrived,
        len(taken),
        await _findings(world, out, lost, taken - world.heard),
    )


async def _findings(
    world: World, out: Mapping[str, dict[str, Any]], lost: set[str], untold: set[str]
) -> dict[str, object]:
    """What the counts of a verdict are made of, for whoever looks for the reason."""
    given_up = [m for m in await world.whatsapp.messages("in") if m["status"] == "nacked"]
    violations = (await world.whatsapp.call("GET", "/violations"))["violations"]
    stored: set[str] = set()
    if untold and world.alive:
        with contextlib.suppress(AssertionError, aiohttp.ClientError, OSError):
            async with listening(world.alive[0], last_id=0) as heard:
                read = -1
                while len(heard) > read:  # nothing more comes
                    read = len(heard)
                    await asyncio.sleep(20)
                stored = {str(data["text"]) for data in heard.of("message.received")}
    return {
        "acknowledged and lost": Counter(out[i]["status"] if i in out else "never seen" for i in lost),
        "some of them": sorted(lost)[:10],
        "given up": [{name: m[name] for name in ("id", "nack", "tries", "text")} for m in given_up[:20]],
        "given up, and told": sum(m["text"] in world.heard for m in given_up),
        "never told": sorted(untold)[:20],
        "stored in all": len(stored),
        "never told, and stored": len(untold & stored),
        "connections of the listener": world.connections,
        "violations": [v for v in violations if v["kind"] in VIOLATIONS][:50],
    }
