"""Tokens of the public API, kept as digests: the admin's, and those of tenants."""

import hashlib
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from orchestrator.domain.errors import TenantNotFound, TokenNotFound
from orchestrator.domain.login import LoginLink
from orchestrator.domain.tenant import OPERATOR_TENANT, TOKEN_PREFIX, ApiToken, Grant, Scope
from orchestrator.store.database import Database
from orchestrator.store.tables import api_tokens, tenants

_t = api_tokens.c
_parent = api_tokens.alias("parent")

#: A log-in opens nothing once the tenant's token behind it doesn't. The admin's token isn't always here: see Access.
_PARENT_OPENS = (
    _t.tenant_id.is_(None)
    | _t.parent.is_(None)
    | sa.select(_parent.c.digest)
    .where(
        _parent.c.digest == _t.parent,
        _parent.c.revoked_at.is_(None),
        _parent.c.expires_at.is_(None) | (_parent.c.expires_at > sa.func.now()),
    )
    .exists()
)

_TOUCH = sa.text(
    """
    UPDATE api_tokens t SET last_used_at = v.used_at
    FROM unnest(:token_ids, :times) AS v (token_id, used_at)
    WHERE t.name = v.token_id AND t.tenant_id IS NOT NULL AND (t.last_used_at IS NULL OR t.last_used_at < v.used_at)
    """
).bindparams(
    sa.bindparam("token_ids", type_=sa.ARRAY(sa.Text)),
    sa.bindparam("times", type_=sa.ARRAY(sa.DateTime(timezone=True))),
)


def digest(token: str) -> bytes:
    """What is stored of a token. Tokens are random or long, so a plain hash is enough; passwords would need more."""
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()


class ApiTokenStore:
    """Every method raises ``DatabaseUnavailable`` when it can't know."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_admin(self, name: str, token: str, show: Callable[[str], None]) -> bool:
        """Keep the token under this name unless there is one already; True if it was added.

        ``show`` is called before the commit: a token that nobody saw must not become the only valid one.
        """
        async with self._database.begin() as connection:
            insert = postgresql.insert(api_tokens).values(digest=digest(token), name=name).on_conflict_do_nothing()
            added = (await connection.execute(insert.returning(_t.name))).scalar_one_or_none() is not None
            if added:
                show(token)
            return added

    async def admin_digest(self, name: str) -> bytes | None:
        """The digest kept under this name."""
        async with self._database.begin() as connection:
            return (await connection.execute(sa.select(_t.digest).where(_t.name == name))).scalar_one_or_none()

    async def add(self, token: ApiToken, secret: str) -> ApiToken:
        """Keep a tenant's token; ``TenantNotFound``."""
        values = {
            "digest": digest(secret),
            "name": token.token_id,
            "tenant_id": token.tenant_id,
            "label": token.name,
            "hint": token.hint,
            "scopes": sorted(token.scopes),
            "created_by": token.created_by,
            "created_at": token.created_at,
            "expires_at": token.expires_at,
        }
        exists = sa.select(tenants.c.tenant_id).where(
            tenants.c.tenant_id == token.tenant_id, tenants.c.deleted_at.is_(None)
        )
        async with self._database.begin() as connection:
            if (await connection.execute(exists.with_for_update(read=True))).one_or_none() is None:
                raise TenantNotFound
            await connection.execute(sa.insert(api_tokens).values(**values))
        return token

    async def page(self, tenant_id: str, *, before: tuple[datetime, str] | None, most: int) -> list[ApiToken]:
        """The tenant's tokens, newest first, revoked ones too; those made before a (time, id)."""
        statement = sa.select(api_tokens).where(_t.tenant_id == tenant_id)
        if before is not None:
            statement = statement.where(sa.tuple_(_t.created_at, _t.name) < sa.tuple_(*map(sa.literal, before)))
        async with self._database.begin() as connection:
            rows = await connection.execute(statement.order_by(_t.created_at.desc(), _t.name.desc()).limit(most))
            return [_from_row(row) for row in rows]

    async def revoke(self, tenant_id: str, token_id: str) -> None:
        """From now on the token opens nothing; ``TokenNotFound`` unless it is this tenant's. A second time does nothing."""
        revoke = (
            sa.update(api_tokens)
            .where(_t.tenant_id == tenant_id, _t.name == token_id)
            .values(revoked_at=sa.func.coalesce(_t.revoked_at, sa.func.now()))
        )
        async with self._database.begin() as connection:
            if (await connection.execute(revoke.returning(_t.name))).one_or_none() is None:
                raise TokenNotFound

    async def grants(self, digests: Collection[bytes]) -> Mapping[bytes, Grant]:
        """What those of these tokens open that are there and not revoked; expired ones are among them."""
        statement = (
            sa.select(
                _t.digest,
                _t.name,
                _t.tenant_id,
                _t.scopes,
                _t.expires_at,
                _t.parent,
                tenants.c.blocked_at,
                tenants.c.messages_per_minute,
            )
            .outerjoin(tenants, tenants.c.tenant_id == _t.tenant_id)
            .where(
                _t.digest == sa.func.any(sa.literal(list(digests), sa.ARRAY(sa.LargeBinary))),
                _t.revoked_at.is_(None),
                _t.tenant_id.is_not(None) | _t.login,
                _PARENT_OPENS,
            )
        )
        async with self._database.begin() as connection:
            return {
                bytes(row.digest): Grant(
                    token_id=row.name,
                    tenant_id=row.tenant_id or OPERATOR_TENANT,
                    scopes=frozenset(Scope) if row.tenant_id is None else frozenset(map(Scope, row.scopes)),
                    expires_at=row.expires_at,
                    blocked=row.blocked_at is not None,
                    messages_per_minute=row.messages_per_minute,
                    parent=row.parent,
                )
                for row in await connection.execute(statement)
            }

    async def add_login(self, login_id: str, secret: str, link: LoginLink, expires_at: datetime) -> datetime:
        """Keep a browser's token; when it ends, which is no later than the token behind it."""
        parent_ends = sa.select(_parent.c.expires_at).where(_parent.c.digest == link.parent).scalar_subquery()
        values = {
            "digest": digest(secret),
            "name": login_id,
            "tenant_id": link.tenant_id,
            "label": "Browser",
            "hint": secret[: len(TOKEN_PREFIX) + 4],
            "scopes": sorted(link.scopes),
            "created_by": link.created_by,
            "expires_at": sa.func.least(sa.literal(expires_at), parent_ends),
            "login": True,
            "parent": link.parent,
        }
        async with self._database.begin() as connection:
            insert = sa.insert(api_tokens).values(**values).returning(_t.expires_at)
            ends: datetime = (await connection.execute(insert)).scalar_one()
            return ends

    async def end_login(self, secret: str) -> str | None:
        """From now on a browser's token opens nothing; its id, or None when this is none."""
        end = sa.update(api_tokens).where(_t.digest == digest(secret), _t.login)
        end = end.values(revoked_at=sa.func.coalesce(_t.revoked_at, sa.func.now()))
        async with self._database.begin() as connection:
            login_id: str | None = (await connection.execute(end.returning(_t.name))).scalar_one_or_none()
            return login_id

    async def forget_logins(self, *, days: float) -> None:
        """Remove browsers' tokens that ended that long ago."""
        ended = sa.func.least(_t.expires_at, _t.revoked_at) < sa.func.now() - timedelta(days=days)
        async with self._database.begin() as connection:
            await connection.execute(sa.delete(api_tokens).where(_t.login, ended))

    async def touch(self, used: Mapping[str, datetime]) -> None:
        """Record when tokens were used last."""
        async with self._database.begin() as connection:
            await connection.execute(_TOUCH, {"token_ids": list(used), "times": list(used.values())})


def _from_row(row: Any) -> ApiToken:
    return ApiToken(
        token_id=row.name,
        tenant_id=row.tenant_id,
        name=row.label,
        hint=row.hint,
        scopes=frozenset(map(Scope, row.scopes)),
        created_by=row.created_by,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )
