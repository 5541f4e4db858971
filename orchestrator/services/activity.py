"""What sessions did, counted here and written down once a minute, so that pictures can be drawn of it after a restart too.

A replica that is killed loses the messages that it counted since the last minute; the messages themselves are elsewhere.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime

from orchestrator.domain.activity import BackupMinute, ConnectionChange, Hour
from orchestrator.domain.errors import DatabaseUnavailable
from orchestrator.domain.meter import Histogram, MessageMeter
from orchestrator.domain.session import ConnectionState
from orchestrator.services.connections import Connections
from orchestrator.services.leases import LeaseBook
from orchestrator.services.shards import Shards
from orchestrator.store.activity import ActivityStore
from orchestrator.store.sessions import SessionStore

KEPT_DAYS = 14.0
#: Changes of a session's connection that are kept.
MOST_CHANGES = 500
#: Hours that a picture of a session shows.
HOURS = 168
#: Hours that the pictures of many sessions show.
DAY_HOURS = 24
#: Minutes that the picture of the backups shows.
MINUTES = 120
#: What "slow" is: the time within which this part of the writes was durable.
_SLOW = 0.95


class Activity:
    def __init__(
        self,
        store: ActivityStore,
        sessions: SessionStore,
        leases: LeaseBook,
        connections: Connections,
        shards: Shards,
        messages: MessageMeter,
        writes: Histogram,
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._leases = leases
        self._connections = connections
        self._shards = shards
        self._messages = messages
        self._writes = writes
        self._written = list(writes.counts)

    async def record(self) -> None:
        """Write down what was counted since the last time. Raises ``DatabaseUnavailable``, and keeps what was counted."""
        sent, received = self._messages.take()
        counts = list(self._writes.counts)
        fresh = [now - before for now, before in zip(counts, self._written, strict=True)]
        moment = datetime.now(UTC)  # the store has a better one
        held = self._leases.held
        hours = {}
        for ref in {*held, *sent, *received}:
            is_open = ref in held and self._connections.of(ref).state is ConnectionState.OPEN
            hours[ref] = Hour(moment, int(ref in held), int(is_open), sent.get(ref, 0), received.get(ref, 0))
        journal = sum(shard.listing.journal.bytes for shard in self._shards if shard.listing is not None)
        slow_seconds = self._writes.within(_SLOW, fresh)
        try:
            minute = BackupMinute(moment, sum(fresh), slow_seconds, journal)
            await self._store.add(self._leases.owner, hours, minute)
        except DatabaseUnavailable:
            self._messages.put_back(sent, received)
            raise
        self._written = counts

    async def of_session(self, tenant_id: str, session_id: str) -> Sequence[Hour]:
        """Its last 168 hours, oldest first, without those in which nobody ran it; ``SessionNotFound``."""
        await self._sessions.get(tenant_id, session_id)
        return (await self._store.of_sessions(tenant_id, [session_id], hours=HOURS))[session_id]

    async def changes(
        self, tenant_id: str, session_id: str, *, before: int | None, most: int
    ) -> Sequence[ConnectionChange]:
        """How its connection changed, newest first; ``SessionNotFound``."""
        await self._sessions.get(tenant_id, session_id)
        return await self._store.changes(tenant_id, session_id, before=before, most=most)

    async def of_sessions(self, tenant_id: str, session_ids: Collection[str]) -> Mapping[str, Sequence[Hour]]:
        """The last 24 hours of each of these sessions; nothing for one that there isn't."""
        return await self._store.of_sessions(tenant_id, session_ids, hours=DAY_HOURS)

    async def of_all(self, tenant_id: str | None) -> Sequence[Hour]:
        """The last 24 hours of a tenant's sessions together, or of all tenants'."""
        return await self._store.of_all(tenant_id, hours=DAY_HOURS)

    async def backups(self) -> Sequence[BackupMinute]:
        """The last two hours of all replicas, by the minute."""
        return await self._store.backups(minutes=MINUTES)

    async def forget_old(self) -> None:
        """Raises ``DatabaseUnavailable``."""
        await self._store.forget(days=KEPT_DAYS, most_changes=MOST_CHANGES)
