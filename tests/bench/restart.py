"""From kill -9 of everything to all sessions open again: real sessions of real Baileys against the fake WhatsApp."""

import asyncio
import contextlib
import secrets
import shutil
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from orchestrator.launcher.embedded_postgres import EmbeddedPostgres
from tests.bench.disks import FAST
from tests.bench.messages import PAIRINGS_AT_ONCE
from tests.bench.plan import RESTART
from tests.bench.runs import Run
from tests.support.baseline import baseline
from tests.support.fake_whatsapp import FakeWhatsApp, fake_whatsapp
from tests.support.postgres import short_folder
from tests.support.tree import Tree, tree

EMBEDDED = "embedded PostgreSQL, its disk kept"
ELSEWHERE = "PostgreSQL elsewhere, empty disk"
FILE_BOT = "file-store bot, its disk kept"
LONGEST_SECONDS = 300.0


async def measure(sizes: Sequence[int], rounds: int) -> AsyncIterator[Run]:
    """``sizes`` in ascending order; the sessions of a smaller size are part of the next."""
    async for run in _file_bot(rounds):
        yield run
    with short_folder("be") as folder:
        async for run in _product(EMBEDDED, folder, {}, sizes, rounds):
            yield run
    with short_folder("bd") as service, short_folder("bx") as folder:
        server = EmbeddedPostgres(service)
        server.prepare()
        with server.running(log=service / "log"):
            keys = {"DATABASE_URL": server.url, "SESSION_ENCRYPTION_KEYS": secrets.token_hex(32)}
            async for run in _product(ELSEWHERE, folder, keys, sizes, rounds):
                yield run


async def _product(
    name: str, folder: Path, environ: Mapping[str, str], sizes: Sequence[int], rounds: int
) -> AsyncIterator[Run]:
    token = secrets.token_hex(16)
    async with fake_whatsapp() as whatsapp:
        settings = {**environ, **whatsapp.environ}
        there = 0
        for sessions in sizes:
            async with _started(folder, settings, token) as product:
                await product.ready(LONGEST_SECONDS)
                await link(product, whatsapp, range(there, sessions))
                killed = _kill(product)
            there = sessions
            for round_ in range(rounds):
                if name == ELSEWHERE:
                    shutil.rmtree(folder / "data")
                async with _started(folder, settings, token) as product:
                    yield Run(FAST.name, RESTART, name, sessions, round_, await _opened(product, sessions, killed))
                    killed = _kill(product)
        counts = await whatsapp.counts()
        assert counts["registrations"] == there, "a QR code was shown again"


async def _opened(product: Tree, sessions: int, killed: float) -> dict[str, float]:
    """Seconds since the kill; the start of the processes is part of them."""
    await product.ready(LONGEST_SECONDS)
    ready = time.monotonic() - killed
    await product.open(*(_name(number) for number in range(sessions)), seconds=LONGEST_SECONDS)
    opened = time.monotonic() - killed
    sys.stderr.write(f"  {sessions} sessions open after {opened:.1f} s\n")
    memory = {f"resident_megabytes_{name}": value for name, value in product.resident_megabytes().items()}
    return {"ready_seconds": ready, "opened_seconds": opened, **memory}


def _kill(product: Tree) -> float:
    product.kill_everything()
    return time.monotonic()


async def link(product: Tree, whatsapp: FakeWhatsApp, numbers: range) -> None:
    """Sessions s0, s1, ... with a phone of their own each."""
    gate = asyncio.Semaphore(PAIRINGS_AT_ONCE)

    async def pair(number: int) -> None:
        async with gate:
            phone = f"55119{number:08}"
            try:
                await product.pair(_name(number), phone, whatsapp)
            except AssertionError as error:  # with hundreds of sessions on two cores an answer may come too late
                sys.stderr.write(f"  {_name(number)} is linked once more: {error!s:.100}\n")
                await product.call("DELETE", f"/v1/sessions/{_name(number)}?confirm={_name(number)}")
                await product.pair(_name(number), phone, whatsapp)

    await asyncio.gather(*(pair(number) for number in numbers))


def _name(number: int) -> str:
    return f"s{number}"


@contextlib.asynccontextmanager
async def _started(folder: Path, environ: Mapping[str, str], token: str) -> AsyncIterator[Tree]:
    async with tree(folder / "data", folder / "log", environ, token=token) as product:
        yield product


async def _file_bot(rounds: int) -> AsyncIterator[Run]:
    with short_folder("bb") as folder:
        async with fake_whatsapp() as whatsapp, baseline(folder, whatsapp) as bot:
            await bot.pair("5511900000000")
            for round_ in range(rounds):
                # Killed while it writes creds.json it would start over with a new QR code.
                await asyncio.sleep(2.0)
                await bot.kill()
                killed = time.monotonic()
                await bot.start()
                await bot.open()
                yield Run(FAST.name, RESTART, FILE_BOT, 1, round_, {"opened_seconds": time.monotonic() - killed})
