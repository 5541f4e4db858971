"""Sending messages through a session that is open."""

from collections.abc import Mapping
from typing import Any

from orchestrator.domain.errors import FieldError, InvalidRequest, SessionNotOpen
from orchestrator.domain.recipient import recipient_jid
from orchestrator.domain.session import Lease
from orchestrator.services.leases import LeaseBook
from orchestrator.services.shards import Shards
from orchestrator.store.sessions import SessionStore


class Messaging:
    """Sends go through what this replica holds, without a look into the database: they go on while that is away."""

    def __init__(self, store: SessionStore, leases: LeaseBook, shards: Shards) -> None:
        self._store = store
        self._leases = leases
        self._shards = shards

    async def send_text(self, tenant_id: str, session_id: str, to: str, text: str) -> tuple[str, str]:
        """Send a text to a number or jid; (message id, jid) once it is written to WhatsApp's socket."""
        jid = recipient_jid(to)
        if jid is None:
            message = "must be a phone number with country code, digits only, or a WhatsApp jid such as 120363@g.us"
            raise InvalidRequest(errors=[FieldError("to", message)])
        lease = self._leases.find(tenant_id, session_id)
        if lease is None:
            await self._store.get(tenant_id, session_id)  # tells a session that isn't held here from one that isn't
            raise SessionNotOpen
        return await self._shards.client_of(lease.session_ref).send_text(lease.session_ref, jid, text)

    async def send_once(self, lease: Lease, jid: str, body: Mapping[str, Any], message_id: str, *, again: bool) -> bool:
        """Send a message of the outbox: whether WhatsApp said that it has it. See ``SidecarClient.send_once``."""
        client = self._shards.client_of(lease.session_ref)
        return await client.send_once(lease.session_ref, {"to": jid, **body}, message_id, again=again)
