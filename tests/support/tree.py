"""The whole product as a user starts it: `python -m orchestrator up`, its processes, and a client to its public API."""

import asyncio
import contextlib
import io
import json
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.fake_whatsapp import FakeWhatsApp
from tests.support.processes import Child, descendants, free_port, kill_tree, running
from tests.support.serving import Answer
from tests.support.waiting import eventually

PROJECT = Path(__file__).resolve().parents[2]

#: How a program is told from the others of its tree by its command line.
MARKS = {
    "orchestrator": " serve",
    "bot": "-m orchestrator bot",
    "alert-listener": "-m orchestrator alert-listener",
    "process-watcher": "-m orchestrator watch-processes",
    "baileys": "baileys-server/src/main.js",
    "postgres": "postgres -D",
}


@dataclass
class Tree:
    """A running process tree. ``events`` holds what its event stream said, while somebody listens."""

    child: Child
    data_dir: Path
    port: int
    sidecar_port: int
    token: str = field(repr=False)
    http: aiohttp.ClientSession

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        headers["Authorization"] = f"Bearer {self.token}"
        data = None if body is None else json.dumps(body).encode()
        url = f"http://127.0.0.1:{self.port}{path}"
        async with self.http.request(method, url, data=data, headers=headers) as response:
            return Answer(response.status, dict(response.headers), await response.read())

    async def session(self, session_id: str) -> Any:
        return (await self.call("GET", f"/v1/sessions/{session_id}")).json

    def _internal_token(self) -> str | None:
        pid = self.pid("baileys")
        if pid is None:
            return None
        try:
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            return None  # it has just ended
        name = b"INTERNAL_TOKEN="
        return next((v.removeprefix(name).decode() for v in variables if v.startswith(name)), None)

    async def sidecar_sessions(self) -> list[dict[str, Any]]:
        """What this tree's own sidecar runs, asked with the internal token that its processes have."""
        token = self._internal_token()
        if token is None:
            return []
        url = f"http://127.0.0.1:{self.sidecar_port}/v1/sessions"
        try:
            async with self.http.get(url, headers={"Authorization": f"Bearer {token}"}) as response:
                listing = await response.json()
        except (aiohttp.ClientError, OSError):
            return []
        sessions: list[dict[str, Any]] = listing["sessions"]
        return sessions

    async def send(self, session_id: str, to: str, text: str) -> Answer:
        return await self.call("POST", f"/v1/sessions/{session_id}/messages", {"to": to, "type": "text", "text": text})

    async def upload(self, session_id: str, message: str, content: bytes, name: str, mimetype: str) -> Answer:
        """Send a file as `curl -F message=... -F file=@...` does."""
        form = aiohttp.FormData()
        form.add_field("message", message, content_type="application/json")
        form.add_field("file", io.BytesIO(content), filename=name, content_type=mimetype)
        url = f"http://127.0.0.1:{self.port}/v1/sessions/{session_id}/messages"
        async with self.http.post(url, data=form, headers={"Authorization": f"Bearer {self.token}"}) as response:
            return Answer(response.status, dict(response.headers), await response.read())

    async def ready(self, seconds: float = 60.0) -> None:
        """Wait until the database and the sidecar answer."""

        async def condition() -> bool:
            assert self.child.process.poll() is None, f"the tree ended:\n{self.child.output[-4000:]}"
            try:
                return (await self.call("GET", "/readyz")).status == 200
            except aiohttp.ClientError:
                return False

        await eventually(condition, seconds, "the tree to be ready")

    async def open(self, *session_ids: str, seconds: float = 60.0, after: str | None = None) -> None:
        """Wait until all of these sessions are open, and were opened later than ``after`` (an ISO time)."""

        async def condition() -> bool:
            states = await self._listed()
            return states.keys() >= set(session_ids) and all(
                states[i]["connection_state"] == "open" and (after is None or states[i]["last_open_at"] > after)
                for i in session_ids
            )

        try:
            await eventually(condition, seconds, f"{len(session_ids)} sessions to be open")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.child.output[-6000:]}") from error

    async def _listed(self) -> dict[str, Any]:
        """All sessions by id; none while nobody can tell."""
        found: dict[str, Any] = {}
        cursor = ""
        while True:
            try:
                answer = await self.call("GET", f"/v1/sessions?limit=200{cursor}")
            except (aiohttp.ClientError, OSError):
                return {}
            if answer.status == 503:
                return {}
            found |= {session["session_id"]: session for session in answer.json["sessions"]}
            if answer.json["next_cursor"] is None:
                return found
            cursor = f"&cursor={answer.json['next_cursor']}"

    async def stored(self, seconds: float = 30.0) -> None:
        """Wait until PostgreSQL has everything: the journal is empty."""

        async def condition() -> bool:
            return self.journal_bytes == 0

        await eventually(condition, seconds, "the journal to be empty")

    @property
    def journal_bytes(self) -> int:
        return sum(file.stat().st_size for file in (self.data_dir / "journal").rglob("*") if file.is_file())

    async def qr(self, session_id: str, **headers: str) -> Answer:
        """The QR code, asked for until there is one."""

        async def ready() -> Answer | None:
            answer = await self.call("GET", f"/v1/sessions/{session_id}/qr", **headers)
            return None if answer.status == 409 and answer.code == "qr_not_ready" else answer

        qr = await eventually(ready, 60, "a QR code")
        assert qr is not None
        assert qr.status == 200, qr.body
        return qr

    async def pair(self, session_id: str, phone: str, whatsapp: FakeWhatsApp) -> str:
        """Create a session, scan its QR code, wait until it is open; the account's jid."""
        assert (await self.call("POST", "/v1/sessions", {"session_id": session_id})).status == 201
        qr = await self.qr(session_id)
        jid = (await whatsapp.scan(qr.json["qr"], phone))["jid"]
        await self.open(session_id)
        return jid

    def pid(self, program: str) -> int | None:
        """The process of a program of this tree that runs now."""
        return next(iter(self.pids(program)), None)

    def pids(self, program: str) -> list[int]:
        """All of them, where a program has several processes."""
        found = []
        for pid in descendants(self.child.pid):
            try:
                line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
            except OSError:
                continue
            if MARKS[program] in line and parent == str(self.child.pid):
                found.append(pid)
        return found

    async def kill(self, program: str) -> int:
        """SIGKILL one program; its pid. PostgreSQL's children go with it, as after a crash of the server."""
        pid = await eventually(lambda: asyncio.to_thread(self.pid, program), what=f"{program} to run") or 0
        if program == "postgres":
            kill_tree(pid)
        else:
            os.kill(pid, signal.SIGKILL)
        return pid

    def kill_everything(self) -> None:
        """SIGKILL the whole tree at once, as a host does."""
        kill_tree(self.child.pid)
        self.child.process.wait()

    async def terminate(self, seconds: float = 40.0) -> int:
        """SIGTERM, and the exit code."""
        self.child.process.terminate()
        return await asyncio.to_thread(self.child.wait, seconds)

    def resident_megabytes(self) -> dict[str, float]:
        """Resident memory by program."""
        found = {}
        for program in MARKS:
            pid = self.pid(program)
            if pid is not None:
                pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
                found[program] = pages * os.sysconf("SC_PAGESIZE") / 1e6
        return found


@contextlib.asynccontextmanager
async def tree(
    data_dir: Path, log: Path, environ: Mapping[str, str], *, port: int | None = None, token: str | None = None
) -> AsyncIterator[Tree]:
    """Start the product on ``data_dir``; afterwards nothing of it is left."""
    port, sidecar_port = port or free_port(), free_port()
    token = token or secrets.token_hex(16)
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(data_dir.parent),
        "LANG": "C.UTF-8",
        "PORT": str(port),
        "SIDECAR_PORT": str(sidecar_port),
        "DATA_DIR": str(data_dir),
        "ADMIN_TOKEN": token,
        **environ,
    }
    command = [sys.executable, "-m", "orchestrator", "up"]
    with running(command, log, env=env, cwd=PROJECT) as child:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as http:
            yield Tree(child, data_dir, port, sidecar_port, token, http)
