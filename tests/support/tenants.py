"""Tenants for tests of the stores."""

from orchestrator.domain.tenant import Limits
from orchestrator.store.database import Database
from orchestrator.store.tenants import TenantStore


async def add_tenants(database: Database, *tenant_ids: str) -> None:
    for tenant_id in tenant_ids:
        await TenantStore(database).create(tenant_id, tenant_id, Limits(), chat_retention_days=0)
