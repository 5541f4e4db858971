"""What one message costs the whole product: real sessions of real Baileys against the fake WhatsApp, on our PostgreSQL."""

import asyncio
import contextlib
import secrets
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass

from tests.bench.disks import BenchPostgres, Disk
from tests.bench.meters import Meters, Reading
from tests.bench.plan import MESSAGE
from tests.bench.runs import Run
from tests.support.event_stream import listening
from tests.support.fake_whatsapp import FakeWhatsApp, fake_whatsapp
from tests.support.postgres import short_folder
from tests.support.tree import Tree, tree
from tests.support.waiting import eventually

PAIRINGS_AT_ONCE = 4
MEMBERS = 8
RECEIVED_PER_SECOND = 60.0
SENDING_AT_ONCE = 8
IDLE_SECONDS = 5.0
#: Of one session in IDLE_SECONDS; its part in a renewal of all leases is far less.
QUIET_WAL_BYTES = 1000


@dataclass(frozen=True)
class Account:
    """A paired session with a contact, and a group of that contact and others."""

    session_id: str
    phone: str
    contact: str
    group: str


@dataclass
class Stage:
    product: Tree
    whatsapp: FakeWhatsApp
    accounts: list[Account]
    meters: Meters

    async def receive(self, number: int, *, group: bool) -> None:
        """``number`` messages in all, to all accounts in turn, evenly spread over time."""
        due = time.monotonic()
        for count in range(number):
            account = self.accounts[count % len(self.accounts)]
            chat = account.group if group else None
            await self.whatsapp.send(account.contact, account.phone, f"message {count}", chat)
            due += 1 / RECEIVED_PER_SECOND
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        await self._settled()

    async def send(self, number: int, *, group: bool) -> None:
        gate = asyncio.Semaphore(SENDING_AT_ONCE)

        async def send_all(account: Account) -> None:
            for count in range(number // len(self.accounts)):
                async with gate:
                    to = account.group if group else account.contact
                    answer = await self.product.send(account.session_id, to, f"message {count}")
                    assert answer.status == 201, answer.body

        await asyncio.gather(*(send_all(account) for account in self.accounts))
        await self._settled()

    async def verified(self) -> None:
        """Wait until each session has made its first verification backup."""

        async def all_of_them() -> bool:
            listed = await self.product.call("GET", "/v1/sessions?limit=200")
            return listed.status == 200 and all(session["verification"] for session in listed.json["sessions"])

        await eventually(all_of_them, seconds=120, what="a verification backup of every session")

    async def quiet(self) -> None:
        """Wait until what follows a pairing is over: pre-keys are stored, verification backups made."""
        await self.verified()
        deadline = time.monotonic() + 120
        while True:
            begin = self.meters.read()
            await asyncio.sleep(IDLE_SECONDS)
            end = self.meters.read()
            if end.wal_bytes - begin.wal_bytes < QUIET_WAL_BYTES * len(self.accounts):
                return
            assert time.monotonic() < deadline, "the sessions go on writing"

    async def _settled(self) -> None:
        idle = await self.whatsapp.idle(120)
        assert idle["idle"], f"messages are outstanding: {idle}"


async def measure(disk: Disk, sessions: int, number: int, round_: int) -> AsyncIterator[Run]:
    """One run for each kind of message; what the product does while it is idle is taken off."""
    async with stage(disk, sessions) as on:
        await on.quiet()
        idle = await _idle_rates(on.meters)
        for kind, work in _kinds(on).items():
            await work(sessions)  # new contacts cost more than known ones
            begin = on.meters.read()
            await work(number)
            end = on.meters.read()
            sys.stderr.write(f"  {disk.name}, {sessions} sessions, {kind}\n")
            yield Run(disk.name, f"{MESSAGE}{kind}", "ours", sessions, round_, _cost(begin, end, idle, number))


def _kinds(on: Stage) -> dict[str, Callable[[int], Awaitable[None]]]:
    return {
        "received 1:1": lambda number: on.receive(number, group=False),
        "received in a group": lambda number: on.receive(number, group=True),
        "sent 1:1": lambda number: on.send(number, group=False),
        "sent to a group": lambda number: on.send(number, group=True),
    }


async def _idle_rates(meters: Meters) -> dict[str, float]:
    """What each second costs without messages: renewals, keep-alives."""
    begin = meters.read()
    await asyncio.sleep(IDLE_SECONDS)
    end = meters.read()
    return {name: value / (end.at - begin.at) for name, value in _differences(begin, end).items()}


def _cost(begin: Reading, end: Reading, idle: dict[str, float], number: int) -> dict[str, float]:
    """Of one message; CPU in seconds for 10,000."""
    seconds = end.at - begin.at
    spent = {name: value - idle[name] * seconds for name, value in _differences(begin, end).items()}
    cost = {f"{name}_per_message": spent[name] / number for name in ("commits", "wal_bytes")}
    return cost | {name: value / number * 1e4 for name, value in spent.items() if name.startswith("cpu_")}


def _differences(begin: Reading, end: Reading) -> dict[str, float]:
    cpu = {f"cpu_{name}": seconds - begin.cpu_seconds[name] for name, seconds in end.cpu_seconds.items()}
    return {**cpu, "commits": end.commits - begin.commits, "wal_bytes": end.wal_bytes - begin.wal_bytes}


@contextlib.asynccontextmanager
async def stage(disk: Disk, sessions: int, more: Mapping[str, str] | None = None) -> AsyncIterator[Stage]:
    """Paired sessions with somebody who listens to their events; ``more`` settings."""
    with short_folder("bm") as service, short_folder("bn") as folder:
        postgres = BenchPostgres(service, disk)
        postgres.prepare()
        with postgres.running(log=service / "log") as server:
            environ = {
                **disk.environ,
                "DATABASE_URL": postgres.url,
                "SESSION_ENCRYPTION_KEYS": secrets.token_hex(32),
                "BACKUP_INITIAL_DELAY_SECONDS": "1",
                **(more or {}),
            }
            async with (
                fake_whatsapp() as whatsapp,
                tree(folder / "data", folder / "log", {**environ, **whatsapp.environ}) as product,
            ):
                await product.ready()
                accounts = await paired(product, whatsapp, sessions)
                pids = {
                    name: product.pid(program)
                    for name, program in (("node", "baileys"), ("orchestrator", "orchestrator"))
                }
                meters = Meters(
                    postgres.url, {"postgres": server.pid, **{name: pid for name, pid in pids.items() if pid}}
                )
                async with listening(product):
                    yield Stage(product, whatsapp, accounts, meters)
                meters.close()


async def paired(product: Tree, whatsapp: FakeWhatsApp, sessions: int, first: int = 0) -> list[Account]:
    """Sessions ``first`` and following, paired, each with a contact and a group of its own."""
    gate = asyncio.Semaphore(PAIRINGS_AT_ONCE)

    async def one(number: int) -> Account:
        async with gate:
            phone = f"55119{number:08}"
            await product.pair(f"s{number}", phone, whatsapp)
            members = [await whatsapp.contact() for _ in range(MEMBERS)]
            return Account(f"s{number}", phone, members[0], await whatsapp.group(*members, phone))

    return list(await asyncio.gather(*(one(number) for number in range(first, first + sessions))))
