"""Which store is measured under which load, round after round."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tests.bench import stores
from tests.bench.loads import Load
from tests.bench.stores import Store

PEERS = (stores.POSTGRES_BAILEYS, stores.KEYV)
"""What can be installed from npm and keeps signal keys in PostgreSQL."""
ALL = (stores.OURS, stores.OURS_WITHOUT_JOURNAL, *PEERS, stores.PREPARED_UPSERT, stores.GROUP_COMMIT, stores.REDIS_HASH)

# What a run is called in the report.
WRITES, LIGHT, PAIRING = "writes", "light load", "pairing"
RESTORE, FIRST_KEY, PREFETCHED_KEY, KILLED = "restore", "first key", "prefetched key", "kill -9"
BATCH_LIMIT = "64-row batches"
RESTART = "restart"
MESSAGE = "message "
"""Followed by the kind."""
SENDS, EVENTS = "sends through the API", "event to a webhook"
OURS, BARE = "ours", "bare Baileys"
"""Who is compared there."""
FILLED = "keys stored: "
"""Followed by how many."""

LIGHT_SESSIONS = 100
LIGHT_MESSAGES_PER_SECOND = 300.0
BUSY_SESSIONS = (1, 10, 100)
MANY_SESSIONS = 1000
FIRST_PAIRED = 2001
"""Sessions from this number on have never been written to, so that a pairing is one."""
FIRST_FILLED = 1501
FILLED_SESSIONS = 10


@dataclass(frozen=True)
class Size:
    """How much is done. ``seconds`` of each run; ``pairings`` in each round; ``restored`` sessions in one go; ``talking``
    real sessions that exchange ``messages`` of each kind; ``restarted`` real sessions, killed ``restarts`` times; ``through`` real sessions
    that send ``sends`` messages by the API and get ``events`` in each of ``through_rounds``, beside bare Baileys."""

    rounds: int
    seconds: float
    light_seconds: float
    pairings: int
    restored: int
    filled_keys: tuple[int, ...]
    talking: tuple[int, ...]
    messages: int
    restarted: tuple[int, ...]
    restarts: int
    through: tuple[int, ...]
    sends: int
    events: int
    through_rounds: int


FULL = Size(
    rounds=5,
    seconds=2.0,
    light_seconds=4.0,
    pairings=10,
    restored=1000,
    filled_keys=(100, 1000, 10_000),
    talking=(10, 100),
    messages=400,
    restarted=(1, 100, 500),
    restarts=3,
    through=(1, 50),
    sends=2000,
    events=600,
    through_rounds=3,
)
QUICK = Size(
    rounds=1,
    seconds=0.6,
    light_seconds=2.0,
    pairings=3,
    restored=200,
    filled_keys=(100, 1000),
    talking=(4,),
    messages=40,
    restarted=(1, 10),
    restarts=1,
    through=(1, 3),
    sends=30,
    events=20,
    through_rounds=1,
)


def fills(size: Size) -> Iterator[Load]:
    """Sessions that have many keys before anything is measured, ``FILLED_SESSIONS`` of each size."""
    for number, keys in enumerate(size.filled_keys):
        first = FIRST_FILLED + number * FILLED_SESSIONS
        yield Load(f"{FILLED}{keys}", "fill", FILLED_SESSIONS, keys=keys, first=first)


def offset(round_: int) -> int:
    """Where in the recording a round begins, in sessions: after the first third, where most contacts are new."""
    return 30 + round_ * 11


def of_round(size: Size, round_: int) -> Iterator[tuple[Store, Load]]:
    """All runs of one round on one disk. What is compared runs one right after the other, each round in another order."""
    for sessions in BUSY_SESSIONS:
        for store in turned(ALL, round_):
            yield store, Load(WRITES, "closed", sessions, size.seconds)
    yield stores.OURS, Load(WRITES, "closed", MANY_SESSIONS, size.seconds)
    for store in turned((stores.OURS, *PEERS, stores.GROUP_COMMIT), round_):
        yield store, Load(LIGHT, "light", LIGHT_SESSIONS, size.light_seconds, LIGHT_MESSAGES_PER_SECOND)
    for fill in fills(size):
        yield stores.OURS, replace(fill, module="closed", seconds=size.seconds)
    pairings = size.pairings + 1  # the first is for warming up
    for store in turned((stores.OURS, *PEERS, stores.GROUP_COMMIT), round_):
        yield store, Load(PAIRING, "pairing", pairings, first=FIRST_PAIRED + round_ * pairings)


def turned(these: tuple[Store, ...], by: int) -> tuple[Store, ...]:
    """No store always runs first, when the disk is quiet, or always after the same one."""
    by %= len(these)
    return these[by:] + these[:by]


def filled_keys(load: str) -> int:
    """How many keys each session has under a load that is called ``FILLED`` and a number."""
    return int(load.removeprefix(FILLED))
