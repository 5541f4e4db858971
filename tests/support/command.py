"""One run of ``python -m orchestrator``."""

import asyncio
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from orchestrator.domain.portable_state import PortableState
from orchestrator.domain.session import OPERATOR_TENANT
from orchestrator.store.database import Database
from orchestrator.store.portable_states import PortableStateStore
from orchestrator.store.sealing import Sealer

PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ran:
    code: int
    output: str
    complaints: str


async def run(*arguments: str | Path, **environ: str) -> Ran:
    """Run a command to its end; a value in ``environ`` is set, an empty one counts as unset."""
    ran = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "orchestrator", *map(str, arguments)],
        env={**os.environ, "DATABASE_URL": "", "SESSION_ENCRYPTION_KEYS": "", **environ},
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # without a terminal to ask
        capture_output=True,
        text=True,
        check=False,
    )
    return Ran(ran.returncode, ran.stdout, ran.stderr)


async def stored(database: Database, session_id: str, *keys: bytes) -> PortableState:
    """What is stored of a session of the operator's."""
    return await PortableStateStore(database, Sealer(keys)).snapshot(OPERATOR_TENANT, session_id)
