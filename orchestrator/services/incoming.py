"""Incoming messages, delivered from PostgreSQL at least once: contract 4.7 of the architecture."""

from typing import Any

import msgspec
import structlog

from orchestrator.domain.session import Lease
from orchestrator.services.events import EventBus

log = structlog.get_logger(__name__)


class IncomingMessages:
    def __init__(self, events: EventBus) -> None:
        self._events = events

    def committed(self, lease: Lease, number: int, data: bytes) -> None:
        """Tell the listeners of a message that PostgreSQL has as row ``number``; ``data`` is its JSON. Never raises."""
        try:
            decoded = msgspec.json.decode(data, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            log.error("incoming message is no JSON object", session_id=lease.session_id, number=number, error=str(error))
            return
        self._events.publish(lease.tenant_id, "message.received", lease.session_id, decoded, number)
