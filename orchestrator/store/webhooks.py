"""Webhooks, and what is on its way to them.

Deliveries of one session to one webhook are a *stream*, and go one after the other. Whoever wants to work on a stream
claims its row for as long as a few tries take; a replica that dies leaves a claim that runs out. ``woken`` closes the gap
between the last look and going to sleep: whoever adds a delivery makes it grow.
"""

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from orchestrator.domain.errors import (
    AuthStateCorrupt,
    DeliveryNotFound,
    NotReplayable,
    SessionNotFound,
    WebhookLimit,
    WebhookNotFound,
)
from orchestrator.domain.event import new_event_id
from orchestrator.domain.webhook import (
    MOST_WEBHOOKS,
    Attempt,
    Delivery,
    DeliveryState,
    Secret,
    Webhook,
)
from orchestrator.store.database import Database
from orchestrator.store.incoming_messages import event_data
from orchestrator.store.sealing import Sealer, place_of
from orchestrator.store.stored_events import ADD_DELIVERIES, DELIVERY_PARAMETERS, event_place

_COLUMNS = """
    w.webhook_id, w.tenant_id, s.session_id, w.session_ref, w.config, w.events, w.enabled, w.disabled_reason,
    w.failing_since, w.created_at
"""

_DELIVERY_COLUMNS = """
    d.number, d.event_id, d.type, s.session_id, d.state, d.created_at, d.attempts, d.attempted_at, d.duration_ms, d.status,
    d.answer, d.error
"""

# Those of a session that was deleted are hidden as it is.
_PAGE = sa.text(
    f"""
    SELECT {_COLUMNS} FROM webhooks w LEFT JOIN sessions s USING (session_ref)
    WHERE w.tenant_id = :tenant_id AND w.webhook_id > :after AND s.deleted_at IS NULL
      AND (CAST(:session_id AS text) IS NULL OR s.session_id = :session_id)
    ORDER BY w.webhook_id LIMIT :most
    """  # noqa: S608 (constants)
)

_ONE = sa.text(
    f"""
    SELECT {_COLUMNS} FROM webhooks w LEFT JOIN sessions s USING (session_ref)
    WHERE w.tenant_id = :tenant_id AND w.webhook_id = :webhook_id AND s.deleted_at IS NULL
    """  # noqa: S608 (constants)
)

#: The number of what was received last.
_LAST_NUMBER = "(SELECT q.last_value - CASE WHEN q.is_called THEN 0 ELSE 1 END FROM incoming_messages_number_seq q)"

# What was received before isn't told.
_ADD = sa.text(
    f"""
    INSERT INTO webhooks (webhook_id, tenant_id, session_ref, config, events, from_number)
    SELECT :webhook_id, :tenant_id, :session_ref, :config, :events, {_LAST_NUMBER}
    WHERE (SELECT count(*) FROM webhooks w WHERE w.tenant_id = :tenant_id) < :most
    RETURNING webhook_id
    """  # noqa: S608 (a constant)
).bindparams(sa.bindparam("session_ref", type_=sa.BigInteger), sa.bindparam("events", type_=sa.ARRAY(sa.Text)))

# One that was off hears of nothing that was received meanwhile.
_UPDATE = sa.text(
    f"""
    UPDATE webhooks SET config = :config, events = :events, enabled = :enabled, disabled_reason = :reason,
        failing_since = CASE WHEN :enabled AND NOT enabled THEN NULL ELSE failing_since END,
        from_number = CASE WHEN :enabled AND NOT enabled THEN {_LAST_NUMBER} ELSE from_number END
    WHERE webhook_id = :webhook_id
    """  # noqa: S608 (a constant)
).bindparams(sa.bindparam("events", type_=sa.ARRAY(sa.Text)))

# Streams that slept while their webhook was off go on.
_WAKE_STREAMS = sa.text(
    """
    UPDATE webhook_streams t SET next_at = now(), woken = woken + 1, attempts = 0
    WHERE t.webhook_id = :webhook_id AND EXISTS (
        SELECT FROM webhook_deliveries d
        WHERE d.webhook_id = t.webhook_id AND d.session_ref = t.session_ref AND d.state = 'waiting'
    )
    """
)

_INTERESTS = sa.text(
    """
    SELECT w.tenant_id, s.session_id, w.events FROM webhooks w LEFT JOIN sessions s USING (session_ref)
    WHERE w.enabled AND s.deleted_at IS NULL
    """
)

# Each replica keeps in mind what is wanted; all learn of a change, once.
_TELL_REPLICAS = sa.text(
    """
    INSERT INTO procrastinate.procrastinate_jobs (queue_name, task_name, queueing_lock)
    SELECT 'replica:' || replica_id, 'webhooks_changed', 'webhooks:' || replica_id FROM replicas WHERE replica_id <> :own
    ON CONFLICT (queueing_lock) WHERE status = 'todo' DO NOTHING
    """
)

_CURSOR = sa.text(
    """
    INSERT INTO webhook_cursors (session_ref, number)
    SELECT :session_ref, min(w.from_number)
    FROM webhooks w JOIN sessions s ON s.session_ref = :session_ref AND s.tenant_id = w.tenant_id
    WHERE coalesce(w.session_ref, :session_ref) = :session_ref
    HAVING min(w.from_number) IS NOT NULL
    ON CONFLICT (session_ref) DO UPDATE SET number = webhook_cursors.number
    RETURNING number
    """
)

_RECEIVED = sa.text(
    """
    SELECT i.number, i.generation, i.message_key, i.event, s.tenant_id
    FROM incoming_messages i JOIN sessions s USING (session_ref)
    WHERE i.session_ref = :session_ref AND i.number > :number
    ORDER BY i.number LIMIT :most
    """
)

_DELIVER_RECEIVED = sa.text(
    f"""
    WITH made AS (
        SELECT CAST(:session_ref AS bigint) AS session_ref, v.number, v.event_id, 'message.received' AS type, v.payload
        FROM unnest(CAST(:numbers AS bigint[]), CAST(:ids AS text[]), CAST(:payloads AS bytea[])) AS v (number, event_id, payload)
    ), {ADD_DELIVERIES}
    UPDATE webhook_cursors SET number = :last WHERE session_ref = :session_ref
    """  # noqa: S608 (constants)
)

# The newest message of each session is enough to see whether some aren't made deliveries of.
_BEHIND = sa.text(
    """
    SELECT s.session_ref
    FROM sessions s
    LEFT JOIN webhook_cursors c USING (session_ref)
    CROSS JOIN LATERAL (
        SELECT number FROM incoming_messages i WHERE i.session_ref = s.session_ref ORDER BY number DESC LIMIT 1
    ) newest
    WHERE s.session_ref = ANY(CAST(:refs AS bigint[])) AND newest.number > coalesce(c.number, 0)
    """
)

_UNOWNED = sa.text(
    """
    SELECT c.session_ref FROM webhook_cursors c JOIN leases l USING (session_ref)
    JOIN sessions s USING (session_ref)
    WHERE l.owner IS NULL AND s.deleted_at IS NULL
    ORDER BY c.session_ref LIMIT :most
    """
)

_CLAIM = sa.text(
    """
    UPDATE webhook_streams t SET claimed_by = :replica, claimed_until = now() + make_interval(secs => :seconds)
    FROM (
        SELECT t.webhook_id, t.session_ref FROM webhook_streams t JOIN webhooks w USING (webhook_id)
        WHERE t.next_at <= now() AND w.enabled
          AND (t.claimed_by IS NULL OR t.claimed_until < now() OR t.claimed_by = :replica
               OR NOT EXISTS (SELECT FROM replicas r WHERE r.replica_id = t.claimed_by))
          AND (t.webhook_id || ' ' || t.session_ref) <> ALL(CAST(:busy AS text[]))
        ORDER BY t.next_at LIMIT :most
        FOR UPDATE OF t SKIP LOCKED
    ) due
    WHERE t.webhook_id = due.webhook_id AND t.session_ref = due.session_ref
    RETURNING t.webhook_id, t.session_ref, t.woken, t.attempts
    """
)

_NEXT = sa.text(
    f"""
    SELECT {_DELIVERY_COLUMNS}, d.payload, s.tenant_id AS session_tenant, w.webhook_id, w.tenant_id, w.config
    FROM webhook_deliveries d
    JOIN webhooks w USING (webhook_id)
    JOIN sessions s ON s.session_ref = d.session_ref
    WHERE d.webhook_id = :webhook_id AND d.session_ref = :session_ref AND d.state = 'waiting' AND w.enabled
    ORDER BY d.number LIMIT :most
    """  # noqa: S608 (constants)
)

_SETTLE = sa.text(
    """
    UPDATE webhook_deliveries
    SET attempts = attempts + 1, attempted_at = now(), duration_ms = :duration, status = :status, answer = :answer,
        error = :error, state = :state, settled_at = CASE WHEN :state <> 'waiting' THEN now() END,
        payload = CASE WHEN :state = 'delivered' THEN NULL ELSE payload END
    WHERE number = :number AND state = 'waiting'
    """
).bindparams(
    sa.bindparam("status", type_=sa.Integer),
    sa.bindparam("answer", type_=sa.Text),
    sa.bindparam("error", type_=sa.Text),
    sa.bindparam("state", type_=sa.Text),
)

_SUCCEEDED = sa.text(
    "UPDATE webhooks SET failing_since = NULL WHERE webhook_id = :webhook_id AND failing_since IS NOT NULL"
)

_FAILED = sa.text(
    """
    UPDATE webhooks SET failing_since = coalesce(failing_since, now()) WHERE webhook_id = :webhook_id RETURNING failing_since
    """
)

_SWITCH_OFF = sa.text(
    "UPDATE webhooks SET enabled = false, disabled_reason = :reason WHERE webhook_id = :webhook_id AND enabled RETURNING webhook_id"
)

_PROLONG = sa.text(
    """
    UPDATE webhook_streams SET claimed_until = now() + make_interval(secs => :seconds)
    WHERE webhook_id = :webhook_id AND session_ref = :session_ref AND claimed_by = :replica AND claimed_until > now()
    RETURNING woken
    """
)

_SLEEP = sa.text(
    """
    UPDATE webhook_streams SET claimed_by = NULL, claimed_until = NULL, attempts = 0, next_at = NULL
    WHERE webhook_id = :webhook_id AND session_ref = :session_ref AND claimed_by = :replica AND woken = :woken
    """
)

_LATER = sa.text(
    """
    UPDATE webhook_streams
    SET claimed_by = NULL, claimed_until = NULL, attempts = :attempts, next_at = now() + make_interval(secs => :seconds)
    WHERE webhook_id = :webhook_id AND session_ref = :session_ref AND claimed_by = :replica
    """
).bindparams(sa.bindparam("seconds", type_=sa.Double))

_DELIVERIES = sa.text(
    f"""
    SELECT {_DELIVERY_COLUMNS} FROM webhook_deliveries d JOIN sessions s USING (session_ref)
    WHERE d.webhook_id = :webhook_id AND d.number < :before
      AND (CAST(:state AS text) IS NULL OR d.state = :state)
    ORDER BY d.number DESC LIMIT :most
    """  # noqa: S608 (constants)
)

_REPLAY = sa.text(
    """
    WITH again AS (
        UPDATE webhook_deliveries SET state = 'waiting', settled_at = NULL, created_at = now(), attempts = 0
        WHERE webhook_id = :webhook_id AND state = 'dead' AND (CAST(:number AS bigint) IS NULL OR number = :number)
        RETURNING webhook_id, session_ref
    ), streams AS (
        INSERT INTO webhook_streams (webhook_id, session_ref, next_at, woken)
        SELECT webhook_id, session_ref, now(), 1 FROM again GROUP BY webhook_id, session_ref ORDER BY webhook_id, session_ref
        ON CONFLICT (webhook_id, session_ref)
        DO UPDATE SET next_at = coalesce(webhook_streams.next_at, now()), woken = webhook_streams.woken + 1
    )
    SELECT count(*) FROM again
    """
)

_PRUNE = sa.text(
    """
    DELETE FROM webhook_deliveries WHERE number IN (
        SELECT number FROM webhook_deliveries
        WHERE settled_at < now() - make_interval(days => CASE state WHEN 'dead' THEN :dead_days ELSE :days END)
          AND settled_at < now() - make_interval(days => :days)
        ORDER BY settled_at LIMIT :most
    )
    """
)


@dataclass(frozen=True, slots=True)
class Interest:
    """What one webhook wants to hear; ``session_id`` None: of all sessions of the tenant."""

    tenant_id: str
    session_id: str | None
    events: frozenset[str]


@dataclass(frozen=True, slots=True)
class Stream:
    """One session's deliveries to one webhook, claimed. ``attempts``: failed tries of the delivery at its head."""

    webhook_id: str
    session_ref: int
    woken: int
    attempts: int

    @property
    def key(self) -> str:
        return f"{self.webhook_id} {self.session_ref}"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A delivery, where it goes, and the data of its event; None: it can't be opened."""

    tenant_id: str
    url: str
    secrets: tuple[Secret, ...]
    delivery: Delivery
    data: dict[str, Any] | None


class WebhookStore:
    """Every method raises ``DatabaseUnavailable`` when it can't know."""

    def __init__(self, database: Database, sealer: Sealer, replica_id: str) -> None:
        self._database = database
        self._sealer = sealer
        self._replica_id = replica_id

    # -- what users do with them

    async def add(
        self, tenant_id: str, session_id: str | None, url: str, secret: Secret, events: Sequence[str]
    ) -> Webhook:
        """``SessionNotFound``, ``WebhookLimit``."""
        webhook_id = f"wh_{secrets.token_hex(12)}"
        async with self._database.begin() as connection:
            session_ref = None
            if session_id is not None:
                found = await connection.execute(
                    sa.text(
                        "SELECT session_ref FROM sessions WHERE tenant_id = :t AND session_id = :s AND deleted_at IS NULL"
                    ),
                    {"t": tenant_id, "s": session_id},
                )
                session_ref = found.scalar_one_or_none()
                if session_ref is None:
                    raise SessionNotFound
            parameters = {
                "webhook_id": webhook_id,
                "tenant_id": tenant_id,
                "session_ref": session_ref,
                "config": self._sealed_config(tenant_id, webhook_id, url, (secret,)),
                "events": list(events),
                "most": MOST_WEBHOOKS,
            }
            if (await connection.execute(_ADD, parameters)).one_or_none() is None:
                raise WebhookLimit
            await connection.execute(_TELL_REPLICAS, {"own": self._replica_id})
            row = (await connection.execute(_ONE, {"tenant_id": tenant_id, "webhook_id": webhook_id})).one()
        return self._webhook(row, row.session_id)

    async def get(self, tenant_id: str, webhook_id: str) -> Webhook:
        """``WebhookNotFound``."""
        async with self._database.begin() as connection:
            row = (await connection.execute(_ONE, {"tenant_id": tenant_id, "webhook_id": webhook_id})).one_or_none()
        if row is None:
            raise WebhookNotFound
        return self._webhook(row, row.session_id)

    async def page(self, tenant_id: str, session_id: str | None, *, after: str, most: int) -> list[Webhook]:
        """By id, beyond ``after``; of one session, or all."""
        parameters = {"tenant_id": tenant_id, "session_id": session_id, "after": after, "most": most}
        async with self._database.begin() as connection:
            return [self._webhook(row, row.session_id) for row in await connection.execute(_PAGE, parameters)]

    async def replace(self, webhook: Webhook) -> None:
        """Write what may change of it: URL, secrets, events, whether it is on."""
        parameters = {
            "webhook_id": webhook.webhook_id,
            "config": self._sealed_config(webhook.tenant_id, webhook.webhook_id, webhook.url, webhook.secrets),
            "events": list(webhook.events),
            "enabled": webhook.enabled,
            "reason": webhook.disabled_reason,
        }
        async with self._database.begin() as connection:
            if not (await connection.execute(_UPDATE, parameters)).rowcount:
                raise WebhookNotFound
            if webhook.enabled:
                await connection.execute(_WAKE_STREAMS, {"webhook_id": webhook.webhook_id})
            await connection.execute(_TELL_REPLICAS, {"own": self._replica_id})

    async def delete(self, tenant_id: str, webhook_id: str) -> None:
        """With everything that waits for it. ``WebhookNotFound``."""
        async with self._database.begin() as connection:
            gone = await connection.execute(
                sa.text("DELETE FROM webhooks WHERE tenant_id = :tenant_id AND webhook_id = :webhook_id"),
                {"tenant_id": tenant_id, "webhook_id": webhook_id},
            )
            if not gone.rowcount:
                raise WebhookNotFound
            await connection.execute(_TELL_REPLICAS, {"own": self._replica_id})

    async def deliveries(
        self, webhook_id: str, *, state: DeliveryState | None, before: int | None, most: int
    ) -> list[Delivery]:
        """Below number ``before``, newest first."""
        parameters = {
            "webhook_id": webhook_id,
            "state": state,
            "before": 2**62 if before is None else before,
            "most": most,
        }
        async with self._database.begin() as connection:
            return [_delivery(row) for row in await connection.execute(_DELIVERIES, parameters)]

    async def replay(self, webhook_id: str, number: int | None) -> int:
        """Have a delivery that was given up tried again, or all of them; how many. ``NotReplayable``, ``DeliveryNotFound``."""
        parameters = {"webhook_id": webhook_id, "number": number}
        async with self._database.begin() as connection:
            replayed = int((await connection.execute(_REPLAY, parameters)).scalar_one())
            if replayed or number is None:
                return replayed
            there = sa.text("SELECT FROM webhook_deliveries WHERE webhook_id = :webhook_id AND number = :number")
            if (await connection.execute(there, parameters)).one_or_none() is None:
                raise DeliveryNotFound
            raise NotReplayable

    async def interests(self) -> list[Interest]:
        """What all webhooks want that are on."""
        async with self._database.begin() as connection:
            return [
                Interest(row.tenant_id, row.session_id, frozenset(row.events))
                for row in await connection.execute(_INTERESTS)
            ]

    # -- from received messages to deliveries

    async def behind(self, session_refs: Collection[int]) -> list[int]:
        """Those of the sessions that have received messages which aren't made deliveries of."""
        async with self._database.begin() as connection:
            return list((await connection.execute(_BEHIND, {"refs": list(session_refs)})).scalars())

    async def unowned(self, most: int) -> list[int]:
        """Sessions that nobody runs, and that had received messages to deliver before."""
        async with self._database.begin() as connection:
            return list((await connection.execute(_UNOWNED, {"most": most})).scalars())

    async def make_deliveries(self, session_ref: int, most: int) -> int:
        """Make deliveries of the next ``most`` received messages, for each webhook that wants them; how many messages.

        The row of the cursor is locked meanwhile, so that two replicas make them once. Numbers of one session become
        visible in their order, because all its writes go through one lane of its owner.
        """
        async with self._database.begin() as connection:
            number = (await connection.execute(_CURSOR, {"session_ref": session_ref})).scalar_one_or_none()
            if number is None:
                return 0
            parameters = {"session_ref": session_ref, "number": number, "most": most}
            rows = (await connection.execute(_RECEIVED, parameters)).all()
            if not rows:
                return 0
            made: list[tuple[int, str, bytes]] = []
            for row in rows:
                event_id = new_event_id()
                place = place_of(row.tenant_id, session_ref, row.generation, "incoming-message", row.message_key)
                try:
                    data = msgspec.json.encode(event_data(self._sealer.open(bytes(row.event), place)))
                except AuthStateCorrupt:
                    continue  # said by whoever reads it for a stream
                made.append(
                    (row.number, event_id, self._sealer.seal(data, event_place(row.tenant_id, session_ref, event_id)))
                )
            await connection.execute(
                _DELIVER_RECEIVED,
                DELIVERY_PARAMETERS
                | {
                    "session_ref": session_ref,
                    "numbers": [each[0] for each in made],
                    "ids": [each[1] for each in made],
                    "payloads": [each[2] for each in made],
                    "last": rows[-1].number,
                },
            )
            return len(rows)

    # -- delivering

    async def claim(self, *, busy: Collection[str], most: int, seconds: float) -> list[Stream]:
        """Take streams in which something is due, for so many seconds; none that anybody else works on, nor ``busy`` ones."""
        parameters = {"replica": self._replica_id, "busy": list(busy), "most": most, "seconds": seconds}
        async with self._database.begin() as connection:
            return [Stream(*row) for row in await connection.execute(_CLAIM, parameters)]

    async def next_of(self, stream: Stream, most: int) -> list[Waiting]:
        """The oldest that wait in a stream, in order; none while the webhook is off."""
        parameters = {"webhook_id": stream.webhook_id, "session_ref": stream.session_ref, "most": most}
        async with self._database.begin() as connection:
            rows = (await connection.execute(_NEXT, parameters)).all()
        waiting = []
        for row in rows:
            config = self._config(row)
            data = self._data(row, stream.session_ref)
            waiting.append(Waiting(row.tenant_id, config.url, config.secrets, _delivery(row), data))
        return waiting

    async def settle(
        self, stream: Stream, number: int, attempt: Attempt, state: DeliveryState, seconds: float
    ) -> tuple[int | None, datetime | None]:
        """Record a try, and keep the claim for ``seconds`` more.

        ``woken``, or None if the stream is another's now; and since when the webhook has only failed.
        """
        parameters = {
            "number": number,
            "duration": attempt.duration_ms,
            "status": attempt.status,
            "answer": attempt.answer,
            "error": attempt.error,
            "state": state,
        }
        hook = {"webhook_id": stream.webhook_id}
        async with self._database.begin() as connection:
            await connection.execute(_SETTLE, parameters)
            if attempt.succeeded:
                await connection.execute(_SUCCEEDED, hook)
                failing_since = None
            else:
                failing_since = (await connection.execute(_FAILED, hook)).scalar_one_or_none()
            prolong = self._of(stream) | {"seconds": seconds}
            woken = (await connection.execute(_PROLONG, prolong)).scalar_one_or_none()
        return woken, failing_since

    async def sleep(self, stream: Stream, woken: int) -> bool:
        """Let go of a stream in which nothing was left; False if something was added since ``woken``."""
        async with self._database.begin() as connection:
            return (await connection.execute(_SLEEP, self._of(stream) | {"woken": woken})).rowcount > 0

    async def later(self, stream: Stream, attempts: int, seconds: float) -> None:
        """Let go of a stream until then."""
        async with self._database.begin() as connection:
            await connection.execute(_LATER, self._of(stream) | {"attempts": attempts, "seconds": seconds})

    async def prolong(self, stream: Stream, seconds: float) -> int | None:
        """Keep the claim for so long; ``woken``, or None if the stream is another's now."""
        async with self._database.begin() as connection:
            woken = (await connection.execute(_PROLONG, self._of(stream) | {"seconds": seconds})).scalar_one_or_none()
        return None if woken is None else int(woken)

    async def let_go(self) -> None:
        """Give every claim of this replica back: it ends."""
        statement = sa.text(
            "UPDATE webhook_streams SET claimed_by = NULL, claimed_until = NULL WHERE claimed_by = :replica"
        )
        async with self._database.begin() as connection:
            await connection.execute(statement, {"replica": self._replica_id})

    async def switch_off(self, webhook_id: str, reason: str) -> bool:
        """False if it was off already."""
        async with self._database.begin() as connection:
            off = await connection.execute(_SWITCH_OFF, {"webhook_id": webhook_id, "reason": reason})
            if off.one_or_none() is None:
                return False
            await connection.execute(_TELL_REPLICAS, {"own": self._replica_id})
            return True

    async def prune(self, *, days: int, dead_days: int, most: int) -> int:
        """Forget up to ``most`` deliveries that were made, or given up, that long ago; how many."""
        async with self._database.begin() as connection:
            return (await connection.execute(_PRUNE, {"days": days, "dead_days": dead_days, "most": most})).rowcount

    def _of(self, stream: Stream) -> dict[str, Any]:
        return {"webhook_id": stream.webhook_id, "session_ref": stream.session_ref, "replica": self._replica_id}

    def _webhook(self, row: Any, session_id: str | None) -> Webhook:
        config = self._config(row)
        return Webhook(
            webhook_id=row.webhook_id,
            tenant_id=row.tenant_id,
            session_id=session_id,
            url=config.url,
            secrets=config.secrets,
            events=tuple(row.events),
            enabled=row.enabled,
            disabled_reason=row.disabled_reason,
            failing_since=row.failing_since,
            created_at=row.created_at,
        )

    def _config(self, row: Any) -> "_Config":
        place = _place(row.tenant_id, row.webhook_id)
        return msgspec.json.decode(self._sealer.open(bytes(row.config), place), type=_Config)

    def _sealed_config(self, tenant_id: str, webhook_id: str, url: str, of: tuple[Secret, ...]) -> bytes:
        return self._sealer.seal(msgspec.json.encode(_Config(url, of)), _place(tenant_id, webhook_id))

    def _data(self, row: Any, session_ref: int) -> dict[str, Any] | None:
        try:
            text = self._sealer.open(bytes(row.payload), event_place(row.session_tenant, session_ref, row.event_id))
            return msgspec.json.decode(text, type=dict[str, Any])
        except (AuthStateCorrupt, msgspec.MsgspecError):
            return None


@dataclass(frozen=True, slots=True)
class _Config:
    """What is sealed of a webhook: a URL may have a password in it."""

    url: str
    secrets: tuple[Secret, ...]


def _delivery(row: Any) -> Delivery:
    return Delivery(
        number=row.number,
        event_id=row.event_id,
        type=row.type,
        session_id=row.session_id,
        state=DeliveryState(row.state),
        created_at=row.created_at,
        attempts=row.attempts,
        attempted_at=row.attempted_at,
        duration_ms=row.duration_ms,
        status=row.status,
        answer=row.answer,
        error=row.error,
    )


def _place(tenant_id: str, webhook_id: str) -> bytes:
    return place_of(tenant_id, 0, 0, "webhook", webhook_id)
