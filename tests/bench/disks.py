"""The two disks that everything is measured on: this machine's as it is, and one whose fdatasync takes 2 ms longer."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.launcher.embedded_postgres import EmbeddedPostgres
from tests.support.processes import running, wait_until

DELAY_MICROSECONDS = 2000
SHIM_SOURCE = Path(__file__).with_name("slow_fdatasync.c")

#: Nothing that makes a commit less durable; only no checkpoint in the middle of a short run.
POSTGRES_OPTIONS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_wal_size": "16GB",
    "checkpoint_timeout": "1h",
    "max_connections": "200",
}


@dataclass(frozen=True)
class Disk:
    """``delayed_by``: how the 2 ms come about, in words; None for the disk as it is."""

    name: str
    delayed_by: str | None = None
    preload: Path | None = None
    postgres_options: tuple[tuple[str, str], ...] = ()

    @property
    def environ(self) -> dict[str, str]:
        """For each process that syncs files on this disk."""
        return {"LD_PRELOAD": str(self.preload)} if self.preload else {}


FAST = Disk("fast")


def slow_disk(folder: Path) -> Disk:
    """The disk with 2 ms more: by a shim around fdatasync where there is a C compiler, else by PostgreSQL's own delay."""
    compiler = shutil.which("cc")
    if compiler is None:
        delay = (("commit_delay", str(DELAY_MICROSECONDS)), ("commit_siblings", "0"))
        return Disk("2 ms", "commit_delay of PostgreSQL (there is no C compiler), Redis without delay", None, delay)
    shim = folder / "slow_fdatasync.so"
    delay_option = f"-DDELAY_MICROSECONDS={DELAY_MICROSECONDS}"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", delay_option, SHIM_SOURCE, "-o", shim, "-ldl"], check=True)
    shim.chmod(0o755)
    return Disk("2 ms", "a shim around fdatasync", shim)


class BenchPostgres(EmbeddedPostgres):
    """The project's own PostgreSQL on one of the disks."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        super().__init__(folder)
        self._disk = disk

    def command(self) -> list[str]:
        options = {**POSTGRES_OPTIONS, **dict(self._disk.postgres_options)}
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        environ = [f"{name}={value}" for name, value in self._disk.environ.items()]
        return [shutil.which("env") or "env", *environ, *super().command(), *settings]


@contextlib.contextmanager
def redis(folder: Path, disk: Disk) -> Iterator[tuple[str, int] | None]:
    """Where a Redis listens that syncs every write, and its pid; None when there is no redis-server."""
    program = shutil.which("redis-server")
    if program is None:
        yield None
        return
    socket = folder / "redis.sock"
    durable = ["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--auto-aof-rewrite-percentage", "0"]
    place = ["--port", "0", "--unixsocket", str(socket), "--dir", str(folder)]
    with running([program, *durable, *place], folder / "redis.log", env={**os.environ, **disk.environ}) as child:
        wait_until(socket.exists, 10, "Redis")
        yield str(socket), child.pid
