"""Tenants, tokens and the audit log."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Literal

from orchestrator.client.transport import Transport, segment
from orchestrator.wire import tenants as wire

Scope = Literal["read", "send", "manage"]


class Tokens:
    """Those of the token's own tenant, or of the one that ``path`` leads to."""

    def __init__(self, transport: Transport, path: str = "/v1/tokens") -> None:
        self._transport = transport
        self._path = path

    async def create(self, name: str, scopes: Sequence[Scope], expires_at: datetime | None = None) -> wire.NewToken:
        """A token, which is in this answer and nowhere else."""
        body = wire.CreateToken(name=name, scopes=list(scopes), expires_at=expires_at)
        return await self._transport.call("POST", self._path, wire.NewToken, body=body)

    def list(self) -> AsyncIterator[wire.Token]:
        """All of them, newest first."""
        return self._transport.pages(self._path, wire.Tokens, lambda page: page.tokens)

    async def revoke(self, token_id: str) -> None:
        """Within seconds it opens nothing on any replica."""
        await self._transport.done("DELETE", f"{self._path}/{segment(token_id)}")


class Tenants:
    """For the admin token."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def create(self, body: wire.CreateTenant) -> wire.Tenant:
        """``TenantExists``, also for the id of one that was deleted."""
        return await self._transport.call("POST", "/v1/tenants", wire.Tenant, body=body)

    def list(self) -> AsyncIterator[wire.Tenant]:
        """All of them, by id."""
        return self._transport.pages("/v1/tenants", wire.Tenants, lambda page: page.tenants)

    async def get(self, tenant_id: str) -> wire.Tenant:
        return await self._transport.call("GET", _path(tenant_id), wire.Tenant)

    async def change(self, tenant_id: str, changes: wire.ChangeTenant) -> wire.Tenant:
        """What isn't named stays as it is."""
        return await self._transport.call("PATCH", _path(tenant_id), wire.Tenant, body=changes)

    async def delete(self, tenant_id: str) -> None:
        """One without sessions, else ``TenantInUse``."""
        await self._transport.done("DELETE", _path(tenant_id))

    def tokens(self, tenant_id: str) -> Tokens:
        return Tokens(self._transport, f"{_path(tenant_id)}/tokens")

    def audit(self, tenant_id: str | None = None) -> AsyncIterator[wire.Act]:
        """What was done, newest first: to one tenant or to all."""
        query = {} if tenant_id is None else {"tenant_id": tenant_id}
        return self._transport.pages("/v1/audit", wire.Acts, lambda page: page.audit, query)


def _path(tenant_id: str) -> str:
    return f"/v1/tenants/{segment(tenant_id)}"
