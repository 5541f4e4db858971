"""Sending messages through a session that is open."""

from orchestrator.domain.errors import FieldError, InvalidRequest, OrchestratorError, SessionNotOpen
from orchestrator.domain.meter import Counter
from orchestrator.domain.recipient import recipient_jid
from orchestrator.services.leases import LeaseBook
from orchestrator.services.shards import Shards
from orchestrator.store.sessions import SessionStore


class Messaging:
    """Sends go through what this replica holds, without a look into the database: they go on while that is away."""

    def __init__(self, store: SessionStore, leases: LeaseBook, shards: Shards) -> None:
        self._store = store
        self._leases = leases
        self._shards = shards
        self.outcomes = Counter()
        """Sends by what became of them: `sent`, or the code of the error."""

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
        try:
            sent = await self._shards.client_of(lease.session_ref).send_text(lease.session_ref, jid, text)
        except OrchestratorError as error:
            self.outcomes.add(error.code)
            raise
        self.outcomes.add("sent")
        return sent
