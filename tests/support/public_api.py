"""The public API in the test's own process: the real parts on a real database, and no loop that runs by itself."""

import contextlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiohttp import web

from orchestrator.api.keys import Services
from orchestrator.bootstrap import assembled, public
from orchestrator.config import ProcessSettings, Settings
from orchestrator.store.database import Database


@dataclass
class PublicApi:
    """The services behind it can be called directly, for what a sidecar or a loop would do."""

    services: Services
    database: Database
    port: int
    token: str = field(repr=False)
    peer_token: str = field(repr=False)
    http: aiohttp.ClientSession


@contextlib.asynccontextmanager
async def public_api(database_url: str, replica_id: str = "a" * 32) -> AsyncIterator[PublicApi]:
    """The database is migrated already. At the end all streams are cut off, as when the process ends."""
    token = secrets.token_hex(16)
    nowhere = Path("/nonexistent")
    process = ProcessSettings(
        replica_id=replica_id,
        internal_token=secrets.token_hex(32),
        orchestrator_socket=nowhere,
        supervisor_socket=nowhere,
        supervisor_password="unused",
        database_url=database_url,
        database_embedded=False,
    )
    settings = Settings(admin_token=token)
    async with assembled(settings, process) as parts, aiohttp.ClientSession() as http:
        parts.services.readiness.started = True
        runner = web.AppRunner(public(parts, settings), shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield PublicApi(parts.services, parts.database, runner.addresses[0][1], token, parts.peer_token, http)
        finally:
            parts.services.events.close()
            await runner.cleanup()
