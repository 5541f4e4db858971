"""The file-store bot (baileys-server/test/baseline) as a child process: one process, Baileys' own store, a disk that stays."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.fake_whatsapp import PROJECT, FakeWhatsApp
from tests.support.waiting import eventually

#: Its only session, and the folder of that.
SESSION = "auth"
BOT = PROJECT / "baileys-server" / "test" / "baseline" / "file-store-bot.js"


@dataclass
class Baseline:
    folder: Path
    whatsapp: FakeWhatsApp
    http: aiohttp.ClientSession
    process: asyncio.subprocess.Process | None = None
    url: str = ""

    async def start(self) -> None:
        log = self.folder / "log"
        with log.open("wb") as output:
            self.process = await asyncio.create_subprocess_exec(
                "node",
                str(BOT),
                str(self.folder),
                SESSION,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                cwd=PROJECT,
                env={**os.environ, **self.whatsapp.environ},
            )

        async def listening() -> bool:
            return "url" in log.read_text()

        await eventually(listening, 20, "the baseline bot")
        self.url = json.loads(log.read_text().splitlines()[0])["url"]

    async def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    async def _get(self, path: str) -> dict[str, Any]:
        async with self.http.get(f"{self.url}/v1/sessions{path}") as response:
            answer: dict[str, Any] = await response.json()
            return answer

    async def open(self, seconds: float = 60.0) -> None:
        async def condition() -> bool:
            (session,) = (await self._get(""))["sessions"]
            return bool(session["connection_state"] == "open")

        await eventually(condition, seconds, "the baseline bot to be open")

    async def pair(self, phone: str) -> None:
        async def qr() -> str | None:
            return (await self._get(f"/{SESSION}/qr")).get("qr")

        shown = await eventually(qr, what="the baseline's QR code")
        assert shown is not None
        await self.whatsapp.scan(shown, phone)
        await self.open()

    async def send(self, to: str, text: str) -> str | None:
        try:
            message = {"to": to, "text": text}
            async with self.http.post(f"{self.url}/v1/sessions/{SESSION}/messages", json=message) as response:
                return str((await response.json())["message_id"]) if response.status == 201 else None
        except (aiohttp.ClientError, OSError):
            return None


@contextlib.asynccontextmanager
async def baseline(folder: Path, whatsapp: FakeWhatsApp) -> AsyncIterator[Baseline]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as http:
        bot = Baseline(folder, whatsapp, http)
        await bot.start()
        try:
            yield bot
        finally:
            await bot.kill()
