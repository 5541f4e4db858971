"""The client as a whole."""

from collections.abc import AsyncIterator, Mapping, Sequence
from copy import copy
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import aiohttp

from orchestrator.client.billing import Billing
from orchestrator.client.bot import Bot
from orchestrator.client.broadcasts import Broadcasts
from orchestrator.client.channels import Channels
from orchestrator.client.chats import Chats, Labels, Presence, Profile
from orchestrator.client.contacts import Contacts
from orchestrator.client.event_stream import StreamEvent, events
from orchestrator.client.groups import Groups
from orchestrator.client.health import Health
from orchestrator.client.logins import Logins
from orchestrator.client.operator import Operator
from orchestrator.client.outbox import Outbox
from orchestrator.client.reminders import ReminderContacts, Schedules, Templates
from orchestrator.client.sessions import Sessions
from orchestrator.client.tenants import Tenants, Tokens
from orchestrator.client.transport import ATTEMPTS, Transport
from orchestrator.client.webhooks import Webhooks
from orchestrator.wire.activity import Activity

T = TypeVar("T")

#: A send may take 45 s until WhatsApp's socket took it.
TIMEOUT_SECONDS = 60.0


class Client:
    """``token`` opens what it is for; with the admin token, ``tenant_id`` says whose things are meant, if not the operator's.

    ``socket``: the unix socket to go through, for processes of the service's own tree. ``http``: connections that are
    somebody else's and outlive this. ``headers``: sent with every request. ``attempts``: how often is asked what may be asked again.
    """

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        tenant_id: str | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        socket: Path | None = None,
        http: aiohttp.ClientSession | None = None,
        headers: Mapping[str, str] | None = None,
        attempts: int = ATTEMPTS,
    ) -> None:
        connector = None if socket is None else aiohttp.UnixConnector(str(socket))
        self._own_http = None if http is not None else aiohttp.ClientSession(connector=connector)
        used = http or self._own_http
        assert used is not None
        self._transport = Transport(used, base_url, token, tenant_id, timeout_seconds, headers or {}, attempts)
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
        self.broadcasts = Broadcasts(self._transport)
        self.billing = Billing(self._transport)
        self.health = Health(self._transport)
        self.reminder_contacts = ReminderContacts(self._transport)
        self.templates = Templates(self._transport)
        self.schedules = Schedules(self._transport)
        self.logins = Logins(self._transport)

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

    async def page(self, path: str, gives: type[T], query: Mapping[str, str | None] | None = None) -> T:
        """One page of any list, or any other thing that is read; what is None in the query is left out."""
        given = {name: value for name, value in (query or {}).items() if value is not None}
        return await self._transport.call("GET", path, gives, query=given)

    async def activity(self, session_ids: Sequence[str] = ()) -> Activity:
        """The last 24 hours of all sessions together, and of each of these."""
        return await self.page("/v1/activity", Activity, {"session_ids": ",".join(session_ids)})

    async def close(self) -> None:
        if self._own_http is not None:
            await self._own_http.close()

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
