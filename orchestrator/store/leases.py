"""Leases: who may run a session, in single statements against PostgreSQL's own clock.

A lease lasts as long as its owner is heard of (store/replicas.py): prolonging all leases of a replica is one row, and
whoever finds the owner dead takes it out of its leases. So a lease without an owner is free, and no other is; to find
those costs nothing for the sessions that run elsewhere.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from orchestrator.domain.errors import LeaseBusy
from orchestrator.domain.session import Lease, Wish
from orchestrator.store.database import Database
from orchestrator.store.replicas import IS_ABANDONED, TELL_CHANGED

#: Free leases that are counted at most: enough to share them out, and a bound for the count.
_COUNTED = 10_000

# An owner has a row that says that it lives: a lease of an owner without one would be nobody's to free. Writing it locks
# it, so that whoever thinks us dead waits, and finds that we aren't.
_OURSELVES = """
    INSERT INTO replicas (replica_id, ttl_seconds) VALUES (:owner, :ttl)
    ON CONFLICT (replica_id) DO UPDATE SET renewed_at = now()
    RETURNING replica_id
"""

_WANTED = """
    JOIN sessions s ON s.session_ref = l.session_ref
        AND s.desired_state = 'running' AND s.deleted_at IS NULL AND s.paused_at IS NULL
    JOIN generations g ON g.session_ref = s.session_ref AND g.generation = s.generation AND g.set_aside_at IS NULL
"""

_COUNT_FREE = sa.text(
    f"""
    SELECT
        (SELECT count(*) FROM (SELECT FROM leases l {_WANTED} WHERE l.owner IS NULL LIMIT {_COUNTED}) AS free),
        (SELECT count(*) FROM leases l WHERE l.owner = :owner)
    """  # noqa: S608 (constants)
)

# SKIP LOCKED: replicas that claim at the same moment take different sessions instead of queueing for the same ones.
_CLAIM = sa.text(
    f"""
    WITH ourselves AS ({_OURSELVES}), free AS (
        SELECT l.session_ref
        FROM leases l {_WANTED}
        WHERE (l.owner IS NULL OR l.owner = :owner) AND l.session_ref <> ALL(CAST(:held AS bigint[]))
        ORDER BY g.paired_at NULLS LAST, l.session_ref
        LIMIT :most
        FOR UPDATE OF l SKIP LOCKED
    ), claimed AS (
        UPDATE leases l
        SET owner = ourselves.replica_id, epoch = l.epoch + 1, expires_at = NULL, recovered_epoch = NULL
        FROM free, ourselves
        WHERE l.session_ref = free.session_ref
        RETURNING l.session_ref, l.epoch
    )
    SELECT c.session_ref, c.epoch, s.session_id, s.tenant_id, s.generation
    FROM claimed c JOIN sessions s USING (session_ref)
    """  # noqa: S608 (constants)
)

_HELD = sa.text(
    """
    SELECT l.session_ref, l.epoch, s.session_id, s.tenant_id, s.generation
    FROM leases l JOIN sessions s USING (session_ref)
    WHERE l.owner = :owner AND s.deleted_at IS NULL
    """
)

_RENEW = sa.text(
    f"""
    WITH ourselves AS ({_OURSELVES}), noted AS (
        UPDATE leases l SET last_backup_at = v.backup_at
        FROM unnest(CAST(:refs AS bigint[]), CAST(:backups AS timestamptz[])) AS v (session_ref, backup_at)
        WHERE l.session_ref = v.session_ref AND l.owner = :owner
    )
    SELECT l.session_ref, l.epoch, CASE
        WHEN s.desired_state <> 'running' OR s.deleted_at IS NOT NULL THEN 'stop'
        WHEN s.paused_at IS NOT NULL THEN 'pause'
        ELSE 'run'
    END AS wish
    FROM leases l JOIN sessions s USING (session_ref)
    WHERE l.owner = :owner
    """  # noqa: S608 (a constant)
)

_CHECK = sa.text("SELECT FROM leases l WHERE l.session_ref = :session_ref AND l.epoch = :epoch AND l.owner = :owner")

_RELEASE = sa.text(
    """
    UPDATE leases l SET owner = NULL
    FROM unnest(CAST(:refs AS bigint[]), CAST(:epochs AS bigint[])) AS v (session_ref, epoch)
    WHERE l.session_ref = v.session_ref AND l.epoch = v.epoch AND l.owner = :owner
    """
)

_TAKE_NO_MORE = sa.text("UPDATE replicas SET ready = false WHERE replica_id = :owner")

_ADVANCE = sa.text(
    """
    UPDATE leases SET epoch = epoch + 1, recovered_epoch = NULL
    WHERE session_ref = :session_ref AND epoch = :epoch AND owner = :owner
    RETURNING epoch
    """
)

# Whoever ran the session since has made the epoch higher, and no recovery's. One that died before it heard the answer
# asks again for the same epoch. A dead owner's lease is taken before others find it dead: we have its disk, and on it what they
# would go on without.
_RECOVER = sa.text(
    f"""
    WITH ourselves AS ({_OURSELVES})
    UPDATE leases l
    SET owner = ourselves.replica_id, epoch = l.epoch + 1, expires_at = NULL, recovered_epoch = :epoch
    FROM ourselves, sessions s JOIN generations g USING (session_ref, generation)
    WHERE s.session_ref = l.session_ref AND l.session_ref = :session_ref
      AND :epoch IN (l.epoch, l.recovered_epoch)
      AND s.generation = :generation AND s.deleted_at IS NULL AND g.set_aside_at IS NULL
      AND (l.owner IS NULL OR l.owner = :owner OR l.owner IN (SELECT r.replica_id FROM replicas r WHERE {IS_ABANDONED}))
    RETURNING l.session_ref, l.epoch, s.session_id, s.tenant_id, s.generation
    """  # noqa: S608 (constants)
)

_STILL_BUSY = sa.text(
    """
    SELECT 1 FROM leases l JOIN sessions s USING (session_ref) JOIN generations g USING (session_ref, generation)
    WHERE session_ref = :session_ref AND :epoch IN (l.epoch, l.recovered_epoch) AND generation = :generation
      AND s.deleted_at IS NULL AND g.set_aside_at IS NULL
    """
)

# The epochs stay: a journal that the processes before left on this disk is written under the next ones.
_END_OTHERS = (
    sa.text("UPDATE leases SET owner = NULL, expires_at = NULL WHERE owner <> :owner"),
    sa.text("DELETE FROM replicas WHERE replica_id <> :owner"),
)

# Replicas of the version before make none when they make a session.
_COMPLETE = sa.text(
    """
    INSERT INTO leases (session_ref, epoch)
    SELECT s.session_ref, 0 FROM sessions s LEFT JOIN leases l USING (session_ref) WHERE l.session_ref IS NULL
    ON CONFLICT DO NOTHING
    """
)


class LeaseStore:
    """This replica's leases. ``DatabaseUnavailable`` means *unknown*: neither renewed nor lost."""

    def __init__(self, database: Database, owner: str, ttl_seconds: float) -> None:
        self._database = database
        self.owner = owner
        self.ttl_seconds = ttl_seconds

    async def free(self) -> tuple[int, int]:
        """How many leases of sessions that should run are free, and how many are ours as the store has it."""
        async with self._database.begin() as connection:
            row = (await connection.execute(_COUNT_FREE, {"owner": self.owner})).one()
            return row[0], row[1]

    async def claim(self, most: int, held: Collection[int] = ()) -> list[Lease]:
        """Take up to ``most`` free leases of sessions that should run; paired sessions come first.

        Those in ``held`` stay as they are: a new epoch would fence our own writes that waited for the database. Ours
        that are not in it are leftovers, and free.
        """
        async with self._database.begin() as connection:
            rows = await connection.execute(_CLAIM, self._ourselves() | {"most": most, "held": list(held)})
            return [_from_row(row) for row in rows]

    def _ourselves(self) -> dict[str, Any]:
        return {"owner": self.owner, "ttl": self.ttl_seconds}

    async def held(self) -> list[Lease]:
        """The leases that this replica holds, as after a restart of the orchestrator alone; also of sessions that should
        stop: the sidecar may still be writing their last changes.
        """
        async with self._database.begin() as connection:
            return [_from_row(row) for row in await connection.execute(_HELD, {"owner": self.owner})]

    async def renew(self, held: Collection[Lease], backups: Mapping[int, datetime]) -> dict[int, Wish]:
        """Prolong all of our leases in one statement, and note when sessions were last backed up.

        The answer has those of ``held`` that are still ours, with what is to become of the session; whichever is missing is
        lost.
        """
        parameters = self._ourselves() | {"refs": list(backups), "backups": list(backups.values())}
        async with self._database.begin() as connection:
            ours = {row.session_ref: row for row in await connection.execute(_RENEW, parameters)}
        return {
            lease.session_ref: Wish(row.wish)
            for lease in held
            if (row := ours.get(lease.session_ref)) is not None and row.epoch == lease.epoch
        }

    async def is_ours(self, lease: Lease) -> bool:
        """Whether we still hold this lease."""
        parameters = {"owner": self.owner, "session_ref": lease.session_ref, "epoch": lease.epoch}
        async with self._database.begin() as connection:
            return (await connection.execute(_CHECK, parameters)).one_or_none() is not None

    async def take_no_more(self) -> None:
        """Say that this replica has no room for sessions."""
        async with self._database.begin() as connection:
            await connection.execute(_TAKE_NO_MORE, {"owner": self.owner})

    async def release(self, held: Collection[Lease]) -> None:
        """Free these leases for anybody, and say so; the epochs stay, so that the next owner's are higher."""
        if not held:
            return
        parameters = {
            "owner": self.owner,
            "refs": [lease.session_ref for lease in held],
            "epochs": [lease.epoch for lease in held],
        }
        async with self._database.begin() as connection:
            await connection.execute(_RELEASE, parameters)
            await connection.execute(TELL_CHANGED)

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
            row = (await connection.execute(_RECOVER, self._ourselves() | asked)).one_or_none()
            if row is not None:
                return _from_row(row)
            if (await connection.execute(_STILL_BUSY, asked)).one_or_none() is not None:
                raise LeaseBusy
            return None

    async def end_others(self) -> None:
        """End every other replica and free its leases. Only for an embedded database, which no other replica can be on."""
        async with self._database.begin() as connection:
            for statement in _END_OTHERS:
                await connection.execute(statement, {"owner": self.owner})

    async def complete(self) -> None:
        """See to it that every session has its lease."""
        async with self._database.begin() as connection:
            await connection.execute(_COMPLETE)


def _from_row(row: sa.Row[Any]) -> Lease:
    return Lease(
        session_ref=row.session_ref,
        session_id=row.session_id,
        tenant_id=row.tenant_id,
        generation=row.generation,
        epoch=row.epoch,
    )
