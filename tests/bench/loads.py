"""Runs a store under a load, in a Node process of its own, and reads the meters at both ends of what it measures."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.meters import Meters, Reading
from tests.bench.stores import NODE_BENCH, Services, Store

LIMIT_SECONDS = 300.0


class LoadFailed(Exception):
    """The load's process ended without a result; the message has what it wrote."""


@dataclass(frozen=True)
class Load:
    """One of the modules in baileys-server/test/bench/loads, with its options. ``first``: the first session's number."""

    name: str
    module: str
    sessions: int
    seconds: float = 0.0
    messages_per_second: float = 0.0
    keys: int = 0
    first: int = 1


@dataclass(frozen=True)
class Measured:
    begin: Reading
    end: Reading
    result: dict[str, Any]


async def measure(served: Services, store: Store, load: Load, workload: Path, offset: int = 0) -> dict[str, float]:
    """The figures of one run; see ``figures``. ``offset``: where in the recording the sessions begin."""
    async with asyncio.timeout(LIMIT_SECONDS), node(environment(served, store, load, workload, offset)) as process:
        meters = Meters(served.database(store), {"node": process.pid, **served.pids(store)})
        try:
            return figures(await _observed(process, meters))
        finally:
            meters.close()


def environment(served: Services, store: Store, load: Load, workload: Path, offset: int = 0) -> dict[str, str]:
    """For ``node``. The options go this way, and not by the command line, because there is a token in them."""
    options = {
        "load": load.module,
        "store": str(store.module),
        "workload": str(workload),
        "sessions": list(range(load.first, load.first + load.sessions)),
        "offset": offset,
        "seconds": load.seconds,
        "messages_per_second": load.messages_per_second,
        "keys": load.keys,
        "service": served.options(store),
    }
    return {**os.environ, **served.environ, "BENCH_OPTIONS": json.dumps(options)}


@contextlib.asynccontextmanager
async def node(environ: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """The load's process; it is gone afterwards."""
    process = await asyncio.create_subprocess_exec(
        "node",
        "--expose-gc",
        str(NODE_BENCH / "main.js"),
        env=environ,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def lines(process: asyncio.subprocess.Process) -> AsyncIterator[dict[str, Any]]:
    """What the process says, until it ends; ``LoadFailed`` when it ends by a failure of its own."""
    assert process.stdout is not None
    assert process.stderr is not None
    async for line in process.stdout:
        if line.endswith(b"\n"):  # it may be killed in the middle of one
            yield json.loads(line)
    if await process.wait() > 0:
        raise LoadFailed((await process.stderr.read()).decode(errors="replace")[-4000:])


async def _observed(process: asyncio.subprocess.Process, meters: Meters) -> Measured:
    assert process.stdin is not None
    begin = end = None
    async for line in lines(process):
        if line["event"] == "begin":
            begin = meters.read()
        elif line["event"] == "end":
            end = meters.read()
            process.stdin.close()
        elif begin is not None and end is not None:
            return Measured(begin, end, line)
    raise LoadFailed("It ended without a result.")


def figures(measured: Measured) -> dict[str, float]:
    """Rates of the measured time, and costs of one message. CPU in seconds for 10,000 messages, as a sum and by process."""
    begin, end, result = measured.begin, measured.end, measured.result
    found = {name: float(value) for name, value in result.items() if isinstance(value, int | float)}
    for name, megabytes in end.resident_megabytes.items():
        found[f"resident_megabytes_{name}"] = megabytes
        found[f"grown_megabytes_{name}"] = megabytes - begin.resident_megabytes[name]
    found["keys_per_second"] = result["keys"] / result["seconds"]
    messages = result["messages"]
    if messages:
        cpu = {name: end.cpu_seconds[name] - begin.cpu_seconds[name] for name in end.cpu_seconds}
        found |= {f"cpu_{name}": seconds / messages * 1e4 for name, seconds in cpu.items()}
        found["cpu"] = sum(cpu.values()) / messages * 1e4
        found["messages_per_second"] = messages / result["seconds"]
        found["commits_per_message"] = (end.commits - begin.commits) / messages
        found["wal_bytes_per_message"] = (end.wal_bytes - begin.wal_bytes) / messages
    return found
