"""The orchestrator's own process, without a sidecar, for tests of its two HTTP APIs."""

import contextlib
import io
import json
import os
import secrets
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import sqlalchemy as sa

from orchestrator.store.database import Database
from tests.support.processes import Child, free_port, running
from tests.support.waiting import eventually

PROJECT = Path(__file__).resolve().parents[2]


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["code"])


@dataclass
class Serving:
    """A running orchestrator and the clients to it."""

    port: int
    socket: Path
    child: Child
    token: str = field(repr=False)
    internal_token: str = field(repr=False)
    environ: dict[str, str] = field(repr=False)
    http: aiohttp.ClientSession
    unix: aiohttp.ClientSession

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = "",
        raw: bytes | None = None,
        **headers: str,
    ) -> Answer:
        """Call the public API; ``token`` "" is the right one and None sends none."""
        token = self.token if token == "" else token
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        data = io.BytesIO(raw) if raw is not None else None if body is None else json.dumps(body).encode()
        async with self.http.request(
            method, f"http://127.0.0.1:{self.port}{path}", data=data, headers=headers
        ) as response:
            return Answer(response.status, response.headers, await response.read())

    async def internal(self, method: str, path: str, body: Any = None, *, token: str | None = None) -> Answer:
        """Call the backup API as the sidecar does."""
        headers = {"Authorization": f"Bearer {token or self.internal_token}"}
        async with self.unix.request(method, f"http://orchestrator{path}", json=body, headers=headers) as response:
            return Answer(response.status, response.headers, await response.read())

    async def started(self) -> None:
        """Wait until it has reached its database."""

        async def answers() -> bool:
            return (await self.call("GET", "/v1/sessions")).status == 200

        await eventually(answers, what="the orchestrator to reach its database")

    async def answers(self, path: str, status: int) -> bool:
        try:
            return (await self.call("GET", path, token=None)).status == status
        except aiohttp.ClientError:
            return False


@contextlib.asynccontextmanager
async def serving(database_url: str, *, sidecar_port: int | None = None, **environ: str) -> AsyncIterator[Serving]:
    """Start ``python -m orchestrator serve`` on this database; it is killed at the end."""
    token, internal_token = secrets.token_hex(16), secrets.token_hex(32)
    with tempfile.TemporaryDirectory(prefix="serve") as folder:
        socket = Path(folder) / "o.sock"
        port = free_port()
        env = {
            **os.environ,
            "DATABASE_URL": database_url,
            "PORT": str(port),
            "DATA_DIR": folder,
            "SIDECAR_PORT": str(sidecar_port or free_port()),
            "ADMIN_TOKEN": token,
            "INTERNAL_TOKEN": internal_token,
            "REPLICA_ID": secrets.token_hex(16),
            "ORCHESTRATOR_SOCKET": str(socket),
            "SUPERVISOR_SOCKET": f"{folder}/s.sock",
            "SUPERVISOR_PASSWORD": "unused",
            **environ,
        }
        command = [sys.executable, "-m", "orchestrator", "serve"]
        with running(command, Path(folder) / "log", env=env, cwd=PROJECT) as child:
            connector = aiohttp.UnixConnector(str(socket))
            async with aiohttp.ClientSession() as http, aiohttp.ClientSession(connector=connector) as unix:
                child.wait_for_output('"listening"')
                yield Serving(port, socket, child, token, internal_token, env, http, unix)


@contextlib.asynccontextmanager
async def serving_leases(
    database_url: str, leases: Iterable[tuple[int, int, int]], names: Mapping[int, str] | None = None
) -> AsyncIterator[Serving]:
    """An orchestrator that has reached its database and holds these leases: (session_ref, generation, epoch).

    The sessions are called as ``names`` says, or s17 for session_ref 17.
    """
    replica = "a" * 32
    names = names or {}
    database = Database(database_url)
    await database.open()
    await database.migrate()
    async with database.begin() as connection:
        await connection.execute(sa.text(f"INSERT INTO replicas (replica_id, ttl_seconds) VALUES ('{replica}', 3600)"))
        for session_ref, generation, epoch in leases:
            name = names.get(session_ref, f"s{session_ref}")
            for statement in (
                "INSERT INTO sessions (session_ref, tenant_id, session_id, desired_state, connection_state, generation) "
                f"OVERRIDING SYSTEM VALUE VALUES ({session_ref}, 'operator', '{name}', 'running', 'open', {generation})",
                f"INSERT INTO generations (session_ref, generation) VALUES ({session_ref}, {generation})",
                f"INSERT INTO leases (session_ref, owner, epoch) VALUES ({session_ref}, '{replica}', {epoch})",
            ):
                await connection.execute(sa.text(statement))
    await database.close()
    async with serving(database_url, REPLICA_ID=replica) as served:
        await served.started()
        yield served
