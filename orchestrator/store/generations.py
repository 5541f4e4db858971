"""Generations that are kept: looked at, brought back, and forgotten when their retention is over."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.errors import (
    GenerationInUse,
    GenerationNotFound,
    GenerationNotPaired,
    SessionExists,
    SessionNotFound,
)
from orchestrator.domain.generation import Action, Generation
from orchestrator.domain.session import ConnectionState, DesiredState, SetAsideBy
from orchestrator.store import tenants
from orchestrator.store.audit import record
from orchestrator.store.database import Database
from orchestrator.store.tables import creds, generations, leases, sessions

# A deleted session gave its id free: the one that has it now comes first, then the one that was deleted last.
_SESSION = (
    sa.select(sessions.c.session_ref, sessions.c.generation, sessions.c.deleted_at)
    .order_by(sessions.c.deleted_at.desc().nulls_first())
    .limit(1)
)

# The current generation of a session that exists stays until something takes its place.
_EXPIRED = sa.text(
    """
    SELECT g.session_ref, g.generation
    FROM generations g JOIN sessions s USING (session_ref)
    WHERE g.set_aside_at < now() - make_interval(secs => :days * 86400)
      AND (s.deleted_at IS NOT NULL OR s.generation <> g.generation)
    ORDER BY g.set_aside_at
    LIMIT :most
    FOR UPDATE OF g SKIP LOCKED
    """
)

_HAS_CREDS = (
    sa.exists()
    .where(creds.c.session_ref == generations.c.session_ref, creds.c.generation == generations.c.generation)
    .label("has_creds")
)

_FORGET = [
    sa.text(f"DELETE FROM {table} WHERE session_ref = :session_ref AND generation = :generation")  # noqa: S608
    for table in ("signal_keys", "sent_messages", "incoming_messages", "kept_messages", "creds", "generations")
]

_FORGET_SESSIONS = sa.text(
    """
    DELETE FROM sessions s
    WHERE s.deleted_at < now() - make_interval(secs => :days * 86400)
      AND NOT EXISTS (SELECT FROM generations g WHERE g.session_ref = s.session_ref)
    """
)


class GenerationStore:
    """Every method raises ``DatabaseUnavailable`` when it can't know."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, tenant_id: str, session_id: str, *, before: int | None, most: int) -> Sequence[Generation]:
        """The newest of a session, newest first; of a deleted one as long as they are kept. ``SessionNotFound``.

        ``before``: those before that generation.
        """
        async with self._database.begin() as connection:
            session = await _session(connection, tenant_id, session_id)
            statement = (
                sa.select(generations, _HAS_CREDS)
                .where(generations.c.session_ref == session.session_ref)
                .order_by(generations.c.generation.desc())
                .limit(most)
            )
            if before is not None:
                statement = statement.where(generations.c.generation < before)
            rows = await connection.execute(statement)
            return [
                Generation(
                    generation=row.generation,
                    current=row.generation == session.generation and session.deleted_at is None,
                    restorable=row.paired_at is not None and row.has_creds and row.set_aside_at is not None,
                    jid=row.account_jid,
                    created_at=row.created_at,
                    paired_at=row.paired_at,
                    set_aside_at=row.set_aside_at,
                    set_aside_by=SetAsideBy(row.set_aside_by) if row.set_aside_by else None,
                    reason=row.set_aside_reason,
                )
                for row in rows
            ]

    async def restore(self, tenant_id: str, session_id: str, generation: int, *, replace: bool, actor: str) -> None:
        """Have the session use this generation again, in one transaction; it should run then, and a deleted one exists again.

        What it used is set aside: a paired generation that works only when ``replace`` says so (else ``GenerationInUse``).
        Whoever held the lease is fenced.
        """
        async with self._database.begin() as connection:
            session = await _session(connection, tenant_id, session_id, lock=True)
            limits = await tenants.lock(connection, tenant_id)
            ref = session.session_ref
            wanted = await _generation(connection, ref, generation)
            if wanted.paired_at is None or not wanted.has_creds:
                raise GenerationNotPaired
            if wanted.set_aside_at is None:
                raise GenerationInUse("This generation is the one that the session uses already.")
            current = (
                wanted if session.generation == generation else await _generation(connection, ref, session.generation)
            )
            if current.set_aside_at is None:
                if current.paired_at is not None and not replace:
                    raise GenerationInUse
                reason = f"Generation {generation} was restored in its place."
                await set_aside(connection, ref, current.generation, SetAsideBy.REPLACED, reason, actor=actor)
            else:
                await _fence(connection, ref)
            await connection.execute(
                sa.update(generations)
                .where(generations.c.session_ref == ref, generations.c.generation == generation)
                .values(set_aside_at=None, set_aside_by=None, set_aside_reason=None)
            )
            try:
                await connection.execute(
                    sa.update(sessions)
                    .where(sessions.c.session_ref == ref)
                    .values(
                        generation=generation,
                        desired_state=DesiredState.RUNNING,
                        connection_state=ConnectionState.STARTING,
                        reason=None,
                        deleted_at=None,
                    )
                )
            except sa.exc.IntegrityError as error:
                raise SessionExists from error
            if session.deleted_at is not None:
                await tenants.room_for_new(connection, tenant_id, limits)
            await record(connection, ref, generation, Action.RESTORED, actor, None)

    async def purge(self, *, days: float, most: int) -> int:
        """Forget up to ``most`` generations that were set aside that long ago; how many there were."""
        async with self._database.begin() as connection:
            expired = (await connection.execute(_EXPIRED, {"days": days, "most": most})).all()
            for row in expired:
                reason = f"It was set aside more than {days:g} days ago."
                await record(connection, row.session_ref, row.generation, Action.PURGED, "retention", reason)
                for statement in _FORGET:
                    await connection.execute(statement, {"session_ref": row.session_ref, "generation": row.generation})
            await connection.execute(_FORGET_SESSIONS, {"days": days})
        return len(expired)


async def _session(connection: AsyncConnection, tenant_id: str, session_id: str, *, lock: bool = False) -> Any:
    statement = _SESSION.where(sessions.c.tenant_id == tenant_id, sessions.c.session_id == session_id)
    row = (await connection.execute(statement.with_for_update() if lock else statement)).one_or_none()
    if row is None:
        raise SessionNotFound
    return row


async def _generation(connection: AsyncConnection, session_ref: int, generation: int) -> Any:
    g = generations.c
    statement = sa.select(g.generation, g.paired_at, g.set_aside_at, _HAS_CREDS).where(
        g.session_ref == session_ref, g.generation == generation
    )
    row = (await connection.execute(statement)).one_or_none()
    if row is None:
        raise GenerationNotFound
    return row


async def set_aside(
    connection: AsyncConnection,
    session_ref: int,
    generation: int,
    by: SetAsideBy,
    reason: str,
    *,
    actor: str | None = None,
) -> None:
    """Set a generation aside, unless it is, put that on record as ``actor``'s deed (``by`` when none is given), and fence
    whoever writes to it."""
    await connection.execute(
        sa.update(generations)
        .where(
            generations.c.session_ref == session_ref,
            generations.c.generation == generation,
            generations.c.set_aside_at.is_(None),
        )
        .values(set_aside_at=sa.func.now(), set_aside_by=by, set_aside_reason=reason)
    )
    await record(connection, session_ref, generation, Action.SET_ASIDE, actor or by, reason)
    await _fence(connection, session_ref)


async def _fence(connection: AsyncConnection, session_ref: int) -> None:
    """Whoever holds the session's lease holds it no more, and can't write."""
    await connection.execute(
        sa.update(leases)
        .where(leases.c.session_ref == session_ref)
        .values(owner=None, epoch=leases.c.epoch + 1, expires_at=None)
    )
