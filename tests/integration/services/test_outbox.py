"""The outbox on a real PostgreSQL, with the sidecar's control API on the wire."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import sqlalchemy as sa
from aiohttp import web

from orchestrator.domain.auth_state import AuthStateWrite
from orchestrator.domain.errors import (
    BulkNotFound,
    IdempotencyKeyReused,
    InvalidRequest,
    MediaTooLarge,
    MessageNotFound,
    NotCancellable,
    SessionNotFound,
    StorageLimit,
)
from orchestrator.domain.event import Event
from orchestrator.domain.media import MIB
from orchestrator.domain.meter import MessageMeter
from orchestrator.domain.outbound import AddressRules
from orchestrator.domain.outbox import MessageState, OutboxMessage
from orchestrator.domain.pacing import PacedMessages, Pacing
from orchestrator.domain.session import ConnectionState, Lease
from orchestrator.outbound.client import OutboundClient
from orchestrator.services import outbox_sender
from orchestrator.services.chat_history import ChatHistory
from orchestrator.services.connections import Connections
from orchestrator.services.events import EventBus, Subscription
from orchestrator.services.leases import LeaseBook
from orchestrator.services.link_previews import LinkPreviews
from orchestrator.services.media import MediaFiles, Upload
from orchestrator.services.messaging import Messaging
from orchestrator.services.outbox import Outbox, Request
from orchestrator.services.outbox_sender import OutboxSender
from orchestrator.services.shards import Shard, Shards
from orchestrator.sidecar.client import SidecarClient
from orchestrator.store.auth_state_writer import AuthStateWriter
from orchestrator.store.database import Database
from orchestrator.store.kept_messages import KeptMessageStore
from orchestrator.store.leases import LeaseStore
from orchestrator.store.messages import MessageStore
from orchestrator.store.outbox import OutboxStore
from orchestrator.store.pacing import PacingStore
from orchestrator.store.sealing import Sealer
from orchestrator.store.sessions import SessionStore
from orchestrator.store.stored_events import StoredEvents
from orchestrator.wire.messages import DocumentMessage, TextMessage
from tests.support.processes import PATIENCE
from tests.support.waiting import eventually

ANA, BIA = "5511999990001", "5511999990002"


async def restart() -> None:
    raise AssertionError


@dataclass
class Sidecar:
    """Takes sends. ``behave`` answers in the place of success: a status and a body."""

    media: Path
    sent: list[dict[str, Any]] = field(default_factory=list)
    files: list[bytes] = field(default_factory=list)
    behave: Callable[[dict[str, Any]], Awaitable[tuple[int, dict[str, Any]] | None]] | None = None

    async def send(self, request: web.Request) -> web.Response:
        body = await request.json()
        answer = await self.behave(body) if self.behave else None
        if answer is not None and answer[0] >= 400:
            return web.json_response({"code": answer[1]["code"], "detail": "No."}, status=answer[0])
        self.sent.append(body)
        if "media" in body:
            self.files.append((self.media / body["media"]["file"]).read_bytes())
        told = {"message_id": body["message_id"], "to": body["to"], "acknowledged": True}
        return web.json_response(told if answer is None else {**told, **answer[1]})

    @property
    def texts(self) -> list[str]:
        return [body["text"] for body in self.sent]


@dataclass
class Product:
    outbox: Outbox
    sender: OutboxSender
    store: OutboxStore
    leases: LeaseBook
    connections: Connections
    events: EventBus
    sidecar: Sidecar
    database: Database
    writer: AuthStateWriter
    told: list[Event]

    @property
    def lease(self) -> Lease:
        (lease,) = self.leases.held.values()
        return lease

    async def accept(self, to: str, text: str, **how: Any) -> OutboxMessage:
        return await self.outbox.accept("t", "s", Request(TextMessage(to=to, text=text), **how))

    async def open(self) -> None:
        await self.connections.set_state(self.lease.session_ref, ConnectionState.OPEN, None)
        self.sender.opened(self.lease.session_ref)

    async def state(self, message: OutboxMessage) -> MessageState:
        return (await self.outbox.get("t", "s", message.message_id)).state

    async def in_state(self, message: OutboxMessage, state: MessageState) -> OutboxMessage:
        async def reached() -> OutboxMessage | None:
            now = await self.outbox.get("t", "s", message.message_id)
            return now if now.state is state else None

        found = await eventually(reached, 15, f"{message.message_id} to be {state}")
        assert found is not None
        return found

    async def receipt(self, message: OutboxMessage, status: str) -> None:
        await self.sender.take_receipts([(self.lease, {"message_id": message.message_id, "status": status})])

    async def staged(self, message: OutboxMessage) -> None:
        """The sidecar wrote down the content of this message, ahead of the stanza."""
        write = AuthStateWrite(sent_messages={message.message_id: b"content"})
        assert await self.writer.write_all([(self.leases.address_of(self.lease), write)]) == [{}]

    def statuses(self) -> list[tuple[str, str]]:
        return [(e.data["message_id"], e.data["status"]) for e in self.told if e.type == "message.status"]


@contextlib.asynccontextmanager
async def product(database: Database, url: str, replica: str = "a") -> AsyncIterator[Product]:
    """One replica with its loops; it takes what leases are free."""
    with tempfile.TemporaryDirectory() as folder:
        async with product_with(database, url, replica, Path(folder)) as made:
            yield made
        assert files_in(folder) == []


def files_in(folder: str) -> list[Path]:
    return list(Path(folder).iterdir())


@contextlib.asynccontextmanager
async def product_with(database: Database, url: str, replica: str, folder: Path) -> AsyncIterator[Product]:
    sidecar, sealer, events = Sidecar(folder), Sealer([b"k" * 32]), EventBus()
    app = web.Application()
    app.router.add_post("/v1/sessions/{ref}/messages", sidecar.send)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as http:
        shard = Shard("baileys", SidecarClient(http, runner.addresses[0][1], "t" * 64), restart)
        shards, connections = Shards([shard]), Connections()
        leases = LeaseBook(LeaseStore(database, replica, 30.0))
        for lease in await leases.claim(10):
            shards.settle(lease.session_ref, shard)
        store = OutboxStore(database, sealer, StoredEvents(database, sealer))
        pacing = PacingStore(database)
        outbound = OutboundClient(AddressRules())
        media = MediaFiles(folder, outbound, 4 * MIB)
        previews = LinkPreviews(outbound, media)
        sessions, messages = SessionStore(database), MessageStore(database, sealer)
        history = ChatHistory(KeptMessageStore(database, sealer))
        messaging = Messaging(sessions, messages, leases, connections, shards, media, previews, history, MessageMeter())
        sender = OutboxSender(store, pacing, leases, connections, messaging, events)
        writer = AuthStateWriter(url, replica, sealer)
        outbox = Outbox(store, pacing, leases, messaging, media, sender, events)
        with events.subscribed(Subscription("t", None)) as heard:
            told: list[Event] = []
            tasks = [
                asyncio.create_task(looking(sender)),
                asyncio.create_task(recording(sender)),
                asyncio.create_task(hearing(heard, told)),
            ]
            yield Product(outbox, sender, store, leases, connections, events, sidecar, database, writer, told)
            await sender.finish(0.1)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await writer.close()
        await outbound.close()
    await runner.cleanup()


async def looking(sender: OutboxSender) -> None:
    while True:
        await sender.look()
        # Not wait_for: in Python 3.11 it may lose the cancellation that ends this loop.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                await sender.wanted.wait()
        sender.wanted.clear()


async def recording(sender: OutboxSender) -> None:
    while True:
        await sender.has_outcomes.wait()
        sender.has_outcomes.clear()
        await sender.record_outcomes()


async def hearing(heard: Subscription, told: list[Event]) -> None:
    while (event := await heard.queue.get()) is not None:
        told.append(event)


@pytest.fixture
async def here(database: Database, database_url: str) -> AsyncIterator[Product]:
    await SessionStore(database).create("t", "s")
    async with product(database, database_url) as made:
        yield made


def document(content: bytes, **how: Any) -> Request:
    async def chunks() -> AsyncIterator[bytes]:
        for begin in range(0, len(content), 100_000):
            yield content[begin : begin + 100_000]

    return Request(DocumentMessage(to=ANA, caption="A nota"), upload=Upload(chunks(), None, "nota.pdf"), **how)


async def kept_parts(database: Database) -> list[bytes]:
    async with database.begin() as connection:
        rows = await connection.execute(sa.text("SELECT content FROM outbox_files ORDER BY message_id, part"))
        return [bytes(content) for content in rows.scalars()]


async def test_a_file_waits_sealed_with_its_message_is_sent_with_it_and_gone_afterwards(here: Product) -> None:
    content = b"%PDF-1.7 " + b"linha\n" * 250_000
    accepted = await here.outbox.accept("t", "s", document(content, idempotency_key="k"))
    assert (await here.outbox.accept("t", "s", document(content, idempotency_key="k"))) == accepted
    with pytest.raises(IdempotencyKeyReused):
        await here.outbox.accept("t", "s", document(content + b"!", idempotency_key="k"))
    parts = await kept_parts(here.database)
    assert len(parts) > 1
    assert all(b"linha" not in part for part in parts)
    await here.open()
    await here.in_state(accepted, MessageState.SENT)
    assert here.sidecar.files == [content]
    (order,) = here.sidecar.sent
    told = (order["media"]["mimetype"], order["file_name"], order["caption"], order["message_id"])
    assert told == ("application/pdf", "nota.pdf", "A nota", accepted.message_id)
    assert await kept_parts(here.database) == []


async def test_the_file_of_a_message_that_is_never_sent_is_gone_too(here: Product) -> None:
    cancelled = await here.outbox.accept("t", "s", document(b"%PDF-1"))
    late = await here.outbox.accept("t", "s", document(b"%PDF-2"))
    assert len(await kept_parts(here.database)) == 2
    await here.outbox.cancel("t", "s", cancelled.message_id)
    async with here.database.begin() as connection:
        await connection.execute(sa.text("UPDATE outbox_messages SET deadline = now() WHERE state = 'queued'"))
    await here.sender.expire()
    assert await here.state(late) is MessageState.FAILED
    assert await kept_parts(here.database) == []


async def test_a_file_that_can_not_be_opened_fails_and_holds_up_nobody(here: Product) -> None:
    damaged = await here.outbox.accept("t", "s", document(b"%PDF-1.7 damaged"))
    after = await here.accept(ANA, "after")
    async with here.database.begin() as connection:
        await connection.execute(sa.text("UPDATE outbox_files SET content = set_byte(content, 20, 0) || 'x'"))
    await here.open()
    await here.in_state(after, MessageState.SENT)
    failed = await here.outbox.get("t", "s", damaged.message_id)
    assert (failed.state, failed.error, here.sidecar.files) == (MessageState.FAILED, "auth_state_corrupt", [])


async def test_files_that_are_too_large_or_for_which_there_is_no_room_are_not_kept(here: Product) -> None:
    with pytest.raises(MediaTooLarge):
        await here.outbox.accept("t", "s", document(bytes(4 * MIB + 1)))
    text = Request(TextMessage(to=ANA, text="x"), upload=document(b"%PDF-").upload)
    with pytest.raises(InvalidRequest) as refused:
        await here.outbox.accept("t", "s", text)
    assert [error.field for error in refused.value.errors] == ["file"]
    async with here.database.begin() as connection:
        await connection.execute(sa.text("UPDATE tenants SET storage_bytes = 1000 WHERE tenant_id = 't'"))
    with pytest.raises(StorageLimit):
        await here.outbox.accept("t", "s", document(b"%PDF-" + bytes(1000)))
    await here.outbox.accept("t", "s", document(b"%PDF-" + bytes(900)))
    with pytest.raises(StorageLimit):
        await here.outbox.accept("t", "s", document(b"%PDF-" + bytes(900)))
    assert len(await kept_parts(here.database)) == 1


async def test_what_was_accepted_is_sent_when_the_session_opens_and_followed_to_the_reader(here: Product) -> None:
    first, second = await here.accept(ANA, "one"), await here.accept(ANA, "two")
    other = await here.accept(f"+{BIA}", "three")
    assert here.sidecar.sent == []
    await here.open()
    for message in (first, second, other):
        await here.in_state(message, MessageState.SENT)
    assert [text for text in here.sidecar.texts if text != "three"] == ["one", "two"]
    assert {body["to"] for body in here.sidecar.sent} == {f"{ANA}@s.whatsapp.net", f"{BIA}@s.whatsapp.net"}
    assert {body["message_id"] for body in here.sidecar.sent} == {m.message_id for m in (first, second, other)}
    await here.receipt(first, "delivered")
    await here.receipt(first, "sent")  # late, and not the truth any more
    await here.receipt(first, "played")
    read = await here.outbox.get("t", "s", first.message_id)
    assert read.state is MessageState.READ
    assert read.sent_at
    assert read.delivered_at
    assert read.read_at
    assert [status for name, status in here.statuses() if name == first.message_id] == ["sent", "delivered", "read"]
    async with here.database.begin() as connection:
        bodies = await connection.execute(sa.text("SELECT count(body), (array_agg(recipient))[1] FROM outbox_messages"))
        number, recipient = bodies.one()
    assert number == 0  # nothing private is kept that isn't needed
    assert ANA.encode() not in bytes(recipient)


async def test_the_same_key_and_body_are_one_message_and_another_body_is_refused(here: Product) -> None:
    first = await here.accept(ANA, "one", idempotency_key="k")
    await here.open()
    await here.in_state(first, MessageState.SENT)
    again = await asyncio.gather(*(here.accept(ANA, "one", idempotency_key="k") for _ in range(3)))
    assert {message.message_id for message in again} == {first.message_id}
    assert {(m.accepted_at, m.send_at, m.deadline) for m in again} == {
        (first.accepted_at, first.send_at, first.deadline)
    }
    for changed in ({"text": "two"}, {"to": BIA}):
        with pytest.raises(IdempotencyKeyReused):
            await here.accept(**{"to": ANA, "text": "one", "idempotency_key": "k", **changed})
    together = await asyncio.gather(*(here.accept(ANA, "many", idempotency_key="m") for _ in range(5)))
    assert len({message.message_id for message in together}) == 1
    await here.in_state(together[0], MessageState.SENT)
    assert sorted(here.sidecar.texts) == ["many", "one"]


async def test_a_chat_that_fails_is_tried_again_in_order_and_holds_up_nobody(here: Product) -> None:
    failures = 2

    async def fail_ana(body: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        nonlocal failures
        if not body["to"].startswith(ANA) or failures == 0:
            return None
        failures -= 1
        return 502, {"code": "send_failed"}

    here.sidecar.behave = fail_ana
    mine = [await here.accept(ANA, f"a{n}") for n in range(3)]
    others = [await here.accept(BIA, f"b{n}") for n in range(3)]
    await here.open()
    for message in others:
        await here.in_state(message, MessageState.SENT)
    assert [text for text in here.sidecar.texts if text.startswith("b")] == ["b0", "b1", "b2"]
    sent = [await here.in_state(message, MessageState.SENT) for message in mine]
    assert [text for text in here.sidecar.texts if text.startswith("a")] == ["a0", "a1", "a2"]
    assert [message.attempts for message in sent] == [2, 0, 0]


async def test_what_whatsapp_refuses_fails_and_the_next_one_goes(here: Product) -> None:
    async def refuse(body: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        return (502, {"code": "message_refused"}) if body["text"] == "no" else None

    here.sidecar.behave = refuse
    bad, good = await here.accept(ANA, "no"), await here.accept(ANA, "yes")
    await here.open()
    assert (await here.in_state(bad, MessageState.FAILED)).error == "message_refused"
    await here.in_state(good, MessageState.SENT)
    with pytest.raises(NotCancellable):
        await here.outbox.cancel("t", "s", bad.message_id)


async def test_a_message_waits_for_its_time_and_fails_at_its_deadline(here: Product) -> None:
    now = datetime.now(UTC)
    soon = await here.accept(ANA, "soon", send_at=now + timedelta(hours=1))
    at_once = await here.accept(ANA, "at once")
    late = await here.accept(BIA, "late", send_at=now + timedelta(days=365))
    await here.open()
    await here.in_state(at_once, MessageState.SENT)
    async with here.database.begin() as connection:
        due = sa.text("UPDATE outbox_messages SET send_at = now() + interval '1 second' WHERE message_id = :id")
        await connection.execute(due, {"id": soon.message_id})
    here.sender.wake(here.lease.session_ref)
    sent = await here.in_state(soon, MessageState.SENT)
    soon = await here.outbox.get("t", "s", soon.message_id)
    assert sent.sent_at is not None
    assert sent.sent_at >= soon.send_at
    assert here.sidecar.texts == ["at once", "soon"]
    assert await here.state(late) is MessageState.QUEUED
    async with here.database.begin() as connection:
        await connection.execute(sa.text("UPDATE outbox_messages SET deadline = now() WHERE state = 'queued'"))
    await here.sender.expire()
    assert (await here.outbox.get("t", "s", late.message_id)).error == "deadline_passed"
    assert (late.message_id, "failed") in here.statuses()
    for how in ({"send_at": now + timedelta(days=400)}, {"deadline": now - timedelta(seconds=1)}):
        with pytest.raises(InvalidRequest):
            await here.accept(ANA, "x", **how)


async def test_what_waits_is_listed_in_pages_and_can_be_cancelled(here: Product) -> None:
    messages = [await here.accept(ANA if n % 2 else BIA, str(n)) for n in range(5)]
    page = await here.outbox.page("t", "s", before=None, most=2)
    rest = await here.outbox.page("t", "s", before=page[-1].number, most=10)
    assert [m.message_id for m in [*page, *rest]] == [m.message_id for m in reversed(messages)]
    assert len(await here.outbox.page("t", "s", before=None, most=10, to=ANA)) == 2
    cancelled = await here.outbox.cancel("t", "s", messages[0].message_id)
    assert cancelled.state is MessageState.CANCELLED
    assert (await here.outbox.cancel("t", "s", messages[0].message_id)).state is MessageState.CANCELLED
    only = await here.outbox.page("t", "s", before=None, most=10, states=[MessageState.CANCELLED])
    assert [m.message_id for m in only] == [messages[0].message_id]
    await here.open()
    for message in messages[1:]:
        await here.in_state(message, MessageState.SENT)
    assert "0" not in here.sidecar.texts
    for tenant, session, error in (("t", "none", SessionNotFound), ("other", "s", SessionNotFound)):
        with pytest.raises(error):
            await here.outbox.page(tenant, session, before=None, most=10)
        with pytest.raises(error):
            await here.outbox.get(tenant, session, messages[0].message_id)
    with pytest.raises(MessageNotFound):
        await here.outbox.cancel("t", "s", "3EB0")


async def test_a_successor_sends_what_never_left_and_repeats_what_may_have_left_under_its_id(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_sender, "_RECEIPT_SECONDS", 2.0 * PATIENCE)
    await SessionStore(database).create("t", "s")

    async def die(_body: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        await asyncio.sleep(60)
        return None

    async with product(database, database_url, "dead") as before:
        before.sidecar.behave = die
        never_left, may_have_left, was_read, behind = [
            await before.accept(f"551199999000{n}", text)
            for n, text in enumerate(("never left", "may have left", "was read"))
        ] + [await before.accept("5511999990000", "behind")]
        await before.open()
        for message in (never_left, may_have_left, was_read):
            await before.in_state(message, MessageState.SENDING)
        for message in (may_have_left, was_read):
            await before.staged(message)
        await before.leases.release(list(before.leases.held))
    async with product(database, database_url, "successor") as after:
        await after.open()
        await eventually(lambda: asyncio.sleep(0, after.sidecar.sent), 5, "the first to be sent")
        await after.receipt(was_read, "read")  # as they come in at a login
        for message in (never_left, may_have_left, behind):
            await after.in_state(message, MessageState.SENT)
        assert await after.state(was_read) is MessageState.READ
        again = {body["text"]: (body["message_id"], body["again"]) for body in after.sidecar.sent}
        assert again == {
            "never left": (never_left.message_id, False),
            "may have left": (may_have_left.message_id, True),
            "behind": (behind.message_id, False),
        }
        texts = after.sidecar.texts
        assert texts.index("never left") < texts.index("behind")


async def test_an_unheard_outcome_is_found_out_by_the_same_message(here: Product) -> None:
    unheard = 2

    async def silent(_body: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        nonlocal unheard
        unheard -= 1
        return (200, {"acknowledged": False}) if unheard >= 0 else None

    here.sidecar.behave = silent
    message, next_one = await here.accept(ANA, "one"), await here.accept(ANA, "two")
    await here.open()
    await here.in_state(next_one, MessageState.SENT)
    assert here.sidecar.texts == ["one", "one", "one", "two"]
    assert {body["message_id"] for body in here.sidecar.sent[:3]} == {message.message_id}


async def test_another_replica_takes_messages_and_the_owner_is_told_by_a_job(here: Product, database_url: str) -> None:
    await here.open()
    async with product(here.database, database_url, "b") as other:
        assert not other.leases.held
        for text in ("one", "two"):
            await other.accept(ANA, text)
        async with here.database.begin() as connection:
            jobs = (
                await connection.execute(
                    sa.text("SELECT queue_name, task_name, args FROM procrastinate.procrastinate_jobs")
                )
            ).all()
        assert [tuple(job) for job in jobs] == [("replica:a", "drain", {"session_ref": here.lease.session_ref})]
        here.sender.wake(jobs[0].args["session_ref"])
        await eventually(lambda: asyncio.sleep(0, len(here.sidecar.sent) == 2), 5)
        assert here.sidecar.texts == ["one", "two"]


async def test_a_bulk_keeps_to_its_pace_tells_how_far_it_is_and_can_be_cancelled(here: Product) -> None:
    await here.outbox.set_pacing("t", "s", Pacing(messages_per_minute=600, jitter=0.0))
    requests = [Request(TextMessage(to=f"55119999{n:05}", text=f"n{n}"), "k") for n in range(30)]
    bulk = await here.outbox.accept_bulk("t", "s", requests)
    assert (bulk.total, bulk.states) == (30, {MessageState.QUEUED: 30})
    assert (await here.outbox.accept_bulk("t", "s", requests)).bulk_id == bulk.bulk_id
    with pytest.raises(IdempotencyKeyReused):
        await here.outbox.accept_bulk("t", "s", requests[1:])
    await here.open()
    direct = await here.accept(ANA, "direct")
    await here.in_state(direct, MessageState.SENT)  # doesn't wait for them
    assert len(here.sidecar.sent) < 20

    async def some_sent() -> bool:
        return len(here.sidecar.sent) >= 4

    await eventually(some_sent)
    cancelled = await here.outbox.cancel_bulk("t", "s", bulk.bulk_id)
    assert cancelled.cancelled_at is not None
    assert cancelled.states[MessageState.CANCELLED] >= 10

    async def done() -> bool:
        return (await here.outbox.bulk("t", "s", bulk.bulk_id)).done

    await eventually(done)
    await eventually(lambda: asyncio.sleep(0, [e for e in here.told if e.type == "bulk.finished"]))
    assert len([e for e in here.told if e.type == "bulk.finished"]) == 1
    assert [e for e in here.told if e.type == "bulk.progress"]
    with pytest.raises(BulkNotFound):
        await here.outbox.bulk("other", "s", bulk.bulk_id)


async def test_a_session_may_pace_every_message_of_the_outbox(here: Product) -> None:
    await here.outbox.set_pacing("t", "s", Pacing(applies_to=PacedMessages.ALL, messages_per_minute=60, jitter=0.0))
    messages = [await here.accept(f"551199999000{n}", str(n)) for n in range(3)]
    began = datetime.now(UTC)
    await here.open()
    sent = [(await here.in_state(message, MessageState.SENT)).sent_at for message in messages]
    assert here.sidecar.texts == ["0", "1", "2"]
    assert sent[2] is not None
    assert (sent[2] - began).total_seconds() >= 1.9  # the first one may take its time
