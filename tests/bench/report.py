"""The report: tables for the terminal and for docs/benchmarks.md, both from the same runs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench import plan, stores
from tests.bench.disks import FAST
from tests.bench.plan import (
    BARE,
    EVENTS,
    FIRST_KEY,
    KILLED,
    LIGHT,
    MESSAGE,
    OURS,
    PAIRING,
    PREFETCHED_KEY,
    RESTART,
    RESTORE,
    SENDS,
    WRITES,
)
from tests.bench.runs import Runs, Spread
from tests.bench.targets import SLOW, Verdict

DISKS = (FAST.name, SLOW)

TRUSTED_ROUNDS = 5
SHORT_RUN = "**This was a short run, to see that it works. Its figures mean little.**"
METHOD = """\
How: rounds of each comparison: {rounds}. In each, all stores run one right after the other, every round in another order, each in a fresh
process for {seconds:g} s after 2 s of warming up. Ratios are of the same round, then the median is taken. The workload is
recorded from Baileys itself (its signal repository and transactions with real libsignal, 60 contacts, 6 groups) and
replayed by each session from another place; a message writes {payload:.0f} bytes of JSON. Load, stores and databases share the
machine's cores. PostgreSQL runs with fsync, full_page_writes and synchronous_commit on; only its checkpoints are put off.
"ours" is the sidecar's own modules and the real orchestrator, with authentication, encryption at rest, fencing and the
journal on. Everybody reaches PostgreSQL and Redis through unix sockets, with 10 connections where there is a pool.
"prepared upsert" and "group commit in Node" are written for this comparison, without encryption and fencing.
"""

#: From profiles, not from the runs of a report: perf, py-spy and V8's own, on the machine of the published figures.
LIMITS = """\
### Where the time goes, and what limits it

Profiled with perf, py-spy and V8's profiler in November 2026.

- **100 busy sessions.** Of the CPU of a message about 43 % is the sidecar's, 36 % the orchestrator's, 21 % PostgreSQL's. Sidecar: a quarter is the JSON of the
  values, which every store makes, 10 % the write to the socket, 8 % garbage collection, the rest the load itself, queues, cache and journal. Orchestrator: 20 % compression,
  17 % event loop and kernel, 6 % encryption, 5 % decoding, the rest Python that lines up, seals and answers each write, about 60 microseconds for each in all.
  Without compression the orchestrator would be a fifth cheaper, and the WAL of a message a third larger. More than two lanes make smaller transactions and no more keys.
- **One session, light load.** Nothing shares a transaction, so what a write costs is the way: sidecar, orchestrator, PostgreSQL and back, four wake-ups of a process where
  a store in the sidecar has two. A round trip between the two without any work takes 40 microseconds; the orchestrator then spends 0.2 ms of CPU in a tight loop and twice
  that with cold caches, of which 60 % is interpreting Python, 13 % the kernel and 11 % compression. At light load a write also waits for the one before it in its lane.
- **Redis** writes no SQL, no index and no fence, and syncs once for all commands of a turn; its server took about half the CPU of PostgreSQL's part.
- **A first key on demand** is a call over HTTP, with JSON, to a pool; sessions get their keys with the prefetch instead, and then it is faster than any SELECT.
"""


@dataclass(frozen=True)
class Table:
    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def tables(runs: Runs, verdicts: Iterable[Verdict]) -> list[Table]:
    """All tables that have anything in them, the targets first."""
    made = [
        targets_table(list(verdicts)),
        *(writes_table(runs, disk) for disk in DISKS),
        *(
            load_table(runs, disk, LIGHT, f"{plan.LIGHT_MESSAGES_PER_SECOND:g} messages/s over 100 sessions")
            for disk in DISKS
        ),
        *(load_table(runs, disk, PAIRING, "pairing: 812 pre-keys in one set, then the creds") for disk in DISKS),
        growth_table(runs),
        restore_table(runs),
        messages_table(runs),
        through_table(runs),
        restarts_table(runs),
        kills_table(runs),
    ]
    return [table for table in made if table.rows]


def targets_table(verdicts: Sequence[Verdict]) -> Table:
    rows = [
        [
            str(verdict.target.number),
            verdict.target.what,
            verdict.disk,
            _with_range(verdict.spread, verdict.target.unit),
            _limit(verdict, verdict.gate),
            _limit(verdict, verdict.stretch),
            verdict.word,
        ]
        for verdict in verdicts
    ]
    note = "Medians of ratios paired within a round, [lowest-highest]. x: times the peer's."
    return Table("Targets", ["#", "target", "disk", "value", "gate", "stretch", ""], rows, note)


def writes_table(runs: Runs, disk: str) -> Table:
    rows = [
        [str(sessions), store.name, *_columns(runs, store.name, disk, WRITES, sessions)]
        for sessions in (*plan.BUSY_SESSIONS, plan.MANY_SESSIONS)
        for store in plan.ALL
        if runs.values("p50_ms", store.name, disk=disk, load=WRITES, sessions=sessions)
    ]
    return Table(
        f"Each session awaits its set, then does the next: {disk_words(disk)}", ["sessions", "store", *_COLUMNS], rows
    )


def load_table(runs: Runs, disk: str, load: str, words: str) -> Table:
    rows = [
        [store.name, *_columns(runs, store.name, disk, load, None)]
        for store in plan.ALL
        if runs.values("p50_ms", store.name, disk=disk, load=load)
    ]
    return Table(f"{words[:1].upper()}{words[1:]}: {disk_words(disk)}", ["store", *_COLUMNS], rows)


_FIGURES: Mapping[str, tuple[str, str]] = {
    "keys/s": ("keys_per_second", ".0f"),
    "p50 ms": ("p50_ms", ".2f"),
    "p99 ms": ("p99_ms", ".1f"),
    "commits/message": ("commits_per_message", ".3g"),
    "WAL bytes/message": ("wal_bytes_per_message", ".0f"),
    "CPU s/10,000 messages": ("cpu", ".2f"),
    "node": ("cpu_node", ".2f"),
    "orchestrator": ("cpu_orchestrator", ".2f"),
    "postgres": ("cpu_postgres", ".2f"),
}
_COLUMNS = tuple(_FIGURES)


def _columns(runs: Runs, store: str, disk: str, load: str, sessions: int | None) -> list[str]:
    return [
        _plain(runs.spread(figure, store, disk=disk, load=load, sessions=sessions), form)
        for figure, form in _FIGURES.values()
    ]


def growth_table(runs: Runs) -> Table:
    """How the cost of a message grows with what the sessions have stored already."""
    loads = sorted({run.load for run in runs.all if run.load.startswith(plan.FILLED)}, key=plan.filled_keys)
    rows = [
        [f"{plan.filled_keys(load):,}", disk, *_columns(runs, stores.OURS.name, disk, load, None)]
        for disk in DISKS
        for load in loads
        if runs.values("p50_ms", stores.OURS.name, disk=disk, load=load)
    ]
    return Table("Ours, 10 sessions, by keys that each has stored already", ["keys/session", "disk", *_COLUMNS], rows)


def restore_table(runs: Runs) -> Table:
    rows = []
    for store in (stores.OURS, stores.POSTGRES_BAILEYS, stores.SNAPSHOT, stores.PREPARED_UPSERT):
        for load, figure, words in (
            (RESTORE, "seconds", "all creds in hand"),
            (FIRST_KEY, "p50_ms", "first key on demand"),
            (PREFETCHED_KEY, "p50_ms", "first key after the prefetch"),
        ):
            spread = runs.spread(figure, store.name, disk=FAST.name, load=load)
            if spread is not None:
                unit = " ms" if figure == "p50_ms" else " s"
                rows.append([store.name, words, _plain(spread, ".3f") + unit])
    return Table("Restore", ["store", "what", "median"], rows, "Reads only, so on the disk as it is only.")


def messages_table(runs: Runs) -> Table:
    """The whole product: orchestrator, sidecar with real Baileys, PostgreSQL, against the fake WhatsApp."""
    measured = [run for run in runs.all if run.load.startswith(MESSAGE)]
    rows = [
        [
            run.load.removeprefix(MESSAGE),
            str(run.sessions),
            run.disk,
            f"{run.figures['commits_per_message']:.2f}",
            f"{run.figures['wal_bytes_per_message']:.0f}",
            *(f"{run.figures[f'cpu_{process}'] / 10:.2f}" for process in ("node", "orchestrator", "postgres")),
        ]
        for run in measured
    ]
    header = ["message", "sessions", "disk", "commits", "WAL bytes", "CPU ms: sidecar", "orchestrator", "postgres"]
    note = "Real sessions of real Baileys against a fake WhatsApp server; each message for itself, the idle cost taken off."
    return Table("What one message costs the whole product", header, rows, note)


def through_table(runs: Runs) -> Table:
    """The way through the product, as a ratio to Baileys without any product around it."""
    rows = []
    for sessions in sorted({run.sessions for run in runs.all if run.load == SENDS}):
        for load, figure, words, form in (
            (SENDS, "sends_per_second", "sends/s", ".0f"),
            (SENDS, "p50_ms", "a send, median ms", ".1f"),
            (SENDS, "p99_ms", "a send, p99 ms", ".1f"),
            (EVENTS, "p50_ms", "a message to its receiver, median ms", ".1f"),
            (EVENTS, "p99_ms", "a message to its receiver, p99 ms", ".1f"),
        ):
            ours, bare = (
                runs.spread(figure, store, disk=FAST.name, load=load, sessions=sessions) for store in (OURS, BARE)
            )
            ratio = runs.ratio(figure, OURS, (BARE,), disk=FAST.name, load=load, sessions=sessions)
            rows.append([words, str(sessions), _plain(ours, form), _plain(bare, form), _with_range(ratio, "x")])
    note = (
        "Real sessions, warm, 4 sends of each at a time. Ours: POST to the public API until its 201, and from a contact's "
        "phone to the webhook's receiver, with everything durable on the way. Bare Baileys, the limit: all sessions in one "
        "Node process, `sendMessage` and `messages.upsert`, an auth state in memory. Ratios of the same round, [lowest-highest]."
    )
    return Table("Through the API, and to a webhook", ["", "sessions", "ours", "bare Baileys", "ratio"], rows, note)


def restarts_table(runs: Runs) -> Table:
    measured = [run for run in runs.all if run.load == RESTART]
    rows = []
    for store, sessions in dict.fromkeys((run.store, run.sessions) for run in measured):
        opened = runs.spread("opened_seconds", store, disk=FAST.name, load=RESTART, sessions=sessions)
        ready = runs.spread("ready_seconds", store, disk=FAST.name, load=RESTART, sessions=sessions)
        worst = f"{opened.high:.1f}" if opened else "-"
        memory = [cell for program in ("baileys", "orchestrator") for cell in _memory(runs, store, sessions, program)]
        rows.append([store, str(sessions), _plain(ready, ".1f"), _plain(opened, ".1f"), worst, *memory])
    memory_header = ["sidecar MB", "kB/session", "orchestrator MB", "kB/session"]
    header = ["", "sessions", "API ready s", "all open s", "worst", *memory_header]
    note = (
        "Seconds from SIGKILL of the whole process tree; starting the processes is part of them. "
        "Memory is resident, open sockets included; kB/session is what came on top of one session."
    )
    return Table("Restart of real sessions", header, rows, note)


def _memory(runs: Runs, store: str, sessions: int, program: str) -> tuple[str, str]:
    """Resident MB, and kB for each session beyond the first."""
    figure = f"resident_megabytes_{program}"
    all_, one = (runs.spread(figure, store, disk=FAST.name, load=RESTART, sessions=number) for number in (sessions, 1))
    if all_ is None or one is None or sessions == 1:
        return _plain(all_, ".0f"), "-"
    return _plain(all_, ".0f"), f"{(all_.median - one.median) / (sessions - 1) * 1000:.0f}"


def kills_table(runs: Runs) -> Table:
    rows = [
        [run.store, run.disk, f"{run.figures['acknowledged']:.0f}", f"{run.figures['lost']:.0f}"]
        for run in runs.all
        if run.load == KILLED
    ]
    return Table("kill -9 under load", ["killed", "disk", "acknowledged writes", "sessions that lost any"], rows)


def page(facts: Mapping[str, Any], tables: Iterable[Table]) -> str:
    """The text of docs/benchmarks.md."""
    described = [f"- {facts[name]}" for name in ("machine", "system", "disk", "versions")]
    size = facts["size"]
    return "\n".join(
        [
            "# Benchmarks",
            "",
            "`make bench` measures all of this anew; it takes about an hour on two cores and needs Linux. "
            "`make bench ARGUMENTS=--quick` shows in a few minutes that it works.",
            "",
            "![Keys per second, CPU and latency of all stores](benchmarks.svg)",
            "",
            "Measured on",
            "",
            *described,
            f"- the second disk: 2 ms more for each fdatasync, by {facts['slow_disk']}",
            "",
            *([SHORT_RUN, ""] if size["rounds"] < TRUSTED_ROUNDS else []),
            METHOD.format(rounds=size["rounds"], seconds=size["seconds"], payload=facts["payload_bytes_per_message"]),
            *(markdown(table) for table in tables),
            LIMITS,
        ]
    )


def terminal(table: Table) -> str:
    widths = [max(len(row[n]) for row in [table.header, *table.rows]) for n in range(len(table.header))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [table.header, *table.rows]
    ]
    return "\n".join([table.title, *([table.note] if table.note else []), "", *lines, ""])


def markdown(table: Table) -> str:
    lines = [f"| {' | '.join(row)} |" for row in [table.header, ["---"] * len(table.header), *table.rows]]
    return "\n".join([f"### {table.title}", "", *([table.note, ""] if table.note else []), *lines, ""])


def disk_words(name: str) -> str:
    return "the disk as it is" if name == FAST.name else "2 ms more for each fdatasync"


def _plain(spread: Spread | None, form: str) -> str:
    return "-" if spread is None else format(spread.median, form)


def _with_range(spread: Spread | None, unit: str) -> str:
    if spread is None:
        return "-"
    return f"{_number(spread.median)}{unit} [{_number(spread.low)}-{_number(spread.high)}]"


def _limit(verdict: Verdict, limit: float) -> str:
    return f"{'>=' if verdict.target.at_least else '<='} {_number(limit)}{verdict.target.unit}"


def _number(value: float) -> str:
    return f"{value:.3g}"
