"""How fast this PostgreSQL takes batches of 64 keys from one connection: the limit that any store on it approaches."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

from orchestrator.store.array_parameters import bigint, bytea_array, text_array
from orchestrator.store.statement_connection import StatementConnection

ROWS_PER_COMMIT = 64
SESSIONS = 100

_TABLE = """
    CREATE TABLE IF NOT EXISTS limit_keys
    (session integer, type text, id text, value bytea NOT NULL, PRIMARY KEY (session, type, id)) WITH (fillfactor = 90)
"""
_UPSERT = """
    INSERT INTO limit_keys SELECT $1::bigint::integer, t, i, v FROM unnest($2::text[], $3::text[], $4::bytea[]) AS u (t, i, v)
    ON CONFLICT (session, type, id) DO UPDATE SET value = excluded.value
"""

#: Types, ids and values, as PostgreSQL's arrays.
Batch = tuple[bytes, bytes, bytes]


async def rows_per_second(database_url: str, workload: Path, seconds: float) -> float:
    """Rows of the recording in batches that hold no key twice, their arrays built beforehand."""
    batches = list(batches_of(workload))
    rows = 0
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute(_TABLE)
        statements = StatementConnection(connection)
        started = time.monotonic()
        while time.monotonic() < started + seconds:
            number = rows // ROWS_PER_COMMIT
            await statements.execute(_UPSERT, (bigint(number % SESSIONS), *batches[number % len(batches)]))
            rows += ROWS_PER_COMMIT
        elapsed = time.monotonic() - started
        await statements.close()
        return rows / elapsed


def batches_of(workload: Path) -> Iterator[Batch]:
    messages = json.loads(workload.read_text())["messages"]
    batch: dict[tuple[str, str], bytes] = {}
    for written in (written for message in messages for written in message["sets"]):
        for key_type, values in written.items():
            batch |= {(key_type, key_id): json.dumps(value).encode() for key_id, value in values.items()}
        if len(batch) >= ROWS_PER_COMMIT:
            names = sorted(batch)[:ROWS_PER_COMMIT]
            types, ids = text_array([name[0] for name in names]), text_array([name[1] for name in names])
            yield types, ids, bytea_array([batch[name] for name in names])
            batch = {}
