"""``sessions import`` and ``sessions export``, as a person runs them."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from orchestrator.domain.portable_state import PortableState
from orchestrator.domain.session import DesiredState
from orchestrator.domain.tenant import OPERATOR_TENANT
from orchestrator.store.database import Database
from orchestrator.store.leases import LeaseStore
from orchestrator.store.sessions import SessionStore
from orchestrator.transfer import archive, multi_file
from tests.support import peer_tables
from tests.support.command import Ran, run, stored
from tests.support.portable_states import BaileysState
from tests.support.postgres import fresh_database

KEY = os.urandom(32)


async def number_of_rows(database: Database) -> list[int]:
    """In every table that an import writes."""
    async with database.begin() as connection:
        tables = ("sessions", "generations", "creds", "signal_keys", "leases")
        return [(await connection.execute(sa.text(f"SELECT count(*) FROM {table}"))).scalar_one() for table in tables]


async def importing(url: str, form: str, source: str | Path, *more: str | Path, **environ: str) -> Ran:
    command = ("sessions", "import", "--from", form, source, "--session-id", "loja-1", *more)
    return await run(*command, **{"DATABASE_URL": url, **environ})


async def exporting(url: str, to: Path, *more: str | Path, **environ: str) -> Ran:
    return await run("sessions", "export", "loja-1", "--to", to, *more, **{"DATABASE_URL": url, **environ})


async def test_an_imported_folder_is_a_stopped_session_with_what_baileys_had(
    database: Database, database_url: str, paired: tuple[Path, BaileysState], state: PortableState
) -> None:
    ran = await importing(database_url, "multi-file", paired[0], SESSION_ENCRYPTION_KEYS=KEY.hex())
    assert (ran.code, ran.complaints) == (0, "")
    assert "5511999990000:7@s.whatsapp.net" in ran.output
    assert await stored(database, "loja-1", KEY) == state
    session = await SessionStore(database).get(OPERATOR_TENANT, "loja-1")
    assert (session.desired_state, session.paired) == (DesiredState.STOPPED, True)


async def test_an_import_with_start_is_claimed_by_the_service(
    database: Database, database_url: str, paired: tuple[Path, BaileysState]
) -> None:
    assert (await importing(database_url, "multi-file", paired[0], "--start")).code == 0
    (lease,) = await LeaseStore(database, "a", 30.0).claim(1)
    assert (lease.session_id, lease.generation) == ("loja-1", 1)


@pytest.mark.parametrize("form", ["postgres-baileys", "keyv", "waha", "evolution"])
async def test_a_session_is_imported_out_of_the_tables_of_another_store(
    form: str,
    database: Database,
    database_url: str,
    postgres_server: str,
    paired: tuple[Path, BaileysState],
    state: PortableState,
) -> None:
    folder, made = paired
    with fresh_database(postgres_server) as other:
        match form:
            case "postgres-baileys":
                peer_tables.fill_postgres_baileys(other, "bot", made)
            case "keyv":
                peer_tables.fill_keyv(other, "bot", made)
            case "waha":
                peer_tables.fill_waha(other, "bot", made)
            case _:
                peer_tables.fill_evolution(other, "bot", "id-1", made.creds)
        source, more = (folder, ["--instance", "bot"]) if form == "evolution" else ("bot", [])
        ran = await importing(database_url, form, source, "--source-url-env", "OTHER", *more, OTHER=other)
    assert (ran.code, ran.complaints) == (0, "")
    imported = await stored(database, "loja-1")
    assert (imported.account, imported.keys.keys()) == (state.account, state.keys.keys())


async def test_what_was_exported_is_imported_again_unchanged(
    database: Database, database_url: str, paired: tuple[Path, BaileysState], state: PortableState, tmp_path: Path
) -> None:
    await importing(database_url, "multi-file", paired[0])
    secret = {"SECRET": "pão de queijo"}
    for form, options, environ in (
        ("archive", ["--passphrase-env", "SECRET"], secret),
        ("archive", [], {}),
        ("multi-file", [], {}),
    ):
        target = tmp_path / f"{form}-{len(options)}"
        exported = await exporting(database_url, target, "--format", form, *options, **environ)
        assert exported.code == 0
        assert ("not sealed" in exported.complaints) is not bool(options)
        async with database.begin() as connection:
            await connection.execute(sa.text("DELETE FROM signal_keys"))
            await connection.execute(sa.text("DELETE FROM sessions"))
        assert (await importing(database_url, form, target, *options, **environ)).code == 0
        assert await stored(database, "loja-1") == state


async def test_an_export_of_a_running_session_warns_and_with_stop_waits_for_its_end(
    database: Database, database_url: str, paired: tuple[Path, BaileysState], tmp_path: Path
) -> None:
    await importing(database_url, "multi-file", paired[0], "--start")
    leases = LeaseStore(database, "a", 2.0)
    await leases.claim(1)
    ran = await exporting(database_url, tmp_path / "one")
    assert ran.code == 0
    assert "must not run in two places" in ran.complaints
    ran = await exporting(database_url, tmp_path / "two", "--stop")
    assert ran.code == 0
    assert "two places" not in ran.complaints
    session = await SessionStore(database).get(OPERATOR_TENANT, "loja-1")
    assert (session.desired_state, session.lease_held) == (DesiredState.STOPPED, False)


def cut_off_folder(folder: Path, state: PortableState) -> list[Any]:
    (folder / "pre-key-1.json").write_bytes(b'{"public":')
    return ["multi-file", folder]


def folder_without_creds(folder: Path, state: PortableState) -> list[Any]:
    (folder / "creds.json").unlink()
    return ["multi-file", folder]


def cut_off_archive(folder: Path, state: PortableState) -> list[Any]:
    (folder / "archive").write_bytes(archive.pack(state, "right")[:-1])
    return ["archive", folder / "archive", "--passphrase-env", "RIGHT"]


def archive_with_another_passphrase(folder: Path, state: PortableState) -> list[Any]:
    archive.write(state, folder / "archive", "right")
    return ["archive", folder / "archive", "--passphrase-env", "WRONG"]


def sealed_archive_without_passphrase(folder: Path, state: PortableState) -> list[Any]:
    archive.write(state, folder / "archive", "right")
    return ["archive", folder / "archive"]


def open_archive_where_a_sealed_one_is_expected(folder: Path, state: PortableState) -> list[Any]:
    archive.write(state, folder / "archive", None)
    return ["archive", folder / "archive", "--passphrase-env", "RIGHT"]


def passphrase_that_nobody_types(folder: Path, state: PortableState) -> list[Any]:
    archive.write(state, folder / "archive", "right")
    return ["archive", folder / "archive", "--passphrase"]


def database_without_address(folder: Path, state: PortableState) -> list[Any]:
    return ["keyv", "bot"]


def database_out_of_reach(folder: Path, state: PortableState) -> list[Any]:
    return ["keyv", "bot", "--source-url-env", "NOWHERE"]


@pytest.mark.parametrize(
    ("prepare", "code", "reason"),
    [
        (cut_off_folder, 1, "cut off or damaged"),
        (folder_without_creds, 1, "no creds.json"),
        (cut_off_archive, 1, "cut off or damaged"),
        (archive_with_another_passphrase, 1, "passphrase is wrong"),
        (sealed_archive_without_passphrase, 1, "give its passphrase"),
        (open_archive_where_a_sealed_one_is_expected, 1, "is not sealed"),
        (passphrase_that_nobody_types, 2, "--passphrase-file"),
        (database_without_address, 2, "--source-url-env"),
        (database_out_of_reach, 1, "can't be read"),
    ],
)
async def test_what_cannot_be_taken_is_refused_in_one_sentence_and_nothing_is_written(
    prepare: Callable[[Path, PortableState], list[Any]],
    code: int,
    reason: str,
    database: Database,
    database_url: str,
    paired: tuple[Path, BaileysState],
    state: PortableState,
    tmp_path: Path,
) -> None:
    folder = shutil.copytree(paired[0], tmp_path / "folder")
    form, source, *more = prepare(folder, state)
    environ = {"RIGHT": "right", "WRONG": "wrong", "NOWHERE": "postgresql://a:SECRET@127.0.0.1:1/x"}
    ran = await importing(database_url, form, source, *more, **environ)
    assert (ran.code, ran.output) == (code, "")
    assert reason in ran.complaints
    assert len(ran.complaints.splitlines()) == 1
    assert "SECRET" not in ran.complaints
    assert sum(await number_of_rows(database)) == 0


async def test_a_paired_session_is_not_overwritten_by_an_import(
    database: Database, database_url: str, paired: tuple[Path, BaileysState]
) -> None:
    await importing(database_url, "multi-file", paired[0])
    before = await number_of_rows(database)
    ran = await importing(database_url, "multi-file", paired[0])
    assert ran.code == 1
    assert "nothing is overwritten" in ran.complaints
    assert await number_of_rows(database) == before


async def test_an_import_needs_the_keys_of_the_service(
    database: Database, database_url: str, paired: tuple[Path, BaileysState], state: PortableState, tmp_path: Path
) -> None:
    await importing(database_url, "multi-file", paired[0], SESSION_ENCRYPTION_KEYS=KEY.hex())
    before = await number_of_rows(database)
    for keys in ("", os.urandom(32).hex()):
        ran = await importing(database_url, "multi-file", paired[0], "--tenant", "other", SESSION_ENCRYPTION_KEYS=keys)
        assert ran.code == 1
        assert "SESSION_ENCRYPTION_KEYS" in ran.complaints
        refused = await exporting(database_url, tmp_path / "out", SESSION_ENCRYPTION_KEYS=keys)
        assert refused.code == 1
        assert not (tmp_path / "out").exists()
    assert await number_of_rows(database) == before


async def test_an_export_replaces_no_file(
    database: Database, database_url: str, paired: tuple[Path, BaileysState], tmp_path: Path
) -> None:
    await importing(database_url, "multi-file", paired[0])
    (tmp_path / "there").write_text("mine")
    ran = await exporting(database_url, tmp_path / "there")
    assert ran.code == 1
    assert "exists already" in ran.complaints
    assert (tmp_path / "there").read_text() == "mine"
    assert multi_file.read(paired[0]) == await stored(database, "loja-1")


async def test_a_session_is_not_stopped_for_an_export_that_has_no_place(
    database: Database, database_url: str, paired: tuple[Path, BaileysState], tmp_path: Path
) -> None:
    await importing(database_url, "multi-file", paired[0], "--start")
    for to, reason in ((tmp_path, "exists already"), (tmp_path / "no" / "folder", "is not a folder")):
        ran = await exporting(database_url, to, "--stop")
        assert (ran.code, len(ran.complaints.splitlines())) == (1, 1)
        assert reason in ran.complaints
    session = await SessionStore(database).get(OPERATOR_TENANT, "loja-1")
    assert session.desired_state is DesiredState.RUNNING


async def test_without_a_database_and_without_a_service_it_says_what_to_do(
    paired: tuple[Path, BaileysState], tmp_path: Path
) -> None:
    ran = await importing("", "multi-file", paired[0], DATA_DIR=str(tmp_path))
    assert ran.code == 1
    assert "no service runs on" in ran.complaints
    assert len(ran.complaints.splitlines()) == 1
