"""The steps before the tree runs: each refuses with one sentence."""

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from orchestrator.config import ProcessSettings, Settings
from orchestrator.launcher import LaunchError
from orchestrator.launcher.programs import RunFolder, ShardPlace
from orchestrator.launcher.up import (
    clean,
    environment_of_children,
    journal_folder,
    journal_key,
    lock_data,
    make_folders,
    shard_places,
    wait_for_ports,
)
from tests.support.processes import free_port


def test_a_data_folder_whose_sockets_would_have_too_long_names_is_refused(short_path: Path) -> None:
    with pytest.raises(LaunchError, match="choose a shorter path"):
        make_folders(short_path / ("x" * 80))
    assert list(short_path.iterdir()) == []


def test_a_data_folder_that_cannot_be_made_is_refused(short_path: Path) -> None:
    (short_path / "file").touch()
    with pytest.raises(LaunchError, match="can't be used"):
        make_folders(short_path / "file" / "data")


def test_an_existing_data_folder_keeps_its_permissions(short_path: Path) -> None:
    data = short_path / "data"
    data.mkdir(mode=0o750)
    run = make_folders(data)
    assert data.stat().st_mode & 0o777 == 0o750
    assert run.path.stat().st_mode & 0o777 == 0o700


def test_the_journal_survives_a_restart_in_a_folder_of_its_own(short_path: Path) -> None:
    make_folders(short_path)
    folder = journal_folder(short_path)
    assert folder.stat().st_mode & 0o777 == 0o700
    (folder / "journal").write_bytes(b"kept")
    clean(make_folders(short_path))
    assert (folder / "journal").read_bytes() == b"kept"


def test_the_journal_is_sealed_with_keys_derived_from_those_of_the_database(short_path: Path) -> None:
    keys = (b"\x01" * 32, b"\x02" * 32)
    settings = Settings(database_url="postgresql://u:p@h/x", data_dir=short_path, session_encryption_keys=keys)
    derived = environment_of_children(settings, RunFolder(short_path / "run"), None, 1)["JOURNAL_KEYS"]
    by_the_book = [HKDF(hashes.SHA256(), 32, None, b"baileys-orchestrator journal").derive(key) for key in keys]
    assert derived == ",".join(key.hex() for key in by_the_book)
    assert journal_key(keys[0]) == by_the_book[0]
    without = environment_of_children(
        replace(settings, session_encryption_keys=()), RunFolder(short_path / "run"), None, 1
    )
    assert without["JOURNAL_KEYS"] == ""


def test_a_second_start_on_live_data_is_refused_and_names_the_first(short_path: Path) -> None:
    run = make_folders(short_path)
    lock = lock_data(run, short_path)
    with pytest.raises(LaunchError, match=f"already runs .*pid {os.getpid()}"):
        lock_data(run, short_path)
    os.close(lock)
    os.close(lock_data(run, short_path))


def test_a_port_in_use_is_waited_for_and_then_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = Settings(port=port, sidecar_port=free_port(), sidecar_shards=1)
        with pytest.raises(LaunchError, match=f"PORT {port} is used by another program"):
            wait_for_ports(settings, shard_places(settings), timeout_seconds=0.3)
        assert f"Waiting for port {port}" in capsys.readouterr().out
        other = replace(settings, port=free_port(), sidecar_port=port)
        with pytest.raises(LaunchError, match="SIDECAR_PORT"):
            wait_for_ports(other, shard_places(other), timeout_seconds=0.1)
    wait_for_ports(settings, shard_places(settings), timeout_seconds=0.1)


def test_a_host_that_is_not_here_is_refused() -> None:
    with pytest.raises(LaunchError, match="HOST"):
        wait_for_ports(Settings(host="192.0.2.1", port=free_port()), [], timeout_seconds=0.1)


def test_what_a_killed_run_left_is_removed(short_path: Path) -> None:
    run = RunFolder(short_path)
    for name in ("failure", "orchestrator.sock", "supervisor.sock.123"):
        (short_path / name).touch()
    (short_path / "lock").touch()
    run.media.mkdir()
    (run.media / "half").touch()
    clean(run)
    assert sorted(file.name for file in short_path.rglob("*")) == ["lock", "media"]


def test_children_read_the_settings_as_they_were_understood(short_path: Path) -> None:
    given = Settings.from_environment(
        {
            "DATABASE_URL": "postgres://u:p@h/x",
            "BACKUP_TIMEOUT_SECONDS": "0.25",
            "DATA_DIR": str(short_path),
            "SIDECAR_SHARDS": "3",
            "REPLICA_ADDRESS": "http://10.0.0.7:8080",
            "QUARANTINE_RETENTION_DAYS": "7",
            "REBALANCE_AFTER_SECONDS": "5",
            "JOURNAL_MAX_MIB": "90",
            "MEDIA_MAX_MIB": "20",
            "OUTBOUND_ALLOWED_NETWORKS": "10.0.0.0/8,::1",
        }
    )
    environment = environment_of_children(given, RunFolder(short_path / "run"), None, 3)
    assert Settings.from_environment(environment) == given
    process = ProcessSettings.from_environment(environment)
    assert process.database_url == "postgresql://u:p@h/x"
    assert not process.database_embedded
    assert process.sidecar_shards == 3
    assert process.media_dir == short_path / "run" / "media"
    again = environment_of_children(given, RunFolder(short_path / "run"), None, 1)
    assert all(again[name] != environment[name] for name in ("REPLICA_ID", "INTERNAL_TOKEN", "SUPERVISOR_PASSWORD"))


def test_each_shard_has_a_port_and_a_journal_of_its_own_and_they_share_its_limit(short_path: Path) -> None:
    make_folders(short_path)
    settings = Settings(data_dir=short_path, sidecar_port=4000, sidecar_shards=3, journal_max_mib=90)
    journals = [short_path / "journal", short_path / "journal" / "shard-1", short_path / "journal" / "shard-2"]
    assert shard_places(settings) == [ShardPlace(n, 4000 + n, journals[n], 30) for n in range(3)]


def test_a_journal_that_more_shards_left_behind_keeps_its_shard(short_path: Path) -> None:
    make_folders(short_path)
    for number, content in ((2, b"changes"), (5, None)):
        folder = short_path / "journal" / f"shard-{number}"
        folder.mkdir()
        if content is not None:
            (folder / "journal").write_bytes(content)
    assert len(shard_places(Settings(data_dir=short_path, sidecar_shards=1))) == 3


def test_shards_that_would_take_the_public_port_are_refused(short_path: Path) -> None:
    make_folders(short_path)
    with pytest.raises(LaunchError, match="4000 to 4003"):
        shard_places(Settings(data_dir=short_path, port=4002, sidecar_port=4000, sidecar_shards=4))
