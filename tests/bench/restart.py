"""`make bench`: from kill -9 of everything to all sessions open again, and the memory it takes.

For 1, 10 and 50 sessions, on an embedded PostgreSQL (same disk) and on a database of its own with an empty disk; rounds
alternate, medians are shown. The file-store bot (one session, its disk kept) is measured in the same rounds: the last
column is the ratio to it.
"""

import argparse
import asyncio
import contextlib
import secrets
import shutil
import statistics
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.launcher.embedded_postgres import EmbeddedPostgres
from tests.support.baseline import baseline
from tests.support.fake_whatsapp import FakeWhatsApp, fake_whatsapp
from tests.support.postgres import short_folder
from tests.support.tree import Tree, tree

PAIRINGS_AT_ONCE = 4


@dataclass
class Series:
    """The measurements of one setting."""

    name: str
    sessions: int
    ready: list[float] = field(default_factory=list)
    opened: list[float] = field(default_factory=list)
    megabytes: list[dict[str, float]] = field(default_factory=list)


async def pair_all(product: Tree, whatsapp: FakeWhatsApp, names: list[str]) -> None:
    gate = asyncio.Semaphore(PAIRINGS_AT_ONCE)

    async def pair(number: int, name: str) -> None:
        async with gate:
            await product.pair(name, f"55119{number:08}", whatsapp)

    await asyncio.gather(*(pair(number, name) for number, name in enumerate(names)))


@contextlib.asynccontextmanager
async def started(folder: Path, environ: Mapping[str, str], token: str) -> AsyncIterator[Tree]:
    async with tree(folder / "data", folder / "log", environ, token=token) as product:
        yield product


async def measure(series: Series, folder: Path, environ: Mapping[str, str], rounds: int, *, keep_disk: bool) -> None:
    """Pair once, then kill everything and start anew, ``rounds`` times."""
    token, names = secrets.token_hex(16), [f"s{number}" for number in range(series.sessions)]
    async with fake_whatsapp() as whatsapp:
        settings = {**environ, **whatsapp.environ}
        async with started(folder, settings, token) as product:
            await product.ready()
            await pair_all(product, whatsapp, names)
            product.kill_everything()
            killed = time.monotonic()
        for round_ in range(rounds):
            if not keep_disk:
                shutil.rmtree(folder / "data")
            async with started(folder, settings, token) as product:
                await product.ready(120)
                series.ready.append(time.monotonic() - killed)
                await product.open(*names, seconds=120)
                series.opened.append(time.monotonic() - killed)
                series.megabytes.append(product.resident_megabytes())
                product.kill_everything()
                killed = time.monotonic()
            sys.stderr.write(
                f"  {series.name}, {series.sessions} sessions, round {round_ + 1}: {series.opened[-1]:.1f} s\n"
            )
        counts = await whatsapp.counts()
        assert counts["registrations"] == series.sessions, "a QR code was shown again"


async def measure_baseline(folder: Path, rounds: int) -> list[float]:
    opened = []
    async with fake_whatsapp() as whatsapp, baseline(folder, whatsapp) as bot:
        await bot.pair("5511900000000")
        for _ in range(rounds):
            # Killed while it writes creds.json it would start over with a new QR code.
            await asyncio.sleep(2.0)
            await bot.kill()
            killed = time.monotonic()
            await bot.start()
            await bot.open()
            opened.append(time.monotonic() - killed)
    return opened


async def bench(sizes: list[int], rounds: int) -> None:
    everything: list[Series] = []
    with short_folder("bb") as folder:
        reference = statistics.median(await measure_baseline(folder, rounds))
    for sessions in sizes:
        with short_folder("be") as folder:
            embedded = Series("same disk, embedded PostgreSQL", sessions)
            await measure(embedded, folder, {}, rounds, keep_disk=True)
        with short_folder("bd") as service, short_folder("bx") as folder:
            server = EmbeddedPostgres(service)
            server.prepare()
            with server.running(log=service / "log"):
                empty = Series("empty disk, PostgreSQL elsewhere", sessions)
                keys = {"DATABASE_URL": server.url, "SESSION_ENCRYPTION_KEYS": secrets.token_hex(32)}
                await measure(empty, folder, keys, rounds, keep_disk=False)
        everything += [embedded, empty]
    report(everything, reference, rounds)


def report(everything: list[Series], reference: float, rounds: int) -> None:
    lines = [
        f"Medians of {rounds} rounds; seconds from SIGKILL of the whole tree, its start at once included.",
        "",
        "| | sessions | API ready | all open | worst | ratio to the file-store bot |",
        "|---|---|---|---|---|---|",
    ]
    for series in everything:
        opened = statistics.median(series.opened)
        lines.append(
            f"| {series.name} | {series.sessions} | {statistics.median(series.ready):.1f} s | {opened:.1f} s "
            f"| {max(series.opened):.1f} s | {opened / reference:.1f} |"
        )
    lines += [
        f"| file-store bot, one process, its disk kept | 1 | - | {reference:.1f} s | | 1.0 |",
        "",
        "| resident memory, MB | sessions | orchestrator | baileys | postgres (main process) |",
        "|---|---|---|---|---|",
    ]
    for series in everything:
        columns = [
            f"{statistics.median(values):.0f}"
            if (values := [m[program] for m in series.megabytes if program in m])
            else "-"
            for program in ("orchestrator", "baileys", "postgres")
        ]
        lines.append(f"| {series.name} | {series.sessions} | {' | '.join(columns)} |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 10, 50])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    asyncio.run(bench(arguments.sessions, arguments.rounds))
