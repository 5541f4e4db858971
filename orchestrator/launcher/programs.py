"""What runs and in which order: supervisord's configuration as text. Nothing secret is in it, nor on a command line."""

import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.config import SECRET_VARIABLES, SUPERVISOR_USERNAME, sidecar_program
from orchestrator.launcher import LaunchError
from orchestrator.launcher.embedded_postgres import STOP_SECONDS, EmbeddedPostgres, clean_environment

CHECKOUT: Final = Path(__file__).resolve().parents[2]
#: As baileys-server/package.json says.
OLDEST_NODE: Final = "20.18.1"
SIDECAR: Final = CHECKOUT / "baileys-server" / "src" / "main.js"

# The parts of the tree; supervisord starts from low to high and stops from high to low, waiting for each.
POSTGRES_PRIORITY: Final = 1
WATCHER_PRIORITY: Final = 5
ORCHESTRATOR_PRIORITY: Final = 10
BOT_PRIORITY: Final = 40
SIDECAR_PRIORITY: Final = 30


# supervisord first makes its socket with its process number behind the name.
LONGEST_SOCKET: Final = "/run/supervisor.sock.4194304"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The private folder of one running tree, inside DATA_DIR."""

    path: Path

    @property
    def configuration(self) -> Path:
        return self.path / "supervisord.conf"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def orchestrator_socket(self) -> Path:
        return self.path / "orchestrator.sock"

    @property
    def api_socket(self) -> Path:
        """The public API for the tree's own processes."""
        return self.path / "api.sock"

    @property
    def supervisor_socket(self) -> Path:
        return self.path / "supervisor.sock"

    @property
    def media(self) -> Path:
        """Files on their way from the orchestrator to a sidecar."""
        return self.path / "media"

    @property
    def failure(self) -> Path:
        """Written by the process watcher: why the tree ends."""
        return self.path / "failure"


@dataclass(frozen=True, slots=True)
class Program:
    name: str
    command: Sequence[str]
    priority: int
    stop_signal: str = "TERM"
    stop_wait_seconds: int = 15
    start_retries: int = 10
    user: str | None = None
    events: str | None = None
    """An event listener of supervisord when set; its stdout belongs to the protocol."""


@dataclass(frozen=True, slots=True)
class ShardPlace:
    """What one sidecar process has for itself. Its number stays its name over restarts: the journal is its own."""

    number: int
    port: int
    journal: Path
    journal_max_mib: int


def programs(
    postgres: EmbeddedPostgres | None, shards: Sequence[ShardPlace], *, bot: bool = False, alerts: bool = False
) -> list[Program]:
    """All parts of the tree; `postgres` is prepared, or None when the database is elsewhere.

    `bot`: with the Telegram bot; `alerts`: with the listener that writes to the operator even when the bot is down.
    """
    python = [sys.executable, "-m", "orchestrator"]
    node = shutil.which("node")
    if node is None:
        raise LaunchError(f"Node.js isn't on PATH; install Node.js {OLDEST_NODE} or newer and start again.")
    if not (SIDECAR.parents[1] / "node_modules").is_dir():
        raise LaunchError("The sidecar's packages aren't installed; run `make install`, or `npm ci` in baileys-server.")
    parts = [
        Program(
            "process-watcher",
            without_secrets([*python, "watch-processes"], but=("SUPERVISOR_PASSWORD",)),
            WATCHER_PRIORITY,
            events="PROCESS_STATE_FATAL",
        ),
        Program("orchestrator", [_env(), "-u", "JOURNAL_KEYS", *python, "serve"], ORCHESTRATOR_PRIORITY),
        *(_sidecar(shard, node) for shard in shards),
    ]
    if bot:
        command = without_secrets([*python, "bot"], but=("BOT_TOKEN", "BOT_API_TOKEN"))
        parts.append(Program("bot", command, BOT_PRIORITY, stop_wait_seconds=5))
    if alerts:
        parts.insert(
            1,
            Program(
                "alert-listener",
                without_secrets([*python, "alert-listener"], but=("BOT_TOKEN",)),
                WATCHER_PRIORITY,
                events="PROCESS_STATE_EXITED,PROCESS_STATE_BACKOFF,PROCESS_STATE_FATAL,PROCESS_STATE_RUNNING",
            ),
        )
    if postgres is not None:
        nothing_of_ours = [f"{name}={value}" for name, value in clean_environment().items()]
        server = Program(
            "postgres",
            [_env(), "-i", *nothing_of_ours, *postgres.command()],
            POSTGRES_PRIORITY,
            stop_signal="INT",
            stop_wait_seconds=int(STOP_SECONDS),
            user=postgres.user,
        )
        parts.insert(0, server)
    return parts


def _sidecar(shard: ShardPlace, node: str) -> Program:
    own = [f"SIDECAR_PORT={shard.port}", f"JOURNAL_DIR={shard.journal}", f"JOURNAL_MAX_MIB={shard.journal_max_mib}"]
    command = without_secrets(
        [*own, node, str(SIDECAR)], but=("INTERNAL_TOKEN", "JOURNAL_KEYS", "OTEL_EXPORTER_OTLP_HEADERS")
    )
    return Program(sidecar_program(shard.number), command, SIDECAR_PRIORITY)


def without_secrets(command: Sequence[str], *, but: tuple[str, ...] = ()) -> list[str]:
    """The command with every secret taken out of its environment, except those it needs."""
    removed = [part for name in (*SECRET_VARIABLES, "PGPASSWORD") if name not in but for part in ("-u", name)]
    return [_env(), *removed, *command]


def render(parts: Sequence[Program], run: RunFolder, *, as_root: bool) -> str:
    """The text of supervisord.conf. The password of its RPC comes from the environment."""
    sections = [
        f"""\
[supervisord]
nodaemon=true
{"user=root" if as_root else ""}
logfile=/dev/null
logfile_maxbytes=0
loglevel=warn
pidfile={_value(str(run.path / "supervisord.pid"))}
childlogdir={_value(str(run.path))}
minprocs=16

[unix_http_server]
file={_value(str(run.supervisor_socket))}
chmod=0700
username={SUPERVISOR_USERNAME}
password=%(ENV_SUPERVISOR_PASSWORD)s

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[rpcinterface:recent_output]
supervisor.rpcinterface_factory=orchestrator.launcher.recent_output:make_rpc_interface
"""
    ]
    return "\n".join([*sections, *(_section(part) for part in parts)])


def _section(part: Program) -> str:
    if part.events is None:
        header = f"[program:{part.name}]"
        output = [
            "stdout_logfile=/dev/fd/1",
            "stdout_logfile_maxbytes=0",
            "stdout_events_enabled=true",
            "redirect_stderr=true",
        ]
    else:
        header = f"[eventlistener:{part.name}]"
        output = [
            f"events={part.events}",
            "stdout_logfile=NONE",
            "stderr_logfile=/dev/fd/1",
            "stderr_logfile_maxbytes=0",
        ]
    lines = [
        header,
        f"command={_value(shlex.join(part.command))}",
        f"priority={part.priority}",
        "autostart=true",
        "autorestart=true",
        "startsecs=1",
        f"startretries={part.start_retries}",
        f"stopsignal={part.stop_signal}",
        f"stopwaitsecs={part.stop_wait_seconds}",
        "killasgroup=true",
        *([f"user={part.user}"] if part.user is not None else []),
        *output,
    ]
    return "\n".join(lines) + "\n"


def _value(text: str) -> str:
    """A value that supervisord reads back as it is; its parser has no way to quote the start of a comment."""
    if " ;" in text or " #" in text or not text.isprintable():
        raise LaunchError(
            "A path with a line break, or with a space before ; or #, can't be used; move the checkout or DATA_DIR to another folder."
        )
    return text.replace("%", "%%")


def _env() -> str:
    return shutil.which("env") or "/usr/bin/env"
