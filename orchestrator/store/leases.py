"""Leases: who may run a session, in single statements against PostgreSQL's own clock.

A lease is free when nobody owns it, when it has expired, or when its owner is absent (store/presence.py) and has missed
a renewal. Either sign alone proves nothing: presence is lost with any broken connection, and a renewal may just be slow.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from orchestrator.domain.errors import LeaseBusy
from orchestrator.domain.session import Lease
from orchestrator.store.database import Database
from orchestrator.store.presence import OWNER_IS_PRESENT, PRESENCE_CLASS

#: Seconds by which a renewal may be late before an absent owner counts as dead.
LATE_SECONDS = 1.0

_FREE = f"""
    (l.owner IS NULL OR l.owner = :owner OR l.expires_at <= now()
     OR (l.expires_at <= now() + make_interval(secs => :ttl - :late) AND NOT {OWNER_IS_PRESENT}))
"""

# SKIP LOCKED: replicas that claim at the same moment take different sessions instead of queueing for the same ones.
_CLAIM = sa.text(
    f"""
    WITH free AS (
        SELECT s.session_ref
        FROM sessions s
        JOIN generations g ON g.session_ref = s.session_ref AND g.generation = s.generation
        LEFT JOIN leases l ON l.session_ref = s.session_ref
        WHERE s.desired_state = 'running' AND s.deleted_at IS NULL AND g.set_aside_at IS NULL
          AND (l.session_ref IS NULL OR {_FREE}) AND s.session_ref <> ALL(CAST(:held AS bigint[]))
        ORDER BY g.paired_at NULLS LAST, s.session_ref
        LIMIT :most
        FOR UPDATE OF s SKIP LOCKED
    ), claimed AS (
        INSERT INTO leases AS l (session_ref, owner, epoch, expires_at)
        SELECT session_ref, :owner, 1, now() + make_interval(secs => :ttl) FROM free
        ON CONFLICT (session_ref) DO UPDATE
            SET owner = excluded.owner, epoch = l.epoch + 1, expires_at = excluded.expires_at, recovered_epoch = NULL
            WHERE {_FREE}
        RETURNING l.session_ref, l.epoch
    )
    SELECT c.session_ref, c.epoch, s.session_id, s.tenant_id, s.generation
    FROM claimed c JOIN sessions s USING (session_ref)
    """  # noqa: S608 (both pieces are constants)
)

_HELD = sa.text(
    """
    SELECT l.session_ref, l.epoch, s.session_id, s.tenant_id, s.generation
    FROM leases l JOIN sessions s USING (session_ref)
    WHERE l.owner = :owner AND s.deleted_at IS NULL
    """
)

_RENEW = sa.text(
    """
    UPDATE leases l
    SET expires_at = now() + make_interval(secs => :ttl), last_backup_at = coalesce(v.backup_at, l.last_backup_at)
    FROM unnest(CAST(:refs AS bigint[]), CAST(:epochs AS bigint[]), CAST(:backups AS timestamptz[])) AS v (session_ref, epoch, backup_at)
    WHERE l.session_ref = v.session_ref AND l.epoch = v.epoch AND l.owner = :owner
    RETURNING l.session_ref, (
        SELECT s.desired_state = 'running' AND s.deleted_at IS NULL FROM sessions s WHERE s.session_ref = l.session_ref
    ) AS wanted
    """
)

_RELEASE = sa.text(
    """
    UPDATE leases l SET owner = NULL, expires_at = now()
    FROM unnest(CAST(:refs AS bigint[]), CAST(:epochs AS bigint[])) AS v (session_ref, epoch)
    WHERE l.session_ref = v.session_ref AND l.epoch = v.epoch AND l.owner = :owner
    """
)

_ADVANCE = sa.text(
    """
    UPDATE leases SET epoch = epoch + 1, recovered_epoch = NULL
    WHERE session_ref = :session_ref AND epoch = :epoch AND owner = :owner
    RETURNING epoch
    """
)

# Whoever ran the session since has made the epoch higher, and no recovery's. One that died before it heard the answer
# asks again for the same epoch.
_RECOVER = sa.text(
    f"""
    UPDATE leases l
    SET owner = :owner, epoch = l.epoch + 1, expires_at = now() + make_interval(secs => :ttl), recovered_epoch = :epoch
    FROM sessions s JOIN generations g USING (session_ref, generation)
    WHERE s.session_ref = l.session_ref AND l.session_ref = :session_ref
      AND :epoch IN (l.epoch, l.recovered_epoch)
      AND s.generation = :generation AND s.deleted_at IS NULL AND g.set_aside_at IS NULL AND {_FREE}
    RETURNING l.session_ref, l.epoch, s.session_id, s.tenant_id, s.generation
    """  # noqa: S608 (a constant)
)

_STILL_BUSY = sa.text(
    """
    SELECT 1 FROM leases l JOIN sessions s USING (session_ref) JOIN generations g USING (session_ref, generation)
    WHERE session_ref = :session_ref AND :epoch IN (l.epoch, l.recovered_epoch) AND generation = :generation
      AND s.deleted_at IS NULL AND g.set_aside_at IS NULL
    """
)

# The epochs stay: a journal that the processes before left on this disk is written under the next ones.
_EXPIRE_OTHERS = sa.text("UPDATE leases SET owner = NULL, expires_at = now() WHERE owner <> :owner")


class LeaseStore:
    """This replica's leases. ``DatabaseUnavailable`` means *unknown*: neither renewed nor lost."""

    def __init__(self, database: Database, owner: str, ttl_seconds: float) -> None:
        self._database = database
        self.owner = owner
        self._ttl = ttl_seconds

    async def claim(self, most: int, held: Collection[int] = ()) -> list[Lease]:
        """Take up to ``most`` free leases of sessions that should run; paired sessions come first.

        Those in ``held`` stay as they are even when they ran out: only a renewal may tell that they are lost, and a new
        epoch would fence our own writes that waited for the database. Ours that are not in it are leftovers, and free.
        """
        async with self._database.begin() as connection:
            rows = await connection.execute(_CLAIM, self._timing() | {"most": most, "held": list(held)})
            return [_from_row(row) for row in rows]

    def _timing(self) -> dict[str, Any]:
        return {
            "owner": self.owner,
            "ttl": self._ttl,
            "late": self._ttl / 3 + LATE_SECONDS,
            "presence_class": PRESENCE_CLASS,
        }

    async def held(self) -> list[Lease]:
        """The leases that this replica holds, as after a restart of the orchestrator alone; also of sessions that should
        stop: the sidecar may still be writing their last changes.
        """
        async with self._database.begin() as connection:
            return [_from_row(row) for row in await connection.execute(_HELD, {"owner": self.owner})]

    async def renew(self, held: Collection[Lease], backups: Mapping[int, datetime]) -> dict[int, bool]:
        """Prolong all of ``held`` in one statement.

        The answer has those renewed, with whether the session should still run; whichever is missing is lost.
        """
        if not held:
            return {}
        parameters = {
            "owner": self.owner,
            "ttl": self._ttl,
            "refs": [lease.session_ref for lease in held],
            "epochs": [lease.epoch for lease in held],
            "backups": [backups.get(lease.session_ref) for lease in held],
        }
        async with self._database.begin() as connection:
            return {row.session_ref: row.wanted for row in await connection.execute(_RENEW, parameters)}

    async def release(self, held: Collection[Lease]) -> None:
        """Free these leases for anybody; the epochs stay, so that the next owner's are higher."""
        if not held:
            return
        parameters = {
            "owner": self.owner,
            "refs": [lease.session_ref for lease in held],
            "epochs": [lease.epoch for lease in held],
        }
        async with self._database.begin() as connection:
            await connection.execute(_RELEASE, parameters)

    async def advance(self, lease: Lease) -> int | None:
        """A higher epoch for a lease that is still ours, to fence a writer that died; None if it was lost."""
        parameters = {"owner": self.owner, "session_ref": lease.session_ref, "epoch": lease.epoch}
        async with self._database.begin() as connection:
            return (await connection.execute(_ADVANCE, parameters)).scalar_one_or_none()

    async def recover(self, session_ref: int, generation: int, epoch: int) -> Lease | None:
        """Take the lease if it still has this epoch and is free; None if the epoch or the generation is past.

        Raises ``LeaseBusy`` if another owner may still be at work under this epoch.
        """
        asked = {"session_ref": session_ref, "generation": generation, "epoch": epoch}
        async with self._database.begin() as connection:
            row = (await connection.execute(_RECOVER, self._timing() | asked)).one_or_none()
            if row is not None:
                return _from_row(row)
            if (await connection.execute(_STILL_BUSY, asked)).one_or_none() is not None:
                raise LeaseBusy
            return None

    async def expire_others(self) -> None:
        """End every other owner's lease. Only for an embedded database, which no other replica can be on."""
        async with self._database.begin() as connection:
            await connection.execute(_EXPIRE_OTHERS, {"owner": self.owner})


def _from_row(row: sa.Row[Any]) -> Lease:
    return Lease(
        session_ref=row.session_ref,
        session_id=row.session_id,
        tenant_id=row.tenant_id,
        generation=row.generation,
        epoch=row.epoch,
    )
