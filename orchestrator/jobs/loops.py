"""What is done again and again: be heard of, renew leases, reconcile the sidecar, send, deliver, prune, watch the parent."""

import asyncio
import contextlib
import importlib
import os
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog

from orchestrator.domain.errors import BackupRefused, Unavailable
from orchestrator.domain.event import Event
from orchestrator.jobs.background import Loop, pause
from orchestrator.services.access import Access
from orchestrator.services.activity import Activity
from orchestrator.services.database_backups import ScheduledBackups
from orchestrator.services.events import EventBus
from orchestrator.services.host import Host
from orchestrator.services.housekeeping import Housekeeping
from orchestrator.services.incoming import IncomingMessages
from orchestrator.services.outbox_sender import OutboxSender
from orchestrator.services.peers import Peers
from orchestrator.services.replicas import Replicas
from orchestrator.services.supervision import Supervision
from orchestrator.services.webhook_deliveries import WebhookDeliveries

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
_OUTBOX_SECONDS = 0.5
_LAST_SENDS_SECONDS = 3.0
_RECEIPTS_SECONDS = 1.0
_RETRY_SECONDS = 0.5
_SWEEP_SECONDS = 5.0
_DELIVER_SECONDS = 1.0
_WORKER_SECONDS = 2.0
_WORKER_BEGINS_SECONDS = 3.0
_PARENT_SECONDS = 1.0
_ACTIVITY_SECONDS = 60.0
_BACKUP_SECONDS = 60.0

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


def draining(sender: OutboxSender) -> Loop:
    """Begin to send what is due and can be sent, and see what was under way to its end."""

    async def loop(stop: asyncio.Event) -> None:
        while not stop.is_set():
            with contextlib.suppress(Unavailable):  # the renewal of the leases says so
                await sender.look()
            await pause(stop, _OUTBOX_SECONDS, sender.wanted)
        await sender.finish(_LAST_SENDS_SECONDS)
        with contextlib.suppress(Unavailable):  # found out anew by whoever sends next
            await sender.record_outcomes()

    return loop


def recording_outcomes(sender: OutboxSender) -> Loop:
    """Many outcomes at a time: what comes in while PostgreSQL commits goes into the next transaction."""

    async def loop(stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await sender.record_outcomes()
                await sender.record_receipts()
            except Unavailable:
                await pause(stop, _RETRY_SECONDS)
            await pause(stop, _RECEIPTS_SECONDS, sender.has_outcomes)

    return loop


def storing_events(deliveries: WebhookDeliveries, events: EventBus) -> Loop:
    """Store the events that a webhook wants, as they happen."""

    async def loop(stop: asyncio.Event) -> None:
        while not stop.is_set():
            with events.subscribed(deliveries):
                while (event := await _next(deliveries.queue, stop)) is not None:
                    while not await _stored(deliveries, event) and not stop.is_set():
                        await pause(stop, _RETRY_SECONDS)

    return loop


async def _next(queue: asyncio.Queue[Event | None], stop: asyncio.Event) -> Event | None:
    """The next event; None when the listener was cut off, or when it is time to stop and nothing is left."""
    if queue.empty():
        stopping, getting = asyncio.ensure_future(stop.wait()), asyncio.ensure_future(queue.get())
        await asyncio.wait((stopping, getting), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if getting.done():
            return getting.result()
        getting.cancel()
    return None if queue.empty() else queue.get_nowait()


async def _stored(deliveries: WebhookDeliveries, event: Event) -> bool:
    try:
        await deliveries.store_events(event)
    except Unavailable:
        return False
    return True


def making_deliveries(deliveries: WebhookDeliveries) -> Loop:
    async def loop(stop: asyncio.Event) -> None:
        while not stop.is_set():
            with contextlib.suppress(Unavailable):  # the next round goes on from the cursors
                await deliveries.make_deliveries()
            await pause(stop, _SWEEP_SECONDS, deliveries.has_received)

    return loop


def delivering(deliveries: WebhookDeliveries) -> Loop:
    async def loop(stop: asyncio.Event) -> None:
        while not stop.is_set():
            with contextlib.suppress(Unavailable):
                await deliveries.begin()
            await pause(stop, _DELIVER_SECONDS * random.uniform(0.8, 1.2), deliveries.wanted)
        with contextlib.suppress(Unavailable):  # the claims run out
            await deliveries.finish()

    return loop


def working(
    database_url: str, replica_id: str, sender: OutboxSender, deliveries: WebhookDeliveries, housekeeping: Housekeeping
) -> Loop:
    """Take jobs, whenever the database is there."""

    async def loop(stop: asyncio.Event) -> None:
        await pause(
            stop, _WORKER_BEGINS_SECONDS
        )  # sessions first: until then the looks of the other loops find what there is
        module = await asyncio.to_thread(importlib.import_module, "orchestrator.jobs.worker")
        work = module.Work(sender.wake, deliveries.interest_changed, housekeeping.each_minute)
        while not stop.is_set():
            running = asyncio.create_task(module.Worker(database_url, replica_id, work).run())
            stopping = asyncio.ensure_future(stop.wait())
            await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            running.cancel()
            await asyncio.wait((running,))
            if not stop.is_set():
                error = None if running.cancelled() else running.exception()
                log.warning("jobs wait for the database", error=str(error or "the worker ended").partition("\n")[0])
            await pause(stop, _WORKER_SECONDS)

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


def recording_activity(activity: Activity) -> Loop:
    """Every minute, and at the end what was counted since."""

    async def loop(stop: asyncio.Event) -> None:
        while not stop.is_set():
            await pause(stop, _ACTIVITY_SECONDS)
            with contextlib.suppress(Unavailable):  # what was counted is kept for the next minute
                await activity.record()

    return loop


def backing_up(backups: ScheduledBackups) -> Loop:
    """Ask again and again whether a copy of the database is due; whichever replica asks first makes it."""

    async def loop(stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await backups.run_if_due()
            except (BackupRefused, Unavailable) as error:
                log.error("backup failed", error=error.message)
            await pause(stop, min(_BACKUP_SECONDS, backups.every_seconds / 4) * random.uniform(0.8, 1.2))

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
