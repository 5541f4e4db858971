"""What sessions did: connections as they changed, messages by the hour, and how fast backups were by the minute."""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from orchestrator.domain.activity import BackupMinute, ConnectionChange, Hour
from orchestrator.domain.session import ConnectionState
from orchestrator.store.database import Database
from orchestrator.store.tables import backup_minutes, connection_changes, session_hours, sessions

_h, _c, _b = session_hours.c, connection_changes.c, backup_minutes.c

_ADD = sa.text(
    """
    INSERT INTO session_hours AS h (session_ref, hour, samples, open_samples, sent, received)
    SELECT s.session_ref, date_trunc('hour', now(), 'UTC'), v.samples, v.open_samples, v.sent, v.received
    FROM unnest(:refs, :samples, :open_samples, :sent, :received)
        AS v (session_ref, samples, open_samples, sent, received)
    JOIN sessions s ON s.session_ref = v.session_ref
    ON CONFLICT (session_ref, hour) DO UPDATE SET
        samples = h.samples + excluded.samples, open_samples = h.open_samples + excluded.open_samples,
        sent = h.sent + excluded.sent, received = h.received + excluded.received
    """
).bindparams(
    sa.bindparam("refs", type_=sa.ARRAY(sa.BigInteger)),
    *(sa.bindparam(name, type_=sa.ARRAY(sa.Integer)) for name in ("samples", "open_samples", "sent", "received")),
)

_SUMS = (
    sa.func.sum(_h.samples),
    sa.func.sum(_h.open_samples),
    sa.func.sum(_h.sent),
    sa.func.sum(_h.received),
)

#: A connection that comes and goes again and again has more changes than anybody reads.
_TOO_MANY = sa.text(
    """
    DELETE FROM connection_changes c USING (
        SELECT number FROM (
            SELECT number, row_number() OVER (PARTITION BY session_ref ORDER BY number DESC) AS place
            FROM connection_changes
        ) counted WHERE place > :most
    ) old WHERE c.number = old.number
    """
)


class ActivityStore:
    """Every method raises ``DatabaseUnavailable`` when it can't know."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, replica_id: str, hours: Mapping[int, Hour], backups: BackupMinute) -> None:
        """Add to the present hour of sessions, by ``session_ref``, and to this replica's present minute; in one transaction.

        The database's clock says which those are.
        """
        columns = {
            "refs": list(hours),
            "samples": [one.samples for one in hours.values()],
            "open_samples": [one.open_samples for one in hours.values()],
            "sent": [one.sent for one in hours.values()],
            "received": [one.received for one in hours.values()],
        }
        insert = postgresql.insert(backup_minutes).values(
            minute=sa.func.date_trunc("minute", sa.func.now()),
            replica_id=replica_id,
            writes=backups.writes,
            slow_seconds=backups.slow_seconds,
            journal_bytes=backups.journal_bytes,
        )
        insert = insert.on_conflict_do_update(
            index_elements=[_b.minute, _b.replica_id],
            set_={
                "writes": _b.writes + insert.excluded.writes,
                "slow_seconds": sa.func.greatest(_b.slow_seconds, insert.excluded.slow_seconds),
                "journal_bytes": insert.excluded.journal_bytes,
            },
        )
        async with self._database.begin() as connection:
            if hours:
                await connection.execute(_ADD, columns)
            await connection.execute(insert)

    async def of_sessions(
        self, tenant_id: str, session_ids: Collection[str], *, hours: int
    ) -> Mapping[str, list[Hour]]:
        """The last so many hours of these sessions of a tenant, oldest first; hours in which nobody ran one are missing."""
        statement = (
            sa.select(sessions.c.session_id, _h.hour, _h.samples, _h.open_samples, _h.sent, _h.received)
            .join(sessions, sessions.c.session_ref == _h.session_ref)
            .where(
                sessions.c.tenant_id == tenant_id,
                sessions.c.session_id.in_(session_ids),
                sessions.c.deleted_at.is_(None),
                _h.hour > sa.func.now() - timedelta(hours=hours),
            )
            .order_by(_h.hour)
        )
        found: dict[str, list[Hour]] = {session_id: [] for session_id in session_ids}
        async with self._database.begin() as connection:
            for session_id, *hour in await connection.execute(statement):
                found[session_id].append(Hour(*hour))
        return found

    async def of_all(self, tenant_id: str | None, *, hours: int) -> Sequence[Hour]:
        """The sum of all sessions of a tenant, or of all tenants, by hour."""
        statement = sa.select(_h.hour, *_SUMS).where(_h.hour > sa.func.now() - timedelta(hours=hours))
        if tenant_id is not None:
            of_tenant = sa.select(sessions.c.session_ref).where(sessions.c.tenant_id == tenant_id)
            statement = statement.where(_h.session_ref.in_(of_tenant))
        async with self._database.begin() as connection:
            return [Hour(*row) for row in await connection.execute(statement.group_by(_h.hour).order_by(_h.hour))]

    async def changes(
        self, tenant_id: str, session_id: str, *, before: int | None, most: int
    ) -> Sequence[ConnectionChange]:
        """How a session's connection changed, newest first, before the change of that number."""
        statement = (
            sa.select(_c.number, _c.at, _c.connection_state, _c.reason)
            .join(sessions, sessions.c.session_ref == _c.session_ref)
            .where(
                sessions.c.tenant_id == tenant_id, sessions.c.session_id == session_id, sessions.c.deleted_at.is_(None)
            )
            .order_by(_c.number.desc())
            .limit(most)
        )
        if before is not None:
            statement = statement.where(_c.number < before)
        async with self._database.begin() as connection:
            return [
                ConnectionChange(row.number, row.at, ConnectionState(row.connection_state), row.reason)
                for row in await connection.execute(statement)
            ]

    async def backups(self, *, minutes: int) -> Sequence[BackupMinute]:
        """The last so many minutes of all replicas together, oldest first; minutes in which none told are missing."""
        statement = (
            sa.select(_b.minute, sa.func.sum(_b.writes), sa.func.max(_b.slow_seconds), sa.func.sum(_b.journal_bytes))
            .where(_b.minute > sa.func.now() - timedelta(minutes=minutes))
            .group_by(_b.minute)
            .order_by(_b.minute)
        )
        async with self._database.begin() as connection:
            return [
                BackupMinute(minute, int(writes), slow, int(journal))
                for minute, writes, slow, journal in await connection.execute(statement)
            ]

    async def forget(self, *, days: float, most_changes: int) -> None:
        """Remove what is older, and of each session all but the newest changes."""
        old = sa.func.now() - timedelta(days=days)
        async with self._database.begin() as connection:
            await connection.execute(sa.delete(session_hours).where(_h.hour < old))
            await connection.execute(sa.delete(connection_changes).where(_c.at < old))
            await connection.execute(sa.delete(backup_minutes).where(_b.minute < sa.func.now() - timedelta(days=1)))
            await connection.execute(_TOO_MANY, {"most": most_changes})
