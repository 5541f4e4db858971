"""The outbox in PostgreSQL: accepted messages, and what became of them. Its rows are the truth; jobs only wake.

Whoever has the session's lease takes messages out (``claim``, fenced by the epoch) and settles them. A message that is
``sending`` and that its owner isn't sending was left by an owner that died.
"""

import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.errors import (
    AuthStateCorrupt,
    BulkNotFound,
    IdempotencyKeyReused,
    MessageNotFound,
    NotCancellable,
    OutboxFull,
    SessionNotFound,
    StorageLimit,
)
from orchestrator.domain.event import Event
from orchestrator.domain.outbox import MOST_FILES_BYTES, MOST_WAITING, Bulk, MessageState, OutboxMessage, new_message_id
from orchestrator.domain.session import Lease
from orchestrator.store.database import Database
from orchestrator.store.sealing import Sealer, place_of
from orchestrator.store.stored_events import NewEvent, StoredEvents

#: What is shown in the place of a recipient that can't be opened.
UNREADABLE = "(unreadable)"

_MESSAGE_COLUMNS = """
    m.message_id, m.number, m.session_ref, m.recipient, m.state, m.paced, m.bulk_id, m.accepted_at, m.send_at, m.deadline,
    m.attempts, m.error, m.sent_at, m.delivered_at, m.read_at, m.settled_at, m.file_bytes
"""

# The owner has to be woken if it is another replica. One that just died leaves a job that nobody does; whoever takes over looks.
_SESSION = sa.text(
    f"""
    SELECT s.session_ref, l.owner,
           (SELECT count(*) FROM (
                SELECT FROM outbox_messages m
                WHERE m.session_ref = s.session_ref AND m.state IN ('queued', 'sending') LIMIT {MOST_WAITING + 1}
            ) AS waiting) AS waiting,
           coalesce(t.stored_bytes >= t.storage_bytes, false) AS storage_full
    FROM sessions s JOIN tenants t USING (tenant_id) LEFT JOIN leases l USING (session_ref)
    WHERE s.tenant_id = :tenant_id AND s.session_id = :session_id AND s.deleted_at IS NULL
    """  # noqa: S608 (constants)
)

_ACCEPT = sa.text(
    f"""
    INSERT INTO outbox_messages AS m
        (session_ref, message_id, chat, recipient, body, file_bytes, paced, bulk_id, idempotency_key, digest, send_at, deadline)
    SELECT :session_ref, v.message_id, v.chat, v.recipient, v.body, :file_bytes, :paced, :bulk_id, :key, :digest,
           coalesce(:send_at, clock_timestamp()), coalesce(:deadline, coalesce(:send_at, now()) + :default_deadline)
    FROM unnest(CAST(:ids AS text[]), CAST(:chats AS bytea[]), CAST(:recipients AS bytea[]), CAST(:bodies AS bytea[]))
        WITH ORDINALITY AS v (message_id, chat, recipient, body, position)
    ORDER BY v.position
    ON CONFLICT (session_ref, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
    RETURNING {_MESSAGE_COLUMNS}
    """  # noqa: S608 (constants)
).bindparams(
    sa.bindparam("file_bytes", type_=sa.BigInteger),
    sa.bindparam("bulk_id", type_=sa.Text),
    sa.bindparam("key", type_=sa.Text),
    sa.bindparam("send_at", type_=sa.DateTime(timezone=True)),
    sa.bindparam("deadline", type_=sa.DateTime(timezone=True)),
    sa.bindparam("default_deadline", type_=sa.Interval),
)

_BY_KEY = sa.text(
    f"SELECT {_MESSAGE_COLUMNS}, m.digest FROM outbox_messages m WHERE m.session_ref = :session_ref AND m.idempotency_key = :key"  # noqa: S608
)

_ADD_PART = sa.text(
    "INSERT INTO outbox_files (session_ref, message_id, part, content) VALUES (:session_ref, :message_id, :part, :content)"
)

_PART = sa.text(
    "SELECT content FROM outbox_files WHERE session_ref = :session_ref AND message_id = :message_id AND part = :part"
)

_WAITING_BYTES = sa.text(
    """
    SELECT coalesce(sum(file_bytes), 0) FROM outbox_messages WHERE session_ref = :session_ref AND state IN ('queued', 'sending')
    """
)

# Until it is measured again; what is measured counts the file itself.
_COUNT_FILE = sa.text(
    """
    UPDATE tenants SET stored_bytes = coalesce(stored_bytes, 0) + :bytes
    WHERE tenant_id = :tenant_id AND storage_bytes IS NOT NULL
    RETURNING stored_bytes > storage_bytes AS too_much
    """
)

_FORGET_FILES = sa.text(
    """
    DELETE FROM outbox_files f USING unnest(CAST(:refs AS bigint[]), CAST(:ids AS text[])) AS v (session_ref, message_id)
    WHERE f.session_ref = v.session_ref AND f.message_id = v.message_id
    """
)

# In the queue of the owner, once: a job that waits already wakes it just as well.
_WAKE = sa.text(
    """
    INSERT INTO procrastinate.procrastinate_jobs (queue_name, task_name, queueing_lock, args)
    VALUES (:queue, 'drain', :lock, jsonb_build_object('session_ref', CAST(:session_ref AS bigint)))
    ON CONFLICT (queueing_lock) WHERE status = 'todo' DO NOTHING
    """
)

_CLAIM = sa.text(
    f"""
    WITH fence AS MATERIALIZED (
        SELECT l.session_ref FROM leases l
        WHERE l.session_ref = :session_ref AND l.owner = :owner AND l.epoch = :epoch FOR KEY SHARE
    ), next AS MATERIALIZED (
        SELECT m.session_ref, m.message_id, m.state = 'sending' AS left_over
        FROM fence JOIN outbox_messages m USING (session_ref)
        WHERE m.session_ref = :session_ref AND m.paced = :paced AND m.send_at <= now()
          AND (m.state = 'queued' AND m.deadline > now() OR m.state = 'sending')
          AND m.chat <> ALL(CAST(:busy AS bytea[]))
        ORDER BY m.send_at, m.number
        LIMIT :most
    ), claimed AS (
        UPDATE outbox_messages m SET state = 'sending'
        FROM next WHERE m.session_ref = next.session_ref AND m.message_id = next.message_id
          AND m.state IN ('queued', 'sending')
        RETURNING {_MESSAGE_COLUMNS}, m.chat, m.body, next.left_over
    )
    SELECT c.*, EXISTS (
        SELECT FROM sent_messages x WHERE x.session_ref = c.session_ref AND x.message_id = c.message_id
    ) AS may_have_left
    FROM claimed c ORDER BY c.send_at, c.number
    """  # noqa: S608 (constants)
)

_SETTLE = sa.text(
    f"""
    WITH v AS (
        SELECT * FROM unnest(CAST(:refs AS bigint[]), CAST(:ids AS text[]), CAST(:states AS text[]), CAST(:errors AS text[]),
                             CAST(:retries AS timestamptz[]), CAST(:tries AS integer[]))
            AS v (session_ref, message_id, state, error, retry_at, tries)
    )
    UPDATE outbox_messages m
    SET state = v.state, error = v.error, retry_at = v.retry_at, attempts = m.attempts + v.tries,
        sent_at = CASE WHEN v.state = 'sent' THEN now() ELSE m.sent_at END,
        body = CASE WHEN v.state = 'queued' THEN m.body END,
        settled_at = CASE WHEN v.state <> 'queued' THEN now() END
    FROM v
    WHERE m.session_ref = v.session_ref AND m.message_id = v.message_id AND m.state = 'sending'
    RETURNING {_MESSAGE_COLUMNS}
    """  # noqa: S608 (constants)
)

_RANK = "CASE {} WHEN 'sent' THEN 2 WHEN 'failed' THEN 2 WHEN 'delivered' THEN 3 WHEN 'read' THEN 4 ELSE 1 END"

# What WhatsApp tells is true, also of a message that was given up.
_RECEIPTS = sa.text(
    f"""
    WITH v AS (
        SELECT session_ref, message_id, (array_agg(status ORDER BY {_RANK.format("status")} DESC))[1] AS status
        FROM unnest(CAST(:refs AS bigint[]), CAST(:ids AS text[]), CAST(:statuses AS text[])) AS v (session_ref, message_id, status)
        GROUP BY session_ref, message_id
    )
    UPDATE outbox_messages m
    SET state = v.status,
        error = CASE WHEN v.status = 'failed' THEN 'message_refused' END,
        sent_at = CASE WHEN v.status = 'failed' THEN m.sent_at ELSE coalesce(m.sent_at, now()) END,
        delivered_at = CASE WHEN v.status IN ('delivered', 'read') THEN coalesce(m.delivered_at, now()) ELSE m.delivered_at END,
        read_at = CASE WHEN v.status = 'read' THEN now() ELSE m.read_at END,
        body = NULL,
        settled_at = coalesce(m.settled_at, now())
    FROM v
    WHERE m.session_ref = v.session_ref AND m.message_id = v.message_id
      AND {_RANK.format("v.status")} > {_RANK.format("m.state")}
    RETURNING {_MESSAGE_COLUMNS}
    """  # noqa: S608 (constants)
)

_CANCEL = sa.text(
    f"""
    UPDATE outbox_messages m SET state = 'cancelled', body = NULL, settled_at = now()
    WHERE m.session_ref = :session_ref AND m.state = 'queued'
      AND (m.message_id = :message_id OR m.bulk_id = :bulk_id)
    RETURNING {_MESSAGE_COLUMNS}
    """  # noqa: S608 (constants)
).bindparams(sa.bindparam("message_id", type_=sa.Text), sa.bindparam("bulk_id", type_=sa.Text))

_EXPIRE = sa.text(
    f"""
    UPDATE outbox_messages m SET state = 'failed', error = coalesce(m.error, 'deadline_passed'), body = NULL, settled_at = now()
    FROM sessions s
    WHERE (m.session_ref, m.message_id) IN (
        SELECT session_ref, message_id FROM outbox_messages
        WHERE state IN ('queued', 'sending') AND deadline <= now() AND state = 'queued' ORDER BY deadline LIMIT :most
    ) AND m.state = 'queued' AND s.session_ref = m.session_ref
    RETURNING {_MESSAGE_COLUMNS}, s.tenant_id, s.session_id
    """  # noqa: S608 (constants)
)

_PAGE = sa.text(
    f"""
    SELECT {_MESSAGE_COLUMNS}
    FROM outbox_messages m JOIN sessions s USING (session_ref)
    WHERE s.tenant_id = :tenant_id AND s.session_id = :session_id AND s.deleted_at IS NULL
      AND m.number < :before
      AND (CAST(:states AS text[]) IS NULL OR m.state = ANY(CAST(:states AS text[])))
      AND (CAST(:bulk_id AS text) IS NULL OR m.bulk_id = :bulk_id)
      AND (CAST(:chat AS bytea) IS NULL OR m.chat = :chat)
    ORDER BY m.number DESC LIMIT :most
    """  # noqa: S608 (constants)
)

_FIND = sa.text(
    f"""
    SELECT {_MESSAGE_COLUMNS}
    FROM sessions s LEFT JOIN outbox_messages m ON m.session_ref = s.session_ref AND m.message_id = :message_id
    WHERE s.tenant_id = :tenant_id AND s.session_id = :session_id AND s.deleted_at IS NULL
    """  # noqa: S608 (constants)
)

# One look along an index for each session and lane, however much waits there.
_WAITING = sa.text(
    """
    SELECT held.session_ref, bool_or(first.state IS NOT NULL) AS waits, bool_or(settled.one) AS has_sent
    FROM unnest(CAST(:refs AS bigint[])) AS held (session_ref)
    CROSS JOIN (VALUES (true), (false)) AS lane (paced)
    LEFT JOIN LATERAL (
        SELECT m.state FROM outbox_messages m
        WHERE m.session_ref = held.session_ref AND m.paced = lane.paced AND m.state IN ('queued', 'sending')
          AND m.send_at <= now() + make_interval(secs => :ahead)
        ORDER BY m.send_at, m.number LIMIT 1
    ) first ON true
    LEFT JOIN LATERAL (
        SELECT true AS one FROM outbox_messages m WHERE m.session_ref = held.session_ref LIMIT 1
    ) settled ON true
    GROUP BY held.session_ref HAVING bool_or(settled.one)
    """
)

_LANE = sa.text(
    """
    SELECT
        (SELECT min(send_at) FROM outbox_messages m
         WHERE m.session_ref = :session_ref AND m.paced = :paced AND m.state IN ('queued', 'sending') AND m.send_at > now())
    """
)

_BACKING_OFF = sa.text(
    """
    SELECT m.paced, m.chat, max(m.retry_at) AS retry_at FROM outbox_messages m
    WHERE m.session_ref = :session_ref AND m.state IN ('queued', 'sending') AND m.retry_at > now()
    GROUP BY m.paced, m.chat
    """
)

_BULK = sa.text(
    """
    SELECT b.bulk_id, b.total, b.created_at, b.cancelled_at,
           (SELECT jsonb_object_agg(state, number) FROM (
                SELECT m.state, count(*) AS number FROM outbox_messages m WHERE m.bulk_id = b.bulk_id GROUP BY m.state
            ) AS states) AS states
    FROM outbox_bulks b JOIN sessions s USING (session_ref)
    WHERE s.tenant_id = :tenant_id AND s.session_id = :session_id AND s.deleted_at IS NULL AND b.bulk_id = :bulk_id
    """
)

_LOCK_BULK = sa.text("SELECT FROM outbox_bulks WHERE bulk_id = :bulk_id FOR NO KEY UPDATE")

_PRUNE = (
    sa.text(
        """
        DELETE FROM outbox_messages WHERE (session_ref, message_id) IN (
            SELECT session_ref, message_id FROM outbox_messages
            WHERE settled_at < now() - make_interval(days => :days) ORDER BY settled_at LIMIT :most
        )
        """
    ),
    sa.text(
        """
        DELETE FROM outbox_bulks b WHERE b.created_at < now() - make_interval(days => :days)
          AND NOT EXISTS (SELECT FROM outbox_messages m WHERE m.bulk_id = b.bulk_id)
        """
    ),
)


@dataclass(frozen=True, slots=True)
class NewMessage:
    """Somebody's message to one recipient; ``body`` is JSON that nobody looks into here."""

    to: str
    body: bytes


@dataclass(frozen=True, slots=True)
class NewFile:
    """What waits with a message: its size in bytes, and its parts."""

    size: int
    parts: AsyncIterable[bytes]


@dataclass(frozen=True, slots=True)
class Acceptance:
    """How the messages of one request are to be sent. ``digest`` is of all that the request asks for."""

    digest: bytes
    idempotency_key: str | None = None
    send_at: datetime | None = None
    deadline: datetime | None = None
    default_deadline: timedelta = timedelta(days=1)
    paced: bool = False


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message to be sent now. ``left_over``: it was begun before; ``may_have_left``: and its content was written down."""

    session_ref: int
    message: OutboxMessage
    chat: bytes
    body: bytes | None
    """None: it can't be opened."""
    left_over: bool
    may_have_left: bool
    has_file: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """``state`` QUEUED puts it back, to be tried at ``retry_at`` or as soon as it may be."""

    session_ref: int
    message_id: str
    state: MessageState
    error: str | None = None
    retry_at: datetime | None = None
    tried: bool = False


@dataclass(frozen=True, slots=True)
class Changed:
    """Messages that changed, the events of that, which are to be told now, and the bulks that they belong to."""

    messages: list[OutboxMessage]
    events: list[Event]
    bulks: list[tuple[Lease, Bulk]]


class OutboxStore:
    """Every method raises ``DatabaseUnavailable`` when it can't know."""

    def __init__(self, database: Database, sealer: Sealer, events: StoredEvents) -> None:
        self._database = database
        self._sealer = sealer
        self._events = events

    async def accept(
        self,
        tenant_id: str,
        session_id: str,
        message: NewMessage,
        how: Acceptance,
        own_replica: str,
        file: NewFile | None = None,
    ) -> OutboxMessage:
        """Keep a message, or find the one that this key was used for before. Wakes the owner if it is another replica.

        ``OutboxFull``, ``StorageLimit``.
        """
        async with self._database.begin() as connection:
            session_ref = await self._session_to_fill(connection, tenant_id, session_id, 1, own_replica)
            rows = await self._insert(connection, tenant_id, session_ref, [message], how, None, file)
            if rows:
                if file is not None:
                    await self._keep_file(connection, tenant_id, session_ref, rows[0].message_id, file)
                return self._message(tenant_id, rows[0])
            earlier = (
                await connection.execute(_BY_KEY, {"session_ref": session_ref, "key": how.idempotency_key})
            ).one()
        if bytes(earlier.digest) != how.digest:
            raise IdempotencyKeyReused
        return self._message(tenant_id, earlier)

    async def accept_bulk(
        self,
        tenant_id: str,
        session_id: str,
        messages: Sequence[NewMessage],
        how: Acceptance,
        bulk_id: str,
        own_replica: str,
    ) -> Bulk:
        """Keep many messages as one bulk, or find the bulk that this key was used for before."""
        async with self._database.begin() as connection:
            session_ref = await self._session_to_fill(connection, tenant_id, session_id, len(messages), own_replica)
            made = await connection.execute(
                sa.text(
                    """
                    INSERT INTO outbox_bulks (bulk_id, session_ref, idempotency_key, digest, total)
                    VALUES (:bulk_id, :session_ref, :key, :digest, :total)
                    ON CONFLICT (session_ref, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
                    RETURNING created_at
                    """
                ),
                {
                    "bulk_id": bulk_id,
                    "session_ref": session_ref,
                    "key": how.idempotency_key,
                    "digest": how.digest,
                    "total": len(messages),
                },
            )
            created_at = made.scalar_one_or_none()
            if created_at is not None:
                await self._insert(connection, tenant_id, session_ref, messages, how, bulk_id)
                return Bulk(bulk_id, len(messages), created_at, None, {MessageState.QUEUED: len(messages)})
            earlier = (
                await connection.execute(
                    sa.text(
                        "SELECT bulk_id, digest FROM outbox_bulks WHERE session_ref = :ref AND idempotency_key = :key"
                    ),
                    {"ref": session_ref, "key": how.idempotency_key},
                )
            ).one()
        if bytes(earlier.digest) != how.digest:
            raise IdempotencyKeyReused
        return await self.bulk(tenant_id, session_id, earlier.bulk_id)

    async def _session_to_fill(
        self, connection: AsyncConnection, tenant_id: str, session_id: str, number: int, own_replica: str
    ) -> int:
        row = (await connection.execute(_SESSION, {"tenant_id": tenant_id, "session_id": session_id})).one_or_none()
        if row is None:
            raise SessionNotFound
        if row.waiting + number > MOST_WAITING:
            raise OutboxFull
        if row.storage_full:
            raise StorageLimit
        if row.owner is not None and row.owner != own_replica:
            lock = f"drain:{row.owner}:{row.session_ref}"
            await connection.execute(
                _WAKE, {"queue": queue_of(row.owner), "lock": lock, "session_ref": row.session_ref}
            )
        return int(row.session_ref)

    async def _keep_file(
        self, connection: AsyncConnection, tenant_id: str, session_ref: int, message_id: str, file: NewFile
    ) -> None:
        waiting = (await connection.execute(_WAITING_BYTES, {"session_ref": session_ref})).scalar_one()
        if waiting > MOST_FILES_BYTES:
            raise OutboxFull
        named = {"session_ref": session_ref, "message_id": message_id}
        number = 0
        async for content in file.parts:
            sealed = self._sealer.seal(content, _file_place(tenant_id, session_ref, message_id, number))
            await connection.execute(_ADD_PART, {**named, "part": number, "content": sealed})
            number += 1
        # Last: it locks the tenant.
        counted = await connection.execute(_COUNT_FILE, {"tenant_id": tenant_id, "bytes": file.size})
        if counted.scalar_one_or_none():
            raise StorageLimit

    async def file(self, lease: Lease, message_id: str) -> AsyncIterator[bytes]:
        """The file of a message that waits, part by part; ``AuthStateCorrupt`` when it can't be opened."""
        named, number = {"session_ref": lease.session_ref, "message_id": message_id}, 0
        while True:
            async with self._database.begin() as connection:
                content = (await connection.execute(_PART, {**named, "part": number})).scalar_one_or_none()
            if content is None:
                return
            place = _file_place(lease.tenant_id, lease.session_ref, message_id, number)
            yield self._sealer.open(bytes(content), place)
            number += 1

    async def _insert(
        self,
        connection: AsyncConnection,
        tenant_id: str,
        session_ref: int,
        messages: Sequence[NewMessage],
        how: Acceptance,
        bulk_id: str | None,
        file: NewFile | None = None,
    ) -> Sequence[sa.Row[Any]]:
        ids = [new_message_id() for _ in messages]
        parameters = {
            "session_ref": session_ref,
            "ids": ids,
            "chats": [chat_digest(session_ref, message.to) for message in messages],
            "recipients": [
                self._sealer.seal(message.to.encode(), _recipient_place(tenant_id, session_ref, name))
                for message, name in zip(messages, ids, strict=True)
            ],
            "bodies": [
                self._sealer.seal(message.body, _body_place(tenant_id, session_ref, name))
                for message, name in zip(messages, ids, strict=True)
            ],
            "file_bytes": None if file is None else file.size,
            "paced": how.paced,
            "bulk_id": bulk_id,
            "key": how.idempotency_key if bulk_id is None else None,
            "digest": how.digest if bulk_id is None else b"",
            "send_at": how.send_at,
            "deadline": how.deadline,
            "default_deadline": how.default_deadline,
        }
        return (await connection.execute(_ACCEPT, parameters)).all()

    async def claim(
        self, lease: Lease, owner: str, *, paced: bool, busy: Collection[bytes], most: int
    ) -> list[Claimed]:
        """Take the next messages that are due, but for those to ``busy`` chats; none if the lease is another's now."""
        parameters = {
            "session_ref": lease.session_ref,
            "owner": owner,
            "epoch": lease.epoch,
            "paced": paced,
            "busy": list(busy),
            "most": most,
        }
        async with self._database.begin() as connection:
            rows = (await connection.execute(_CLAIM, parameters)).all()
        return [
            Claimed(
                lease.session_ref,
                self._message(lease.tenant_id, row),
                bytes(row.chat),
                self._body(lease.tenant_id, row),
                row.left_over,
                row.may_have_left,
                row.file_bytes is not None,
            )
            for row in rows
        ]

    async def settle(self, sessions: Mapping[int, Lease], outcomes: Sequence[Outcome]) -> Changed:
        """Record what became of claimed messages, all in one transaction; those that changed otherwise meanwhile stay so."""
        parameters = {
            "refs": [outcome.session_ref for outcome in outcomes],
            "ids": [outcome.message_id for outcome in outcomes],
            "states": [outcome.state for outcome in outcomes],
            "errors": [outcome.error for outcome in outcomes],
            "retries": [outcome.retry_at for outcome in outcomes],
            "tries": [int(outcome.tried) for outcome in outcomes],
        }
        async with self._database.begin() as connection:
            rows = (await connection.execute(_SETTLE, parameters)).all()
            return await self._told(connection, sessions, rows)

    async def record_receipts(
        self, sessions: Mapping[int, Lease], receipts: Sequence[tuple[int, str, MessageState]]
    ) -> Changed:
        """Advance the states of messages, each (session_ref, message_id, state); ids of other messages do nothing."""
        parameters = {
            "refs": [ref for ref, _, _ in receipts],
            "ids": [message_id for _, message_id, _ in receipts],
            "statuses": [state for _, _, state in receipts],
        }
        async with self._database.begin() as connection:
            rows = (await connection.execute(_RECEIPTS, parameters)).all()
            return await self._told(connection, sessions, rows)

    async def cancel(self, tenant_id: str, session_id: str, message_id: str) -> Changed:
        """``NotCancellable`` once it is being sent, ``MessageNotFound``, ``SessionNotFound``."""
        message, session_ref = await self._find(tenant_id, session_id, message_id)
        if message.state is MessageState.CANCELLED:
            return Changed([message], [], [])
        changed = await self._cancel(tenant_id, session_id, session_ref, message_id=message_id, bulk_id=None)
        if not changed.messages:
            raise NotCancellable
        return changed

    async def cancel_bulk(self, tenant_id: str, session_id: str, bulk_id: str) -> Changed:
        """Cancel what still waits of it."""
        await self.bulk(tenant_id, session_id, bulk_id)
        async with self._database.begin() as connection:
            session_ref = (
                await connection.execute(
                    sa.text(
                        "UPDATE outbox_bulks SET cancelled_at = coalesce(cancelled_at, now()) WHERE bulk_id = :id RETURNING session_ref"
                    ),
                    {"id": bulk_id},
                )
            ).scalar_one()
        return await self._cancel(tenant_id, session_id, session_ref, message_id=None, bulk_id=bulk_id)

    async def _cancel(
        self, tenant_id: str, session_id: str, session_ref: int, *, message_id: str | None, bulk_id: str | None
    ) -> Changed:
        parameters = {"session_ref": session_ref, "message_id": message_id, "bulk_id": bulk_id}
        lease = Lease(session_ref, session_id, tenant_id, 0, 0)
        async with self._database.begin() as connection:
            rows = (await connection.execute(_CANCEL, parameters)).all()
            return await self._told(connection, {session_ref: lease}, rows)

    async def expire(self, most: int) -> Changed:
        """Give up messages whose deadline passed while they waited; at most that many."""
        async with self._database.begin() as connection:
            rows = (await connection.execute(_EXPIRE, {"most": most})).all()
            sessions = {row.session_ref: Lease(row.session_ref, row.session_id, row.tenant_id, 0, 0) for row in rows}
            return await self._told(connection, sessions, rows)

    async def page(
        self,
        tenant_id: str,
        session_id: str,
        *,
        before: int | None,
        most: int,
        states: Collection[MessageState] = (),
        bulk_id: str | None = None,
        to: str | None = None,
    ) -> list[OutboxMessage]:
        """Messages below number ``before``, newest first. ``SessionNotFound``."""
        async with self._database.begin() as connection:
            session_ref = await _session_ref(connection, tenant_id, session_id)
            parameters = {
                "tenant_id": tenant_id,
                "session_id": session_id,
                "before": 2**62 if before is None else before,
                "states": list(states) or None,
                "bulk_id": bulk_id,
                "chat": None if to is None else chat_digest(session_ref, to),
                "most": most,
            }
            rows = (await connection.execute(_PAGE, parameters)).all()
        return [self._message(tenant_id, row) for row in rows]

    async def get(self, tenant_id: str, session_id: str, message_id: str) -> OutboxMessage:
        """``MessageNotFound``, ``SessionNotFound``."""
        return (await self._find(tenant_id, session_id, message_id))[0]

    async def _find(self, tenant_id: str, session_id: str, message_id: str) -> tuple[OutboxMessage, int]:
        parameters = {"tenant_id": tenant_id, "session_id": session_id, "message_id": message_id}
        async with self._database.begin() as connection:
            row = (await connection.execute(_FIND, parameters)).one_or_none()
        if row is None:
            raise SessionNotFound
        if row.message_id is None:
            raise MessageNotFound
        return self._message(tenant_id, row), row.session_ref

    async def bulk(self, tenant_id: str, session_id: str, bulk_id: str) -> Bulk:
        """``BulkNotFound``, also for a session that there isn't."""
        parameters = {"tenant_id": tenant_id, "session_id": session_id, "bulk_id": bulk_id}
        async with self._database.begin() as connection:
            row = (await connection.execute(_BULK, parameters)).one_or_none()
        if row is None:
            raise BulkNotFound
        return _bulk_in(row)

    async def waiting(self, session_refs: Collection[int], ahead_seconds: float) -> dict[int, bool]:
        """Those of the sessions that have used the outbox, and whether something is due there by then."""
        parameters = {"refs": list(session_refs), "ahead": ahead_seconds}
        async with self._database.begin() as connection:
            return {row.session_ref: bool(row.waits) for row in await connection.execute(_WAITING, parameters)}

    async def next_due(self, session_ref: int, *, paced: bool) -> datetime | None:
        """When the next message that isn't due yet will be."""
        async with self._database.begin() as connection:
            due = (await connection.execute(_LANE, {"session_ref": session_ref, "paced": paced})).scalar_one()
        return due if isinstance(due, datetime) else None

    async def backing_off(self, session_ref: int) -> dict[tuple[bool, bytes], datetime]:
        """Chats that wait before they are tried again, by lane and digest."""
        async with self._database.begin() as connection:
            rows = await connection.execute(_BACKING_OFF, {"session_ref": session_ref})
            return {(row.paced, bytes(row.chat)): row.retry_at for row in rows}

    async def prune(self, *, days: int, most: int) -> int:
        """Forget up to ``most`` messages that were settled that long ago; how many."""
        async with self._database.begin() as connection:
            pruned = (await connection.execute(_PRUNE[0], {"days": days, "most": most})).rowcount
            await connection.execute(_PRUNE[1], {"days": days})
            return pruned

    async def _told(
        self, connection: AsyncConnection, sessions: Mapping[int, Lease], rows: Sequence[sa.Row[Any]]
    ) -> Changed:
        """The messages in these rows, and the events of those that aren't queued again; files of these are gone."""
        over = [row for row in rows if row.file_bytes is not None and row.settled_at is not None]
        if over:
            named = {"refs": [row.session_ref for row in over], "ids": [row.message_id for row in over]}
            await connection.execute(_FORGET_FILES, named)
        changed = [
            (sessions[row.session_ref], self._message(sessions[row.session_ref].tenant_id, row))
            for row in rows
            if row.session_ref in sessions
        ]
        new = [
            NewEvent(lease.tenant_id, lease.session_ref, lease.session_id, "message.status", status_data(message))
            for lease, message in changed
            if message.state is not MessageState.QUEUED
        ]
        bulks: list[tuple[Lease, Bulk]] = []
        for bulk_id, lease in {m.bulk_id: lease for lease, m in changed if m.bulk_id is not None}.items():
            bulk = await self._bulk_within(connection, lease, bulk_id)
            bulks.append((lease, bulk))
            if bulk.done and any(m.bulk_id == bulk_id and _ends(m) for _, m in changed):
                new.append(
                    NewEvent(lease.tenant_id, lease.session_ref, lease.session_id, "bulk.finished", bulk_data(bulk))
                )
        return Changed([message for _, message in changed], await self._events.add(connection, new), bulks)

    async def _bulk_within(self, connection: AsyncConnection, lease: Lease, bulk_id: str) -> Bulk:
        # Of two transactions that end its last messages the second sees what the first did.
        await connection.execute(_LOCK_BULK, {"bulk_id": bulk_id})
        parameters = {"tenant_id": lease.tenant_id, "session_id": lease.session_id, "bulk_id": bulk_id}
        return _bulk_in((await connection.execute(_BULK, parameters)).one())

    def _message(self, tenant_id: str, row: Any) -> OutboxMessage:
        return OutboxMessage(
            message_id=row.message_id,
            number=row.number,
            to=self._recipient(tenant_id, row),
            state=MessageState(row.state),
            paced=row.paced,
            bulk_id=row.bulk_id,
            accepted_at=row.accepted_at,
            send_at=row.send_at,
            deadline=row.deadline,
            attempts=row.attempts,
            error=row.error,
            sent_at=row.sent_at,
            delivered_at=row.delivered_at,
            read_at=row.read_at,
            settled_at=row.settled_at,
        )

    def _recipient(self, tenant_id: str, row: Any) -> str:
        """One that can't be opened must not keep its neighbours from being sent and shown."""
        try:
            place = _recipient_place(tenant_id, row.session_ref, row.message_id)
            return self._sealer.open(bytes(row.recipient), place).decode()
        except AuthStateCorrupt:
            return UNREADABLE

    def _body(self, tenant_id: str, row: Any) -> bytes | None:
        try:
            return self._sealer.open(bytes(row.body), _body_place(tenant_id, row.session_ref, row.message_id))
        except AuthStateCorrupt:
            return None


def queue_of(replica_id: str) -> str:
    """The queue of jobs that only this replica takes."""
    return f"replica:{replica_id}"


def chat_digest(session_ref: int, to: str) -> bytes:
    """What tells chats of a session apart without naming them."""
    return hashlib.sha256(f"{session_ref} {to}".encode()).digest()[:16]


def status_data(message: OutboxMessage) -> dict[str, Any]:
    """The data of a ``message.status`` event."""
    return {
        "message_id": message.message_id,
        "to": message.to,
        "status": message.state,
        "error": message.error,
        "bulk_id": message.bulk_id,
    }


def bulk_data(bulk: Bulk) -> dict[str, Any]:
    """The data of ``bulk.progress`` and ``bulk.finished``."""
    states = {state.value: bulk.states.get(state, 0) for state in MessageState}
    return {"bulk_id": bulk.bulk_id, "total": bulk.total, **states}


def _bulk_in(row: sa.Row[Any]) -> Bulk:
    states = {MessageState(state): int(number) for state, number in (row.states or {}).items()}
    return Bulk(row.bulk_id, row.total, row.created_at, row.cancelled_at, states)


def _ends(message: OutboxMessage) -> bool:
    """Whether the change was the end of waiting, rather than a receipt afterwards."""
    return message.state in (MessageState.SENT, MessageState.FAILED, MessageState.CANCELLED)


async def _session_ref(connection: AsyncConnection, tenant_id: str, session_id: str) -> int:
    found = await connection.execute(
        sa.text("SELECT session_ref FROM sessions WHERE tenant_id = :t AND session_id = :s AND deleted_at IS NULL"),
        {"t": tenant_id, "s": session_id},
    )
    session_ref = found.scalar_one_or_none()
    if session_ref is None:
        raise SessionNotFound
    return int(session_ref)


def _recipient_place(tenant_id: str, session_ref: int, message_id: str) -> bytes:
    return place_of(tenant_id, session_ref, 0, "outbox-recipient", message_id)


def _file_place(tenant_id: str, session_ref: int, message_id: str, part: int) -> bytes:
    return place_of(tenant_id, session_ref, 0, "outbox-file", f"{message_id} {part}")


def _body_place(tenant_id: str, session_ref: int, message_id: str) -> bytes:
    return place_of(tenant_id, session_ref, 0, "outbox-body", message_id)
