"""Messages by their id: what came in, as long as it is kept, and what this account sent through here."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from orchestrator.domain.message_key import id_key
from orchestrator.store.database import Database
from orchestrator.store.incoming_messages import message_data
from orchestrator.store.sealing import Sealer, place_of

#: Senders choose the ids of their messages; more of one id than that are somebody's game.
_MOST_OF_ONE_ID = 20

# A key begins with a digest of the message id, in hexadecimal digits, which "g" follows in every collation.
_RECEIVED = sa.text(
    """
    SELECT message_key, generation, event FROM (
        SELECT number, message_key, generation, event FROM incoming_messages
        WHERE session_ref = :session_ref AND message_key >= :id_key AND message_key < :id_key || 'g'
        UNION ALL
        SELECT number, message_key, generation, event FROM kept_messages
        WHERE session_ref = :session_ref AND message_key >= :id_key AND message_key < :id_key || 'g'
    ) m
    ORDER BY number LIMIT :most
    """
).bindparams(sa.bindparam("most", _MOST_OF_ONE_ID, type_=sa.BigInteger))

_SENT = sa.text(
    "SELECT generation, message FROM sent_messages WHERE session_ref = :session_ref AND message_id = :message_id"
)


@dataclass(frozen=True, slots=True)
class KnownMessage:
    """A message that came in. ``origin`` is what the sidecar wants to have back when the message is referred to."""

    data: dict[str, Any]
    origin: dict[str, Any]


class MessageStore:
    """Every method raises ``DatabaseUnavailable`` when it can't know, and ``AuthStateCorrupt`` for what can't be opened."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def received(self, tenant_id: str, session_ref: int, message_id: str) -> list[KnownMessage]:
        """Everything with this id that came in and can be referred to."""
        async with self._database.begin() as connection:
            rows = (
                await connection.execute(_RECEIVED, {"session_ref": session_ref, "id_key": id_key(message_id)})
            ).all()
        found = []
        for row in rows:
            place = place_of(tenant_id, session_ref, row.generation, "incoming-message", row.message_key)
            data = message_data(self._sealer.open(bytes(row.event), place))
            origin = data.pop("origin", None)
            if origin is not None and data["message_id"] == message_id:
                found.append(KnownMessage(data, origin))
        return found

    async def sent(self, tenant_id: str, session_ref: int, message_id: str) -> bytes | None:
        """The content of a message that was sent through here, as WhatsApp has it; None if it isn't kept."""
        parameters = {"session_ref": session_ref, "message_id": message_id}
        async with self._database.begin() as connection:
            row = (await connection.execute(_SENT, parameters)).one_or_none()
        if row is None:
            return None
        place = place_of(tenant_id, session_ref, row.generation, "sent-message", message_id)
        return self._sealer.open(bytes(row.message), place)
