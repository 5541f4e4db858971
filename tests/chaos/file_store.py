"""The same faults and the same traffic on what a careful user of Baileys has: its own file store, on a disk that stays.

Each of the two containers has half of the accounts, as two processes on one folder would destroy it. Nobody needs a
database, so that faults of that are left out.
"""

import asyncio
import contextlib
import os
import random
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.chaos.clock import clock_shim
from tests.chaos.links import Link
from tests.chaos.world import READY_SECONDS, Replica, World, clock_of, link_to_whatsapp, linked, nowhere
from tests.support.baseline import BOT
from tests.support.fake_whatsapp import fake_whatsapp
from tests.support.postgres import short_folder
from tests.support.processes import descendants, running
from tests.support.tree import PROJECT, Tree

TELL_SECONDS = 0.2


class Bot(Tree):
    """A supervisor and the process that it restarts, which is everything in one."""

    def pid(self, program: str) -> int | None:
        return next(iter(descendants(self.child.pid)), None)


@dataclass
class FileStoreReplica(Replica):
    sessions: tuple[str, ...] = ()
    before: "FileStoreReplica | None" = None

    def empty_disk(self) -> None:
        """A disk that is kept is made once."""
        self.data_dir = self.folder / f"disk-{self.name}"
        self.data_dir.mkdir(exist_ok=True)

    def successor(self) -> "FileStoreReplica":
        return FileStoreReplica(
            self.name, self.folder, self.environ, self.links, self.clock, sessions=self.sessions, before=self
        )

    async def start(self) -> None:
        """A host with a disk that stays ends the old container first."""
        if self.before is not None:
            await self.before.end()
        self._running = contextlib.AsyncExitStack()
        environ = {**os.environ, **self.environ, "PORT": str(self.port)}
        command: list[str | Path] = [Path(sys.executable).with_name("supervisord"), "-n", "-c", self._supervision()]
        log = self.folder / f"log-{self.name}"
        child = self._running.enter_context(running(command, log, env=environ, cwd=PROJECT))
        http = await self._running.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)))
        self.product = Bot(child, self.data_dir, self.port, 0, "none", http)

    def _supervision(self) -> Path:
        file = self.folder / f"supervisord-{self.name}.conf"
        own = f"logfile=/dev/null\nlogfile_maxbytes=0\npidfile={self.folder}/supervisord-{self.name}.pid"
        retries = "autorestart=true\nstartretries=1000000\nstartsecs=0"
        command = f"node {BOT} {self.data_dir} {' '.join(self.sessions)}"
        file.write_text(f"[supervisord]\nnodaemon=true\n{own}\n[program:bot]\ncommand={command}\n{retries}\n")
        return file


@dataclass
class FileStoreWorld(World):
    owners: dict[str, int] = field(default_factory=dict)
    """By session: which container has it."""

    async def call(self, method: str, path: str, body: Any = None, seconds: float = 60.0) -> tuple[int, Any]:
        name = path.split("/")[3]
        return await self.ask(self.replicas[self.owners[name]].product, method, path, body, seconds)

    async def states(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for replica in self.replicas:
            status, answer = await self.ask(replica.product, "GET", "/v1/sessions", None, 10)
            if status == 200:
                found |= {s["session_id"]: s["connection_state"] for s in answer["sessions"]}
        return found

    async def _listen(self) -> None:
        while True:
            await asyncio.sleep(TELL_SECONDS)
            for product in self.alive:
                status, told = await self.ask(product, "DELETE", "/told", None, 10)
                if status == 200:
                    self.acknowledged.update(told["acknowledged"])
                    self.heard.update(told["received"])


@contextlib.asynccontextmanager
async def file_store_stage(rng: random.Random, sessions: int) -> AsyncIterator[World]:
    """Two containers up, and all sessions linked and open."""
    async with contextlib.AsyncExitStack() as stack:
        folder = stack.enter_context(short_folder("cf"))
        whatsapp = await stack.enter_async_context(fake_whatsapp("--retry-delay-ms", "200"))
        shim = clock_shim(folder)
        phones = {f"s{number:02}": f"55119888{number:05}" for number in range(sessions)}
        owners = {name: number % 2 for number, name in enumerate(phones)}
        replicas: list[Replica] = []
        for number, name in enumerate("ab"):
            outside, address = await link_to_whatsapp(stack, whatsapp)
            links = {"database": Link(nowhere), "whatsapp": outside, "peer": Link(nowhere)}
            environ = {**whatsapp.environ, "WHATSAPP_WEB_URL": address}
            own = tuple(session for session, owner in owners.items() if owner == number)
            clock, of_clock = clock_of(folder, name, shim)
            replicas.append(FileStoreReplica(name, folder, environ | of_clock, links, clock, sessions=own))
        world = FileStoreWorld(
            rng, whatsapp, None, replicas, phones, {}, [asyncio.Lock(), asyncio.Lock()], owners=owners
        )
        stack.push_async_callback(world.end)
        for replica in replicas:
            await replica.start()
        for product in world.alive:
            await product.ready(READY_SECONDS)
        await linked(world)
        yield world
