"""Messages of chats that are kept: those that came in, moved here when their readers had them, and those that were sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from orchestrator.domain.errors import SessionNotFound
from orchestrator.domain.message_key import CHAT_LENGTH, CHAT_POSITION, chat_key, message_key
from orchestrator.store.database import Database
from orchestrator.store.incoming_messages import event_data
from orchestrator.store.sealing import Sealer, place_of

_NO_NUMBER = 2**63 - 1

_DAYS = sa.text(
    """
    SELECT s.session_ref, coalesce(o.retention_days, t.chat_retention_days) AS days
    FROM sessions s JOIN tenants t USING (tenant_id) LEFT JOIN session_settings o USING (session_ref)
    WHERE s.tenant_id = :tenant_id AND s.session_id = :session_id AND s.deleted_at IS NULL
    """
)

_KEEP = sa.text(
    """
    INSERT INTO kept_messages (session_ref, generation, message_key, chat_key, number, event)
    VALUES (:session_ref, :generation, :message_key, :chat_key, nextval('incoming_messages_number_seq'), :event)
    ON CONFLICT (session_ref, message_key) DO NOTHING
    """
).bindparams(sa.bindparam("event", type_=sa.LargeBinary))

# What came in lately is still where its readers get it from: few rows of a session, looked through by their keys.
_PAGE = sa.text(
    f"""
    SELECT m.number, m.generation, m.message_key, m.event, m.received_at FROM (
        (SELECT number, generation, message_key, event, received_at FROM kept_messages
         WHERE session_ref = :session_ref AND chat_key = :chat_key AND number < :before
         ORDER BY number DESC LIMIT :most)
        UNION ALL
        (SELECT number, generation, message_key, event, received_at FROM incoming_messages
         WHERE session_ref = :session_ref AND substr(message_key, {CHAT_POSITION}, {CHAT_LENGTH}) = :chat_key
           AND number < :before
         ORDER BY number DESC LIMIT :most)
    ) m
    WHERE m.received_at > now() - make_interval(days => :days)
    ORDER BY m.number DESC LIMIT :most
    """  # noqa: S608 (numbers of ours)
).bindparams(sa.bindparam("before", type_=sa.BigInteger))

_PRUNE = sa.text(
    """
    DELETE FROM kept_messages WHERE (session_ref, message_key) IN (
        SELECT k.session_ref, k.message_key
        FROM sessions s JOIN tenants t USING (tenant_id) LEFT JOIN session_settings o USING (session_ref)
        CROSS JOIN LATERAL (
            SELECT session_ref, message_key FROM kept_messages k
            WHERE k.session_ref = s.session_ref
              AND k.received_at <= now() - make_interval(days => coalesce(o.retention_days, t.chat_retention_days))
            ORDER BY k.received_at LIMIT :most
        ) k
        LIMIT :most
    )
    """
)


@dataclass(frozen=True, slots=True)
class KeptMessage:
    """``number`` orders them as they came; ``data`` is that of the event of a message."""

    number: int
    received_at: datetime
    data: dict[str, Any]


class KeptMessageStore:
    """Every method raises ``DatabaseUnavailable`` when it can't know."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def retention(self, tenant_id: str, session_id: str) -> tuple[int, int]:
        """The session's number, and for how many days its chats' messages are kept; ``SessionNotFound``."""
        async with self._database.begin() as connection:
            row = (await connection.execute(_DAYS, {"tenant_id": tenant_id, "session_id": session_id})).one_or_none()
        if row is None:
            raise SessionNotFound
        return row.session_ref, row.days

    async def keep(self, tenant_id: str, session_ref: int, generation: int, data: dict[str, Any]) -> None:
        """A message that was sent through here; ``data`` as of one that came in, its origin included."""
        key = message_key(data["message_id"], data["chat"], data["sender"])
        place = place_of(tenant_id, session_ref, generation, "incoming-message", key)
        parameters = {
            "session_ref": session_ref,
            "generation": generation,
            "message_key": key,
            "chat_key": chat_key(data["chat"]),
            "event": self._sealer.seal(msgspec.json.encode(data), place),
        }
        async with self._database.begin() as connection:
            await connection.execute(_KEEP, parameters)

    async def page(
        self, tenant_id: str, session_ref: int, chat: str, *, days: int, before: int | None, most: int
    ) -> Sequence[KeptMessage]:
        """Up to ``most`` messages of a chat, the newest first, older than number ``before``; ``AuthStateCorrupt``."""
        parameters = {
            "session_ref": session_ref,
            "chat_key": chat_key(chat),
            "before": _NO_NUMBER if before is None else before,
            "days": days,
            "most": most,
        }
        async with self._database.begin() as connection:
            rows = (await connection.execute(_PAGE, parameters)).all()
        found = []
        for row in rows:
            place = place_of(tenant_id, session_ref, row.generation, "incoming-message", row.message_key)
            data = event_data(self._sealer.open(bytes(row.event), place))
            found.append(KeptMessage(row.number, row.received_at, data))
        return found

    async def prune(self, most: int) -> int:
        """Forget up to ``most`` messages whose time is over; how many these were."""
        async with self._database.begin() as connection:
            return (await connection.execute(_PRUNE, {"most": most})).rowcount
