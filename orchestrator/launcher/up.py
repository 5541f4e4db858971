"""`up`: from settings to a running process tree, each step refusing with one sentence when it can't be done."""

import contextlib
import errno
import fcntl
import hashlib
import hmac
import os
import resource
import secrets
import signal
import socket
import time
import uuid
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

from orchestrator.config import Settings
from orchestrator.launcher import LaunchError
from orchestrator.launcher.embedded_postgres import EmbeddedPostgres
from orchestrator.launcher.machine import machine, shards_for
from orchestrator.launcher.output_relay import relayed_output
from orchestrator.launcher.programs import CHECKOUT, LONGEST_SOCKET, Program, RunFolder, ShardPlace, programs, render
from orchestrator.launcher.supervise import STOP_SIGNALS, supervise

PORT_WAIT_SECONDS: Final = 15.0
_SOCKET_PATH_BYTES: Final = 107
_OPEN_FILES: Final = 65_536
_LAST_PORT: Final = 65_535
_JOURNAL_KEY_INFO: Final = b"baileys-orchestrator journal"


def launch(
    settings: Settings,
    environ: MutableMapping[str, str],
    choose_programs: Callable[..., Sequence[Program]] = programs,
) -> int:
    """Start everything and stay until it is stopped; `environ` is that of this process, and becomes that of the tree."""
    signal.signal(signal.SIGTERM, _stop_before_start)
    with relayed_output(), _prepared(settings) as (run, postgres, shards):
        environ.update(environment_of_children(settings, run, postgres, len(shards)))
        bot = settings.bot_token is not None
        parts = choose_programs(postgres, shards, bot=bot, alerts=bot and settings.admin_chat_id is not None)
        write_configuration(run, render(parts, run, as_root=os.geteuid() == 0))
        raise_open_files()
        os.chdir(CHECKOUT)
        say("Starting ...")
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        return supervise(run)


@contextlib.contextmanager
def _prepared(settings: Settings) -> Iterator[tuple[RunFolder, EmbeddedPostgres | None, list[ShardPlace]]]:
    """The data locked, PostgreSQL ready to be started when it is ours, and nothing of an earlier run in the way."""
    run = make_folders(settings.data_dir)
    lock = lock_data(run, settings.data_dir)
    try:
        postgres = None
        if settings.database_url is None:
            postgres = EmbeddedPostgres(settings.data_dir, say=say)
            postgres.prepare()
        shards = shard_places(settings)
        wait_for_ports(settings, shards)
        clean(run)
        yield run, postgres, shards
    finally:
        os.close(lock)


def say(line: str) -> None:
    print(line, flush=True)


def make_folders(data_dir: Path) -> RunFolder:
    """DATA_DIR and the private folders in it. Root lets others pass through DATA_DIR, for PostgreSQL's account."""
    longest = _SOCKET_PATH_BYTES - len(LONGEST_SOCKET)
    if len(os.fsencode(data_dir)) > longest:
        raise LaunchError(
            f"DATA_DIR ({data_dir}) is longer than {longest} bytes, too long for sockets in it; choose a shorter path."
        )
    run = RunFolder(data_dir / "run")
    try:
        if not data_dir.exists():
            data_dir.mkdir(parents=True)
            data_dir.chmod(0o711 if os.geteuid() == 0 else 0o700)
        for folder in (run.path, run.media, journal_folder(data_dir)):
            folder.mkdir(mode=0o700, exist_ok=True)
            folder.chmod(0o700)
    except OSError as error:
        raise LaunchError(
            f"DATA_DIR ({data_dir}) can't be used: {error.strerror}; set it to a folder that you may write to."
        ) from error
    return run


def journal_folder(data_dir: Path) -> Path:
    """Where the sidecar keeps what PostgreSQL hasn't committed yet; it must outlive the process tree."""
    return data_dir / "journal"


def shard_places(settings: Settings) -> list[ShardPlace]:
    """Where the sidecar processes are: as many as were asked for, or as the machine has room for, and those whose journal
    an earlier run with more of them left behind."""
    folder = journal_folder(settings.data_dir)
    left = [int(path.name.rpartition("-")[2]) + 1 for path in folder.glob("shard-[1-9]*") if any(path.iterdir())]
    number = max(settings.sidecar_shards or shards_for(*machine()), *left, 1)
    last = settings.sidecar_port + number - 1
    if last > _LAST_PORT or settings.sidecar_port <= settings.port <= last:
        raise LaunchError(
            f"The {number} sidecar processes need the ports {settings.sidecar_port} to {last}, and PORT is {settings.port}; "
            "set SIDECAR_PORT to another port, or SIDECAR_SHARDS to a lower number."
        )
    journals = [folder, *(folder / f"shard-{n}" for n in range(1, number))]
    most = max(1, settings.journal_max_mib // number)
    return [ShardPlace(n, settings.sidecar_port + n, journal, most) for n, journal in enumerate(journals)]


def lock_data(run: RunFolder, data_dir: Path) -> int:
    """Hold the data for as long as this process lives; programs don't inherit the lock."""
    try:
        lock = os.open(run.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LaunchError(
            f"{run.lock} can't be opened: {error.strerror}; start as the account that made {data_dir}."
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(lock, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(lock)
        raise LaunchError(
            f"Baileys Orchestrator already runs on {data_dir} (pid {holder}); stop it first, or set DATA_DIR to another folder."
        ) from error
    os.truncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def wait_for_ports(
    settings: Settings, shards: Sequence[ShardPlace], timeout_seconds: float = PORT_WAIT_SECONDS
) -> None:
    """Processes of a killed run notice within seconds that they are orphans; wait for them, not for strangers."""
    deadline = time.monotonic() + timeout_seconds
    for name, host, port in (
        ("PORT", settings.host, settings.port),
        *(("SIDECAR_PORT", "127.0.0.1", shard.port) for shard in shards),
    ):
        announced = False
        while (problem := _binding_problem(host, port)) is not None:
            if problem == errno.EADDRNOTAVAIL:
                raise LaunchError(f"HOST ({host}) isn't an address of this machine; set it to one, or leave it out.")
            if problem != errno.EADDRINUSE:
                raise LaunchError(
                    f"{name} {port} can't be listened on: {os.strerror(problem)}; set {name} to another port."
                )
            if time.monotonic() > deadline:
                raise LaunchError(
                    f"{name} {port} is used by another program; end that program, or set {name} to another port."
                )
            if not announced:
                say(f"Waiting for port {port} to become free ...")
                announced = True
            time.sleep(0.2)


def _binding_problem(host: str | None, port: int) -> int | None:
    """The error number of listening there as the orchestrator will; None when it works."""
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise LaunchError(f"HOST ({host}) isn't an address of this machine; set it to one, or leave it out.") from error
    for family, kind, protocol, _, address in addresses:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(address)
                probe.listen(1)
        except OSError as error:
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL) or host is not None:
                return error.errno
    return None


def clean(run: RunFolder) -> None:
    """Remove what a killed run left; the lock is ours, so nobody uses it."""
    run.failure.unlink(missing_ok=True)
    for stale in run.path.glob("*.sock*"):
        stale.unlink()
    for file in run.media.glob("*"):
        file.unlink()


def environment_of_children(
    settings: Settings, run: RunFolder, postgres: EmbeddedPostgres | None, shards: int
) -> dict[str, str]:
    """What the programs need to know; the user's settings in the form in which they were understood, defaults included."""
    database_url = postgres.url if postgres is not None else settings.database_url
    environment = {
        "BACKUP_ATTEMPTS": str(settings.backup_attempts),
        "BACKUP_INITIAL_DELAY_SECONDS": f"{settings.backup_initial_delay_seconds:g}",
        "BACKUP_INTERVAL_SECONDS": f"{settings.backup_interval_seconds:g}",
        "BACKUP_THROTTLE_SECONDS": f"{settings.backup_throttle_seconds:g}",
        "BACKUP_TIMEOUT_SECONDS": f"{settings.backup_timeout_seconds:g}",
        "DATABASE_EMBEDDED": "1" if postgres is not None else "0",
        "DATABASE_URL": database_url or "",
        "DATA_DIR": str(settings.data_dir),
        "INTERNAL_TOKEN": secrets.token_hex(32),
        "JOURNAL_KEYS": ",".join(journal_key(key).hex() for key in settings.session_encryption_keys),
        "JOURNAL_MAX_MIB": str(settings.journal_max_mib),
        "KEEP_ALIVE_SECONDS": f"{settings.keep_alive_seconds:g}",
        "QR_SECONDS": f"{settings.qr_seconds:g}",
        "LOG_LEVEL": settings.log_level,
        "MEDIA_DIR": str(run.media),
        "MEDIA_MAX_MIB": str(settings.media_max_mib),
        "NODE_ENV": "production",
        "ORCHESTRATOR_SOCKET": str(run.orchestrator_socket),
        "OUTBOUND_ALLOWED_NETWORKS": ",".join(map(str, settings.outbound_allowed_networks)),
        "PORT": str(settings.port),
        "PYTHONUNBUFFERED": "1",
        "REPLICA_ID": uuid.uuid4().hex,
        "QUARANTINE_RETENTION_DAYS": str(settings.quarantine_retention_days),
        "REBALANCE_AFTER_SECONDS": f"{settings.rebalance_after_seconds:g}",
        "SIDECAR_PORT": str(settings.sidecar_port),
        "SIDECAR_SHARDS": str(shards),
        "SUPERVISOR_PASSWORD": secrets.token_hex(32),
        "SUPERVISOR_SOCKET": str(run.supervisor_socket),
        "WHATSAPP_WEB_URL": settings.whatsapp_web_url,
    }
    if settings.bot_token is not None:
        environment["API_SOCKET"] = str(run.api_socket)
        environment["BOT_API_TOKEN"] = secrets.token_hex(32)
    if settings.public_url is not None:
        environment["PUBLIC_URL"] = settings.public_url
    if settings.replica_address is not None:
        environment["REPLICA_ADDRESS"] = settings.replica_address
    if settings.whatsapp_root_key is not None:
        environment["WHATSAPP_ROOT_KEY"] = settings.whatsapp_root_key
    return environment


def journal_key(session_encryption_key: bytes) -> bytes:
    """The 32 bytes that seal the journal; the sidecar never sees the key that seals the database.

    HKDF-SHA256 without salt, one block of output: RFC 5869.
    """
    extracted = hmac.digest(bytes(hashlib.sha256().digest_size), session_encryption_key, "sha256")
    return hmac.digest(extracted, _JOURNAL_KEY_INFO + b"\x01", "sha256")


def write_configuration(run: RunFolder, text: str) -> None:
    run.configuration.unlink(missing_ok=True)
    with os.fdopen(os.open(run.configuration, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def raise_open_files() -> None:
    """One socket for each session and each caller: the usual soft limit of 1024 is too low, the hard one rarely is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _stop_before_start(signal_number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + signal_number)
