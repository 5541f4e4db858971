"""The machine: ports, Node, disk and memory."""

import errno
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from orchestrator.config import Settings
from orchestrator.doctor.finding import Finding, fail, ok, warn
from orchestrator.launcher import LaunchError
from orchestrator.launcher.machine import machine, shards_for
from orchestrator.launcher.programs import OLDEST_NODE, SIDECAR
from orchestrator.launcher.up import shard_places

_SLOW_FSYNC_MS = 20.0
_ROUNDS = 15
_MIB = 1024 * 1024
_SPARE_MIB = 256

# docs/scale.md, in megabytes: what runs in any case, and what each session adds.
_ORCHESTRATOR_MB = 95
_SUPERVISOR_MB = 35
_POSTGRES_MB = 60
_SHARD_MB = 110
_SESSION_MB = 1.5


def examine(settings: Settings, sessions: int) -> list[Finding]:
    return [
        *ports(settings),
        *node(),
        *disk(settings.data_dir, settings.journal_max_mib),
        memory(settings, sessions, *machine()),
    ]


def ports(settings: Settings) -> list[Finding]:
    """That of the API, of the metrics if they have one, and of each sidecar."""
    found = [_port("PORT", settings.host, settings.port, "/healthz")]
    if settings.metrics_port is not None:
        found.append(_port("METRICS_PORT", settings.host, settings.metrics_port, "/metrics"))
    try:
        shards = shard_places(settings)
    except LaunchError as error:
        return [*found, fail("port.sidecar_port", "setting_refused", problem=str(error))]
    return found + [
        _port("SIDECAR_PORT" if not one.number else f"SIDECAR_PORT + {one.number}", "127.0.0.1", one.port, "/health")
        for one in shards
    ]


def serves(port: int, path: str = "/healthz") -> bool:
    """Whether a part of this service answers there; the sidecar does so with a refusal, because it wants its token."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=3) as answer:
            said = answer.read(200)
            return b'"status"' in said or b"# HELP" in said
    except urllib.error.HTTPError as error:
        return b'"unauthorized"' in error.read(300)
    except OSError:
        return False


def _port(name: str, host: str | None, port: int, path: str) -> Finding:
    check = f"port.{name.lower().replace(' + ', '_')}"
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
            0
        ]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return ok(check, "port_free", name=name, port=port)
    except OSError as error:
        if serves(port, path):
            return ok(check, "port_ours", name=name, port=port)
        if error.errno == errno.EADDRINUSE:
            return fail(check, "port_taken", name=name, port=port)
        return fail(check, "port_refused", name=name, port=port, reason=error.strerror)


def node(sidecar: Path = SIDECAR) -> list[Finding]:
    program = shutil.which("node")
    if program is None:
        found = fail("node", "node_missing", oldest=OLDEST_NODE)
    else:
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=20)
        shown = answer.stdout.strip().removeprefix("v")
        found = (
            ok("node", "node_found", version=shown)
            if _numbers(shown) >= _numbers(OLDEST_NODE)
            else fail("node", "node_old", version=shown, oldest=OLDEST_NODE)
        )
    packages = sidecar.parents[1] / "node_modules" / "@whiskeysockets" / "baileys" / "package.json"
    here = packages.is_file()
    return [found, ok("node.packages", "packages_here") if here else fail("node.packages", "packages_missing")]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def disk(folder: Path, journal_mib: int) -> list[Finding]:
    """``folder`` may not be there yet; then it is what is above it that counts."""
    there = next((path for path in (folder, *folder.parents) if path.is_dir()), folder)
    try:
        free = shutil.disk_usage(there).free // _MIB
        milliseconds = _synced_write_ms(there)
    except OSError as error:
        return [fail("disk", "disk_refused", folder=folder, reason=error.strerror)]
    needed = journal_mib + _SPARE_MIB
    space = warn if free < needed else ok
    speed = warn if milliseconds > _SLOW_FSYNC_MS else ok
    return [
        space("disk", "disk_little" if free < needed else "disk_enough", folder=folder, free=free, needed=needed),
        speed(
            "disk.fsync",
            "fsync_slow" if milliseconds > _SLOW_FSYNC_MS else "fsync_fast",
            folder=folder,
            milliseconds=milliseconds,
        ),
    ]


def _synced_write_ms(folder: Path) -> float:
    taken = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(_ROUNDS):
            file.write(bytes(4096))
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


def memory(settings: Settings, sessions: int, cores: int, memory_bytes: int) -> Finding:
    available = memory_bytes // 1_000_000
    shards = settings.sidecar_shards or shards_for(cores, memory_bytes)
    postgres = _POSTGRES_MB if settings.database_url is None else 0
    needed = round(_ORCHESTRATOR_MB + _SUPERVISOR_MB + postgres + shards * _SHARD_MB + sessions * _SESSION_MB)
    finding, text = (warn, "memory_little") if needed > available else (ok, "memory_enough")
    return finding("memory", text, sessions=sessions, needed=needed, available=available)
