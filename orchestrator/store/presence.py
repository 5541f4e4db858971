"""Presence: a session-level advisory lock that PostgreSQL gives up by itself the moment this process's connection ends.

A lease alone can't tell a dead owner from a quiet one before it expires. Presence shortens that wait: the kernel closes
a killed process's connection at once, PostgreSQL then drops the lock, and a lease whose owner is absent *and* late with
its renewal is free (store/leases.py). It never prolongs anything: where the lock survives its owner, as behind a
transaction pooler or after a power cut, the lease still expires.
"""

import psycopg

from orchestrator.domain.errors import DatabaseUnavailable
from orchestrator.store.database import outages_translated

#: The first key of the two-key advisory locks that mean presence; the second is hashtext(owner).
PRESENCE_CLASS = 0x7761736B

#: Whether the owner in a column named ``l.owner`` is present; takes the parameter ``presence_class``.
OWNER_IS_PRESENT = """
    (CAST(hashtext(l.owner) AS bigint) & 4294967295) IN (
        SELECT CAST(k.objid AS bigint) FROM pg_locks k
        WHERE k.locktype = 'advisory' AND k.granted AND k.objsubid = 2 AND k.classid = :presence_class
          AND k.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    )
"""

# Asked each time, because a pooler may have put another server connection under ours, and taken only when it is missing,
# because session locks stack.
_HOLD = """
    SELECT pg_try_advisory_lock(%(class)s, hashtext(%(owner)s))
    WHERE NOT EXISTS (
        SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND pid = pg_backend_pid()
          AND classid = %(class)s AND CAST(objid AS bigint) = (CAST(hashtext(%(owner)s) AS bigint) & 4294967295)
    )
"""


class Presence:
    """Holds the lock of one owner on a connection of its own."""

    def __init__(self, url: str, owner: str) -> None:
        self._url = url
        self._owner = owner
        self._connection: psycopg.AsyncConnection[tuple[object, ...]] | None = None

    async def hold(self) -> None:
        """See to it that the lock is held, over a new connection if the last one broke; ``DatabaseUnavailable`` if not."""
        try:
            async with outages_translated():
                if self._connection is None:
                    self._connection = await psycopg.AsyncConnection.connect(
                        self._url, autocommit=True, application_name="orchestrator presence"
                    )
                await self._connection.execute(_HOLD, {"class": PRESENCE_CLASS, "owner": self._owner})
        except DatabaseUnavailable:
            await self.close()
            raise

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
