"""Links that log a browser in. Of a link only a digest is kept."""

from datetime import timedelta

import sqlalchemy as sa

from orchestrator.domain.login import LoginLink
from orchestrator.domain.tenant import Scope
from orchestrator.store.api_tokens import digest
from orchestrator.store.database import Database
from orchestrator.store.tables import login_links, tenants

_l = login_links.c

_VALID = _l.used_at.is_(None) & (_l.expires_at > sa.func.now())
_OF_LIVING_TENANT = _l.tenant_id.is_(None) | _l.tenant_id.in_(
    sa.select(tenants.c.tenant_id).where(tenants.c.deleted_at.is_(None))
)


class LoginLinkStore:
    """Every method raises ``DatabaseUnavailable`` when it can't know."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, secret: str, link: LoginLink) -> None:
        values = {
            "digest": digest(secret),
            "tenant_id": link.tenant_id,
            "scopes": sorted(link.scopes),
            "parent": link.parent,
            "created_by": link.created_by,
            "expires_at": link.expires_at,
        }
        async with self._database.begin() as connection:
            await connection.execute(sa.insert(login_links).values(**values))

    async def is_valid(self, secret: str) -> bool:
        """Whether it would log somebody in now."""
        found = sa.select(_l.digest).where(_l.digest == digest(secret), _VALID, _OF_LIVING_TENANT)
        async with self._database.begin() as connection:
            return (await connection.execute(found)).one_or_none() is not None

    async def use(self, secret: str) -> LoginLink | None:
        """The link, for the first who asks while it is valid; None for everybody after."""
        statement = (
            sa.update(login_links)
            .where(_l.digest == digest(secret), _VALID, _OF_LIVING_TENANT)
            .values(used_at=sa.func.now())
            .returning(_l.tenant_id, _l.scopes, _l.parent, _l.created_by, _l.expires_at)
        )
        async with self._database.begin() as connection:
            row = (await connection.execute(statement)).one_or_none()
        if row is None:
            return None
        scopes = frozenset(map(Scope, row.scopes))
        return LoginLink(row.tenant_id, scopes, row.parent, row.created_by, row.expires_at)

    async def forget(self, *, days: float) -> None:
        """Remove those that ended that long ago."""
        async with self._database.begin() as connection:
            ended = _l.expires_at < sa.func.now() - timedelta(days=days)
            await connection.execute(sa.delete(login_links).where(ended))
