"""What a start costs the stores: all creds in hand, then the first key of a session."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from tests.bench import stores
from tests.bench.loads import Load, measure
from tests.bench.plan import FIRST_FILLED, FIRST_KEY, PREFETCHED_KEY, RESTORE, Size, turned
from tests.bench.stores import Services, Store

READING_SESSIONS = 6
"""The first of them is for warming up."""

# What a session of the recording leaves behind, for sessions whose keys are never opened: only their number and size count.
_OTHER_KEYS = {
    "ours": "INSERT INTO signal_keys (session_ref, generation, key_type, key_id, value) "
    "SELECT n, 1, 'other', k::text, decode(repeat('00', 470), 'hex') "
    "FROM generate_series(1, %(sessions)s) n, generate_series(1, %(keys)s) k ON CONFLICT DO NOTHING",
    "peers": "INSERT INTO auth_data SELECT 's' || n || ':other-' || k, repeat('0', 470) "
    "FROM generate_series(1, %(sessions)s) n, generate_series(1, %(keys)s) k ON CONFLICT DO NOTHING",
}
# EXTERNAL: not compressed, so that reading it costs as little as it can.
_SNAPSHOTS = (
    "CREATE TABLE snapshots (session integer PRIMARY KEY, data text NOT NULL)",
    "ALTER TABLE snapshots ALTER COLUMN data SET STORAGE EXTERNAL",
    "INSERT INTO snapshots SELECT n, %(snapshot)s FROM generate_series(1, %(sessions)s) n",
)


async def prepare(served: Services, size: Size, workload: Path) -> None:
    """Store the same sessions in each store."""
    creds = Load("creds", "fill", size.restored)
    for store in (stores.OURS, stores.POSTGRES_BAILEYS):
        await measure(served, store, creds, workload)
    keys = Load("keys", "fill", READING_SESSIONS, keys=1, first=FIRST_FILLED)
    for store in (stores.OURS, stores.PREPARED_UPSERT):
        await measure(served, store, keys, workload)
    _fill_up(served, size, snapshot_of(workload))


def _fill_up(served: Services, size: Size, snapshot: dict[str, Any]) -> None:
    parameters = {"sessions": size.restored, "keys": len(snapshot["keys"]), "snapshot": json.dumps(snapshot)}
    for url, statements in (
        (served.ours_url, [_OTHER_KEYS["ours"]]),
        (served.peers_url, [_OTHER_KEYS["peers"], *_SNAPSHOTS]),
    ):
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in (*statements, "VACUUM ANALYZE"):
                named = {name: value for name, value in parameters.items() if f"%({name})s" in statement}
                connection.execute(statement.encode(), named or None)


def snapshot_of(workload: Path) -> dict[str, Any]:
    """The whole auth state at the end of the recording, as one document."""
    recorded = json.loads(workload.read_text())
    keys: dict[str, Any] = {}
    for written in [recorded["pairing"], *(written for message in recorded["messages"] for written in message["sets"])]:
        for key_type, values in written.items():
            keys |= {f"{key_type}-{key_id}": value for key_id, value in values.items()}
    return {"creds": recorded["creds"], "keys": {name: value for name, value in keys.items() if value is not None}}


def of_round(size: Size, round_: int) -> Iterator[tuple[Store, Load]]:
    for store in turned((stores.OURS, stores.POSTGRES_BAILEYS, stores.SNAPSHOT), round_):
        yield store, Load(RESTORE, "restore", size.restored)
    for store in turned((stores.OURS, stores.PREPARED_UPSERT), round_):
        yield store, Load(FIRST_KEY, "first-key", READING_SESSIONS, first=FIRST_FILLED)
    yield stores.OURS, Load(PREFETCHED_KEY, "prefetched-key", READING_SESSIONS, first=FIRST_FILLED)
