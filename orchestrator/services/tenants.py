"""What the operator does with tenants, and anybody with tokens."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog

from orchestrator.domain.tenant import TOKEN_PREFIX, ApiToken, Caller, Limits, Scope, Tenant
from orchestrator.services.access import Access
from orchestrator.services.subscriptions import Subscriptions
from orchestrator.store.api_tokens import ApiTokenStore
from orchestrator.store.tenants import TenantStore

log = structlog.get_logger(__name__)

#: Characters of a token that stay visible: the prefix, and few enough of the rest.
_HINT_LENGTH = len(TOKEN_PREFIX) + 4


class Tenants:
    def __init__(self, store: TenantStore, tokens: ApiTokenStore, access: Access, subscriptions: Subscriptions) -> None:
        self._store = store
        self._subscriptions = subscriptions
        self._tokens = tokens
        self._access = access

    async def create(self, tenant_id: str | None, name: str, limits: Limits, chat_retention_days: int) -> Tenant:
        """A new tenant; without an id it gets one. ``TenantExists``."""
        tenant = await self._store.create(tenant_id or f"t-{secrets.token_hex(8)}", name, limits, chat_retention_days)
        await self._subscriptions.begin(tenant.tenant_id)
        log.info("tenant created", tenant_id=tenant.tenant_id)
        return tenant

    async def get(self, tenant_id: str) -> Tenant:
        return await self._store.get(tenant_id)

    async def page(self, *, after: str | None, most: int) -> Sequence[Tenant]:
        return await self._store.page(after=after, most=most)

    async def change(self, tenant_id: str, values: Mapping[str, Any], *, blocked: bool | None) -> Tenant:
        """Change columns of the tenant, and block it or not; its tokens hear of it at once here and elsewhere in seconds."""
        tenant = await self._store.change(tenant_id, values, blocked=blocked)
        self._access.forget_tenant(tenant_id)
        log.info("tenant changed", tenant_id=tenant_id, changed=sorted(values), blocked=tenant.blocked_at is not None)
        return tenant

    async def delete(self, tenant_id: str) -> None:
        """Remove a tenant that has no sessions, with its tokens. ``TenantInUse``; ``OperatorTenant``."""
        await self._store.delete(tenant_id)
        self._access.forget_tenant(tenant_id)
        log.warning("tenant deleted", tenant_id=tenant_id)

    async def make_token(
        self, caller: Caller, tenant_id: str, name: str, scopes: frozenset[Scope], expires_at: datetime | None
    ) -> tuple[ApiToken, str]:
        """A token of the tenant, and its secret, which is shown now or never; of no scope that the caller lacks."""
        caller.require(scopes)
        secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
        token = ApiToken(
            token_id=f"tok-{secrets.token_hex(8)}",
            tenant_id=tenant_id,
            name=name,
            hint=secret[:_HINT_LENGTH],
            scopes=scopes,
            created_by=caller.actor,
            created_at=datetime.now(UTC),
            expires_at=expires_at,
            revoked_at=None,
            last_used_at=None,
        )
        await self._tokens.add(token, secret)
        log.info("token made", tenant_id=tenant_id, token_id=token.token_id, by=caller.actor)
        return token, secret

    async def tokens(self, tenant_id: str, *, before: tuple[datetime, str] | None, most: int) -> Sequence[ApiToken]:
        """The tenant's, newest first; ``TenantNotFound``."""
        tokens = await self._tokens.page(tenant_id, before=before, most=most)
        if not tokens:
            await self._store.get(tenant_id)
        return tokens

    async def revoke(self, tenant_id: str, token_id: str) -> None:
        """From now on the token opens nothing here, and in seconds nothing anywhere. ``TokenNotFound``."""
        await self._tokens.revoke(tenant_id, token_id)
        self._access.forget(token_id)
        log.info("token revoked", tenant_id=tenant_id, token_id=token_id)

    async def measure(self, *, every_seconds: float) -> None:
        """Measure what tenants with a storage limit take. Raises ``DatabaseUnavailable``."""
        await self._store.measure(every_seconds=every_seconds)
