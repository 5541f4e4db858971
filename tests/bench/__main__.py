"""`make bench`: everything that is promised about speed, measured side by side with others on this machine.

The report goes to the terminal, to data/bench (JSON and a picture) and, unless `--quick`, to docs/benchmarks.md. Loads
stop by themselves, and whatever was started is ended, after Ctrl-C too.
"""

import argparse
import asyncio
import dataclasses
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench import (
    batch_limit,
    kills,
    machine,
    messages,
    plan,
    recording,
    report,
    restart,
    restore,
    stores,
    through,
)
from tests.bench.disks import FAST, slow_disk
from tests.bench.loads import Load, LoadFailed, measure
from tests.bench.picture import picture
from tests.bench.plan import Size
from tests.bench.runs import Run, Runs
from tests.bench.stores import Services, Store
from tests.bench.targets import verdicts
from tests.support.postgres import short_folder

PARTS = ("stores", "restore", "kills", "messages", "through", "restarts")
DOCS = stores.PROJECT / "docs"


@dataclass
class Benchmark:
    """One benchmark: what is measured, and what has been so far."""

    size: Size
    parts: tuple[str, ...]
    workload: Path
    facts: dict[str, Any] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)

    async def run(self) -> None:
        with short_folder("bs") as folder:
            slow = slow_disk(folder)
            self.facts = {
                **machine.described(recording.FOLDER),
                "slow_disk": slow.delayed_by,
                "size": dataclasses.asdict(self.size),
            }
            self.facts["payload_bytes_per_message"] = recording.payload_bytes_per_message(self.workload)
            if "stores" in self.parts or "restore" in self.parts:
                async with stores.services(FAST) as fast, stores.services(slow) as delayed:
                    if "stores" in self.parts:
                        await self._stores((fast, delayed))
                    if "restore" in self.parts:
                        await self._restore(fast)
            for disk in (FAST, slow):
                if "kills" in self.parts:
                    await self._collect(kills.measure(disk, self.workload, 0))
                if "messages" in self.parts:
                    for sessions in self.size.talking:
                        await self._collect(messages.measure(disk, sessions, self.size.messages, 0))
            if "through" in self.parts:
                for sessions in self.size.through:
                    size = self.size
                    await self._collect(through.measure(sessions, size.sends, size.events, size.through_rounds))
            if "restarts" in self.parts:
                await self._collect(restart.measure(self.size.restarted, self.size.restarts))

    async def _stores(self, both: tuple[Services, ...]) -> None:
        for served in both:
            for load in plan.fills(self.size):
                await measure(served, stores.OURS, load, self.workload)
        for round_ in range(self.size.rounds):
            for served in both:
                for store, load in plan.of_round(self.size, round_):
                    await self._measure(served, store, load, round_)
                rows = await batch_limit.rows_per_second(served.peers_url, self.workload, self.size.seconds)
                figures = {"keys_per_second": rows}
                self.runs.append(
                    Run(served.disk.name, plan.WRITES, plan.BATCH_LIMIT, batch_limit.SESSIONS, round_, figures)
                )

    async def _restore(self, served: Services) -> None:
        sys.stderr.write("Storing the sessions to restore ...\n")
        await restore.prepare(served, self.size, self.workload)
        for round_ in range(self.size.rounds):
            for store, load in restore.of_round(self.size, round_):
                await self._measure(served, store, load, round_)

    async def _measure(self, served: Services, store: Store, load: Load, round_: int) -> None:
        if not served.offers(store):
            return
        started = time.monotonic()
        try:
            figures = await measure(served, store, load, self.workload, plan.offset(round_))
        except (LoadFailed, TimeoutError) as error:
            sys.stderr.write(f"{store.name}, {load.name}, {load.sessions} sessions: {error}\n")
            return
        self.runs.append(Run(served.disk.name, load.name, store.name, load.sessions, round_, figures))
        sys.stderr.write(
            f"  round {round_ + 1}, {served.disk.name}: {load.name}, {load.sessions} sessions, {store.name} "
            f"({time.monotonic() - started:.0f} s)\n"
        )

    async def _collect(self, measured: AsyncIterator[Run]) -> None:
        try:
            async for run in measured:
                self.runs.append(run)
        except (AssertionError, LoadFailed, OSError, TimeoutError) as error:
            sys.stderr.write(f"Not measured: {error}\n")


def published(document: dict[str, Any], folder: Path) -> None:
    """Write the report's text and its picture into the folder."""
    runs = Runs(Run(**run) for run in document["runs"])
    tables = report.tables(runs, verdicts(runs, document["facts"]["payload_bytes_per_message"]))
    (folder / "benchmarks.md").write_text(report.page(document["facts"], tables))
    (folder / "benchmarks.svg").write_text(picture(runs))
    sys.stdout.write("\n".join(report.terminal(table) for table in tables))


async def interruptible(work: Callable[[], Any]) -> None:
    """Run it; SIGTERM ends it as Ctrl-C does, with everything that it has started."""
    task = asyncio.ensure_future(work())
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    await task


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round, to see that it works")
    parser.add_argument("--rounds", type=int, help="rounds of each comparison")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what is measured")
    parser.add_argument("--publish", type=Path, metavar="JSON", help="write docs/benchmarks.md from an earlier run")
    arguments = parser.parse_args()
    if arguments.publish:
        published(json.loads(arguments.publish.read_text()), DOCS)
        return 0
    size = plan.QUICK if arguments.quick else plan.FULL
    if arguments.rounds:
        size = dataclasses.replace(size, rounds=arguments.rounds)
    benchmark = Benchmark(size, tuple(arguments.parts), recording.workload())
    complete = False
    try:
        asyncio.run(interruptible(benchmark.run))
        complete = not arguments.quick and set(arguments.parts) == set(PARTS)
    except asyncio.CancelledError:
        sys.stderr.write("Stopped.\n")
        return 1
    finally:
        # What was measured until something failed is worth a look.
        if benchmark.runs:
            document = {"facts": benchmark.facts, "runs": [dataclasses.asdict(run) for run in benchmark.runs]}
            file = recording.FOLDER / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
            file.write_text(json.dumps(document, indent=1))
            published(document, DOCS if complete else recording.FOLDER)
            sys.stdout.write(f"\nFigures: {file}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
