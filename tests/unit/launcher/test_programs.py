"""The rendered configuration, read back by supervisord's own parser."""

import shlex
import sys
from pathlib import Path

import pytest
from supervisor.options import ServerOptions

from orchestrator.config import SECRET_VARIABLES
from orchestrator.launcher import LaunchError
from orchestrator.launcher.programs import Program, RunFolder, ShardPlace, programs, render, without_secrets
from orchestrator.launcher.up import write_configuration

SHARDS = [ShardPlace(0, 3000, Path("/data/journal"), 128), ShardPlace(1, 3001, Path("/data/journal/shard-1"), 128)]


def read_back(folder: Path, parts: list[Program], monkeypatch: pytest.MonkeyPatch) -> ServerOptions:
    monkeypatch.setenv("SUPERVISOR_PASSWORD", "from-the-environment")
    run = RunFolder(folder)
    folder.mkdir(exist_ok=True)
    write_configuration(run, render(parts, run, as_root=False))
    options = ServerOptions()
    options.realize(["--configuration", str(run.configuration)], doc="")
    return options


AWKWARD = ["/bin/a b", "50%", "%(here)s", "it's", 'say "hi"', "#x", ";y", "a;b", "back\\slash", "", "$HOME", "ü"]


def test_any_argument_arrives_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = read_back(tmp_path / "run 100%", [Program("p", AWKWARD, 1)], monkeypatch)
    (group,) = options.process_group_configs
    (process,) = group.process_configs
    assert shlex.split(process.command) == AWKWARD
    assert options.server_configs[0]["file"] == str(tmp_path / "run 100%" / "supervisor.sock")


def test_only_the_sidecar_sees_the_keys_of_the_journal() -> None:
    sees = [part.name for part in programs(None, SHARDS) if "JOURNAL_KEYS" not in part.command]
    assert sees == ["baileys", "baileys-1"]


@pytest.mark.parametrize("name", ["a ;b", "a #b", "a\nb"])
def test_a_path_that_supervisord_would_misread_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(LaunchError, match="can't be used"):
        render([Program("p", [name], 1)], RunFolder(tmp_path), as_root=False)


def test_the_tree_starts_from_the_database_up_and_restarts_what_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = read_back(tmp_path, programs(None, SHARDS), monkeypatch)
    groups = sorted(options.process_group_configs, key=lambda group: int(group.priority))
    assert [group.name for group in groups] == ["process-watcher", "orchestrator", "baileys", "baileys-1"]
    for group in groups:
        (process,) = group.process_configs
        assert process.autostart
        assert process.startretries == 10
        assert process.stopwaitsecs == 15


def test_the_password_is_not_in_the_file_and_the_file_is_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = read_back(tmp_path, programs(None, SHARDS), monkeypatch)
    assert options.server_configs[0]["password"] == "from-the-environment"
    assert "from-the-environment" not in RunFolder(tmp_path).configuration.read_text()
    assert RunFolder(tmp_path).configuration.stat().st_mode & 0o777 == 0o600


def test_the_sidecar_sees_its_token_and_no_other_secret() -> None:
    command = {program.name: program.command for program in programs(None, SHARDS)}["baileys"]
    removed = {command[i + 1] for i, word in enumerate(command) if word == "-u"}
    assert {
        "DATABASE_URL",
        "SESSION_ENCRYPTION_KEYS",
        "ADMIN_TOKEN",
        "BOT_TOKEN",
        "MERCADOPAGO_ACCESS_TOKEN",
    } <= removed
    assert "INTERNAL_TOKEN" not in removed


def test_secrets_are_gone_when_the_command_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess

    monkeypatch.setenv("ADMIN_TOKEN", "secret")
    monkeypatch.setenv("INTERNAL_TOKEN", "needed")
    show = [sys.executable, "-c", "import os; print(os.environ.get('ADMIN_TOKEN'), os.environ.get('INTERNAL_TOKEN'))"]
    assert subprocess.check_output(without_secrets(show, but=("INTERNAL_TOKEN",)), text=True).strip() == "None needed"


def test_a_sidecar_sees_its_own_secrets_and_the_collector_s_key_only() -> None:
    command = programs(None, SHARDS)[-1].command
    removed = {command[i + 1] for i, word in enumerate(command) if word == "-u"}
    assert set(SECRET_VARIABLES) - removed == {"INTERNAL_TOKEN", "JOURNAL_KEYS", "OTEL_EXPORTER_OTLP_HEADERS"}


def test_the_bot_and_its_listener_are_there_when_they_are_wanted_and_see_the_bot_s_secrets_only() -> None:
    parts = {part.name: part for part in programs(None, SHARDS, bot=True, alerts=True)}
    assert list(parts) == ["process-watcher", "alert-listener", "orchestrator", "baileys", "baileys-1", "bot"]
    assert parts["bot"].priority > parts["baileys"].priority > parts["orchestrator"].priority  # it stops first
    for name, secrets in (("bot", {"BOT_TOKEN", "BOT_API_TOKEN"}), ("alert-listener", {"BOT_TOKEN"})):
        command = parts[name].command
        removed = {command[i + 1] for i, word in enumerate(command) if word == "-u"}
        assert set(SECRET_VARIABLES) - removed == secrets
    assert "bot" not in {part.name for part in programs(None, SHARDS)}


def test_each_sidecar_is_told_its_own_port_and_journal() -> None:
    told = [[word for word in part.command if "=" in word] for part in programs(None, SHARDS)[-2:]]
    assert told == [
        ["SIDECAR_PORT=3000", "JOURNAL_DIR=/data/journal", "JOURNAL_MAX_MIB=128"],
        ["SIDECAR_PORT=3001", "JOURNAL_DIR=/data/journal/shard-1", "JOURNAL_MAX_MIB=128"],
    ]
