"""Child processes with their output in a file, deadlines instead of sleeps, and whole process trees."""

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")

#: Deadlines are those of a machine that has nothing else to do. `make test` runs several tests at a time, beside whatever
#: else a machine for CI does, and gives each deadline this many times its seconds; what comes in time is over as soon.
PATIENCE = float(os.environ.get("TEST_PATIENCE", "1"))
#: For tests that look into a process of ours (orchestrator/launcher/private_process.py).
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root sees what a private process was given")


class DeadlineError(AssertionError):
    """What was waited for didn't happen in time."""


def pauses() -> Iterator[float]:
    """Seconds between two looks: what takes longer is looked at less often, because a look costs everybody CPU."""
    pause = 0.02
    while True:
        yield pause
        pause = min(1.3 * pause, 0.2)


def wait_until(condition: Callable[[], T], deadline_seconds: float = 10.0, what: str = "the condition") -> T:
    """The first true answer of `condition`, asked again and again; raises `DeadlineError` when there is none in time."""
    deadline = time.monotonic() + deadline_seconds * PATIENCE
    pause = pauses()
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise DeadlineError(f"waited {deadline_seconds * PATIENCE:g} s in vain for {what}")
        time.sleep(next(pause))


_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_slots = itertools.count(os.getpid())


def free_port() -> int:
    """A TCP port that nobody listens on at this moment, nor on the seven after it.

    They are below those that Linux gives to whoever asks for any (from 32768 on), and another test process has others:
    nobody takes them between here and whoever will listen.
    """
    for _ in range(250):
        first = 12_000 + _WORKER % 10 * 2_000 + next(_slots) * 8 % 2_000
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for port in range(first, first + 8):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first
    raise AssertionError("no port is free")


@dataclass
class Child:
    """A running process; what it writes is in `log`."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for_output(self, text: str, deadline_seconds: float = 30.0) -> None:
        def seen_or_ended() -> bool:
            return text in self.output or self.process.poll() is not None

        try:
            wait_until(seen_or_ended, deadline_seconds, repr(text))
        except DeadlineError as error:
            raise DeadlineError(f"{error}; the output so far:\n{self.output}") from None
        if text not in self.output:
            raise DeadlineError(f"ended with code {self.process.returncode} before it wrote {text!r}:\n{self.output}")

    def wait(self, deadline_seconds: float = 30.0) -> int:
        """The exit code."""
        try:
            return self.process.wait(deadline_seconds * PATIENCE)
        except subprocess.TimeoutExpired:
            raise DeadlineError(
                f"still running after {deadline_seconds * PATIENCE:g} s; the output so far:\n{self.output}"
            ) from None


@contextlib.contextmanager
def running(
    command: Sequence[str | Path],
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: str | None = None,
    new_session: bool = True,
) -> Iterator[Child]:
    """A child process for the time of a test; afterwards it and all its descendants are gone."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=cwd,
            user=user,
            group=user and _group_of(user),
            extra_groups=[] if user else None,
            start_new_session=new_session,
        )
    try:
        yield Child(process, log)
    finally:
        kill_tree(process.pid)
        process.wait()


def _group_of(user: str) -> int:
    import pwd

    return pwd.getpwnam(user).pw_gid


def descendants(pid: int) -> list[int]:
    """All live processes below `pid`, nearest first."""
    children: dict[int, list[int]] = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            # The name in parentheses may hold anything; the fields after it don't.
            state, parent = (process / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state != "Z":
            children.setdefault(int(parent), []).append(int(process.name))
    found = [pid]
    for known in found:
        found += children.get(known, [])
    return found[1:]


def kill_tree(pid: int) -> None:
    """SIGKILL a process and everything below it; the parent is stopped first, so that nothing is started anew meanwhile."""
    _signal(pid, signal.SIGSTOP)
    below = descendants(pid)
    for each in below:
        _signal(each, signal.SIGSTOP)
    for each in (pid, *below, *descendants(pid)):
        _signal(each, signal.SIGKILL)


@contextlib.contextmanager
def stopped(pids: Sequence[int]) -> Iterator[None]:
    """SIGSTOP, and SIGCONT at the end, whatever of them has ended by then."""
    try:
        for pid in pids:
            _signal(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            _signal(pid, signal.SIGCONT)


def is_alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def processes_mentioning(text: str) -> dict[int, str]:
    """Live processes (without this one) that have `text` in their command line or as their working folder."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if int(process.name) != os.getpid() and (text in words or text in str((process / "cwd").readlink())):
                found[int(process.name)] = words
        except OSError:
            continue
    return found


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
