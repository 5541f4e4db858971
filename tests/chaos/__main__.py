"""`python -m tests.chaos [--faults N] [--seed N] [--sessions N] [--publish]`: faults at random, and what they broke.

Afterwards the first of them are played on Baileys' own file store, and containers are replaced by deploys.
"""

import argparse
import asyncio
import dataclasses
import json
import signal
import sys
import time
from pathlib import Path

from tests.chaos.faults import OTHER_KINDS
from tests.chaos.file_store import file_store_stage
from tests.chaos.report import rendered
from tests.chaos.run import hand_over, run
from tests.chaos.world import whole_stage

PROJECT = Path(__file__).resolve().parents[2]
REPORT = PROJECT / "docs" / "chaos.md"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--deploys", type=int, default=50, help="after the faults; 0 for none")
    parser.add_argument("--compare", type=int, help="of the faults, how many Baileys' file store gets too; a fifth")
    parser.add_argument("--others", type=int, help="how many more are of the other processes; a tenth")
    parser.add_argument("--json", type=Path, help="where to keep the outcome")
    parser.add_argument("--publish", action="store_true", help=f"write {REPORT.relative_to(PROJECT)}")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that everything that was started is ended
    say(f"seed {options.seed}: the same seed draws the same faults")
    outcome = asyncio.run(run(options.seed, options.faults, options.sessions, say))
    if options.json:
        options.json.write_text(json.dumps(dataclasses.asdict(outcome), indent=2) + "\n")
    file_store = None
    compared = options.faults // 5 if options.compare is None else min(options.compare, options.faults)
    if compared:
        say(f"the first {compared} faults on Baileys' own file store")
        file_store = asyncio.run(run(options.seed, compared, options.sessions, say, file_store_stage))
    others = None
    number = options.faults // 10 if options.others is None else options.others
    if number:
        say(f"{number} faults of the other processes, with two sidecars in each replica")
        others = asyncio.run(run(options.seed, number, options.sessions, say, whole_stage, OTHER_KINDS))
    handed_over = asyncio.run(hand_over(options.deploys, options.sessions, say)) if options.deploys else []
    text = rendered(outcome, handed_over, file_store, others)
    if options.publish:
        REPORT.write_text(text)
    print(text)
    wrong = [one for one in (outcome, others) if one is not None and any(dataclasses.asdict(one.verdict).values())]
    for one in wrong:
        say(f"wrong: {one.verdict}\n{json.dumps(one.findings, indent=2)}")
    if not wrong:
        say("nothing was lost, nothing reused, nobody asked for a QR code")
    worse = outcome.verdict.worse_than(file_store.verdict) if file_store else {}
    if worse:
        say(f"worse than the file store: {worse}")
    return 1 if wrong or worse else 0


def say(line: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
