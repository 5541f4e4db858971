"""Sessions and their generations."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.errors import SessionExists, SessionNotFound
from orchestrator.domain.generation import Action
from orchestrator.domain.session import ConnectionState, DesiredState, Lease, Session, SetAsideBy
from orchestrator.store import tenants
from orchestrator.store.audit import record
from orchestrator.store.database import Database
from orchestrator.store.generations import set_aside
from orchestrator.store.replicas import IS_ALIVE, TELL_CHANGED
from orchestrator.store.tables import generations, leases, sessions

_l = leases.alias("l")

# A term is what a replica of the version before gives its leases.
_OWNER_LIVES: sa.ColumnElement[bool] = sa.literal_column(
    f"(l.expires_at > now() OR EXISTS (SELECT FROM replicas r WHERE r.replica_id = l.owner AND {IS_ALIVE}))",
    sa.Boolean,
).label("owner_lives")

_SELECT = (
    sa.select(
        sessions.c.session_ref,
        sessions.c.tenant_id,
        sessions.c.session_id,
        sessions.c.desired_state,
        sessions.c.connection_state,
        sessions.c.reason,
        sessions.c.pairing_failure,
        sessions.c.generation,
        sessions.c.last_open_at,
        sessions.c.created_at,
        sessions.c.paused_at,
        generations.c.paired_at,
        generations.c.account_jid,
        generations.c.set_aside_by,
        _l.c.epoch,
        _l.c.owner,
        _OWNER_LIVES,
        _l.c.last_backup_at,
    )
    .join(
        generations,
        (generations.c.session_ref == sessions.c.session_ref) & (generations.c.generation == sessions.c.generation),
    )
    .outerjoin(_l, _l.c.session_ref == sessions.c.session_ref)
    .where(sessions.c.deleted_at.is_(None))
)

#: ``Session.shown_state``, for whoever counts or seeks by it.
_SHOWN_STATE = sa.case(
    (
        generations.c.set_aside_by.in_([SetAsideBy.LOGOUT, SetAsideBy.FAILED_PAIRING, SetAsideBy.DELETE]),
        ConnectionState.STOPPED.value,
    ),
    (generations.c.set_aside_by.is_not(None), ConnectionState.QUARANTINED.value),
    (_OWNER_LIVES, sessions.c.connection_state),
    (sessions.c.desired_state == DesiredState.RUNNING, ConnectionState.STARTING.value),
    else_=ConnectionState.STOPPED.value,
)


def _from_row(row: Any) -> Session:
    return Session(
        session_ref=row.session_ref,
        tenant_id=row.tenant_id,
        session_id=row.session_id,
        desired_state=DesiredState(row.desired_state),
        connection_state=ConnectionState(row.connection_state),
        reason=row.reason,
        pairing_failure=row.pairing_failure,
        generation=row.generation,
        paired=row.paired_at is not None and row.set_aside_by is None,
        jid=row.account_jid,
        set_aside_by=SetAsideBy(row.set_aside_by) if row.set_aside_by else None,
        epoch=row.epoch or 0,
        owner=row.owner if row.owner_lives else None,
        last_open_at=row.last_open_at,
        last_backup_at=row.last_backup_at,
        created_at=row.created_at,
        paused=row.paused_at is not None,
    )


class SessionStore:
    """Rows of sessions and generations. Every method raises ``DatabaseUnavailable`` when it can't know."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, tenant_id: str, session_id: str) -> Session:
        """Add a session with an unpaired first generation; ``SessionExists`` if the tenant has one of this id.

        ``SessionLimit`` or ``StorageLimit`` if the tenant may have no further one, ``PaymentRequired`` if it is paused;
        ``TenantNotFound``.
        """
        async with self._database.begin() as connection:
            limits = await tenants.lock(connection, tenant_id)
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
            await tenants.room_for_new(connection, tenant_id, limits)
            await connection.execute(sa.insert(generations).values(session_ref=session_ref, generation=1))
            await connection.execute(sa.insert(leases).values(session_ref=session_ref, epoch=0))
            await connection.execute(TELL_CHANGED)
            return _from_row((await connection.execute(_SELECT.where(sessions.c.session_ref == session_ref))).one())

    async def list(self, tenant_id: str) -> Sequence[Session]:
        """All of the tenant, by id."""
        return await self.page(tenant_id, after=None, most=None)

    async def page(
        self,
        tenant_id: str,
        *,
        after: str | None,
        most: int | None,
        search: str = "",
        states: Collection[ConnectionState] = (),
    ) -> Sequence[Session]:
        """By id, from the one after ``after``: whose id or account has ``search`` in it, in any of ``states`` if there are any."""
        statement = _SELECT.where(sessions.c.tenant_id == tenant_id).order_by(sessions.c.session_id).limit(most)
        statement = statement.where(*_narrowing(search, states, sessions.c.session_id, generations.c.account_jid))
        if after is not None:
            statement = statement.where(sessions.c.session_id > after)
        async with self._database.begin() as connection:
            return [_from_row(row) for row in await connection.execute(statement)]

    async def page_of_all(
        self,
        *,
        search: str | None,
        states: Collection[ConnectionState],
        after: tuple[str, str] | None,
        most: int,
    ) -> Sequence[Session]:
        """All tenants', by tenant and id: whose tenant, id or account has ``search`` in it, in any of ``states`` if there are any."""
        statement = _SELECT.order_by(sessions.c.tenant_id, sessions.c.session_id).limit(most)
        texts = (sessions.c.tenant_id, sessions.c.session_id, generations.c.account_jid)
        statement = statement.where(*_narrowing(search, states, *texts))
        if after is not None:
            statement = statement.where(sa.tuple_(sessions.c.tenant_id, sessions.c.session_id) > sa.tuple_(*after))
        async with self._database.begin() as connection:
            return [_from_row(row) for row in await connection.execute(statement)]

    async def count_by_state(self, tenant_id: str | None = None) -> dict[ConnectionState, int]:
        """Of a tenant, or of all."""
        counted = _SELECT.with_only_columns(_SHOWN_STATE.label("state"), sa.func.count()).group_by(sa.text("state"))
        if tenant_id is not None:
            counted = counted.where(sessions.c.tenant_id == tenant_id)
        async with self._database.begin() as connection:
            return {ConnectionState(state): number for state, number in await connection.execute(counted)}

    async def get(self, tenant_id: str, session_id: str) -> Session:
        """The session, or ``SessionNotFound``."""
        async with self._database.begin() as connection:
            where = (sessions.c.tenant_id == tenant_id) & (sessions.c.session_id == session_id)
            row = (await connection.execute(_SELECT.where(where))).one_or_none()
        if row is None:
            raise SessionNotFound
        return _from_row(row)

    async def desire(self, session_ref: int, state: DesiredState) -> None:
        values: dict[str, Any] = {"desired_state": state}
        if state is DesiredState.RUNNING:
            values["pairing_failure"] = None
        async with self._database.begin() as connection:
            await _update(connection, session_ref, **values)
            await connection.execute(TELL_CHANGED)

    async def record_state(
        self, lease: Lease, owner: str, state: ConnectionState, reason: str | None, opened_at: datetime | None
    ) -> None:
        """Remember what the owner of this lease says of its connection; nothing if the lease is another's by now.

        None keeps the last reason, and the last time it was open.
        """
        values: dict[str, Any] = {"connection_state": state}
        if reason is not None:
            values["reason"] = reason
        if opened_at is not None:
            values["last_open_at"] = opened_at
        async with self._database.begin() as connection:
            held = _held(lease, owner).exists()
            where = (sessions.c.session_ref == lease.session_ref) & held
            await connection.execute(sa.update(sessions).where(where).values(**values))

    async def record_stop(self, session_ref: int, reason: str) -> None:
        """The session should not run, and doesn't."""
        async with self._database.begin() as connection:
            await _update(
                connection,
                session_ref,
                desired_state=DesiredState.STOPPED,
                connection_state=ConnectionState.STOPPED,
                reason=reason,
            )

    async def reinstate(self, by: SetAsideBy, session_ref: int | None = None) -> int:
        """Take back the current generations that were set aside for this reason, of one session or of all; their number.

        For states that could not be opened: the key, or the row, may be there again.
        """
        async with self._database.begin() as connection:
            current = sa.select(sessions.c.session_ref).where(
                sessions.c.session_ref == generations.c.session_ref,
                sessions.c.generation == generations.c.generation,
                sessions.c.deleted_at.is_(None),
            )
            where = (generations.c.set_aside_by == by) & current.exists()
            if session_ref is not None:
                where &= generations.c.session_ref == session_ref
            back = await connection.execute(
                sa.update(generations)
                .where(where)
                .values(set_aside_at=None, set_aside_by=None, set_aside_reason=None)
                .returning(generations.c.session_ref, generations.c.generation)
            )
            restored = back.all()
            for ref, generation in restored:
                await record(connection, ref, generation, Action.RESTORED, "orchestrator", "Its state is tried again.")
            refs = [ref for ref, _ in restored]
            values = {"connection_state": ConnectionState.STARTING, "reason": None}
            await connection.execute(sa.update(sessions).where(sessions.c.session_ref.in_(refs)).values(**values))
            return len(refs)

    async def begin_generation(self, session_ref: int, after: int) -> None:
        """Start a new, unpaired generation after ``after``, which stays set aside. A second call does nothing."""
        async with self._database.begin() as connection:
            await _begin_generation(connection, session_ref, after)

    async def replace_generation(self, session_ref: int, generation: int) -> None:
        """Begin a new pairing in the place of one that works, which is set aside until that is done."""
        async with self._database.begin() as connection:
            reason = "A new pairing was begun in its place."
            await set_aside(connection, session_ref, generation, SetAsideBy.NEW_PAIRING, reason, actor="owner")
            await _begin_generation(connection, session_ref, generation)

    async def end_pairing(self, lease: Lease, owner: str, failure: str, reason: str) -> int | None:
        """The pairing of the lease's generation came to nothing: the session stops, in one transaction.

        Unless another generation worked before it began: that one comes back, and its number is returned. What the
        failed one stored, if anything, is set aside. Nothing happens if the lease is another's by now.
        """
        async with self._database.begin() as connection:
            if (await connection.execute(_held(lease, owner).with_for_update())).one_or_none() is None:
                return None
            before = await _replaced_by(connection, lease)
            stopped: dict[str, Any] = {
                "desired_state": DesiredState.STOPPED,
                "connection_state": ConnectionState.STOPPED,
                "reason": reason,
            }
            if before is None and not await _is_paired(connection, lease):
                await _update(connection, lease.session_ref, **stopped, pairing_failure=failure)
                return None
            await set_aside(connection, lease.session_ref, lease.generation, SetAsideBy.FAILED_PAIRING, reason)
            if before is None:
                await _update(connection, lease.session_ref, **stopped, pairing_failure=failure)
                return None
            await connection.execute(
                sa.update(generations)
                .where(generations.c.session_ref == lease.session_ref, generations.c.generation == before)
                .values(set_aside_at=None, set_aside_by=None, set_aside_reason=None)
            )
            await record(
                connection, lease.session_ref, before, Action.RESTORED, "orchestrator", "The new pairing failed."
            )
            values = {"generation": before, "connection_state": ConnectionState.STARTING, "pairing_failure": failure}
            await _update(connection, lease.session_ref, **values, reason=reason)
            await connection.execute(TELL_CHANGED)
            return before

    async def set_aside(self, lease: Lease, owner: str, by: SetAsideBy, reason: str, state: ConnectionState) -> bool:
        """Set a lease's generation aside and fence its writers, in one transaction; False if the lease is another's now."""
        async with self._database.begin() as connection:
            if (await connection.execute(_held(lease, owner).with_for_update())).one_or_none() is None:
                return False
            await set_aside(connection, lease.session_ref, lease.generation, by, reason)
            values: dict[str, Any] = {"connection_state": state, "reason": reason}
            if by is SetAsideBy.LOGOUT:
                values["desired_state"] = DesiredState.STOPPED
            await _update(connection, lease.session_ref, **values)
            return True

    async def delete(self, session_ref: int, generation: int) -> None:
        """Hide the session and set its generation aside; the rows stay until their retention ends."""
        async with self._database.begin() as connection:
            await set_aside(connection, session_ref, generation, SetAsideBy.DELETE, "The session was deleted.")
            await _update(
                connection,
                session_ref,
                deleted_at=sa.func.now(),
                desired_state=DesiredState.STOPPED,
                connection_state=ConnectionState.STOPPED,
            )


def _narrowing(
    search: str | None, states: Collection[ConnectionState], *texts: sa.ColumnElement[Any]
) -> list[sa.ColumnElement[bool]]:
    """In any of ``states`` if there are any, and with ``search`` in any of ``texts``."""
    conditions: list[sa.ColumnElement[bool]] = []
    if search:
        conditions.append(sa.or_(*(text.icontains(search, autoescape=True) for text in texts)))
    if states:
        conditions.append(_SHOWN_STATE.in_([state.value for state in states]))
    return conditions


async def _begin_generation(connection: AsyncConnection, session_ref: int, after: int) -> None:
    newest = sa.select(sa.func.max(generations.c.generation)).where(generations.c.session_ref == session_ref)
    moved = await connection.execute(
        sa.update(sessions)
        .where(sessions.c.session_ref == session_ref, sessions.c.generation == after)
        .values(generation=newest.scalar_subquery() + 1, connection_state=ConnectionState.STARTING, reason=None)
        .returning(sessions.c.generation)
    )
    generation = moved.scalar_one_or_none()
    if generation is not None:
        await connection.execute(sa.insert(generations).values(session_ref=session_ref, generation=generation))


async def _is_paired(connection: AsyncConnection, lease: Lease) -> bool:
    g = generations.c
    of_lease = (g.session_ref == lease.session_ref) & (g.generation == lease.generation)
    return (await connection.execute(sa.select(g.paired_at).where(of_lease))).scalar_one() is not None


async def _replaced_by(connection: AsyncConnection, lease: Lease) -> int | None:
    """The generation that a pairing of the lease's was begun in the place of: the one right before it, or none."""
    g = generations.c
    before = (
        sa.select(g.generation, g.set_aside_by)
        .where(g.session_ref == lease.session_ref, g.generation < lease.generation)
        .order_by(g.generation.desc())
        .limit(1)
    )
    row = (await connection.execute(before)).one_or_none()
    return row.generation if row is not None and row.set_aside_by == SetAsideBy.NEW_PAIRING else None


def _held(lease: Lease, owner: str) -> sa.Select[tuple[int]]:
    """The row of the lease, if it is still this owner's in this epoch."""
    return sa.select(leases.c.session_ref).where(
        leases.c.session_ref == lease.session_ref, leases.c.owner == owner, leases.c.epoch == lease.epoch
    )


async def _update(connection: AsyncConnection, session_ref: int, **values: Any) -> None:
    await connection.execute(sa.update(sessions).where(sessions.c.session_ref == session_ref).values(**values))
