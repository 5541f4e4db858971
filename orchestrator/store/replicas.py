"""Replicas in PostgreSQL: each says every second that it lives, learns of the others, and frees the leases of dead ones.

A replica is dead when it was not heard of for its TTL, or for ``SILENT_SECONDS`` while it is also absent: presence is a
session-level advisory lock, which PostgreSQL gives up by itself the moment a killed process's connection ends. Either
sign alone proves nothing soon: presence is lost with any broken connection, and a heartbeat may just be slow.

After an outage of PostgreSQL nobody has been heard of for long. So the time in which nobody could be heard doesn't count:
not that before the server's start and a moment for everybody to come back, and not that in which the one who judges was
cut off itself (``heard_for``). Otherwise the first to come back would take all sessions, and what the others keep in
their journals would be fenced.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import sqlalchemy as sa

from orchestrator.domain.errors import AuthStateCorrupt, DatabaseUnavailable
from orchestrator.domain.replica import Replica
from orchestrator.store.database import connected, outages_translated
from orchestrator.store.sealing import Sealer

#: The first key of the two-key advisory locks that mean presence; the second is hashtext(replica_id).
PRESENCE_CLASS = 0x7761736B
#: Seconds without a heartbeat before an absent replica is dead: an orchestrator that crashed is back by then.
SILENT_SECONDS = 6.0
#: Seconds without a heartbeat before the successor of an absent replica, on its disk, takes what its journal is of.
ABANDONED_SECONDS = 3.0
#: Seconds that replicas may take to come back to a server that was restarted.
RETURN_SECONDS = 10.0
#: Seconds that one use of the connection may take: a heartbeat that hangs longer is better tried anew.
_USE_SECONDS = 4.0
#: The channel that says that leases became free, or that sessions should start or stop.
CHANGED_CHANNEL = "orchestrator_sessions_changed"
TELL_CHANGED = sa.text(f"NOTIFY {CHANGED_CHANNEL}")

#: Whether the replica in a row named ``r`` is present.
_IS_PRESENT = f"""
    (CAST(hashtext(r.replica_id) AS bigint) & 4294967295) IN (
        SELECT CAST(k.objid AS bigint) FROM pg_locks k
        WHERE k.locktype = 'advisory' AND k.granted AND k.objsubid = 2 AND k.classid = {PRESENCE_CLASS}
          AND k.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    )
"""  # noqa: S608 (a constant)

#: Whether the replica in a row named ``r`` seems to live, for showing it: without allowance for outages.
IS_ALIVE = f"""
    r.renewed_at > now() - make_interval(secs => CASE WHEN {_IS_PRESENT} THEN r.ttl_seconds ELSE {SILENT_SECONDS} END)
"""

#: Whether the replica in a row named ``r`` is dead for whoever has its disk: absent, and silent for some heartbeats.
IS_ABANDONED = f"""
    NOT {_IS_PRESENT} AND r.renewed_at < now() - make_interval(secs => {ABANDONED_SECONDS})
"""

# Asked each time, because a pooler may have put another server connection under ours, and taken only when it is missing,
# because session locks stack.
_BE_PRESENT = """
    SELECT pg_try_advisory_lock(%(class)s, hashtext(%(replica_id)s))
    WHERE NOT EXISTS (
        SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND pid = pg_backend_pid()
          AND classid = %(class)s AND CAST(objid AS bigint) = (CAST(hashtext(%(replica_id)s) AS bigint) & 4294967295)
    )
"""

_RENEW = """
    INSERT INTO replicas (replica_id, ttl_seconds, address, peer_token, held, ready)
    VALUES (%(replica_id)s, %(ttl)s, %(address)s, %(peer_token)s, %(held)s, %(ready)s)
    ON CONFLICT (replica_id) DO UPDATE
        SET renewed_at = now(), ttl_seconds = excluded.ttl_seconds, address = excluded.address,
            peer_token = excluded.peer_token, held = excluded.held, ready = excluded.ready
"""

# A clock that was set back must not make a dead replica look alive until the clock is there again.
_LOOK = """
    SELECT r.replica_id, r.address, r.peer_token, r.held, r.ready, r.renewed_at > now() + interval '1 second',
        r.renewed_at < now() - make_interval(secs => %(silent)s),
        CASE WHEN r.started_at < pg_postmaster_start_time()
            THEN extract(epoch FROM now() - pg_postmaster_start_time()) ELSE 'Infinity' END :: float8
    FROM replicas r WHERE r.replica_id <> %(replica_id)s
"""
_SET_BACK = "UPDATE replicas SET renewed_at = now() WHERE renewed_at > now() + interval '1 second'"

_NOW = "SELECT extract(epoch FROM clock_timestamp())::float8, inet_client_addr()::text"

# A replica that claims at this moment has locked its row: the deletion waits for it, and finds it alive.
_BURY = f"""
    WITH dead AS (
        DELETE FROM replicas r
        WHERE r.replica_id <> %(replica_id)s AND r.replica_id <> ALL (%(spared)s)
          AND now() - greatest(r.renewed_at, pg_postmaster_start_time() + make_interval(secs => %(return)s))
              > make_interval(secs => CASE WHEN {_IS_PRESENT} THEN r.ttl_seconds ELSE least(%(silent)s, r.ttl_seconds) END)
          AND %(heard_for)s > CASE WHEN {_IS_PRESENT} THEN r.ttl_seconds ELSE least(%(silent)s, r.ttl_seconds) END
        RETURNING r.replica_id
    ), freed AS (
        UPDATE leases l SET owner = NULL FROM dead WHERE l.owner = dead.replica_id RETURNING l.session_ref
    )
    SELECT (SELECT array_agg(replica_id) FROM dead), (SELECT count(*) FROM freed)
"""  # noqa: S608 (constants)

# Leases that replicas of the version before let run out.
_END_TERMS = "UPDATE leases SET owner = NULL, expires_at = NULL WHERE expires_at <= now()"

_LEAVE = (
    "DELETE FROM replicas r WHERE r.replica_id = %s AND NOT EXISTS (SELECT FROM leases l WHERE l.owner = r.replica_id)"
)


@dataclass(frozen=True, slots=True)
class Own:
    """What a replica tells the others of itself."""

    address: str | None
    held: int
    ready: bool


@dataclass(frozen=True, slots=True)
class Look:
    """The other replicas; of those that have been silent, by id, the seconds since the server started under them (infinite if
    they are younger); how many leases ran out that had a term; the server's clock, and our address as the server sees it."""

    others: Sequence[Replica]
    silent: Mapping[str, float]
    ran_out: int
    server_seconds: float
    own_host: str | None


class ReplicaStore:
    """One replica's connection for this alone: neither slow statements nor a used-up pool delay a heartbeat.

    Every method raises ``DatabaseUnavailable``, and the next call tries a new connection.
    """

    def __init__(self, url: str, replica_id: str, ttl_seconds: float, peer_token: str, sealer: Sealer) -> None:
        self._url = url
        self._replica_id = replica_id
        self._ttl = ttl_seconds
        self._sealer = sealer
        self._sealed_token = sealer.seal(peer_token.encode(), _place(replica_id))
        self._connection: psycopg.AsyncConnection[tuple[Any, ...]] | None = None

    async def renew(self, own: Own) -> Look:
        """Be present, say that we live, and look at the others."""
        parameters = {
            "class": PRESENCE_CLASS,
            "replica_id": self._replica_id,
            "ttl": self._ttl,
            "silent": SILENT_SECONDS,
            "address": own.address,
            "peer_token": self._sealed_token,
            "held": own.held,
            "ready": own.ready,
        }
        async with self._connected() as connection:
            async with connection.pipeline():
                await connection.execute(_BE_PRESENT, parameters)
                await connection.execute(_RENEW, parameters)
                looked = await connection.execute(_LOOK, parameters)
                ended = await connection.execute(_END_TERMS)
                told = await connection.execute(_NOW)
                rows, now = await looked.fetchall(), await told.fetchone()
            if any(row[5] for row in rows):
                await connection.execute(_SET_BACK)
        assert now is not None
        others = [self._replica(*row[:5]) for row in rows]
        return Look(others, {row[0]: row[7] for row in rows if row[6]}, ended.rowcount, now[0], now[1])

    async def bury(self, heard_for: float, spared: Collection[str] = ()) -> tuple[list[str], int]:
        """Free the leases of dead replicas, judged by one who could have heard them for that many seconds and knows that
        those that are ``spared`` live.

        Returns who they were and how many leases are free now.
        """
        parameters = {
            "replica_id": self._replica_id,
            "silent": SILENT_SECONDS,
            "return": RETURN_SECONDS,
            "heard_for": heard_for,
            "spared": list(spared),
        }
        async with self._connected() as connection:
            row = await (await connection.execute(_BURY, parameters)).fetchone()
        assert row is not None
        return row[0] or [], row[1]

    async def changed(self, seconds: float) -> bool:
        """Wait that long for the news that leases became free, or that sessions should start or stop."""
        async with self._connected(seconds) as connection:
            async for _ in connection.notifies(timeout=seconds, stop_after=1):
                return True
        return False

    async def leave(self) -> None:
        """Be forgotten at once, unless some lease is kept for a successor's journal."""
        async with self._connected() as connection:
            await connection.execute(_LEAVE, (self._replica_id,))

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    @asynccontextmanager
    async def _connected(self, seconds: float = 0.0) -> AsyncIterator[psycopg.AsyncConnection[tuple[Any, ...]]]:
        """The connection for one use; it is given up when that fails."""
        try:
            async with outages_translated(seconds + _USE_SECONDS):
                if self._connection is None:
                    self._connection = await connected(self._url, "orchestrator presence")
                    await self._connection.execute(f"LISTEN {CHANGED_CHANNEL}")
                yield self._connection
        except DatabaseUnavailable:
            await self.close()
            raise

    def _replica(self, replica_id: str, address: str | None, token: bytes | None, held: int, ready: bool) -> Replica:
        try:
            opened = None if token is None else self._sealer.open(token, _place(replica_id)).decode()
        except AuthStateCorrupt:  # sealed with a key that isn't given here: it can't be talked to
            opened = None
        return Replica(replica_id, address, opened, held, ready)


def _place(replica_id: str) -> bytes:
    return b"peer token of replica " + replica_id.encode()
