"""kill -9 of each part under load: is everything that was acknowledged still there?"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.disks import Disk
from tests.bench.loads import Load, environment, lines, node
from tests.bench.plan import KILLED
from tests.bench.runs import Run
from tests.bench.stores import OURS, Services, services, started
from tests.support.processes import kill_tree, running
from tests.support.waiting import eventually

PARTS = ("sidecar", "orchestrator", "database")
ACKNOWLEDGED = 2000
PATIENCE_SECONDS = 60.0
WRITING = Load("kill -9", "acknowledge", sessions=50)
READING = Load("read back", "read-back", sessions=50)


@dataclass
class Acknowledged:
    """What the writer was told to be durable: the newest number of each session, and how many in all."""

    newest: dict[int, int] = field(default_factory=dict)
    count: int = 0

    async def collect(self, writer: asyncio.subprocess.Process) -> None:
        async for line in lines(writer):
            if line["event"] == "acknowledged":
                self.newest[line["session"]] = line["number"]
                self.count += 1

    async def more(self, number: int, collecting: asyncio.Task[None]) -> None:
        wanted = self.count + number

        async def reached() -> bool:
            if collecting.done():
                collecting.result()
            return self.count >= wanted

        await eventually(reached, PATIENCE_SECONDS, f"{number} more acknowledged writes")


async def measure(disk: Disk, workload: Path, round_: int, writes: int = ACKNOWLEDGED) -> AsyncIterator[Run]:
    """``writes`` before each kill, and as many after it where the writer survives."""
    for part in PARTS:
        async with services(disk) as served, contextlib.AsyncExitStack() as restarted:
            acknowledged = await _killed_under_load(served, part, workload, writes, restarted)
            stored = await asyncio.wait_for(_read_back(served, workload), PATIENCE_SECONDS)
        lost = sum(stored.get(session, 0) < number for session, number in acknowledged.newest.items())
        sys.stderr.write(f"  {disk.name}, {part} killed: {acknowledged.count} acknowledged, {lost} sessions lost any\n")
        figures = {"acknowledged": float(acknowledged.count), "lost": float(lost)}
        yield Run(disk.name, KILLED, part, WRITING.sessions, round_, figures)


async def _killed_under_load(
    served: Services, part: str, workload: Path, writes: int, restarted: contextlib.AsyncExitStack
) -> Acknowledged:
    """``restarted`` keeps what was started again, for those who read afterwards."""
    acknowledged = Acknowledged()
    async with node(environment(served, OURS, WRITING, workload)) as writer:
        assert writer.stdin is not None
        collecting = asyncio.create_task(acknowledged.collect(writer))
        await acknowledged.more(writes, collecting)
        if part == "sidecar":
            writer.kill()
            await collecting
            return acknowledged
        await restarted.enter_async_context(_killed_and_started_again(served, part))
        await acknowledged.more(writes, collecting)
        writer.stdin.close()
        await collecting
        return acknowledged


@contextlib.asynccontextmanager
async def _killed_and_started_again(served: Services, part: str) -> AsyncIterator[None]:
    """The part runs until the end of the block."""
    if part == "database":
        kill_tree(served.postgres_pid)
        served.postgres.prepare()
        with served.postgres.running(log=served.orchestrator.child.log):
            yield
        return
    serving = served.orchestrator
    kill_tree(serving.child.pid)
    with running([sys.executable, "-m", "orchestrator", "serve"], serving.child.log, env=serving.environ):
        await started(serving)
        yield


async def _read_back(served: Services, workload: Path) -> dict[int, int]:
    """The number that each session has stored, as a process that knows nothing of the writes reads it."""
    async with node(environment(served, OURS, READING, workload)) as reader:
        assert reader.stdin is not None
        reader.stdin.close()
        async for line in lines(reader):
            if line["event"] == "result":
                return {int(session): number for session, number in line["stored"].items()}
    raise AssertionError("the reader ended without a result")
