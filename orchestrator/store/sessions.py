"""Sessions and their generations."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.errors import SessionExists, SessionNotFound
from orchestrator.domain.session import ConnectionState, DesiredState, Session, SetAsideBy
from orchestrator.store.database import Database
from orchestrator.store.presence import OWNER_IS_PRESENT, PRESENCE_CLASS
from orchestrator.store.tables import generations, leases, sessions

_l = leases.alias("l")

# Of a killed owner's lease only its time says that it lives; its absence says at once that it doesn't.
_LEASE_IS_ALIVE = sa.and_(
    _l.c.expires_at > sa.func.now(), sa.text(OWNER_IS_PRESENT).bindparams(presence_class=PRESENCE_CLASS)
)

_SELECT = (
    sa.select(
        sessions.c.session_ref,
        sessions.c.tenant_id,
        sessions.c.session_id,
        sessions.c.desired_state,
        sessions.c.connection_state,
        sessions.c.reason,
        sessions.c.generation,
        sessions.c.last_open_at,
        sessions.c.created_at,
        generations.c.paired_at,
        generations.c.account_jid,
        generations.c.set_aside_by,
        _l.c.epoch,
        _l.c.owner,
        _LEASE_IS_ALIVE.label("lease_alive"),
        _l.c.last_backup_at,
    )
    .join(
        generations,
        (generations.c.session_ref == sessions.c.session_ref) & (generations.c.generation == sessions.c.generation),
    )
    .outerjoin(_l, _l.c.session_ref == sessions.c.session_ref)
    .where(sessions.c.deleted_at.is_(None))
)


def _from_row(row: Any) -> Session:
    held = row.owner is not None and bool(row.lease_alive)
    return Session(
        session_ref=row.session_ref,
        tenant_id=row.tenant_id,
        session_id=row.session_id,
        desired_state=DesiredState(row.desired_state),
        connection_state=ConnectionState(row.connection_state),
        reason=row.reason,
        generation=row.generation,
        paired=row.paired_at is not None and row.set_aside_by is None,
        jid=row.account_jid,
        set_aside_by=SetAsideBy(row.set_aside_by) if row.set_aside_by else None,
        epoch=row.epoch or 0,
        lease_owner=row.owner if held else None,
        lease_held=held,
        last_open_at=row.last_open_at,
        last_backup_at=row.last_backup_at,
        created_at=row.created_at,
    )


class SessionStore:
    """Rows of sessions and generations. Every method raises ``DatabaseUnavailable`` when it can't know."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, tenant_id: str, session_id: str) -> None:
        """Add a session with an unpaired first generation; ``SessionExists`` if the tenant has one of this id."""
        async with self._database.begin() as connection:
            insert = (
                postgresql.insert(sessions)
                .values(
                    tenant_id=tenant_id,
                    session_id=session_id,
                    desired_state=DesiredState.RUNNING,
                    connection_state=ConnectionState.STARTING,
                    generation=1,
                )
                .on_conflict_do_nothing()
                .returning(sessions.c.session_ref)
            )
            session_ref = (await connection.execute(insert)).scalar_one_or_none()
            if session_ref is None:
                raise SessionExists
            await connection.execute(sa.insert(generations).values(session_ref=session_ref, generation=1))

    async def list(self, tenant_id: str) -> list[Session]:
        async with self._database.begin() as connection:
            rows = await connection.execute(
                _SELECT.where(sessions.c.tenant_id == tenant_id).order_by(sessions.c.session_id)
            )
            return [_from_row(row) for row in rows]

    async def get(self, tenant_id: str, session_id: str) -> Session:
        """The session, or ``SessionNotFound``."""
        async with self._database.begin() as connection:
            where = (sessions.c.tenant_id == tenant_id) & (sessions.c.session_id == session_id)
            row = (await connection.execute(_SELECT.where(where))).one_or_none()
        if row is None:
            raise SessionNotFound
        return _from_row(row)

    async def desire(self, session_ref: int, state: DesiredState) -> None:
        async with self._database.begin() as connection:
            await _update(connection, session_ref, desired_state=state)

    async def record_state(self, session_ref: int, state: ConnectionState, reason: str | None) -> None:
        """Remember what the connection is; ``open`` also sets ``last_open_at``. A None reason keeps the last one."""
        values: dict[str, Any] = {"connection_state": state}
        if reason is not None:
            values["reason"] = reason
        if state is ConnectionState.OPEN:
            values["last_open_at"] = sa.func.now()
        async with self._database.begin() as connection:
            await _update(connection, session_ref, **values)

    async def begin_generation(self, session_ref: int, after: int) -> None:
        """Start a new, unpaired generation after ``after``, which stays set aside. A second call does nothing."""
        async with self._database.begin() as connection:
            moved = await connection.execute(
                sa.update(sessions)
                .where(sessions.c.session_ref == session_ref, sessions.c.generation == after)
                .values(generation=after + 1, connection_state=ConnectionState.STARTING, reason=None)
            )
            if moved.rowcount:
                await connection.execute(sa.insert(generations).values(session_ref=session_ref, generation=after + 1))

    async def set_aside(
        self, session_ref: int, generation: int, by: SetAsideBy, reason: str, state: ConnectionState
    ) -> None:
        """Set a generation aside, release its lease and fence its writers, in one transaction. Nothing is deleted."""
        async with self._database.begin() as connection:
            await _set_aside(connection, session_ref, generation, by, reason)
            await _update(connection, session_ref, connection_state=state, reason=reason)

    async def delete(self, session_ref: int, generation: int) -> None:
        """Hide the session and set its generation aside; the rows stay until their retention ends."""
        async with self._database.begin() as connection:
            await _set_aside(connection, session_ref, generation, SetAsideBy.DELETE, "The session was deleted.")
            await _update(
                connection,
                session_ref,
                deleted_at=sa.func.now(),
                desired_state=DesiredState.STOPPED,
                connection_state=ConnectionState.STOPPED,
            )


async def _update(connection: AsyncConnection, session_ref: int, **values: Any) -> None:
    await connection.execute(sa.update(sessions).where(sessions.c.session_ref == session_ref).values(**values))


async def _set_aside(
    connection: AsyncConnection, session_ref: int, generation: int, by: SetAsideBy, reason: str
) -> None:
    await connection.execute(
        sa.update(generations)
        .where(
            generations.c.session_ref == session_ref,
            generations.c.generation == generation,
            generations.c.set_aside_at.is_(None),
        )
        .values(set_aside_at=sa.func.now(), set_aside_by=by, set_aside_reason=reason)
    )
    await connection.execute(
        sa.update(leases)
        .where(leases.c.session_ref == session_ref)
        .values(owner=None, epoch=leases.c.epoch + 1, expires_at=sa.func.now())
    )
