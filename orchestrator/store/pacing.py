"""The pace of each session, and what it sent by it."""

from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from orchestrator.domain.errors import SessionNotFound
from orchestrator.domain.pacing import DEFAULT, PacedSoFar, Pacing, day_begins
from orchestrator.store.database import Database
from orchestrator.store.tables import generations, outbox_messages, session_pacing, sessions


class PacingStore:
    """Every method raises ``DatabaseUnavailable`` when it can't know."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, tenant_id: str, session_id: str) -> Pacing:
        """The session's pace, or the default; ``SessionNotFound``."""
        statement = (
            sa.select(session_pacing.c.pacing)
            .select_from(sessions.outerjoin(session_pacing, session_pacing.c.session_ref == sessions.c.session_ref))
            .where(_is_session(tenant_id, session_id))
        )
        async with self._database.begin() as connection:
            row = (await connection.execute(statement)).one_or_none()
        if row is None:
            raise SessionNotFound
        return _pacing_in(row.pacing)

    async def put(self, tenant_id: str, session_id: str, pacing: Pacing) -> None:
        """``SessionNotFound``."""
        value = msgspec.to_builtins(pacing)
        chosen = sa.select(sessions.c.session_ref, sa.literal(value, session_pacing.c.pacing.type)).where(
            _is_session(tenant_id, session_id)
        )
        insert = postgresql.insert(session_pacing).from_select(["session_ref", "pacing"], chosen)
        statement = insert.on_conflict_do_update(
            index_elements=["session_ref"], set_={"pacing": insert.excluded.pacing}
        ).returning(session_pacing.c.session_ref)  # a count of rows isn't told of this kind of statement
        async with self._database.begin() as connection:
            if (await connection.execute(statement)).one_or_none() is None:
                raise SessionNotFound

    async def of(self, session_ref: int) -> tuple[Pacing, PacedSoFar, datetime | None]:
        """The session's pace, what it sent by it, and when its number was linked."""
        m = outbox_messages.c
        by_pace = sa.select(sa.func.max(m.sent_at)).where(m.session_ref == session_ref, m.paced, m.sent_at.is_not(None))
        about = (
            sa.select(session_pacing.c.pacing, generations.c.paired_at)
            .select_from(
                sessions.join(
                    generations,
                    (generations.c.session_ref == sessions.c.session_ref)
                    & (generations.c.generation == sessions.c.generation),
                ).outerjoin(session_pacing, session_pacing.c.session_ref == sessions.c.session_ref)
            )
            .where(sessions.c.session_ref == session_ref)
        )
        async with self._database.begin() as connection:
            row = (await connection.execute(about)).one_or_none()
            pacing = _pacing_in(row.pacing if row else None)
            last_at = (await connection.execute(by_pace)).scalar_one()
            if last_at is None:
                return pacing, PacedSoFar(None, 0), row.paired_at if row else None
            count = (
                sa.select(sa.func.count())
                .select_from(outbox_messages)
                .where(
                    m.session_ref == session_ref,
                    m.paced,
                    m.sent_at.is_not(None),
                    m.sent_at >= day_begins(last_at, pacing.time_zone),
                )
            )
            that_day = (await connection.execute(count)).scalar_one()
        return pacing, PacedSoFar(last_at, that_day), row.paired_at if row else None


def _is_session(tenant_id: str, session_id: str) -> sa.ColumnElement[bool]:
    return (sessions.c.tenant_id == tenant_id) & (sessions.c.session_id == session_id) & sessions.c.deleted_at.is_(None)


def _pacing_in(value: Any) -> Pacing:
    return DEFAULT if value is None else msgspec.convert(value, Pacing)
