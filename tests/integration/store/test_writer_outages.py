"""The writer while PostgreSQL restarts, hangs, refuses, is full or takes no writes: unknown at once, and one line in the log."""

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from structlog.testing import capture_logs

from orchestrator.domain.auth_state import AuthStateWrite, StateAddress
from orchestrator.domain.errors import DatabaseUnavailable
from orchestrator.domain.tenant import OPERATOR_TENANT
from orchestrator.launcher.embedded_postgres import EmbeddedPostgres
from orchestrator.store.auth_state import AuthStateStore
from orchestrator.store.auth_state_writer import AuthStateWriter
from orchestrator.store.database import Database
from orchestrator.store.leases import LeaseStore
from orchestrator.store.sealing import Sealer
from orchestrator.store.sessions import SessionStore
from tests.support.processes import PATIENCE, stopped
from tests.support.waiting import eventually

KEY = ("session", "a")
LOST = "the writer lost the database; writes are unknown until it is back"
BACK = "the writer has the database again"


def value(text: bytes) -> AuthStateWrite:
    return AuthStateWrite(set_keys={KEY: text})


async def an_address(database: Database) -> StateAddress:
    """A new session's auth state, whose lease "a" holds."""
    await SessionStore(database).create(OPERATOR_TENANT, "s")
    (lease,) = await LeaseStore(database, "a", 300.0).claim(1)
    return StateAddress(OPERATOR_TENANT, lease.session_ref, lease.generation, "a", lease.epoch)


@pytest.fixture
async def writer(database: Database, database_url: str) -> AsyncIterator[AuthStateWriter]:
    writer = AuthStateWriter(database_url, "a", Sealer([]))
    yield writer
    await writer.close()


async def written(writer: AuthStateWriter, address: StateAddress, text: bytes) -> None:
    """Write as the sidecar does: again and again as long as it is unknown."""

    async def committed() -> bool:
        try:
            await writer.write(address, value(text))
        except DatabaseUnavailable:
            return False
        return True

    await eventually(committed, 30)


async def is_unknown(writer: AuthStateWriter, address: StateAddress, text: bytes = b"x") -> None:
    async with asyncio.timeout(10 * PATIENCE):  # BACKUP_TIMEOUT_SECONDS
        with pytest.raises(DatabaseUnavailable):
            await writer.write(address, value(text))


async def outage(
    database: Database,
    url: str,
    begin: Callable[[], Awaitable[object] | None],
    end: Callable[[], Awaitable[object] | None],
) -> list[str]:
    """Write before, during and after an outage; what the log said of it."""
    address = await an_address(database)
    writer = AuthStateWriter(url, "a", Sealer([]))

    async def call(step: Callable[[], Awaitable[object] | None]) -> None:
        waiting = step()
        if waiting is not None:
            await waiting

    try:
        with capture_logs() as logged:
            await writer.write(address, value(b"before"))
            await call(begin)
            await is_unknown(writer, address)
            await is_unknown(writer, address)
            await call(end)
            await written(writer, address, b"after")
        assert await AuthStateStore(database, Sealer([])).read(address, [KEY]) == {KEY: "after"}
    finally:
        await writer.close()
    assert "secret" not in str(logged)
    assert [line["event"] for line in logged] == [LOST, BACK]
    return [str(line["cause"]) for line in logged if "cause" in line]


async def execute(url: str, statement: str) -> None:
    options = "-c default_transaction_read_only=off"
    async with await psycopg.AsyncConnection.connect(url, autocommit=True, options=options) as connection:
        await connection.execute(statement)


async def end_writers(url: str) -> None:
    end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name LIKE 'writer %'"
    await execute(url, f"{end} AND datname = current_database()")


async def test_a_server_that_takes_no_writes_is_an_outage_and_the_next_connection_is_tried(
    database: Database, database_url: str
) -> None:
    """As after a failover: the old primary is a standby now."""
    name = database_url.partition("?")[0].rsplit("/", 1)[1]

    async def read_only(mode: str) -> None:
        await execute(database_url, f"ALTER DATABASE {name} SET default_transaction_read_only = {mode}")
        await end_writers(database_url)

    causes = await outage(database, database_url, lambda: read_only("on"), lambda: read_only("off"))
    assert "read-only transaction" in causes[0]


async def test_a_server_that_hangs_is_unknown_in_time_and_its_statement_never_commits_late(
    database: Database, database_url: str, writer: AuthStateWriter
) -> None:
    address = await an_address(database)
    await writer.write(address, value(b"before"))
    async with database.driver() as connection:
        mine = (
            "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'writer %' AND datname = current_database()"
        )
        backends = [pid for (pid,) in await (await connection.execute(mine)).fetchall()]
    with stopped(backends):
        late = asyncio.ensure_future(writer.write_all([(address, value(b"late"))] * 3))
        async with asyncio.timeout(10 * PATIENCE):
            assert [type(outcome) for outcome in await late] == [DatabaseUnavailable] * 3
    await written(writer, address, b"newer")
    assert await AuthStateStore(database, Sealer([])).read(address, [KEY]) == {KEY: "newer"}


async def test_an_older_write_of_a_session_is_not_unknown_while_a_newer_one_is_committed(
    database: Database, database_url: str, writer: AuthStateWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever repeats the older one later would undo the newer."""
    monkeypatch.setattr("orchestrator.store.auth_state_writer.BATCH_ROWS", 1)
    address = await an_address(database)
    await writer.write(address, value(b"before"))
    async with database.driver() as connection, connection.transaction():
        await connection.execute("SELECT FROM leases FOR UPDATE")
        settling = asyncio.ensure_future(writer.write_all([(address, value(b"older")), (address, value(b"newer"))]))
        await asyncio.sleep(0)
        await end_writers(database_url)
    assert [type(outcome) for outcome in await settling] == [DatabaseUnavailable] * 2
    await written(writer, address, b"older")
    assert await AuthStateStore(database, Sealer([])).read(address, [KEY]) == {KEY: "older"}


async def test_a_connection_that_ended_while_nothing_was_written_costs_no_write(
    database: Database, database_url: str, writer: AuthStateWriter
) -> None:
    address = await an_address(database)
    await writer.write(address, value(b"before"))
    await end_writers(database_url)
    await writer.write(address, value(b"after"))


async def test_a_restart_and_a_refusal_are_outages(short_path: Path) -> None:
    """The server stops, refuses while it is away, and comes back."""
    server = EmbeddedPostgres(short_path)
    server.prepare()
    running = server.running(log=short_path / "log")
    running.__enter__()
    database = Database(server.url)
    await database.open()
    try:
        await database.migrate()
        again = server.running(log=short_path / "log")
        causes = await outage(
            database,
            server.url,
            lambda: asyncio.to_thread(running.__exit__, None, None, None),
            lambda: asyncio.to_thread(again.__enter__),
        )
        assert "connection" in causes[0]
        again.__exit__(None, None, None)
    finally:
        await database.close()


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 12 MiB."""
    folder.mkdir()
    if (
        os.getuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=12m,mode=777", "tmpfs", folder], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("needs the right to mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


async def test_a_full_disk_is_an_outage_and_not_a_refusal(short_path: Path) -> None:
    """The keys lie on a small file system of their own, which something else fills."""
    server = EmbeddedPostgres(short_path / "pg")
    (short_path / "pg").mkdir()
    server.prepare()
    with small_disk(short_path / "small") as disk, server.running(log=short_path / "log"):
        space = disk / "space"
        space.mkdir()
        if server.user is not None:
            shutil.chown(space, server.user)
        database = Database(server.url)
        await database.open()
        try:
            await database.migrate()
            await execute(server.url, f"CREATE TABLESPACE small LOCATION '{space}'")
            for number in range(8):
                await execute(server.url, f"ALTER TABLE signal_keys_{number} SET TABLESPACE small")
            filler = disk / "filler"

            def fill() -> None:
                with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(4096))

            address = await an_address(database)
            writer = AuthStateWriter(server.url, "a", Sealer([]))
            large = AuthStateWrite(set_keys={("sender-key", str(n)): os.urandom(60_000) for n in range(8)})
            try:
                with capture_logs() as logged:
                    await writer.write(address, value(b"before"))
                    fill()
                    with pytest.raises(DatabaseUnavailable):
                        await writer.write(address, large)
                    filler.unlink()
                    await writer.write(address, large)
            finally:
                await writer.close()
            assert [line["event"] for line in logged] == [LOST, BACK]
            assert "No space left on device" in logged[0]["cause"]
        finally:
            await database.close()
