"""`python -m tests.bench.open_sessions [1000]`: that many real sessions on one replica, killed and started on an empty disk.

Linking them takes longest, a quarter of an hour for 1,000 on two cores. Prints the rows for docs/scale.md.
"""

import asyncio
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psycopg

from orchestrator.launcher.embedded_postgres import EmbeddedPostgres
from tests.bench.meters import Meters, cpu_seconds, resident_megabytes
from tests.bench.restart import link
from tests.support.fake_whatsapp import FakeWhatsApp, fake_whatsapp
from tests.support.postgres import short_folder
from tests.support.processes import descendants
from tests.support.tree import MARKS, Tree, tree

LONGEST_SECONDS = 900.0
#: Seconds in which nothing happens but the pulse of each connection and of the replica.
QUIET_SECONDS = 60.0


async def main(sessions: int) -> None:
    with short_folder("bs") as service, short_folder("bx") as folder:
        server = EmbeddedPostgres(service)
        server.prepare()
        with server.running(log=service / "log"):
            async with fake_whatsapp() as whatsapp:
                environ = {
                    "DATABASE_URL": server.url,
                    "SESSION_ENCRYPTION_KEYS": secrets.token_hex(32),
                    "SIDECAR_SHARDS": "2",
                    **whatsapp.environ,
                }
                await _measure(sessions, folder, server.url, environ, whatsapp)


async def _measure(
    sessions: int, folder: Path, database: str, environ: Mapping[str, str], whatsapp: FakeWhatsApp
) -> None:
    token = secrets.token_hex(16)
    names = [f"s{number}" for number in range(sessions)]
    started = time.monotonic()
    async with tree(folder / "data", folder / "log", environ, token=token) as product:
        await product.ready(LONGEST_SECONDS)
        await link(product, whatsapp, range(sessions))
        _say(f"{sessions} sessions linked in {time.monotonic() - started:.0f} s")
        product.kill_everything()
    shutil.rmtree(folder / "data")
    before = await whatsapp.counts()
    killed = time.monotonic()
    async with tree(folder / "data", folder / "log", environ, token=token) as product:
        watching = asyncio.create_task(_peaks(database, whatsapp, before["logins"]))
        await product.ready(LONGEST_SECONDS)
        ready = time.monotonic() - killed
        await product.open(*names, seconds=LONGEST_SECONDS)
        opened = time.monotonic() - killed
        watching.cancel()
        connections, logins = await watching
        counts = await whatsapp.counts()
        assert counts["registrations"] == sessions, "a QR code was shown again"
        _row("from kill -9 until ready", f"{ready:.1f} s")
        _row(f"until all {sessions} were open", f"{opened:.1f} s, {sessions / opened:.1f} a second")
        _row("most logins within a second", f"{logins}")
        _row("most connections to PostgreSQL", f"{connections}")
        for program, megabytes in _by_program(product, resident_megabytes).items():
            _row(f"memory, {program}", f"{megabytes:.0f} MB")
        quiet = await _quiet(product, database)
        for name, value in quiet.items():
            _row(f"idle, {name}", value)


async def _peaks(database: str, whatsapp: FakeWhatsApp, logins: int) -> tuple[int, int]:
    """Until cancelled: the most connections to the database at a time, and the most logins within a second."""
    most_connections = most_logins = 0
    try:
        async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
            while True:
                found = await connection.execute(
                    "SELECT count(*) - 1 FROM pg_stat_activity WHERE backend_type = 'client backend'"
                )
                row = await found.fetchone()
                assert row is not None
                most_connections = max(most_connections, row[0])
                now = (await whatsapp.counts())["logins"]
                most_logins, logins = max(most_logins, now - logins), now
                await asyncio.sleep(1)
    except asyncio.CancelledError:
        return most_connections, most_logins


async def _quiet(product: Tree, database: str) -> dict[str, str]:
    """What a second costs while nobody writes."""
    meters = Meters(database, {})
    before, cpu_before = meters.read(), _by_program(product, cpu_seconds)
    await asyncio.sleep(QUIET_SECONDS)
    after, cpu = meters.read(), _by_program(product, cpu_seconds)
    meters.close()
    seconds = after.at - before.at
    return {
        "commits that wrote, a second": f"{(after.commits - before.commits) / seconds:.1f}",
        "WAL": f"{(after.wal_bytes - before.wal_bytes) / seconds / 1000:.1f} kB/s",
        **{f"CPU of {name}": f"{(cpu[name] - cpu_before[name]) / seconds:.1%} of a core" for name in cpu},
    }


def _by_program(product: Tree, measure: Callable[[int], float]) -> dict[str, float]:
    """What is measured of each process, by program: the shards' added up."""
    found: dict[str, float] = {}
    for program, pid in _processes(product):
        found[program] = found.get(program, 0.0) + measure(pid)
    return found


def _processes(product: Tree) -> list[tuple[str, int]]:
    found = []
    for pid in descendants(product.child.pid):
        line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        found += [(program, pid) for program in ("orchestrator", "baileys") if MARKS[program] in line]
    return found


def _row(what: str, value: str) -> None:
    print(f"| {what} | {value} |", flush=True)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
