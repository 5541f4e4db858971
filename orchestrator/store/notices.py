"""Notices: written in the transaction that they are about, once for each subject, and read in the order of their numbers."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.billing_notice import Notice, NoticeKind
from orchestrator.store.database import Database
from orchestrator.store.tables import billing_notices

# Numbers are given one transaction after the other: a reader that asks for what comes after the last number that it has
# read must not miss a lower one that is committed later.
_IN_ORDER = sa.text("SELECT pg_advisory_xact_lock(hashtext('billing_notices'))")


async def add(
    connection: AsyncConnection,
    tenant_id: str,
    kind: NoticeKind,
    subject: str | datetime,
    data: dict[str, str | int | None],
) -> Notice | None:
    """A notice of this kind about the subject, or None if there is one already. Others wait for this transaction's end."""
    await connection.execute(_IN_ORDER)
    about = subject if isinstance(subject, str) else subject.isoformat()
    insert = (
        postgresql.insert(billing_notices)
        .values(tenant_id=tenant_id, kind=kind, subject=about, data=data)
        .on_conflict_do_nothing()
        .returning(billing_notices)
    )
    row = (await connection.execute(insert)).one_or_none()
    return None if row is None else _from_row(row)


def _from_row(row: Any) -> Notice:
    return Notice(notice_id=row.notice_id, tenant_id=row.tenant_id, kind=NoticeKind(row.kind), at=row.at, data=row.data)


class NoticeStore:
    """Every method raises ``DatabaseUnavailable`` when it can't know."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def after(self, tenant_id: str | None, notice_id: int, *, most: int) -> list[Notice]:
        """The oldest after that number, of one tenant or of all."""
        n = billing_notices.c
        statement = sa.select(billing_notices).where(n.notice_id > notice_id).order_by(n.notice_id).limit(most)
        if tenant_id is not None:
            statement = statement.where(n.tenant_id == tenant_id)
        async with self._database.begin() as connection:
            return [_from_row(row) for row in await connection.execute(statement)]
