"""The launcher, supervisord and PostgreSQL for real; stand-ins for orchestrator and sidecar."""

import contextlib
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from orchestrator.launcher.programs import CHECKOUT
from tests.support.postgres import short_folder
from tests.support.processes import (
    Child,
    as_root,
    descendants,
    free_port,
    is_alive,
    kill_tree,
    processes_mentioning,
    running,
    wait_until,
)

TREE = [sys.executable, "-m", "tests.support.stand_in_tree"]


def settings_in(folder: Path) -> dict[str, str]:
    """Settings of a tree in a folder of its own, with ports that nobody uses."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    ports = {"PORT": str(free_port()), "SIDECAR_PORT": str(free_port())}
    return {**kept, **ports, "DATA_DIR": str(folder / "data"), "ADMIN_TOKEN": "a-secret-that-must-not-leak"}


@pytest.fixture
def environ(short_path: Path) -> dict[str, str]:
    return settings_in(short_path)


@pytest.fixture
def without_postgres(environ: dict[str, str]) -> dict[str, str]:
    """The same with a database elsewhere, which starts sooner."""
    return {**environ, "DATABASE_URL": "postgres://u:p@127.0.0.1:1/x"}


@dataclass(frozen=True)
class LiveTree:
    child: Child
    environ: dict[str, str]
    folder: Path


@pytest.fixture(scope="module")
def live() -> Iterator[LiveTree]:
    """A running tree for the tests that only look at it."""
    with short_folder() as folder:
        environ = settings_in(folder)
        with tree(environ, folder / "log") as child:
            started(child)
            yield LiveTree(child, environ, folder)
            child.process.terminate()
            assert child.wait() == 0


@contextlib.contextmanager
def tree(environ: dict[str, str], log: Path, *arguments: str) -> Iterator[Child]:
    with running([*TREE, *arguments], log, env=environ, cwd=CHECKOUT) as child:
        yield child


def started(child: Child) -> list[int]:
    child.wait_for_output("orchestrator started")
    child.wait_for_output("baileys started")
    wait_until(lambda: len(descendants(child.pid)) >= 8, what="all programs")
    return descendants(child.pid)


def assert_nothing_left(data_dir: str, pids: list[int]) -> None:
    def gone() -> bool:
        return not any(map(is_alive, pids)) and not processes_mentioning(data_dir)

    wait_until(gone, 5, "all processes to end")


def assert_stopped_in_order(output: str) -> None:
    said = ["baileys stopped", "orchestrator stopped", "postgres: LOG:  received fast shutdown request"]
    assert sorted(said, key=output.index) == said
    assert "Traceback" not in output


def test_sigterm_stops_everything_in_order_and_a_second_start_finds_the_data(
    environ: dict[str, str], short_path: Path
) -> None:
    for log in (short_path / "first", short_path / "second"):
        with tree(environ, log) as child:
            pids = started(child)
            child.process.terminate()
            assert child.wait() == 0
            assert_nothing_left(environ["DATA_DIR"], pids)
        assert_stopped_in_order(child.output)
    assert "Preparing PostgreSQL" in (short_path / "first").read_text()
    assert "Preparing PostgreSQL" not in (short_path / "second").read_text()


def read_all(descriptor: int, received: bytearray) -> None:
    with contextlib.suppress(OSError):  # the end of a terminal
        while part := os.read(descriptor, 65_536):
            received.extend(part)


@pytest.mark.parametrize("way", ["ctrl-c", "closed"])
def test_a_terminal_stops_everything_in_order(environ: dict[str, str], way: str) -> None:
    """It sends SIGINT or SIGHUP to the whole foreground group: supervisord decides who gets to know it, and when."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(CHECKOUT)
        os.execve(TREE[0], TREE, environ)
    received = bytearray()
    reader = threading.Thread(target=read_all, args=(terminal, received))
    reader.start()
    try:
        wait_until(lambda: b"orchestrator started" in received and b"baileys started" in received, 30, "the start")
        pids = descendants(pid)
        if way == "ctrl-c":
            os.write(terminal, b"\x03")
        else:
            os.kill(pid, signal.SIGHUP)
        wait_until(lambda: os.waitpid(pid, os.WNOHANG)[0] == pid, 20, "the end")
        assert_nothing_left(environ["DATA_DIR"], pids)
    finally:
        kill_tree(pid)
        reader.join(5)
        os.close(terminal)
    assert_stopped_in_order(received.decode())


def test_nobody_is_left_behind_when_the_terminal_vanishes(environ: dict[str, str]) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(CHECKOUT)
        os.execve(TREE[0], TREE, environ)
    try:
        wait_until(lambda: len(descendants(pid)) >= 8, 30, "the start")
        pids = descendants(pid)
        os.close(terminal)
        wait_until(lambda: os.waitpid(pid, os.WNOHANG)[0] == pid, 20, "the end")
        assert_nothing_left(environ["DATA_DIR"], pids)
    finally:
        kill_tree(pid)


def test_the_tree_runs_on_when_nobody_reads_its_output(without_postgres: dict[str, str]) -> None:
    child = subprocess.Popen(TREE, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=without_postgres, cwd=CHECKOUT)
    assert child.stdout is not None
    try:
        assert b"Starting" in child.stdout.readline()
        child.stdout.close()

        def sidecars() -> list[int]:
            return [pid for pid in descendants(child.pid) if "stand_in.py baileys" in words_of(pid)]

        first = wait_until(sidecars, 30, "the start")
        os.kill(first[0], signal.SIGKILL)
        wait_until(lambda: set(sidecars()) - set(first), 20, "a restart")
        pids = descendants(child.pid)
        child.terminate()
        assert child.wait(20) == 0
        assert_nothing_left(without_postgres["DATA_DIR"], pids)
    finally:
        kill_tree(child.pid)
        child.wait()


def test_a_stop_before_the_tree_runs_is_heard(environ: dict[str, str], short_path: Path) -> None:
    with tree(environ, short_path / "log") as child:
        child.wait_for_output("Preparing PostgreSQL")
        child.process.terminate()
        assert child.wait() in (0, 128 + signal.SIGTERM)
        assert "Traceback" not in child.output
        assert_nothing_left(environ["DATA_DIR"], [])
    with tree(environ, short_path / "again") as child:
        started(child)


def test_a_program_that_cannot_be_kept_alive_ends_the_tree_with_code_1(
    without_postgres: dict[str, str], short_path: Path
) -> None:
    # Back-off grows by a second with each try: retries are cut short here, the rest is as it is.
    with tree(without_postgres, short_path / "log", "--retries=1", "baileys=sh -c 'echo broken; exit 3'") as child:
        assert child.wait(60) == 1
    assert "broken" in child.output
    assert "The process baileys ended again and again" in child.output.splitlines()[-1]
    assert "orchestrator stopped" in child.output
    assert processes_mentioning(without_postgres["DATA_DIR"]) == {}


def test_a_program_that_dies_is_started_again(live: LiveTree) -> None:
    before = live.child.output.count("baileys started")
    (baileys,) = [pid for pid in descendants(live.child.pid) if "stand_in.py baileys" in words_of(pid)]
    os.kill(baileys, signal.SIGKILL)
    wait_until(lambda: live.child.output.count("baileys started") == before + 1, 20, "a second start")


def words_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def test_a_start_right_after_kill_9_of_everything_works(environ: dict[str, str], short_path: Path) -> None:
    with tree(environ, short_path / "first") as child:
        pids = started(child)
        kill_tree(child.pid)
        child.wait()
        with tree(environ, short_path / "second") as again:
            started(again)
            assert not any(map(is_alive, pids))


def test_a_start_right_after_kill_9_of_supervisord_alone_works(environ: dict[str, str], short_path: Path) -> None:
    """Outside a container its children live on: two notice, PostgreSQL is stopped by the next start."""
    with tree(environ, short_path / "first") as child:
        pids = started(child)
        child.process.kill()
        child.wait()
        with tree(environ, short_path / "second") as again:
            started(again)
            wait_until(lambda: not any(map(is_alive, pids)), 10, "the orphans to end")
            assert "left behind" in again.output
            again.process.terminate()
            assert again.wait() == 0


def test_a_second_start_on_the_same_data_is_refused_in_one_sentence(live: LiveTree) -> None:
    with tree({**live.environ, "PORT": str(free_port())}, live.folder / "second") as second:
        assert second.wait() == 1
    assert re.fullmatch(rf"Baileys Orchestrator already runs on .* \(pid {live.child.pid}\); .*\n", second.output)


def test_bad_settings_are_refused_in_plain_sentences(environ: dict[str, str], short_path: Path) -> None:
    with running(
        [sys.executable, "-m", "orchestrator", "up"],
        short_path / "log",
        env={**environ, "PORT": "http", "ADMIN_TOKEN": "a-secret"},
        cwd=CHECKOUT,
    ) as child:
        assert child.wait() == 2
    assert child.output.splitlines()[0] == "PORT is 'http'; set it to a whole number from 1 to 65535."
    assert len(child.output.splitlines()) == 2
    assert "a-secret" not in child.output


@as_root
def test_no_secret_is_in_a_file_or_on_a_command_line(live: LiveTree) -> None:
    pids = descendants(live.child.pid)
    secrets = [live.environ["ADMIN_TOKEN"], (live.folder / "data" / "postgres-password").read_text().strip()]
    configuration = (live.folder / "data" / "run" / "supervisord.conf").read_text()
    shown = configuration + live.child.output + "".join(words_of(pid) for pid in pids)
    assert not any(secret in shown for secret in secrets)
    for pid in pids:
        try:
            seen = Path(f"/proc/{pid}/environ").read_bytes().decode()
        except (FileNotFoundError, ProcessLookupError):
            continue  # PostgreSQL's workers come and go
        if "stand_in.py orchestrator" not in words_of(pid):
            assert not any(secret in seen for secret in secrets), words_of(pid)


def test_the_database_is_reachable_where_the_orchestrator_is_told(live: LiveTree) -> None:
    (orchestrator,) = [pid for pid in descendants(live.child.pid) if "stand_in.py orchestrator" in words_of(pid)]
    told = dict(
        line.split("=", 1) for line in Path(f"/proc/{orchestrator}/environ").read_text().split("\0") if "=" in line
    )
    assert told["DATABASE_EMBEDDED"] == "1"

    def answers() -> bool:
        try:
            with psycopg.connect(told["DATABASE_URL"]) as connection:
                return connection.execute("SELECT 1").fetchone() == (1,)
        except psycopg.OperationalError:
            return False

    wait_until(answers, what="PostgreSQL")


def test_no_server_is_made_when_there_is_a_database(without_postgres: dict[str, str], short_path: Path) -> None:
    with tree(without_postgres, short_path / "log") as child:
        child.wait_for_output("baileys started")
        child.process.terminate()
        assert child.wait() == 0
    assert sorted(file.name for file in (short_path / "data").iterdir()) == ["journal", "run"]
    assert "Preparing" not in child.output


@pytest.mark.parametrize("kind", ["pipe", "file", "socket"])
def test_output_of_all_programs_arrives_whatever_stdout_is(
    without_postgres: dict[str, str], short_path: Path, kind: str
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, (short_path / "file").open("w+b") as file:
        targets: dict[str, int] = {"pipe": subprocess.PIPE, "file": file.fileno(), "socket": theirs.fileno()}
        child = subprocess.Popen(
            TREE,
            stdin=subprocess.DEVNULL,
            stdout=targets[kind],
            stderr=subprocess.STDOUT,
            env=without_postgres,
            cwd=CHECKOUT,
        )
        received = bytearray()
        theirs.close()
        source = child.stdout.fileno() if child.stdout is not None else ours.fileno()
        reader = threading.Thread(target=read_all, args=(source, received))
        reader.start()

        def output() -> str:
            return ((short_path / "file").read_bytes() if kind == "file" else bytes(received)).decode()

        try:
            wait_until(lambda: "baileys started" in output() and "orchestrator started" in output(), 30, "the start")
            pids = descendants(child.pid)
            child.terminate()
            assert child.wait(30) == 0
            assert_nothing_left(without_postgres["DATA_DIR"], pids)
        finally:
            kill_tree(child.pid)
            child.wait()
            reader.join(10)
            if child.stdout is not None:
                child.stdout.close()
        assert output().index("baileys stopped") < output().index("orchestrator stopped")
