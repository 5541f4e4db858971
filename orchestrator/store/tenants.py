"""Tenants, what they may have, and what they have."""

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.errors import (
    OperatorTenant,
    PaymentRequired,
    SessionLimit,
    StorageLimit,
    TenantExists,
    TenantInUse,
    TenantNotFound,
)
from orchestrator.domain.tenant import OPERATOR_TENANT, Limits, Tenant
from orchestrator.store.database import Database
from orchestrator.store.tables import api_tokens, sessions, tenants

#: The row of a tenant that exists, locked against a second session that is made at the same time, in the driver's own form.
LOCK_TENANT = """
    SELECT least(max_sessions, plan_sessions), storage_bytes, stored_bytes, paused_at IS NOT NULL FROM tenants
    WHERE tenant_id = %(tenant_id)s AND deleted_at IS NULL
    FOR NO KEY UPDATE
"""
COUNT_SESSIONS = "SELECT count(*) FROM sessions WHERE tenant_id = %(tenant_id)s AND deleted_at IS NULL"

_SESSIONS = (
    sa.select(sa.func.count())
    .select_from(sessions)
    .where(sessions.c.tenant_id == tenants.c.tenant_id, sessions.c.deleted_at.is_(None))
    .scalar_subquery()
    .label("sessions")
)

_SELECT = sa.select(tenants, _SESSIONS).where(tenants.c.deleted_at.is_(None))

# Only where there is a limit: it reads every row of the tenants' sessions. One replica does it for all.
_MEASURE = """
    WITH due AS MATERIALIZED (
        SELECT t.tenant_id FROM tenants t
        WHERE t.storage_bytes IS NOT NULL AND t.deleted_at IS NULL
          AND coalesce(t.measured_at < now() - make_interval(secs => %(every)s), true)
        FOR NO KEY UPDATE SKIP LOCKED
    ), refs AS MATERIALIZED (
        SELECT s.session_ref, s.tenant_id FROM sessions s JOIN due USING (tenant_id)
    ), sizes AS (
        SELECT r.tenant_id, pg_column_size(k.value) AS size FROM refs r JOIN signal_keys k USING (session_ref)
        UNION ALL SELECT r.tenant_id, pg_column_size(c.value) FROM refs r JOIN creds c USING (session_ref)
        UNION ALL SELECT r.tenant_id, pg_column_size(m.message) FROM refs r JOIN sent_messages m USING (session_ref)
        UNION ALL SELECT r.tenant_id, pg_column_size(i.event) FROM refs r JOIN incoming_messages i USING (session_ref)
        UNION ALL SELECT r.tenant_id, pg_column_size(i.event) FROM refs r JOIN kept_messages i USING (session_ref)
        UNION ALL SELECT r.tenant_id, coalesce(pg_column_size(o.body), 0) FROM refs r JOIN outbox_messages o USING (session_ref)
        UNION ALL SELECT r.tenant_id, pg_column_size(f.content) FROM refs r JOIN outbox_files f USING (session_ref)
        UNION ALL SELECT r.tenant_id, pg_column_size(e.data) FROM refs r JOIN stored_events e USING (session_ref)
        UNION ALL SELECT r.tenant_id, coalesce(pg_column_size(d.payload), 0) FROM refs r JOIN webhook_deliveries d USING (session_ref)
        UNION ALL SELECT r.tenant_id, pg_column_size(d.value) FROM refs r JOIN directory d USING (session_ref)
    )
    UPDATE tenants t SET measured_at = now(), stored_bytes =
        (SELECT coalesce(sum(size), 0) FROM sizes WHERE sizes.tenant_id = t.tenant_id)
    FROM due WHERE due.tenant_id = t.tenant_id
"""


def _from_row(row: Any) -> Tenant:
    return Tenant(
        tenant_id=row.tenant_id,
        name=row.name,
        limits=Limits(
            sessions=row.max_sessions,
            messages_per_minute=row.messages_per_minute,
            storage_bytes=row.storage_bytes,
        ),
        chat_retention_days=row.chat_retention_days,
        blocked_at=row.blocked_at,
        blocked_reason=row.blocked_reason,
        sessions=row.sessions,
        stored_bytes=row.stored_bytes,
        created_at=row.created_at,
    )


class TenantStore:
    """Every method raises ``DatabaseUnavailable`` when it can't know."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, tenant_id: str, name: str, limits: Limits, chat_retention_days: int) -> Tenant:
        """``TenantExists`` also for the id of one that was deleted."""
        values = {
            "tenant_id": tenant_id,
            "name": name,
            "max_sessions": limits.sessions,
            "messages_per_minute": limits.messages_per_minute,
            "storage_bytes": limits.storage_bytes,
            "chat_retention_days": chat_retention_days,
        }
        async with self._database.begin() as connection:
            insert = postgresql.insert(tenants).values(**values).on_conflict_do_nothing()
            if (await connection.execute(insert.returning(tenants.c.tenant_id))).one_or_none() is None:
                raise TenantExists
            return await _get(connection, tenant_id)

    async def get(self, tenant_id: str) -> Tenant:
        """The tenant, or ``TenantNotFound``."""
        async with self._database.begin() as connection:
            return await _get(connection, tenant_id)

    async def existing(self, tenant_ids: Collection[str]) -> frozenset[str]:
        """Those of these that are there."""
        t = tenants.c
        asked = t.tenant_id == sa.func.any(sa.literal(list(tenant_ids), sa.ARRAY(sa.Text)))
        async with self._database.begin() as connection:
            rows = await connection.execute(sa.select(t.tenant_id).where(asked, t.deleted_at.is_(None)))
            return frozenset(rows.scalars())

    async def page(self, *, after: str | None, most: int) -> list[Tenant]:
        """By id, from the one after ``after``."""
        statement = _SELECT.order_by(tenants.c.tenant_id).limit(most)
        if after is not None:
            statement = statement.where(tenants.c.tenant_id > after)
        async with self._database.begin() as connection:
            return [_from_row(row) for row in await connection.execute(statement)]

    async def change(self, tenant_id: str, values: Mapping[str, Any], *, blocked: bool | None) -> Tenant:
        """Set columns of a tenant, and block or unblock it; who is blocked already stays so since then."""
        changes = dict(values)
        if blocked:
            if tenant_id == OPERATOR_TENANT:
                raise OperatorTenant
            changes["blocked_at"] = sa.func.coalesce(tenants.c.blocked_at, sa.func.now())
        elif blocked is False:
            changes |= {"blocked_at": None, "blocked_reason": None}
        async with self._database.begin() as connection:
            if changes:
                where = (tenants.c.tenant_id == tenant_id) & tenants.c.deleted_at.is_(None)
                await connection.execute(sa.update(tenants).where(where).values(**changes))
            return await _get(connection, tenant_id)

    async def delete(self, tenant_id: str) -> None:
        """Remove a tenant without sessions, and revoke its tokens. Raises ``TenantInUse``."""
        if tenant_id == OPERATOR_TENANT:
            raise OperatorTenant
        parameters = {"tenant_id": tenant_id}
        async with self._database.begin() as connection:
            if (await connection.exec_driver_sql(LOCK_TENANT, parameters)).one_or_none() is None:
                raise TenantNotFound
            if (await connection.exec_driver_sql(COUNT_SESSIONS, parameters)).scalar_one():
                raise TenantInUse
            now = sa.func.now()
            await connection.execute(sa.update(tenants).where(tenants.c.tenant_id == tenant_id).values(deleted_at=now))
            valid = (api_tokens.c.tenant_id == tenant_id) & api_tokens.c.revoked_at.is_(None)
            await connection.execute(sa.update(api_tokens).where(valid).values(revoked_at=now))

    async def measure(self, *, every_seconds: float) -> None:
        """Measure what the tenants with a storage limit take, unless somebody did that lately."""
        async with self._database.whole_transaction() as connection:
            await connection.execute(_MEASURE, {"every": every_seconds})


async def _get(connection: AsyncConnection, tenant_id: str) -> Tenant:
    row = (await connection.execute(_SELECT.where(tenants.c.tenant_id == tenant_id))).one_or_none()
    if row is None:
        raise TenantNotFound
    return _from_row(row)


def require_room(limits: Any, sessions_with_it: int) -> None:
    """Whether the row of ``LOCK_TENANT`` lets a tenant have that many sessions, one of which is just being made."""
    most_sessions, most_bytes, bytes_now, paused = limits
    if paused:
        raise PaymentRequired
    if most_sessions is not None and sessions_with_it > most_sessions:
        raise SessionLimit
    if most_bytes is not None and bytes_now is not None and bytes_now >= most_bytes:
        raise StorageLimit


async def lock(connection: AsyncConnection, tenant_id: str) -> Any:
    """The tenant's limits, for ``room_for_new``; nobody else makes a session of it before this transaction ends."""
    limits = (await connection.exec_driver_sql(LOCK_TENANT, {"tenant_id": tenant_id})).one_or_none()
    if limits is None:
        raise TenantNotFound
    return limits


async def room_for_new(connection: AsyncConnection, tenant_id: str, limits: Any) -> None:
    """Raise ``SessionLimit`` or ``StorageLimit`` if the session that was added is one too many, or ``PaymentRequired``."""
    number = (await connection.exec_driver_sql(COUNT_SESSIONS, {"tenant_id": tenant_id})).scalar_one()
    require_room(limits, number)
