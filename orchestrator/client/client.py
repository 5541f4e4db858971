"""The client as a whole."""

from collections.abc import AsyncIterator
from copy import copy
from pathlib import Path
from types import TracebackType

import aiohttp

from orchestrator.client.billing import Billing
from orchestrator.client.bot import Bot
from orchestrator.client.channels import Channels
from orchestrator.client.chats import Chats, Labels, Presence, Profile
from orchestrator.client.contacts import Contacts
from orchestrator.client.event_stream import StreamEvent, events
from orchestrator.client.groups import Groups
from orchestrator.client.health import Health
from orchestrator.client.operator import Operator
from orchestrator.client.outbox import Outbox
from orchestrator.client.reminders import ReminderContacts, Schedules, Templates
from orchestrator.client.sessions import Sessions
from orchestrator.client.tenants import Tenants, Tokens
from orchestrator.client.transport import Transport
from orchestrator.client.webhooks import Webhooks

#: A send may take 45 s until WhatsApp's socket took it.
TIMEOUT_SECONDS = 60.0


class Client:
    """``token`` opens what it is for; with the admin token, ``tenant_id`` says whose things are meant, if not the operator's.

    ``socket``: the unix socket to go through, for processes of the service's own tree.
    """

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        tenant_id: str | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        socket: Path | None = None,
    ) -> None:
        connector = None if socket is None else aiohttp.UnixConnector(str(socket))
        self._http = aiohttp.ClientSession(connector=connector)
        self._transport = Transport(self._http, base_url, token, tenant_id, timeout_seconds)
        self._offer()

    def _offer(self) -> None:
        self.sessions = Sessions(self._transport)
        self.outbox = Outbox(self._transport)
        self.chats = Chats(self._transport)
        self.contacts = Contacts(self._transport)
        self.groups = Groups(self._transport)
        self.channels = Channels(self._transport)
        self.labels = Labels(self._transport)
        self.presence = Presence(self._transport)
        self.profile = Profile(self._transport)
        self.webhooks = Webhooks(self._transport)
        self.tokens = Tokens(self._transport)
        self.tenants = Tenants(self._transport)
        self.operator = Operator(self._transport)
        self.bot = Bot(self._transport)
        self.billing = Billing(self._transport)
        self.health = Health(self._transport)
        self.reminder_contacts = ReminderContacts(self._transport)
        self.templates = Templates(self._transport)
        self.schedules = Schedules(self._transport)

    def of(self, tenant_id: str) -> "Client":
        """The same for a tenant's things, with the admin token; it is closed with this one."""
        other = copy(self)
        other._transport = self._transport.of(tenant_id)
        other._offer()
        return other

    def events(self, session_id: str | None = None, *, last_event_id: str | None = None) -> AsyncIterator[StreamEvent]:
        """What happens, as it happens, of all sessions or of one; it connects again by itself and misses no message.

        Each received message is given at least once: what was being dealt with when the reading ended comes again unless
        its id is ``last_event_id`` the next time.
        """
        return events(self._transport, session_id, last_event_id)

    async def close(self) -> None:
        await self._http.close()

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
