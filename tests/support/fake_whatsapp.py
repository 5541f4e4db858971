"""The fake WhatsApp server (baileys-server/test/fake-whatsapp) as a child process, and the client to its control API."""

import contextlib
import json
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.processes import PATIENCE, Child, running, wait_until
from tests.support.waiting import eventually

PROJECT = Path(__file__).resolve().parents[2]
MAIN = PROJECT / "baileys-server" / "test" / "fake-whatsapp" / "main.js"

#: Counts that a real server or phone would notice as our fault; a test that ends with one above zero fails.
VIOLATIONS = (
    "message_number_reused",
    "prekey_reused",
    "simultaneous_sockets",
    "media_broken",
    "unknown_queries",
    "faults",
    "undecryptable",
)


@dataclass
class FakeWhatsApp:
    """A running fake; ``ws_url`` and ``root_key`` are what the sidecar's settings take."""

    ws_url: str
    control_url: str
    root_key: str
    media_certificate: Path
    child: Child
    http: aiohttp.ClientSession

    @property
    def environ(self) -> dict[str, str]:
        return {
            "WHATSAPP_WEB_URL": self.ws_url,
            "WHATSAPP_ROOT_KEY": self.root_key,
            "NODE_EXTRA_CA_CERTS": str(self.media_certificate),
        }

    async def call(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Call the control API; an answer of 400 or more fails the test."""
        url = self.control_url + path
        async with self.http.request(method, url, json=body, params={k: str(v) for k, v in query.items()}) as response:
            answer = await response.json()
            assert response.status < 400, f"{method} {path}: {response.status} {answer}"
            return answer

    async def scan(self, qr: str, phone: str) -> dict[str, str]:
        """The phone scans this QR code; its account's jid and lid."""
        answer: dict[str, str] = await self.call("POST", "/scan", {"qr": qr, "phone": phone})
        return answer

    async def contact(self) -> str:
        return str((await self.call("POST", "/contacts", {}))["jid"])

    async def group(self, *members: str) -> str:
        return str((await self.call("POST", "/groups", {"subject": "Equipe", "members": list(members)}))["jid"])

    async def send(self, contact: str, phone: str, text: str, group: str | None = None) -> str:
        body = {"from": contact, "to": phone, "text": text, **({"group": group} if group else {})}
        return str((await self.call("POST", "/send", body))["id"])

    async def read_by(self, reader: str, message_id: str, seconds: float = 15.0) -> dict[str, Any]:
        """What the phone of this jid made of a message, once it has read it; with its content, and its file."""
        found: list[dict[str, Any]] = []

        async def read() -> bool:
            query = {"direction": "out", "status": "decrypted", "content": "true", "own_phone": "true"}
            messages = (await self.call("GET", "/messages", **query))["messages"]
            found[:] = [m for m in messages if m["id"] == message_id and m["to"] == reader]
            return bool(found)

        await eventually(read, seconds, f"{reader} to read {message_id}")
        return found[0]

    async def counts(self) -> dict[str, Any]:
        answer: dict[str, Any] = await self.call("GET", "/counts")
        return answer

    async def idle(self, seconds: float, phone: str | None = None) -> dict[str, Any]:
        """Wait until nothing is outstanding in either direction; what is outstanding if that takes longer."""
        patience = seconds * PATIENCE
        timeout = aiohttp.ClientTimeout(total=patience + 10)
        params = {"timeout_ms": str(int(patience * 1000)), **({"phone": phone} if phone else {})}
        async with self.http.get(self.control_url + "/idle", params=params, timeout=timeout) as response:
            answer: dict[str, Any] = await response.json()
            return answer

    async def messages(self, direction: str, phone: str | None = None) -> list[dict[str, Any]]:
        query = {"direction": direction, **({"phone": phone} if phone else {})}
        answer: list[dict[str, Any]] = (await self.call("GET", "/messages", **query))["messages"]
        return answer

    async def violations(self) -> dict[str, int]:
        counts = await self.counts()
        return {name: counts[name] for name in VIOLATIONS if counts[name]}


@contextlib.asynccontextmanager
async def fake_whatsapp(*options: str) -> AsyncIterator[FakeWhatsApp]:
    """Start a fake of one's own for the time of a test."""
    with tempfile.TemporaryDirectory(prefix="fakewa") as folder:
        log, certificate = Path(folder) / "log", Path(folder) / "media.pem"
        command = ["node", str(MAIN), "--media-certificate", str(certificate), *options]
        with running(command, log, cwd=PROJECT) as child:
            wait_until(
                lambda: "control_url" in child.output or child.process.poll() is not None, 20, "the fake WhatsApp"
            )
            ready = next(json.loads(line) for line in child.output.splitlines() if "control_url" in line)
            # Node closes idle connections after 5 s, perhaps just when the next call goes out on one.
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http:
                yield FakeWhatsApp(ready["ws_url"], ready["control_url"], ready["root_key"], certificate, child, http)
