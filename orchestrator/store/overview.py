"""What each replica says of itself, for people who look at all of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from orchestrator.store.database import Database
from orchestrator.store.replicas import IS_ALIVE
from orchestrator.store.tables import replica_statuses, tenants

_LOOK = sa.text(
    f"""
    SELECT r.replica_id, r.started_at, r.held, r.ready, s.status, s.told_at
    FROM replicas r LEFT JOIN replica_statuses s USING (replica_id)
    WHERE {IS_ALIVE} ORDER BY r.started_at, r.replica_id
    """  # noqa: S608 (a constant)
)

_FORGET = sa.text(
    "DELETE FROM replica_statuses s WHERE NOT EXISTS (SELECT FROM replicas r WHERE r.replica_id = s.replica_id)"
    " AND s.told_at < now() - interval '1 minute'"
)


@dataclass(frozen=True, slots=True)
class Told:
    """A living replica; ``status`` is what it said at ``told_at``, if it did already."""

    replica_id: str
    started_at: datetime
    held: int
    ready: bool
    status: dict[str, Any] | None
    told_at: datetime | None


class OverviewStore:
    """Every method raises ``DatabaseUnavailable`` when it can't know."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def tell(self, replica_id: str, status: Mapping[str, Any]) -> None:
        """Replace what the replica said before, and forget what dead ones said."""
        write = postgresql.insert(replica_statuses).values(replica_id=replica_id, status=status)
        write = write.on_conflict_do_update(
            index_elements=[replica_statuses.c.replica_id],
            set_={"status": write.excluded.status, "told_at": sa.func.now()},
        )
        async with self._database.begin() as connection:
            await connection.execute(write)
            await connection.execute(_FORGET)

    async def replicas(self) -> list[Told]:
        """Those that live, the oldest first."""
        async with self._database.begin() as connection:
            return [Told(*row) for row in await connection.execute(_LOOK)]

    async def count_tenants(self) -> int:
        statement = sa.select(sa.func.count()).select_from(tenants).where(tenants.c.deleted_at.is_(None))
        async with self._database.begin() as connection:
            return (await connection.execute(statement)).scalar_one()
