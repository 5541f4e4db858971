"""``backup create``, ``verify`` and ``restore`` on real databases."""

import os
from pathlib import Path
from typing import Any

import psycopg
import pytest

from orchestrator import cli
from orchestrator.domain.portable_state import PortableState
from orchestrator.transfer import archive
from tests.support.postgres import fresh_database
from tests.support.s3 import fake_s3

PASSPHRASE = "a passphrase for the test"
KEYS = "5e" * 32


@pytest.fixture
def environ(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("BACKUP_PASSPHRASE", PASSPHRASE)
    monkeypatch.setenv("SESSION_ENCRYPTION_KEYS", KEYS)


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()


STATE = "SELECT k.session_ref, generation, key_type, key_id, value FROM signal_keys k WHERE key_type NOT LIKE 'sender-key%' ORDER BY 1, 2, 3, 4"


def own(state: PortableState) -> str:
    return state.account.jid.partition("@")[0].partition(":")[0]


def fill(database_url: str, state: PortableState, folder: Path) -> None:
    """Two sessions with a whole auth state each, one of them running elsewhere when the copy is made."""
    archive.write(state, folder / "one.archive", None)
    for name in ("loja-1", "loja-2"):
        assert (
            cli.main(
                [
                    "sessions",
                    "import",
                    "--from",
                    "archive",
                    str(folder / "one.archive"),
                    "--session-id",
                    name,
                    "--start",
                ]
            )
            == 0
        )
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE leases SET owner = 'old', epoch = 7 WHERE session_ref = 1")
        connection.execute("INSERT INTO replicas (replica_id, ttl_seconds) VALUES ('old', 15)")
        for key_type, key_id in (
            ("sender-key", f"g@g.us::{own(state)}::7"),
            ("sender-key", "g@g.us::552::0"),
            ("sender-key-memory", "g@g.us"),
        ):
            connection.execute("INSERT INTO signal_keys VALUES (1, 1, %s, %s, '\\x00')", (key_type, key_id))
        connection.execute(
            "INSERT INTO sessions (tenant_id, session_id, desired_state, connection_state, generation) VALUES ('operator', 'never-paired', 'stopped', 'stopped', 1)"
        )
        connection.execute(
            "UPDATE sessions SET reason = E'a\\ttab, a\\nline and a \\\\ backslash' WHERE session_id = 'loja-2'"
        )


def test_a_backup_is_made_read_and_restored_into_an_empty_database(
    environ: None, postgres_server: str, database_url: str, state: PortableState, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    fill(database_url, state, tmp_path)
    target = tmp_path / "copies"
    target.mkdir()
    assert cli.main(["backup", "create", "--to", str(target)]) == 0
    (made,) = target.iterdir()
    assert made.stat().st_mode & 0o777 == 0o600
    assert b"loja-1" not in made.read_bytes()
    assert "3 sessions" in capsys.readouterr().out
    assert cli.main(["backup", "verify", str(target)]) == 0  # the newest in the folder
    assert cli.main(["backup", "verify", str(made)]) == 0
    assert f"{made.name} is whole: 3 sessions" in capsys.readouterr().out

    assert cli.main(["backup", "restore", str(made)]) == cli.EXIT_FAILED  # into the very database that it is of
    assert "nothing is overwritten" in capsys.readouterr().err
    with fresh_database(postgres_server) as empty:
        monkeypatch.setenv("DATABASE_URL", empty)
        assert cli.main(["backup", "restore", str(made)]) == 0
        told = capsys.readouterr()
        assert "old, and what was sent and received since then is not in it" in told.err
        assert rows(empty, STATE) == rows(database_url, STATE)
        assert len(rows(empty, STATE)) > 20
        same = "SELECT session_ref, tenant_id, session_id, desired_state, reason, created_at FROM sessions ORDER BY 1"
        assert rows(empty, same) == rows(database_url, same)
        assert rows(empty, "SELECT session_ref, owner, epoch FROM leases ORDER BY 1") == [(1, None, 8), (2, None, 1)]
        assert rows(empty, "SELECT * FROM replicas") == []
        # Not the own sender keys: what was sent under them since is unknown.
        groups = "SELECT key_id FROM signal_keys WHERE key_type LIKE 'sender-key%%' AND key_id ~ '%s' ORDER BY 1"
        assert rows(empty, groups % "^g@g.us") == [("g@g.us::552::0",)]
        assert rows(empty, groups % f"::{own(state)}") == []
        assert rows(empty, "SELECT key_id FROM signal_keys WHERE key_type = 'sender-key-memory'") == []
        with psycopg.connect(empty) as connection:  # the sequences go on behind what was restored
            connection.execute(
                "INSERT INTO sessions (tenant_id, session_id, desired_state, connection_state, generation) VALUES ('operator', 'new', 'stopped', 'stopped', 1)"
            )
        assert rows(empty, "SELECT session_ref FROM sessions WHERE session_id = 'new'") == [(4,)]
    with fresh_database(postgres_server) as empty:
        monkeypatch.setenv("DATABASE_URL", empty)
        assert cli.main(["migrate"]) == 0  # as a service does that was started before anybody thought of restoring
        assert cli.main(["backup", "restore", str(made), "--stopped"]) == 0
        assert rows(empty, "SELECT DISTINCT desired_state FROM sessions") == [("stopped",)]


def test_what_is_damaged_or_sealed_otherwise_leaves_the_database_as_it_was(
    environ: None, postgres_server: str, database_url: str, state: PortableState, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    fill(database_url, state, tmp_path)
    made = tmp_path / "one.backup"
    assert cli.main(["backup", "create", "--to", str(made)]) == 0
    whole = made.read_bytes()
    made.write_bytes(whole[: len(whole) - 200])
    with fresh_database(postgres_server) as empty:
        monkeypatch.setenv("DATABASE_URL", empty)
        for command in ("verify", "restore"):
            assert cli.main(["backup", command, str(made)]) == cli.EXIT_FAILED
        assert "cut off or damaged" in capsys.readouterr().err
        assert rows(empty, "SELECT tablename FROM pg_tables WHERE tablename = 'creds'") == []
        made.write_bytes(whole)
        monkeypatch.setenv("BACKUP_PASSPHRASE", "another passphrase!")
        assert cli.main(["backup", "restore", str(made)]) == cli.EXIT_FAILED
        assert "passphrase is wrong" in capsys.readouterr().err
        monkeypatch.setenv("BACKUP_PASSPHRASE", PASSPHRASE)
        assert cli.main(["backup", "restore", str(made)]) == 0
    monkeypatch.delenv("BACKUP_PASSPHRASE")
    assert cli.main(["backup", "verify", str(made)]) == cli.EXIT_BAD_SETTINGS


async def test_one_replica_makes_the_copy_that_is_due_and_the_newest_are_kept(
    environ: None, database_url: str, tmp_path: Path
) -> None:
    import asyncio
    from datetime import timedelta

    import aiohttp
    import sqlalchemy as sa

    from orchestrator.config import Settings
    from orchestrator.domain.errors import BackupRefused
    from orchestrator.services.database_backups import ScheduledBackups
    from orchestrator.store.database import Database
    from orchestrator.store.database_backups import DatabaseBackupStore
    from orchestrator.transfer.backup_places import place

    databases = [Database(database_url), Database(database_url)]
    async with fake_s3() as storage, aiohttp.ClientSession() as http:
        access = Settings.from_environment(storage.environ).s3_access
        where = place("s3://copies/nightly", access, http)
        for database in databases:
            await database.open()
            await database.migrate()
        replicas = [
            ScheduledBackups(DatabaseBackupStore(d), database_url, where, PASSPHRASE, every_seconds=3600, keep=2)
            for d in databases
        ]

        async def later(hours: float) -> None:
            async with databases[0].begin() as connection:
                await connection.execute(
                    sa.text("UPDATE database_backups SET started_at = started_at - :by"), {"by": timedelta(hours=hours)}
                )

        made = await asyncio.gather(*(replica.run_if_due() for replica in replicas))
        assert sum(name is not None for name in made) == 1
        assert len(storage.objects) == 1
        assert {s.name for m in replicas[0].metrics() for s in m.samples} >= {"orchestrator_backup_schedule_seconds"}
        storage.objects = {
            key.replace("nightly/baileys-orchestrator-20", "nightly/baileys-orchestrator-19"): v
            for key, v in storage.objects.items()
        }
        assert await replicas[1].run_if_due() is None
        await later(1.1)
        storage.failing = True
        with pytest.raises(BackupRefused):
            await replicas[0].run_if_due()
        storage.failing = False
        assert await replicas[0].run_if_due() is None  # not at once again
        await later(0.3)
        names = [await replicas[1].run_if_due()]
        assert names[0] is not None
        assert len(await where.names()) == 2
        await later(1.1)
        await asyncio.sleep(1.1)  # names are of seconds
        assert await replicas[0].run_if_due() is not None
        assert len(await where.names()) == 2  # the oldest went
        for database in databases:
            await database.close()
    assert os.environ["BACKUP_PASSPHRASE"] == PASSPHRASE
