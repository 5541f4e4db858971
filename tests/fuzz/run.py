"""A run of schemathesis against an orchestrator of its own, on a real PostgreSQL."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.api.operations import EVENT_STREAM
from orchestrator.api.public import OPERATIONS
from tests.support.serving import Serving, serving

PROJECT = Path(__file__).resolve().parents[2]

#: A stream never ends, and without a sidecar the service isn't ready: that is a 503.
LEFT_OUT = [
    *(operation.name for operation in OPERATIONS if EVENT_STREAM in operation.answer_types),
    "health_readyz",
    "webhooks_test",  # it would call addresses that were made up,
    # No supervisord runs here, and without it they answer 503, as documented.
    "processes_index",
    "processes_restart",
    "processes_log_tail",
]
#: They wait for a sidecar.
WAITING = ["pairing_qr", "pairing_pairing_code"]

#: A valid shape may still be no phone number, no id that exists, or no state that allows it. The token is in every
#: request; what happens without one, the matrix test looks at.
NOT_CHECKED = ["positive_data_acceptance", "missing_required_header"]

_PLENTY = "10000000"


@dataclass(frozen=True)
class Outcome:
    code: int
    output: str


@contextlib.asynccontextmanager
async def target(database_url: str) -> AsyncIterator[Serving]:
    """An orchestrator that has reached its database, with rates beyond what a run reaches."""
    async with serving(database_url, REQUESTS_PER_MINUTE=_PLENTY, FAILED_LOGINS_PER_MINUTE=_PLENTY) as served:
        await served.started()
        yield served


async def fuzz(
    served: Serving, *, examples: int, phases: str, seed: int | None = None, without: list[str] | None = None
) -> Outcome:
    """So many requests of each kind to each operation, as the admin; code 0 if nothing was found."""
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", "tests/fuzz/schemathesis.toml", "run"),
        *(f"http://127.0.0.1:{served.port}/openapi.json", "--header", f"Authorization: Bearer {served.token}"),
        *("--max-examples", str(examples), "--phases", phases, "--workers", "2", "--request-timeout", "30"),
        *("--exclude-checks", ",".join(NOT_CHECKED)),
        *("--suppress-health-check", "all", "--no-color", "--warnings", "off"),
        *(part for name in [*LEFT_OUT, *(without or [])] for part in ("--exclude-operation-id", name)),
        # A deterministic run keeps no database of examples, and mustn't be told so.
        *(("--generation-database", "none") if seed is None else ("--seed", str(seed), "--generation-deterministic")),
    ]
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=PROJECT,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.fuzz.checks"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        raise
    assert process.returncode is not None
    return Outcome(process.returncode, output.decode())
