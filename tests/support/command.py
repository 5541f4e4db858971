"""One run of ``python -m orchestrator``."""

import asyncio
import multiprocessing
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from orchestrator.cli import main
from orchestrator.domain.portable_state import PortableState
from orchestrator.domain.tenant import OPERATOR_TENANT
from orchestrator.store.database import Database
from orchestrator.store.portable_states import PortableStateStore
from orchestrator.store.sealing import Sealer

PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ran:
    code: int
    output: str
    complaints: str


# A process of its own for each run, of a server that has imported everything already: to do that takes most of its time.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["orchestrator.cli", "orchestrator.bootstrap", "orchestrator.store.migration"])


async def run(*arguments: str | Path, **environ: str) -> Ran:
    """Run a command to its end; a value in ``environ`` is set, an empty one counts as unset."""
    return await asyncio.to_thread(
        _run,
        [str(argument) for argument in arguments],
        {**os.environ, "DATABASE_URL": "", "SESSION_ENCRYPTION_KEYS": "", **environ},
    )


def _run(arguments: list[str], environ: dict[str, str]) -> Ran:
    with tempfile.TemporaryDirectory(prefix="command") as folder:
        output, complaints = Path(folder) / "output", Path(folder) / "complaints"
        process = _processes.Process(target=_command, args=(arguments, environ, output, complaints))
        process.start()
        process.join()
        assert process.exitcode is not None
        ran = Ran(process.exitcode, output.read_text(), complaints.read_text())
        process.close()
        return ran


def _command(arguments: list[str], environ: dict[str, str], output: Path, complaints: Path) -> NoReturn:
    """What ``python -m orchestrator`` does, in a new process without a terminal to ask."""
    os.setsid()
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(PROJECT)
    for descriptor, path in ((0, Path(os.devnull)), (1, output), (2, complaints)):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), descriptor)
    sys.stdin = open(0)  # noqa: SIM115 (until the process ends)
    sys.exit(main(arguments))


async def stored(database: Database, session_id: str, *keys: bytes) -> PortableState:
    """What is stored of a session of the operator's."""
    return await PortableStateStore(database, Sealer(keys)).snapshot(OPERATOR_TENANT, session_id)
