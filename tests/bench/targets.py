"""The sixteen targets that the write path and the restore have to meet, each judged by the runs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.bench import plan, stores
from tests.bench.disks import FAST
from tests.bench.plan import BATCH_LIMIT, FIRST_KEY, KILLED, LIGHT, PAIRING, PREFETCHED_KEY, RESTORE, WRITES
from tests.bench.runs import Best, Runs, Spread

OURS = stores.OURS.name
PEERS = tuple(store.name for store in plan.PEERS)
SLOW = "2 ms"

#: What a target looks at: the runs and the name of a disk.
Value = Callable[[Runs, str], Spread | None]


@dataclass(frozen=True)
class Target:
    """``gate`` has to be reached and ``stretch`` is the aim, both as (disk as it is, disk with 2 ms more)."""

    number: int
    what: str
    value: Value
    gate: tuple[float, float]
    stretch: tuple[float, float]
    at_least: bool = False
    unit: str = "x"
    disks: tuple[str, ...] = (FAST.name, SLOW)


@dataclass(frozen=True)
class Verdict:
    """One target on one disk; ``spread`` is None when it was not measured."""

    target: Target
    disk: str
    spread: Spread | None

    @property
    def gate(self) -> float:
        return self.target.gate[self.disk == SLOW]

    @property
    def stretch(self) -> float:
        return self.target.stretch[self.disk == SLOW]

    @property
    def word(self) -> str:
        if self.spread is None:
            return "not measured"
        if self._reaches(self.stretch):
            return "stretch met"
        return "met" if self._reaches(self.gate) else "NOT MET"

    def _reaches(self, limit: float) -> bool:
        assert self.spread is not None
        return self.spread.median >= limit if self.target.at_least else self.spread.median <= limit


def verdicts(runs: Runs, payload_bytes_per_message: float) -> Iterator[Verdict]:
    """All targets on all their disks, in their order. The payload is that of the recording, as JSON."""
    for target in targets(payload_bytes_per_message):
        for disk in target.disks:
            yield Verdict(target, disk, target.value(runs, disk))


def targets(payload_bytes_per_message: float) -> list[Target]:
    rate, p50, busy = "keys_per_second", "p50_ms", 100
    postgres_baileys = (stores.POSTGRES_BAILEYS.name,)
    return [
        Target(1, "keys/s, 100 sessions, vs best npm store", _ratio(rate, PEERS, WRITES, busy), (2.7, 5), (4, 8), True),
        Target(2, "keys/s, 10 sessions, vs best npm store", _ratio(rate, PEERS, WRITES, 10), (1.3, 1.4), (2, 2), True),
        Target(
            3,
            "p50 of a set, 1 session, vs postgres-baileys",
            _ratio(p50, postgres_baileys, WRITES, 1),
            (1.25, 1.1),
            (1, 1),
        ),
        Target(
            4,
            "p50 of a set, 100 sessions, vs best npm store",
            _ratio(p50, PEERS, WRITES, busy, min),
            (0.4, 0.2),
            (0.25, 0.12),
        ),
        Target(
            5, "light load: p50 vs postgres-baileys", _ratio(p50, postgres_baileys, LIGHT, busy), (1.4, 1.4), (1, 1)
        ),
        Target(
            5, "light load: CPU vs postgres-baileys", _ratio("cpu", postgres_baileys, LIGHT, busy), (1.1, 1.1), (1, 1)
        ),
        Target(
            6,
            "commits per message, 100 sessions",
            _own("commits_per_message", WRITES, busy),
            (0.02, 0.02),
            (0.01, 0.01),
            unit="",
        ),
        Target(
            7,
            "pairing: commits of 812 pre-keys and the creds",
            _own("commits_per_message", PAIRING, None),
            (2, 2),
            (2, 2),
            unit="",
        ),
        Target(
            7,
            "pairing: time of the set vs best npm store",
            _ratio(p50, PEERS, PAIRING, None, min),
            (1 / 8, 1 / 14),
            (1 / 12, 1 / 20),
        ),
        Target(
            8,
            "keys/s, 100 sessions, vs 64-row batches",
            _ratio(rate, (BATCH_LIMIT,), WRITES, busy),
            (0.35, 0.35),
            (0.6, 0.6),
            True,
        ),
        Target(
            9,
            "keys/s, 100 sessions, vs group commit in Node",
            _ratio(rate, (stores.GROUP_COMMIT.name,), WRITES, busy),
            (1.15, 1.15),
            (1.5, 1.5),
            True,
        ),
        Target(
            10,
            "WAL per message vs best npm store",
            _ratio("wal_bytes_per_message", PEERS, WRITES, busy, min),
            (0.8, 0.8),
            (0.6, 0.6),
        ),
        Target(
            10,
            "WAL per message vs its JSON",
            _own("wal_bytes_per_message", WRITES, busy, payload_bytes_per_message),
            (0.75, 0.75),
            (0.55, 0.55),
        ),
        Target(
            11,
            "CPU per message, 100 sessions, vs best npm store",
            _ratio("cpu", PEERS, WRITES, busy, min),
            (0.3, 0.3),
            (0.2, 0.2),
        ),
        Target(
            12,
            "all sessions ready vs postgres-baileys",
            _ratio("seconds", postgres_baileys, RESTORE, None),
            (0.25, 0),
            (0.15, 0),
            disks=(FAST.name,),
        ),
        Target(
            12,
            "all sessions ready vs snapshots",
            _ratio("seconds", (stores.SNAPSHOT.name,), RESTORE, None),
            (1 / 50, 0),
            (1 / 80, 0),
            disks=(FAST.name,),
        ),
        Target(
            13,
            "sidecar memory per dormant session",
            _own("bytes_per_session", RESTORE, None, 1000),
            (20, 0),
            (10, 0),
            unit=" kB",
            disks=(FAST.name,),
        ),
        Target(
            13,
            "orchestrator's growth while all are restored",
            _own("grown_megabytes_orchestrator", RESTORE, None),
            (10, 0),
            (5, 0),
            unit=" MB",
            disks=(FAST.name,),
        ),
        Target(
            14,
            "first key on demand vs direct SELECT",
            _ratio(p50, (stores.PREPARED_UPSERT.name,), FIRST_KEY, None),
            (2, 0),
            (1, 0),
            disks=(FAST.name,),
        ),
        Target(14, "first key after the prefetch vs direct SELECT", _prefetched, (1, 0), (1, 0), disks=(FAST.name,)),
        Target(15, "acknowledged and lost by kill -9", _lost, (0, 0), (0, 0), unit=""),
        Target(
            16,
            "keys/s, 100 sessions, vs Redis AOF always",
            _ratio(rate, (stores.REDIS_HASH.name,), WRITES, busy),
            (1, 1),
            (1.3, 1.3),
            True,
        ),
    ]


def _ratio(figure: str, to: tuple[str, ...], load: str, sessions: int | None, best: Best = max) -> Value:
    return lambda runs, disk: runs.ratio(figure, OURS, to, disk=disk, load=load, sessions=sessions, best=best)


def _own(figure: str, load: str, sessions: int | None, unit: float = 1.0) -> Value:
    def value(runs: Runs, disk: str) -> Spread | None:
        values = runs.values(figure, OURS, disk=disk, load=load, sessions=sessions)
        return Spread.of([value / unit for value in values.values()])

    return value


def _prefetched(runs: Runs, disk: str) -> Spread | None:
    ours = runs.values("p50_ms", OURS, disk=disk, load=PREFETCHED_KEY)
    select = runs.values("p50_ms", stores.PREPARED_UPSERT.name, disk=disk, load=FIRST_KEY)
    return Spread.of([value / select[round_] for round_, value in ours.items() if round_ in select])


def _lost(runs: Runs, disk: str) -> Spread | None:
    """Of all rounds together: one lost write is one too many."""
    lost = [run.figures["lost"] for run in runs.all if (run.disk, run.load) == (disk, KILLED)]
    return Spread.of([sum(lost)]) if lost else None
