"""Webhooks on a real PostgreSQL, posted to a receiver on loopback."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any

import pytest
import sqlalchemy as sa

from orchestrator.domain.auth_state import AuthStateWrite
from orchestrator.domain.errors import (
    DeliveryNotFound,
    InvalidRequest,
    NotReplayable,
    SessionNotFound,
    WebhookNotFound,
)
from orchestrator.domain.outbound import AddressRules
from orchestrator.domain.session import Lease
from orchestrator.domain.webhook import DeliveryState, Webhook
from orchestrator.jobs import loops
from orchestrator.outbound.client import OutboundClient
from orchestrator.services.events import EventBus, Subscription
from orchestrator.services.leases import LeaseBook
from orchestrator.services.webhook_deliveries import WebhookDeliveries
from orchestrator.services.webhooks import Webhooks
from orchestrator.store.auth_state_writer import AuthStateWriter
from orchestrator.store.database import Database
from orchestrator.store.leases import LeaseStore
from orchestrator.store.sealing import Sealer
from orchestrator.store.session_settings import SessionSettingsStore
from orchestrator.store.sessions import SessionStore
from orchestrator.store.stored_events import StoredEvents
from orchestrator.store.webhooks import WebhookStore
from tests.support.processes import PATIENCE
from tests.support.waiting import eventually
from tests.support.webhook_receiver import Receiver, receiver


@dataclass
class Replica:
    webhooks: Webhooks
    deliveries: WebhookDeliveries
    store: WebhookStore
    stored: StoredEvents
    leases: LeaseBook
    events: EventBus
    writer: AuthStateWriter

    def lease(self, session_id: str = "s") -> Lease:
        found = self.leases.find("t", session_id)
        assert found is not None
        return found

    async def receive(self, text: str, session_id: str = "s", *, silently: bool = False) -> None:
        """A message comes in; ``silently``: this process is killed before it can do anything about it."""
        lease = self.lease(session_id)
        write = AuthStateWrite(
            incoming_messages={text: json.dumps({"text": text, "origin": {"message": "secret"}}).encode()}
        )
        assert await self.writer.write_all([(self.leases.address_of(lease), write)])
        if not silently:
            self.deliveries.received(lease)

    def happen(self, type_: str, session_id: str = "s", **data: Any) -> None:
        self.events.publish("t", type_, session_id, data)


@contextlib.asynccontextmanager
async def replica(
    database: Database, url: str, name: str = "a", clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> AsyncIterator[Replica]:
    sealer, events = Sealer([b"k" * 32]), EventBus()
    stored, store = StoredEvents(database, sealer), WebhookStore(database, sealer, name)
    leases = LeaseBook(LeaseStore(database, name, 30.0))
    await leases.claim(10)
    outbound = OutboundClient(AddressRules((ip_network("127.0.0.0/8"),)))
    deliveries = WebhookDeliveries(store, stored, leases, events, outbound, clock=clock, draw=lambda: 0.0)
    webhooks = Webhooks(store, outbound, deliveries.interest_changed, clock=clock)
    writer, stop = AuthStateWriter(url, name, sealer), asyncio.Event()
    running = [
        loops.storing_events(deliveries, events),
        loops.making_deliveries(deliveries),
        loops.delivering(deliveries),
    ]
    tasks = [asyncio.ensure_future(loop(stop)) for loop in running]
    try:
        yield Replica(webhooks, deliveries, store, stored, leases, events, writer)
    finally:
        stop.set()
        await asyncio.gather(*tasks)
        await writer.close()
        await outbound.close()


@pytest.fixture
async def receiving() -> AsyncIterator[Receiver]:
    async with receiver() as made:
        yield made


@pytest.fixture
async def here(database: Database, database_url: str) -> AsyncIterator[Replica]:
    for session_id in ("s", "s2"):
        await SessionStore(database).create("t", session_id)
    async with replica(database, database_url) as made:
        yield made


async def made(here: Replica, receiving: Receiver, *events: str, **how: Any) -> Webhook:
    webhook = await here.webhooks.add("t", how.get("session_id"), receiving.url(how.get("path", "")), events or ("*",))
    receiving.secrets.append(webhook.secrets[0].value)
    return webhook


async def texts(receiving: Receiver, number: int, path: str = "/") -> list[str]:
    async def enough() -> bool:
        return len(receiving.taken("message.received", path)) >= number

    await eventually(enough, 20, f"{number} messages at {path}; there are {receiving.posted}")
    return [posted.data["text"] for posted in receiving.taken("message.received", path)]


async def test_messages_arrive_signed_in_order_and_once_though_every_third_request_fails(
    here: Replica, receiving: Receiver
) -> None:
    await here.receive("before")
    await made(here, receiving)
    receiving.answers = lambda number: 500 if number % 3 == 2 else 200
    sent = [f"{n}" for n in range(12)]
    for text in sent:
        await here.receive(text)
    assert await texts(receiving, 12) == sent
    assert {posted.signed_by for posted in receiving.posted} == {frozenset(receiving.secrets)}
    ids = [posted.event_id for posted in receiving.taken()]
    assert len(set(ids)) == 12
    failed = [posted for posted in receiving.posted if posted.status == 500]
    assert failed
    for posted in failed:  # the same bytes and the same id at the next try
        again = next(p for p in receiving.taken() if p.event_id == posted.event_id)
        assert again.event == posted.event
    first = receiving.posted[0]
    assert set(first.event) == {"type", "timestamp", "data"}
    assert first.data == {"session_id": "s", "text": "0"}


async def test_a_webhook_hears_of_what_happens_in_the_moment_after_it_was_made(
    here: Replica, receiving: Receiver
) -> None:
    await made(here, receiving, "session.degraded")
    here.happen("session.degraded", degraded=True)

    async def posted() -> bool:
        return bool(receiving.taken("session.degraded"))

    await eventually(posted, 15, "the event to be posted")
    assert receiving.taken()[0].data == {"session_id": "s", "degraded": True}


async def test_of_a_session_that_wants_it_so_only_its_own_webhooks_hear(
    here: Replica, receiving: Receiver, database: Database
) -> None:
    settings = SessionSettingsStore(database, Sealer([]))
    await settings.change("t", "s2", lambda before: replace(before, own_webhooks_only=True))
    await made(here, receiving, path="of-all")
    await made(here, receiving, session_id="s2", path="own")
    for session_id in ("s2", "s"):
        await here.receive(f"to {session_id}", session_id)
        here.happen("session.degraded", session_id, degraded=True)
    assert await texts(receiving, 1, "/of-all") == ["to s"]
    assert await texts(receiving, 1, "/own") == ["to s2"]

    async def degraded() -> bool:
        return all(receiving.taken("session.degraded", path) for path in ("/of-all", "/own"))

    await eventually(degraded, 15, "the other event")
    heard = {(posted.path, posted.data["session_id"]) for posted in receiving.posted}
    assert heard == {("/of-all", "s"), ("/own", "s2")}


async def test_what_a_killed_process_left_is_delivered_by_the_next(
    database: Database, database_url: str, receiving: Receiver
) -> None:
    await SessionStore(database).create("t", "s")
    async with replica(database, database_url, "dead") as dead:
        await made(dead, receiving)

        async def swept() -> bool:
            return dead.deliveries._known and dead.deliveries._swept_at >= dead.deliveries._loaded_at

        await eventually(swept, what="its look at what there is already")
        for n in range(3):
            await dead.receive(f"{n}", silently=True)
        await dead.leases.release(list(dead.leases.held))
    async with replica(database, database_url, "next") as successor:
        await successor.receive("3")
        assert await texts(receiving, 4) == ["0", "1", "2", "3"]
        # Nobody runs the session any more, and there is one message that nobody has seen to.
        await successor.receive("4", silently=True)
        await successor.leases.release(list(successor.leases.held))
        await successor.deliveries.sweep_unowned()
        assert await texts(receiving, 5) == ["0", "1", "2", "3", "4"]


async def test_each_webhook_gets_what_it_asked_for_and_one_that_fails_holds_up_no_other(
    here: Replica, receiving: Receiver
) -> None:
    await made(here, receiving, "message.received", session_id="s2", path="only-s2")
    await made(here, receiving, "session.alert", "session.state", path="alerts")
    async with receiver() as broken:
        broken.answers = lambda _: 503
        bad = await here.webhooks.add("t", None, broken.url(), ("*",))
        await eventually(lambda: asyncio.sleep(0, not here.deliveries._stale), 5)
        await here.receive("a")
        await here.receive("b", "s2")
        here.happen("session.alert", alert="conflict", reason="r")
        here.happen("session.qr", qr="secret")
        assert await texts(receiving, 1, "/only-s2") == ["b"]

        async def alerted() -> bool:
            return bool(receiving.taken(path="/alerts"))

        await eventually(alerted)
        (alert,) = receiving.taken(path="/alerts")
        assert alert.event["type"] == "session.alert"
        assert alert.data == {"session_id": "s", "alert": "conflict", "reason": "r"}

        async def failing() -> bool:
            return (await here.webhooks.get("t", bad.webhook_id)).failing_since is not None

        await eventually(failing)
        waiting = await here.webhooks.deliveries("t", bad.webhook_id, state=DeliveryState.WAITING, before=None, most=9)
        assert {(d.session_id, d.type) for d in waiting} == {
            ("s", "message.received"),
            ("s2", "message.received"),
            ("s", "session.alert"),
        }
        tried = next(d for d in waiting if d.attempts and d.answer)
        assert (tried.status, tried.error) == (503, None)
        assert tried.answer is not None
        assert len(tried.answer) == 500
        assert "\x00" not in tried.answer


async def test_a_delivery_is_given_up_after_a_day_and_can_be_replayed(
    database: Database, database_url: str, receiving: Receiver
) -> None:
    await SessionStore(database).create("t", "s")
    now = [datetime.now(UTC)]
    async with replica(database, database_url, clock=lambda: now[0]) as here:
        webhook = await made(here, receiving)
        receiving.answers = lambda _: 302
        await eventually(lambda: asyncio.sleep(0, not here.deliveries._stale), 5)
        await here.receive("0")
        await eventually(lambda: asyncio.sleep(0, len(receiving.posted) >= 1))
        now[0] += timedelta(hours=25)

        async def dead() -> list[Any]:
            return await here.webhooks.deliveries(
                "t", webhook.webhook_id, state=DeliveryState.DEAD, before=None, most=9
            )

        (given_up,) = await eventually(dead, 20)
        assert given_up.status == 302
        assert given_up.error == "The address redirects elsewhere, which is not followed."
        assert {posted.path for posted in receiving.posted} == {"/"}
        receiving.answers = lambda _: 200
        await here.receive("1")
        assert await texts(receiving, 1) == ["1"]  # what comes after it is not held up any more
        now[0] = datetime.now(UTC)
        assert await here.webhooks.replay("t", webhook.webhook_id, given_up.number) == 1
        assert await texts(receiving, 2) == ["1", "0"]
        with pytest.raises(NotReplayable):
            await here.webhooks.replay("t", webhook.webhook_id, given_up.number)
        with pytest.raises(DeliveryNotFound):
            await here.webhooks.replay("t", webhook.webhook_id, 10**9)
        assert await here.webhooks.replay("t", webhook.webhook_id, None) == 0


async def test_one_that_fails_for_days_or_is_gone_is_switched_off_with_an_alert_and_goes_on_when_it_is_on_again(
    here: Replica, database: Database, receiving: Receiver
) -> None:
    webhook = await made(here, receiving)
    receiving.answers = lambda _: 410
    await eventually(lambda: asyncio.sleep(0, not here.deliveries._stale), 5)
    with here.events.subscribed(Subscription("t", None)) as heard:
        await here.receive("0")
        async with asyncio.timeout(15 * PATIENCE):
            event = await heard.queue.get()
    assert event is not None
    assert (event.type, event.data["alert"], event.data["webhook_id"]) == (
        "session.alert",
        "webhook_disabled",
        webhook.webhook_id,
    )
    off = await here.webhooks.get("t", webhook.webhook_id)
    assert (off.enabled, off.disabled_reason) == (False, "The address answered 410 Gone.")
    receiving.answers = lambda _: 200
    await eventually(lambda: asyncio.sleep(0, not here.deliveries._stale), 5)
    await here.receive("missed")  # nothing is kept for one that is off
    await here.webhooks.change("t", webhook.webhook_id, enabled=True)
    await eventually(lambda: asyncio.sleep(0, not here.deliveries._stale), 5)
    await here.receive("1")
    assert await texts(receiving, 2) == ["0", "1"]

    async def recorded() -> bool:
        waiting = await here.webhooks.deliveries(
            "t", webhook.webhook_id, state=DeliveryState.WAITING, before=None, most=9
        )
        return not waiting

    await eventually(recorded)
    async with database.begin() as connection:
        await connection.execute(sa.text("UPDATE webhooks SET failing_since = now() - interval '6 days'"))
    receiving.answers = lambda _: 500
    await here.receive("2")

    async def is_off() -> bool:
        return not (await here.webhooks.get("t", webhook.webhook_id)).enabled

    await eventually(is_off)


async def test_secrets_rotate_with_overlap_and_a_test_says_what_came_of_it(here: Replica, receiving: Receiver) -> None:
    webhook = await made(here, receiving)
    rotated = await here.webhooks.rotate("t", webhook.webhook_id, at_once=False)
    receiving.secrets.append(rotated.secrets[0].value)
    tried = await here.webhooks.test("t", webhook.webhook_id)
    assert (tried.succeeded, tried.status, tried.answer) == (True, 200, "taken")
    assert receiving.posted[-1].event["type"] == "webhook.test"
    assert receiving.posted[-1].signed_by == frozenset(receiving.secrets)
    await here.webhooks.rotate("t", webhook.webhook_id, at_once=True)
    await here.webhooks.test("t", webhook.webhook_id)
    assert receiving.posted[-1].signed_by == frozenset()
    gone = await here.webhooks.change("t", webhook.webhook_id, url="http://127.0.0.1:9/")
    tried = await here.webhooks.test("t", gone.webhook_id)
    assert (tried.succeeded, tried.status) == (False, None)
    assert tried.error


async def test_webhooks_are_a_tenant_s_own(here: Replica, receiving: Receiver) -> None:
    webhook = await made(here, receiving)
    assert [w.webhook_id for w in await here.webhooks.page("t", None, after="", most=9)] == [webhook.webhook_id]
    assert await here.webhooks.page("other", None, after="", most=9) == []
    for call in (
        here.webhooks.get("other", webhook.webhook_id),
        here.webhooks.delete("other", webhook.webhook_id),
        here.webhooks.change("other", webhook.webhook_id, enabled=False),
        here.webhooks.rotate("other", webhook.webhook_id, at_once=True),
        here.webhooks.test("other", webhook.webhook_id),
        here.webhooks.replay("other", webhook.webhook_id, None),
        here.webhooks.deliveries("other", webhook.webhook_id, state=None, before=None, most=1),
    ):
        with pytest.raises(WebhookNotFound):
            await call
    with pytest.raises(SessionNotFound):
        await here.webhooks.add("other", "s", receiving.url(), ("*",))
    for url, events in (
        ("http://10.0.0.1/", ("*",)),
        ("ftp://example.org/", ("*",)),
        (receiving.url(), ("session.qr",)),
        (receiving.url(), ()),
    ):
        with pytest.raises(InvalidRequest):
            await here.webhooks.add("t", None, url, events)
    await here.webhooks.delete("t", webhook.webhook_id)
    with pytest.raises(WebhookNotFound):
        await here.webhooks.get("t", webhook.webhook_id)
