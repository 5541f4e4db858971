"""What is done again and again: be heard of, renew leases, reconcile the sidecar, mark what was delivered, prune, watch the parent."""

import asyncio
import contextlib
import os
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog

from orchestrator.domain.errors import Unavailable
from orchestrator.jobs.background import Loop, pause
from orchestrator.services.access import Access
from orchestrator.services.events import EventBus
from orchestrator.services.host import Host
from orchestrator.services.incoming import IncomingMessages
from orchestrator.services.peers import Peers
from orchestrator.services.replicas import Replicas
from orchestrator.services.supervision import Supervision

log = structlog.get_logger(__name__)

_RECONCILE_SECONDS = 1.0
_HEARTBEAT_SECONDS = 1.0
_CLAIM_JITTER_SECONDS = 0.1
_MARK_SECONDS = 1.0
_PEERS_SECONDS = 1.0
_CONFIRM_SECONDS = 2.0
_TELL_SECONDS = 5.0
#: Between two looks for what has become old.
PRUNE_SECONDS = 600.0
_PARENT_SECONDS = 1.0

#: How long and how many sent messages of a session are kept for phones that ask again.
SENT_MESSAGE_DAYS = 3
SENT_MESSAGES_PER_SESSION = 1000

#: How long incoming messages are kept: delivered ones for readers that come back, the others for the first reader.
DELIVERED_HOURS = 24
UNDELIVERED_DAYS = 7


def renewing(supervision: Supervision, ttl_seconds: float) -> Loop:
    async def loop(stop: asyncio.Event) -> None:
        known = True
        while not stop.is_set():
            try:
                await supervision.renew()
                if not known:
                    log.info("leases renewed again")
                known = True
            except Unavailable:
                if known:
                    log.warning("leases neither renewed nor lost: the database is out of reach; connections stay")
                known = False
            await pause(stop, ttl_seconds / 3)

    return loop


def being_heard_of(replicas: Replicas, supervision: Supervision) -> Loop:
    """Say every second that this replica lives, and act at once on what others free or ask for."""

    async def loop(stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                freed = await replicas.renew()
                told = await _first(stop, replicas.changes(_HEARTBEAT_SECONDS))
                if told:
                    await replicas.renew()  # how many are there to share what is free?
                    await supervision.renew()  # may one of ours have to stop?
                if told or freed or replicas.changed.is_set():
                    replicas.changed.clear()
                    # Not all replicas in the same moment: each finds what the ones before it left.
                    await pause(stop, random.uniform(0, _CLAIM_JITTER_SECONDS))
                    supervision.wanted.set()
            except Unavailable:  # the renewal of the leases says so
                await pause(stop, _HEARTBEAT_SECONDS)

    return loop


async def _first(stop: asyncio.Event, waiting: Coroutine[Any, Any, bool]) -> bool:
    """The outcome of ``waiting``, or False once the process stops."""
    stopping, task = asyncio.ensure_future(stop.wait()), asyncio.ensure_future(waiting)
    await asyncio.wait((stopping, task), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not task.done():
        task.cancel()
        await asyncio.wait((task,))
    return not task.cancelled() and task.result()


def listening_to_peers(peers: Peers, events: EventBus) -> Loop:
    async def loop(stop: asyncio.Event) -> None:
        with events.watching_interest() as changed:
            while not stop.is_set():
                await peers.reconcile()
                await pause(stop, _PEERS_SECONDS, changed)

    return loop


def reconciling(supervision: Supervision) -> Loop:
    async def loop(stop: asyncio.Event) -> None:
        while not stop.is_set():
            await supervision.reconcile()
            with contextlib.suppress(Unavailable):  # the next round tries again, and the renewal has said so
                await supervision.record_states()
            await pause(stop, _RECONCILE_SECONDS * random.uniform(0.8, 1.2), supervision.wanted)

    return loop


def marking(incoming: IncomingMessages) -> Loop:
    async def loop(stop: asyncio.Event) -> None:
        while not stop.is_set():
            with contextlib.suppress(Unavailable):  # the next round marks them with its own
                await incoming.mark_delivered()
            await pause(stop, _MARK_SECONDS)

    return loop


def confirming(access: Access) -> Loop:
    async def loop(stop: asyncio.Event) -> None:
        while not stop.is_set():
            with contextlib.suppress(Unavailable):  # what was read last goes on for a while
                await access.confirm()
            await pause(stop, _CONFIRM_SECONDS * random.uniform(0.8, 1.2))

    return loop


def telling(host: Host) -> Loop:
    """Let everybody see every few seconds how this replica is."""

    async def loop(stop: asyncio.Event) -> None:
        while not stop.is_set():
            with contextlib.suppress(Unavailable):
                await host.tell()
            await pause(stop, _TELL_SECONDS * random.uniform(0.8, 1.2))

    return loop


def pruning(*rounds: Callable[[], Awaitable[object]]) -> Loop:
    """Every ten minutes all of these, each of which forgets, or measures, what has become old."""

    async def loop(stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                for prune in rounds:
                    await prune()
            except Unavailable as error:
                log.warning("nothing pruned", error=error.message)
            await pause(stop, PRUNE_SECONDS * random.uniform(0.8, 1.2))

    return loop


def watching_the_parent(parent: int) -> Loop:
    """End this process when supervisord, ``parent``, dies: without it nobody would restart us, or stop us."""

    async def loop(stop: asyncio.Event) -> None:
        while not stop.is_set():
            await pause(stop, _PARENT_SECONDS)
            if os.getppid() != parent:
                stop.set()
                log.error("supervisord is gone; stopping")

    return loop
