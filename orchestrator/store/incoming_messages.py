"""Incoming messages: kept until a reader of their tenant was given them. The auth-state writer adds the rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from orchestrator.domain.errors import AuthStateCorrupt
from orchestrator.domain.message_key import CHAT_LENGTH, CHAT_POSITION
from orchestrator.store.database import Database
from orchestrator.store.sealing import Sealer, place_of

#: The highest number that a row can have.
_NO_NUMBER = 2**63 - 1

#: Numbers before the last one of a reader that comes back, among which one may have been given to it later: far more than
#: are ever under way at a time.
_REORDERED = 10_000

# Two walks along an index, each in the order of numbers: what nobody was given, session by session, because the index
# of the undelivered is small and begins with the session; and what came after a number, which is what came lately. IS TRUE
# keeps that one walk for all sessions: as a join, it would be repeated for each.
#
# A reader that had ``after`` last had it no sooner than it was stored, so that what was marked as delivered before that was
# given to it, or to others, before. Both times are the server's: the clocks of replicas differ, and jump. What one
# transaction marked was given by one replica, in the order of the microseconds that tell it apart.
_PAGE = sa.text(
    """
    WITH mine AS (
        SELECT session_ref FROM sessions
        WHERE tenant_id = :tenant_id AND deleted_at IS NULL AND session_id = coalesce(:session_id, session_id)
    ), undelivered AS (
        SELECT m.* FROM mine CROSS JOIN LATERAL (
            SELECT * FROM incoming_messages i
            WHERE i.session_ref = mine.session_ref AND i.delivered_at IS NULL AND i.number > :past
            ORDER BY i.number LIMIT :most
        ) m
        ORDER BY m.number LIMIT :most
    ), last AS (
        SELECT received_at AS at, delivered_at, xmin AS marked_by FROM incoming_messages WHERE number = :after
        UNION ALL SELECT at, NULL, NULL FROM stored_events WHERE number = :after
    ), later AS (
        SELECT i.* FROM incoming_messages i LEFT JOIN last ON true
        WHERE i.delivered_at IS NOT NULL AND i.number > greatest(:past, :after - :reordered)
          AND (i.number > :after
               OR i.number < :after AND i.delivered_at >= last.at
                  AND (i.xmin = last.marked_by AND i.delivered_at < last.delivered_at) IS NOT TRUE)
          AND (i.session_ref IN (SELECT session_ref FROM mine)) IS TRUE
        ORDER BY i.number LIMIT :most
    )
    SELECT m.number, m.session_ref, s.session_id, m.generation, m.message_key, m.event, m.received_at
    FROM (SELECT * FROM undelivered UNION ALL SELECT * FROM later ORDER BY number LIMIT :most) m
    JOIN sessions s USING (session_ref)
    ORDER BY m.number
    """
).bindparams(
    sa.bindparam("session_id", type_=sa.Text),
    sa.bindparam("past", type_=sa.BigInteger),
    sa.bindparam("after", type_=sa.BigInteger),
    sa.bindparam("reordered", _REORDERED, type_=sa.BigInteger),
)

_MARK = sa.text(
    """
    UPDATE incoming_messages i SET delivered_at = now() + v.position * interval '1 microsecond'
    FROM unnest(:numbers) WITH ORDINALITY AS v (number, position)
    WHERE i.number = v.number AND i.delivered_at IS NULL
    """
).bindparams(sa.bindparam("numbers", type_=sa.ARRAY(sa.BigInteger)))

# Numbers and times grow together: the first row that is young enough ends the walk along the index. What belongs to chats that
# are kept moves to where they are; it is sealed for the same place.
_PRUNE = sa.text(
    f"""
    WITH gone AS (
        DELETE FROM incoming_messages WHERE number IN (
            SELECT number FROM incoming_messages
            WHERE number < coalesce(
                (SELECT number FROM incoming_messages
                 WHERE received_at >= now() - make_interval(hours => :delivered_hours) ORDER BY number LIMIT 1),
                :no_number
            ) AND (delivered_at < now() - make_interval(hours => :delivered_hours)
                   OR received_at < now() - make_interval(days => :undelivered_days) AND delivered_at IS NULL)
            ORDER BY number LIMIT :most
        )
        RETURNING session_ref, generation, message_key, number, event, received_at, delivered_at
    ), kept AS (
        INSERT INTO kept_messages (session_ref, generation, message_key, chat_key, number, event, received_at)
        SELECT g.session_ref, g.generation, g.message_key, substr(g.message_key, {CHAT_POSITION}, {CHAT_LENGTH}), g.number,
               g.event, g.received_at
        FROM gone g JOIN sessions s USING (session_ref) JOIN tenants t USING (tenant_id)
        LEFT JOIN session_settings o USING (session_ref)
        WHERE s.deleted_at IS NULL
          AND g.received_at > now() - make_interval(days => coalesce(o.retention_days, t.chat_retention_days))
        ON CONFLICT (session_ref, message_key) DO NOTHING
    )
    SELECT delivered_at IS NULL FROM gone
    """  # noqa: S608 (numbers of ours)
).bindparams(sa.bindparam("no_number", _NO_NUMBER, type_=sa.BigInteger))


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A row, still sealed: one that can't be opened must not keep a reader from the others."""

    number: int
    session_id: str
    received_at: datetime
    sealed: bytes
    place: bytes


class IncomingMessageStore:
    """Every method raises ``DatabaseUnavailable`` when it can't know."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def page(
        self, tenant_id: str, session_id: str | None, *, after: int | None, past: int, most: int
    ) -> list[StoredMessage]:
        """The next ``most`` messages past number ``past``, by number: the undelivered, and all after ``after``.

        After it are higher numbers, and lower ones that were delivered after it was stored. Of all sessions of the tenant, or of one. None as ``after``: only the undelivered.
        """
        parameters = {
            "tenant_id": tenant_id,
            "session_id": session_id,
            "past": past,
            "after": _NO_NUMBER if after is None else after,
            "most": most,
        }
        async with self._database.begin() as connection:
            rows = await connection.execute(_PAGE, parameters)
            return [
                StoredMessage(
                    row.number,
                    row.session_id,
                    row.received_at,
                    bytes(row.event),
                    place_of(tenant_id, row.session_ref, row.generation, "incoming-message", row.message_key),
                )
                for row in rows
            ]

    def open(self, message: StoredMessage) -> dict[str, Any]:
        """The data of its event; ``AuthStateCorrupt`` if it can't be opened."""
        return event_data(self._sealer.open(message.sealed, message.place))

    async def mark_delivered(self, numbers: Sequence[int]) -> None:
        """Record that these were given, in this order; the first time counts."""
        async with self._database.begin() as connection:
            await connection.execute(_MARK, {"numbers": list(numbers)})

    async def prune(self, *, delivered_hours: int, undelivered_days: int, most: int) -> tuple[int, int]:
        """Forget up to ``most`` old messages: how many were delivered that long ago, and how many never were."""
        parameters = {"delivered_hours": delivered_hours, "undelivered_days": undelivered_days, "most": most}
        async with self._database.begin() as connection:
            undelivered = list((await connection.execute(_PRUNE, parameters)).scalars())
        return undelivered.count(False), undelivered.count(True)


def event_data(text: bytes) -> dict[str, Any]:
    """The data of the event in an incoming message; ``AuthStateCorrupt`` if it is no JSON object."""
    data = message_data(text)
    data.pop("origin", None)  # kept to refer to the message, not told
    return data


def message_data(text: bytes) -> dict[str, Any]:
    """All of an incoming message's JSON object; ``AuthStateCorrupt`` if it is none."""
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise AuthStateCorrupt("A stored message is no JSON object.") from error
