"""What happened to sessions' generations, and who or what did it: written in the transaction that does it."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.generation import Action, AuditEntry
from orchestrator.store.database import Database
from orchestrator.store.tables import session_audit

#: In the driver's own form, for whoever has a bare connection: see ``record`` for the parameters.
RECORD = """
    INSERT INTO session_audit (tenant_id, session_id, session_ref, generation, action, actor, reason)
    SELECT tenant_id, session_id, session_ref, %(generation)s, %(action)s, %(actor)s, %(reason)s
    FROM sessions WHERE session_ref = %(session_ref)s
"""


async def record(
    connection: AsyncConnection, session_ref: int, generation: int, action: Action, actor: str, reason: str | None
) -> None:
    """Add an entry; ``actor`` is a ``SetAsideBy`` or a word for who it was."""
    entry = {
        "session_ref": session_ref,
        "generation": generation,
        "action": action,
        "actor": actor,
        "reason": reason,
    }
    await connection.exec_driver_sql(RECORD, entry)


class AuditStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_session(
        self, tenant_id: str, session_id: str, most: int, before: int | None = None
    ) -> list[AuditEntry]:
        """The newest entries of all sessions that had this id, newest first; those before the number ``before``."""
        a = session_audit.c
        statement = (
            sa.select(a.audit_id, a.at, a.action, a.generation, a.actor, a.reason)
            .where(a.tenant_id == tenant_id, a.session_id == session_id)
            .order_by(a.audit_id.desc())
            .limit(most)
        )
        if before is not None:
            statement = statement.where(a.audit_id < before)
        async with self._database.begin() as connection:
            return [AuditEntry(*row) for row in await connection.execute(statement)]
