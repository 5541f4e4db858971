"""The faults: each is drawn with everything that it needs from one random generator, so that a seed tells the whole run."""

import asyncio
import contextlib
import os
import random
import resource
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass

from tests.chaos.world import READY_SECONDS, Replica, World
from tests.support.own_server import OwnServer
from tests.support.processes import PATIENCE, descendants, is_alive, kill_tree, stopped
from tests.support.waiting import eventually

#: Seconds that a host waits between the end of a container and the start of the next.
HOST_SECONDS = 0.3
#: Seconds between SIGTERM and SIGKILL of a deploy.
DRAIN_SECONDS = 20.0
SLOW_SECONDS = 5.0


@dataclass(frozen=True)
class Fault:
    """What happens; ``play`` returns when it is over, and says so if there was nothing that it could be done to."""

    kind: str
    description: str
    play: Callable[[World], Awaitable[None]]


class NothingThereError(Exception):
    """The process that a fault is meant for doesn't run at this moment."""


Draw = Callable[[random.Random], tuple[str, Callable[[World], Awaitable[None]]]]

PROGRAMS = ("orchestrator", "baileys", "container")
SECOND_SIDECAR = "second sidecar"
SUPERVISORD = "supervisord"
#: What else a container may have. The end of supervisord, its first process, is the container's.
OTHER_PROGRAMS = ("bot", "alert-listener", "process-watcher", "baileys", SECOND_SIDECAR)


def draw(rng: random.Random, kinds: Mapping[str, Draw]) -> Fault:
    kind = rng.choice(list(kinds))
    description, play = kinds[kind](rng)
    return Fault(kind, description, play)


def _to_one(deed: str, do: Callable[[World, int, str], Awaitable[None]], *programs: str) -> Draw:
    """The same done to any of these programs, of either container."""

    def drawn(rng: random.Random) -> tuple[str, Callable[[World], Awaitable[None]]]:
        which, program = rng.randrange(2), rng.choice(programs)

        async def play(world: World) -> None:
            await do(world, which, program)

        return f"{deed} {_name(which, program)}", play

    return drawn


async def _kill(world: World, which: int, program: str) -> None:
    if program == "postgres":
        async with _database(world) as server:
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
    elif program == "container":
        async with _ended(world, which) as replica:
            kill_tree(_pid(replica, program))
    elif program == SUPERVISORD:
        async with _ended(world, which) as replica:
            pid = _pid(replica, program)
            orphans = descendants(pid)
            os.kill(pid, signal.SIGKILL)
            await _end_by_themselves(orphans)
    else:
        os.kill(_pid(world.replicas[which], program), signal.SIGKILL)


async def _terminate(world: World, which: int, program: str) -> None:
    if program == "container":
        async with _ended(world, which) as replica:
            await _drain(replica)
    else:
        os.kill(_pid(world.replicas[which], program), signal.SIGTERM)


def _freeze(*programs: str) -> Draw:
    def drawn(rng: random.Random) -> tuple[str, Callable[[World], Awaitable[None]]]:
        which, program, seconds = rng.randrange(2), rng.choice(programs), rng.uniform(1, 20)

        async def play(world: World) -> None:
            if program == "postgres":
                async with _database(world) as server:
                    with server.hanging():
                        await asyncio.sleep(min(seconds, 10))
                return
            first = _pid(world.replicas[which], program)
            frozen = [first, *descendants(first)] if program == "container" else [first]
            with stopped(frozen):
                await asyncio.sleep(seconds)

        return f"SIGSTOP {_name(which, program)} for {seconds:.0f} s", play

    return drawn


def _restart_database(_rng: random.Random) -> tuple[str, Callable[[World], Awaitable[None]]]:
    async def play(world: World) -> None:
        async with _database(world) as server:
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.start)

    return "restart of PostgreSQL", play


def _network(rng: random.Random) -> tuple[str, Callable[[World], Awaitable[None]]]:
    which, name = rng.randrange(2), rng.choice(("database", "whatsapp", "peer"))
    how, seconds = rng.choice(("cut", "slow", "half-open")), rng.uniform(1, 20)

    async def play(world: World) -> None:
        link = world.replicas[which].links[name]
        if how == "half-open":
            link.half_open()
            return
        async with link.cut() if how == "cut" else link.slow(SLOW_SECONDS):
            await asyncio.sleep(seconds)

    lasting = "" if how == "half-open" else f" for {seconds:.0f} s"
    return f"network {how} between {'ab'[which]} and {_far(which, name)}{lasting}", play


def _disk_full(rng: random.Random) -> tuple[str, Callable[[World], Awaitable[None]]]:
    which, seconds = rng.randrange(2), rng.uniform(2, 15)

    async def play(world: World) -> None:
        pid = _pid(world.replicas[which], "baileys")
        before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        try:
            await asyncio.sleep(seconds)
        finally:
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, before)

    return f"disk full for the journal of {'ab'[which]} for {seconds:.0f} s", play


def _clock_jump(rng: random.Random) -> tuple[str, Callable[[World], Awaitable[None]]]:
    which, seconds, ahead = rng.randrange(2), rng.uniform(2, 15), rng.choice((-7200, -90, 90, 7200))

    async def play(world: World) -> None:
        clock = world.replicas[which].clock
        if clock is None:
            raise NothingThereError
        clock.set(ahead)
        try:
            await asyncio.sleep(seconds)
        finally:
            clock.set(0)

    return f"clock of {'ab'[which]} jumps by {ahead} s for {seconds:.0f} s", play


def _deploy(rng: random.Random) -> tuple[str, Callable[[World], Awaitable[None]]]:
    which, drain = rng.randrange(2), rng.choice((0.0, DRAIN_SECONDS))

    async def play(world: World) -> None:
        await deploy(world, which, drain)

    return f"deploy of {'ab'[which]} with a drain of {drain:.0f} s, empty disk", play


async def deploy(world: World, which: int, drain_seconds: float) -> None:
    """The new container is ready before the old one is told to stop, as hosts do it; then that is killed."""
    async with world.hosts[which]:
        old = world.replicas[which]
        new = old.successor()
        await new.start()
        world.replicas[which] = new
        try:
            assert new.product is not None
            await new.product.ready(READY_SECONDS)
        finally:
            if drain_seconds and old.product is not None:
                await _drain(old)
                # It could not reach PostgreSQL in time: started again on its disk, it brings it there.
                if old.undrained:
                    await old.end()
                    await old.start()
            await _is_drained(old)
            await old.end()


def _new_container(rng: random.Random) -> tuple[str, Callable[[World], Awaitable[None]]]:
    which = rng.randrange(2)

    async def play(world: World) -> None:
        async with _ended(world, which) as replica:
            kill_tree(_pid(replica, "container"))
            if not replica.undrained:
                replica.empty_disk()

    return f"{'ab'[which]} is killed and comes back with an empty disk", play


async def _end_by_themselves(pids: list[int]) -> None:
    """Whoever has lost supervisord ends, so that nothing runs that nobody watches."""

    async def gone() -> bool:
        return not [pid for pid in pids if is_alive(pid)]

    await eventually(gone, 30, "processes without supervisord to end")


KINDS: Mapping[str, Draw] = {
    "kill -9": _to_one("kill -9", _kill, *PROGRAMS, "postgres"),
    "SIGTERM": _to_one("SIGTERM", _terminate, *PROGRAMS),
    "SIGSTOP": _freeze(*PROGRAMS, "postgres"),
    "database restart": _restart_database,
    "network": _network,
    "disk full": _disk_full,
    "clock jump": _clock_jump,
    "deploy": _deploy,
    "new container": _new_container,
}

#: Of the other processes, on a stage that has all of them.
OTHER_KINDS: Mapping[str, Draw] = {
    "kill -9": _to_one("kill -9", _kill, *OTHER_PROGRAMS, SUPERVISORD),
    "SIGTERM": _to_one("SIGTERM", _terminate, *OTHER_PROGRAMS),
    "SIGSTOP": _freeze(*OTHER_PROGRAMS, SUPERVISORD),
}


@contextlib.asynccontextmanager
async def _database(world: World) -> AsyncIterator[OwnServer]:
    if world.server is None:
        raise NothingThereError
    async with world.database:
        yield world.server


@contextlib.asynccontextmanager
async def _ended(world: World, which: int) -> AsyncIterator[Replica]:
    """The container ends within the block; its host starts it again."""
    async with world.hosts[which]:
        replica = world.replicas[which]
        yield replica
        await replica.end()
        await asyncio.sleep(HOST_SECONDS)
        await replica.start()


async def _drain(replica: Replica) -> None:
    if replica.product is None:
        raise NothingThereError
    process = replica.product.child.process
    process.terminate()

    async def ended() -> bool:
        return process.poll() is not None

    with contextlib.suppress(AssertionError):  # the host kills it then
        await eventually(ended, DRAIN_SECONDS / PATIENCE)


async def _is_drained(replica: Replica) -> None:
    """Wait a while for PostgreSQL to have what the disk has: what only a lost disk has is lost, with whatever store."""

    async def drained() -> bool:
        return replica.product is None or not replica.undrained

    await eventually(drained, READY_SECONDS, "the journal to be in PostgreSQL")


def _pid(replica: Replica, program: str) -> int:
    if replica.product is None:
        raise NothingThereError
    if program in ("container", SUPERVISORD):
        return replica.product.child.pid
    name, place = ("baileys", 1) if program == SECOND_SIDECAR else (program, 0)
    found = replica.product.pids(name)
    if len(found) <= place:
        raise NothingThereError
    return found[place]


def _name(which: int, program: str) -> str:
    return "PostgreSQL" if program == "postgres" else f"{program} of {'ab'[which]}"


def _far(which: int, link: str) -> str:
    return {"database": "PostgreSQL", "whatsapp": "WhatsApp", "peer": "ba"[which]}[link]
