"""The audit log: what was done through the API, written before it is done."""

from datetime import timedelta

import sqlalchemy as sa

from orchestrator.domain.act import Act, Deed
from orchestrator.store.database import Database
from orchestrator.store.tables import acts


class ActStore:
    """Every method raises ``DatabaseUnavailable`` when it can't know."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, deed: Deed) -> int:
        """Put on record that this is about to be done; the number of the entry."""
        insert = sa.insert(acts).values(
            actor=deed.actor,
            action=deed.action,
            tenant_id=deed.tenant_id,
            path=deed.path,
            request_id=deed.request_id,
            address=deed.address,
        )
        async with self._database.begin() as connection:
            act_id: int = (await connection.execute(insert.returning(acts.c.act_id))).scalar_one()
            return act_id

    async def end(self, act_id: int, status: int, result: str | None) -> None:
        async with self._database.begin() as connection:
            await connection.execute(
                sa.update(acts).where(acts.c.act_id == act_id).values(status=status, result=result)
            )

    async def prune(self, *, days: int, most: int) -> int:
        """Forget those of the oldest ``most`` that are older than that; how many."""
        oldest = sa.select(acts.c.act_id).order_by(acts.c.act_id).limit(most)
        old = acts.c.at < sa.func.now() - timedelta(days=days)
        async with self._database.begin() as connection:
            return (await connection.execute(sa.delete(acts).where(acts.c.act_id.in_(oldest), old))).rowcount

    async def page(self, tenant_id: str | None, *, before: int | None, most: int) -> list[Act]:
        """The newest, newest first, of one tenant or of all; ``before`` an entry's number: those that came earlier."""
        statement = sa.select(acts).order_by(acts.c.act_id.desc()).limit(most)
        if tenant_id is not None:
            statement = statement.where(acts.c.tenant_id == tenant_id)
        if before is not None:
            statement = statement.where(acts.c.act_id < before)
        async with self._database.begin() as connection:
            return [
                Act(
                    act_id=row.act_id,
                    at=row.at,
                    deed=Deed(
                        actor=row.actor,
                        action=row.action,
                        tenant_id=row.tenant_id,
                        path=row.path,
                        request_id=row.request_id,
                        address=row.address,
                    ),
                    status=row.status,
                    result=row.result,
                )
                for row in await connection.execute(statement)
            ]
