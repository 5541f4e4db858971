"""Events that are kept: for streams that resume, and as deliveries to the webhooks that want them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.event import Event, new_event_id
from orchestrator.domain.webhook import ALL, EVENT_TYPES
from orchestrator.store.database import Database
from orchestrator.store.sealing import Sealer, place_of

#: Numbers before a reader's last one among which some may have been committed after it.
_REORDERED = 10_000
_REORDERED_SECONDS = 10

# A new delivery wakes its stream; the streams are locked in one order by everybody.
ADD_DELIVERIES = """
    queued AS (
        INSERT INTO webhook_deliveries (webhook_id, session_ref, event_id, type, payload)
        SELECT w.webhook_id, e.session_ref, e.event_id, e.type, e.payload
        FROM made e
        JOIN sessions s ON s.session_ref = e.session_ref AND s.deleted_at IS NULL
        JOIN webhooks w ON w.tenant_id = s.tenant_id AND w.enabled AND coalesce(w.session_ref, e.session_ref) = e.session_ref
            AND (e.type = ANY(w.events) OR :all_types = ANY(w.events) AND e.type = ANY(CAST(:known_types AS text[])))
            AND w.from_number < e.number
            AND (w.session_ref IS NOT NULL
                 OR NOT EXISTS (SELECT FROM session_settings o WHERE o.session_ref = e.session_ref AND o.own_webhooks_only))
        ORDER BY e.number
        RETURNING webhook_id, session_ref
    ), streams AS (
        INSERT INTO webhook_streams (webhook_id, session_ref, next_at, woken)
        SELECT webhook_id, session_ref, now(), 1 FROM queued GROUP BY webhook_id, session_ref ORDER BY webhook_id, session_ref
        ON CONFLICT (webhook_id, session_ref)
        DO UPDATE SET next_at = coalesce(webhook_streams.next_at, now()), woken = webhook_streams.woken + 1
    )
"""

#: Parameters of ``ADD_DELIVERIES``.
DELIVERY_PARAMETERS = {"all_types": ALL, "known_types": sorted(EVENT_TYPES)}

_ADD = sa.text(
    f"""
    WITH made AS (
        INSERT INTO stored_events (session_ref, event_id, type, data)
        SELECT v.session_ref, v.event_id, v.type, v.data
        FROM unnest(CAST(:refs AS bigint[]), CAST(:ids AS text[]), CAST(:types AS text[]), CAST(:datas AS bytea[]))
            WITH ORDINALITY AS v (session_ref, event_id, type, data, position)
        JOIN sessions s USING (session_ref)
        ORDER BY v.position
        RETURNING number, session_ref, event_id, type, data AS payload, at
    ), {ADD_DELIVERIES}
    SELECT number, event_id, at FROM made
    """  # noqa: S608 (a constant)
)

_REFS = sa.text(
    """
    SELECT DISTINCT s.tenant_id, s.session_id, s.session_ref
    FROM unnest(CAST(:tenants AS text[]), CAST(:sessions AS text[])) AS v (tenant_id, session_id)
    JOIN sessions s USING (tenant_id, session_id)
    WHERE s.deleted_at IS NULL
    """
)

_PAGE = sa.text(
    """
    SELECT e.number, e.session_ref, s.session_id, e.event_id, e.type, e.data, e.at
    FROM stored_events e JOIN sessions s USING (session_ref)
    WHERE s.tenant_id = :tenant_id AND s.deleted_at IS NULL AND s.session_id = coalesce(:session_id, s.session_id)
      AND e.number > greatest(:past, :after - :reordered)
      AND (e.number > :after
           OR e.at > (SELECT max(at) FROM (
                SELECT at FROM stored_events WHERE number = :after
                UNION ALL SELECT received_at FROM incoming_messages WHERE number = :after
              ) AS last) - make_interval(secs => :seconds))
      AND e.number <> :after
    ORDER BY e.number LIMIT :most
    """
).bindparams(
    sa.bindparam("session_id", type_=sa.Text),
    sa.bindparam("past", type_=sa.BigInteger),
    sa.bindparam("after", type_=sa.BigInteger),
    sa.bindparam("reordered", _REORDERED, type_=sa.BigInteger),
    sa.bindparam("seconds", _REORDERED_SECONDS, type_=sa.Integer),
)

_PRUNE = sa.text(
    """
    DELETE FROM stored_events WHERE number IN (
        SELECT number FROM stored_events WHERE at < now() - make_interval(hours => :hours) ORDER BY number LIMIT :most
    )
    """
)


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event about to be stored."""

    tenant_id: str
    session_ref: int
    session_id: str
    type: str
    data: dict[str, Any]
    event_id: str = ""


class StoredEvents:
    """Every method raises ``DatabaseUnavailable`` when it can't know."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def add(self, connection: AsyncConnection, new: Sequence[NewEvent]) -> list[Event]:
        """Store these within a transaction, in this order, and make deliveries of them; what is to be told once it commits."""
        if not new:
            return []
        ids = [event.event_id or new_event_id() for event in new]
        parameters = DELIVERY_PARAMETERS | {
            "refs": [event.session_ref for event in new],
            "ids": ids,
            "types": [event.type for event in new],
            "datas": [
                self._sealer.seal(
                    msgspec.json.encode(event.data), event_place(event.tenant_id, event.session_ref, name)
                )
                for event, name in zip(new, ids, strict=True)
            ],
        }
        rows = {row.event_id: row for row in await connection.execute(_ADD, parameters)}
        return [
            Event(
                event.tenant_id,
                event.type,
                event.session_id,
                event.data,
                rows[name].at,
                rows[name].number,
                event_id=name,
            )
            for event, name in zip(new, ids, strict=True)
            if name in rows
        ]

    async def add_live(self, events: Sequence[Event]) -> None:
        """Store events that were told already; those of sessions that are gone are left out."""
        asked = {
            "tenants": [event.tenant_id for event in events],
            "sessions": [event.session_id for event in events],
        }
        async with self._database.begin() as connection:
            found = await connection.execute(_REFS, asked)
            refs = {(row.tenant_id, row.session_id): row.session_ref for row in found}
            new = [
                NewEvent(event.tenant_id, ref, event.session_id, event.type, event.data)
                for event in events
                if (ref := refs.get((event.tenant_id, event.session_id))) is not None
            ]
            await self.add(connection, new)

    async def page(self, tenant_id: str, session_id: str | None, *, after: int, past: int, most: int) -> list[Event]:
        """The next ``most`` events past number ``past`` that were stored after number ``after``, by number.

        A transaction may be committed later than one with a higher number: those of the last seconds are given once more.
        """
        parameters = {"tenant_id": tenant_id, "session_id": session_id, "after": after, "past": past, "most": most}
        async with self._database.begin() as connection:
            rows = (await connection.execute(_PAGE, parameters)).all()
        return [
            Event(
                tenant_id,
                row.type,
                row.session_id,
                self._open(tenant_id, row.session_ref, row.event_id, row.data),
                row.at,
                row.number,
                event_id=row.event_id,
            )
            for row in rows
        ]

    async def prune(self, *, hours: int, most: int) -> int:
        """Forget up to ``most`` events that are older; how many."""
        async with self._database.begin() as connection:
            return (await connection.execute(_PRUNE, {"hours": hours, "most": most})).rowcount

    def _open(self, tenant_id: str, session_ref: int, event_id: str, sealed: bytes) -> dict[str, Any]:
        text = self._sealer.open(bytes(sealed), event_place(tenant_id, session_ref, event_id))
        return msgspec.json.decode(text, type=dict[str, Any])


def event_place(tenant_id: str, session_ref: int, event_id: str) -> bytes:
    """The associated data of an event, and of its deliveries."""
    return place_of(tenant_id, session_ref, 0, "event", event_id)
