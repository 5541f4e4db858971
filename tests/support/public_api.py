"""The public API in the test's own process: the real parts on a real database, and no loop that runs by itself."""

import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from orchestrator.api.keys import Services
from orchestrator.bootstrap import assembled, public
from orchestrator.config import ProcessSettings, Settings
from orchestrator.store.database import Database
from tests.support.serving import Answer


@dataclass
class PublicApi:
    """The services behind it can be called directly, for what a sidecar or a loop would do."""

    services: Services
    database: Database
    port: int
    token: str = field(repr=False)
    peer_token: str = field(repr=False)
    http: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = "",
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """``token`` "" is the admin's and None sends none."""
        token = self.token if token == "" else token
        authorization = {} if token is None else {"Authorization": f"Bearer {token}"}
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        async with self.http.request(
            method, self.url + path, data=data, headers={**authorization, **(headers or {})}
        ) as response:
            return Answer(response.status, response.headers, await response.read())

    async def tenant(self, tenant_id: str, **limits: int) -> str:
        """A new tenant; a token of it that may do everything that a tenant's can."""
        body = {"tenant_id": tenant_id, "name": tenant_id, "limits": limits}
        assert (await self.call("POST", "/v1/tenants", body)).status == 201
        return await self.tenant_token(tenant_id)

    async def tenant_token(self, tenant_id: str, *scopes: str, **more: str) -> str:
        body = {"name": "for a test", "scopes": list(scopes or ("read", "send", "manage")), **more}
        made = await self.call("POST", f"/v1/tenants/{tenant_id}/tokens", body)
        assert made.status == 201
        return str(made.json["token"])


@contextlib.asynccontextmanager
async def public_api(
    database_url: str,
    replica_id: str = "a" * 32,
    *,
    token: str | None = None,
    media_dir: Path | None = None,
    **settings: Any,
) -> AsyncIterator[PublicApi]:
    """The database is migrated already. At the end all streams are cut off, as when the process ends."""
    token = token or secrets.token_hex(16)
    nowhere = Path("/nonexistent")
    process = ProcessSettings(
        replica_id=replica_id,
        internal_token=secrets.token_hex(32),
        orchestrator_socket=nowhere,
        supervisor_socket=nowhere,
        supervisor_password="unused",
        database_url=database_url,
        database_embedded=False,
        media_dir=media_dir,
    )
    made = Settings(admin_token=token, **settings)
    async with assembled(made, process) as parts, aiohttp.ClientSession() as http:
        parts.services.readiness.started = True
        runner = web.AppRunner(public(parts, made), shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield PublicApi(parts.services, parts.database, runner.addresses[0][1], token, parts.peer_token, http)
        finally:
            parts.services.events.close()
            await runner.cleanup()
