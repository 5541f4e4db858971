"""The stage: two replicas on one PostgreSQL, twenty linked accounts, traffic both ways, and links that can fail."""

import asyncio
import contextlib
import itertools
import random
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import aiohttp

from tests.chaos.clock import Clock, clock_shim
from tests.chaos.links import Link
from tests.support.event_stream import listening
from tests.support.fake_telegram import TOKEN as TELEGRAM_TOKEN
from tests.support.fake_telegram import fake_telegram
from tests.support.fake_whatsapp import FakeWhatsApp, fake_whatsapp
from tests.support.own_server import OwnServer, own_server
from tests.support.postgres import short_folder
from tests.support.processes import DeadlineError, free_port
from tests.support.tree import Tree, tree
from tests.support.waiting import eventually

TOKEN = "a-token-for-the-operator"
#: Messages a second, each way, over all sessions.
RATE = 10.0
READY_SECONDS = 90.0


@dataclass
class Replica:
    """A container: it may end and be started anew, with its disk or with an empty one."""

    name: str
    folder: Path
    environ: dict[str, str]
    links: dict[str, Link]
    clock: Clock | None
    port: int = field(default_factory=free_port)
    data_dir: Path = Path()
    product: Tree | None = None
    _running: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    def __post_init__(self) -> None:
        self.empty_disk()

    def empty_disk(self) -> None:
        """The next start finds nothing of the one before."""
        self.data_dir = Path(tempfile.mkdtemp(prefix=self.name, dir=self.folder))
        self.data_dir.chmod(0o711)

    def successor(self) -> "Replica":
        """The container of the next deploy, in the same place of the network, with a disk and an address of its own."""
        return Replica(self.name, self.folder, dict(self.environ), {**self.links, "peer": Link(nowhere)}, self.clock)

    async def start(self) -> None:
        """The other replica reaches this one through a link; programs reach it directly."""
        peer = Link(lambda: asyncio.open_connection("127.0.0.1", self.port))
        self.links["peer"] = peer
        self._running = contextlib.AsyncExitStack()
        self._running.push_async_callback(peer.close)
        environ = {**self.environ, "REPLICA_ADDRESS": f"http://127.0.0.1:{await peer.listen()}"}
        started = tree(self.data_dir, self.folder / f"log-{self.name}", environ, port=self.port, token=TOKEN)
        self.product = await self._running.enter_async_context(started)

    async def end(self) -> None:
        """Whatever is left of it is killed."""
        self.product = None
        await self._running.aclose()

    @property
    def undrained(self) -> bool:
        """Whether its disk has changes that PostgreSQL doesn't have."""
        journal = self.data_dir / "journal"
        return journal.is_dir() and any(file.stat().st_size for file in journal.rglob("*") if file.is_file())


@dataclass
class Sent:
    accepted: dict[str, str] = field(default_factory=dict)
    """Text by message id, of sends that were answered with 201."""
    unconfirmed: int = 0
    refused: int = 0


@dataclass
class World:
    rng: random.Random
    whatsapp: FakeWhatsApp
    server: OwnServer | None
    """None for a product that has no database."""
    replicas: list[Replica]
    sessions: dict[str, str]
    """Phone by session id."""
    contacts: dict[str, str]
    hosts: list[asyncio.Lock]
    """A host does one thing at a time to its container."""
    database: asyncio.Lock = field(default_factory=asyncio.Lock)
    """So does whoever operates PostgreSQL: two restarts at once would start two servers on one folder."""
    sent: Sent = field(default_factory=Sent)
    heard: set[str] = field(default_factory=set)
    """Texts of incoming messages that were heard as events."""
    connections: list[tuple[str, str, int, int]] = field(default_factory=list)
    """Of the listener: when, with whom, after which event, and how many messages were heard by then."""
    acknowledged: set[str] = field(default_factory=set)
    """Ids of messages that WhatsApp took, by its receipts."""

    @property
    def alive(self) -> list[Tree]:
        return [replica.product for replica in self.replicas if replica.product is not None]

    async def call(self, method: str, path: str, body: Any = None, seconds: float = 60.0) -> tuple[int, Any]:
        """Ask any replica; (0, None) when it isn't there."""
        return await self.ask(self.rng.choice(self.alive) if self.alive else None, method, path, body, seconds)

    async def ask(self, product: Tree | None, method: str, path: str, body: Any, seconds: float) -> tuple[int, Any]:
        if product is None:
            return 0, None
        try:
            async with asyncio.timeout(seconds):
                answer = await product.call(method, path, body)
            return answer.status, answer.json if answer.body else None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, RuntimeError):
            return 0, None  # the last one: its container was ended, and the client to it closed, at this moment

    async def states(self) -> dict[str, str]:
        """The state of each session as the replicas tell it; empty when none answers."""
        status, answer = await self.call("GET", "/v1/sessions?limit=200", seconds=10)
        return {s["session_id"]: s["connection_state"] for s in answer["sessions"]} if status == 200 else {}

    @contextlib.asynccontextmanager
    async def traffic(self) -> AsyncIterator[None]:
        """Messages both ways for as long as the block runs, and somebody who listens to the events all the time."""
        tasks = [asyncio.create_task(self._send()), asyncio.create_task(self._listen())]
        for session_id, phone in self.sessions.items():
            body = {
                "phone": phone,
                "contacts": [self.contacts[session_id]],
                "groups": [],
                "rate_per_second": RATE / len(self.sessions),
                "count": 1_000_000,
                "prefix": f"in {session_id}",
            }
            await self.whatsapp.call("POST", "/traffic", body)
        try:
            yield
        finally:
            await self.whatsapp.call("DELETE", "/traffic")
            tasks[0].cancel()
            await asyncio.gather(tasks[0], return_exceptions=True)
        self._listener = tasks[1]

    async def _send(self) -> None:
        """Open loop: a send that waits doesn't keep the next one."""
        under_way: set[asyncio.Task[None]] = set()
        try:
            for count in itertools.count():
                session_id = list(self.sessions)[count % len(self.sessions)]
                task = asyncio.create_task(self._send_one(session_id, f"out {session_id} {count}"))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
                await asyncio.sleep(1 / RATE)
        finally:
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _send_one(self, session_id: str, text: str) -> None:
        body = {"to": self.contacts[session_id], "type": "text", "text": text}
        status, answer = await self.call("POST", f"/v1/sessions/{session_id}/messages", body)
        if status == 201:
            self.sent.accepted[answer["message_id"]] = text
        elif status in (0, 504):
            self.sent.unconfirmed += 1
        else:
            self.sent.refused += 1

    async def _listen(self) -> None:
        last_id: int | None = None
        while True:
            product = self.rng.choice(self.alive) if self.alive else None
            if product is None:
                await asyncio.sleep(0.2)
                continue
            connected = time.strftime("%H:%M:%S"), product.data_dir.name, last_id or 0, len(self.heard)
            self.connections.append(connected)
            try:
                async with listening(product, last_id=last_id) as heard:
                    known = 0
                    while not heard.ended and product in self.alive:
                        await asyncio.sleep(0.1)
                        for type_, data in heard[known:]:
                            if type_ == "message.received":
                                self.heard.add(str(data["text"]))
                            elif type_ == "message.receipt" and data["status"] == "sent":
                                self.acknowledged.add(data["message_id"])
                        known = len(heard)
                        last_id = heard.last_id or last_id
            except (aiohttp.ClientError, DeadlineError, AssertionError, OSError, RuntimeError):
                await asyncio.sleep(0.2)

    async def end(self) -> None:
        for replica in self.replicas:
            await replica.end()

    async def stop_listening(self) -> None:
        """Raises what ended the listening, if something did."""
        self._listener.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._listener


@contextlib.asynccontextmanager
async def stage(
    rng: random.Random, sessions: int, names: str = "ab", settings: Mapping[str, str] | None = None
) -> AsyncIterator[World]:
    """Everything up, and all sessions linked and open. ``settings``: of both replicas, beside what they need."""
    async with contextlib.AsyncExitStack() as stack:
        folder = stack.enter_context(short_folder("ch"))
        server = stack.enter_context(own_server(folder / "pg"))
        whatsapp = await stack.enter_async_context(fake_whatsapp("--retry-delay-ms", "200"))
        shim = clock_shim(folder)
        replicas = [await _replica(stack, name, folder, server, whatsapp, shim) for name in names]
        phones = {f"s{number:02}": f"55119888{number:05}" for number in range(sessions)}
        world = World(rng, whatsapp, server, replicas, phones, {}, [asyncio.Lock() for _ in names])
        stack.push_async_callback(world.end)
        for replica in replicas:
            replica.environ |= settings or {}
            await replica.start()
        for product in world.alive:
            await product.ready(READY_SECONDS)
        for session_id in phones:
            status, _ = await world.call("POST", "/v1/sessions", {"session_id": session_id})
            assert status == 201
        await linked(world)
        yield world


@contextlib.asynccontextmanager
async def whole_stage(rng: random.Random, sessions: int) -> AsyncIterator[World]:
    """The same with every process that a container can have: the bot, its listener, and two sidecars."""
    async with fake_telegram() as telegram:
        settings = {
            "BOT_TOKEN": TELEGRAM_TOKEN,
            "ADMIN_CHAT_ID": "1",
            "TELEGRAM_API_URL": telegram.url,
            "SIDECAR_SHARDS": "2",
        }
        async with stage(rng, sessions, settings=settings) as world:
            yield world


async def linked(world: World) -> None:
    """Scan the QR code of each session, and give each somebody to talk to."""
    gate = asyncio.Semaphore(4)

    async def link(session_id: str, phone: str) -> None:
        async def qr() -> str | None:
            status, answer = await world.call("GET", f"/v1/sessions/{session_id}/qr")
            return str(answer["qr"]) if status == 200 else None

        async with gate:
            shown = await eventually(qr, 60, "a QR code")
            assert shown is not None
            await world.whatsapp.scan(shown, phone)
            world.contacts[session_id] = await world.whatsapp.contact()

    await asyncio.gather(*(link(*session) for session in world.sessions.items()))

    async def all_open() -> bool:
        return list((await world.states()).values()) == ["open"] * len(world.sessions)

    await eventually(all_open, 120, "all sessions to be open")


async def _replica(
    stack: contextlib.AsyncExitStack,
    name: str,
    folder: Path,
    server: OwnServer,
    whatsapp: FakeWhatsApp,
    shim: Path | None,
) -> Replica:
    url = urlsplit(server.url)
    real = Path(parse_qs(url.query)["host"][0]) / ".s.PGSQL.5432"
    database = Link(lambda: asyncio.open_unix_connection(real))
    sockets = folder / f"pg-{name}"
    sockets.mkdir(mode=0o711)
    await database.listen(sockets / ".s.PGSQL.5432")
    stack.push_async_callback(database.close)
    outside, address = await link_to_whatsapp(stack, whatsapp)
    links = {"database": database, "whatsapp": outside}
    environ = {
        "DATABASE_URL": url._replace(query=f"host={quote(str(sockets), safe='')}").geturl(),
        "WHATSAPP_WEB_URL": address,
        "WHATSAPP_ROOT_KEY": whatsapp.root_key,
        "SESSION_ENCRYPTION_KEYS": "11" * 32,
        "REBALANCE_AFTER_SECONDS": "10",
        "KEEP_ALIVE_SECONDS": "5",
    }
    clock, of_clock = clock_of(folder, name, shim)
    return Replica(name, folder, environ | of_clock, links, clock)


async def link_to_whatsapp(stack: contextlib.AsyncExitStack, whatsapp: FakeWhatsApp) -> tuple[Link, str]:
    """A link that a replica reaches WhatsApp through, and its address."""
    ws = urlsplit(whatsapp.ws_url)
    link = Link(lambda: asyncio.open_connection("127.0.0.1", ws.port))
    port = await link.listen()
    stack.push_async_callback(link.close)
    return link, f"ws://127.0.0.1:{port}{ws.path}"


def clock_of(folder: Path, name: str, shim: Path | None) -> tuple[Clock | None, dict[str, str]]:
    """A replica's clock, if clocks can jump here, and the variables that its processes need for that."""
    if shim is None:
        return None, {}
    clock = Clock(folder / f"clock-{name}")
    return clock, clock.environ(shim)


async def nowhere() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    raise OSError
