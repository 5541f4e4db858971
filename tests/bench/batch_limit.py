"""How fast this PostgreSQL takes batches of 64 keys from one connection: the limit that any store on it approaches."""

import json
import struct
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format

ROWS_PER_COMMIT = 64
SESSIONS = 100

_TABLE = """
    CREATE TABLE IF NOT EXISTS limit_keys
    (session integer, type text, id text, value bytea NOT NULL, PRIMARY KEY (session, type, id)) WITH (fillfactor = 90)
"""
_UPSERT = """
    INSERT INTO limit_keys SELECT %b::integer, t, i, v FROM unnest(%b, %b, %b) AS u (t, i, v)
    ON CONFLICT (session, type, id) DO UPDATE SET value = excluded.value
"""
_TEXT_OID, _TEXT_ARRAY_OID = 25, 1009
_BYTEA_OID, _BYTEA_ARRAY_OID = 17, 1001

Batch = tuple["TextArray", "TextArray", "ByteaArray"]


class TextArray(bytes):
    """An array of text as PostgreSQL sends it in binary."""


class ByteaArray(bytes):
    """An array of bytea as PostgreSQL sends it in binary."""


class _AsItIs(Dumper):
    format = Format.BINARY

    def dump(self, obj: bytes) -> bytes:
        return bytes(obj)


class _TextArrayDumper(_AsItIs):
    oid = _TEXT_ARRAY_OID


class _ByteaArrayDumper(_AsItIs):
    oid = _BYTEA_ARRAY_OID


def rows_per_second(database_url: str, workload: Path, seconds: float) -> float:
    """Rows of the recording in batches that hold no key twice, their arrays built beforehand."""
    batches = list(batches_of(workload))
    rows = 0
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.adapters.register_dumper(TextArray, _TextArrayDumper)
        connection.adapters.register_dumper(ByteaArray, _ByteaArrayDumper)
        connection.execute(_TABLE)
        started = time.monotonic()
        while time.monotonic() < started + seconds:
            number = rows // ROWS_PER_COMMIT
            connection.execute(_UPSERT, (number % SESSIONS, *batches[number % len(batches)]), prepare=True)
            rows += ROWS_PER_COMMIT
        return rows / (time.monotonic() - started)


def batches_of(workload: Path) -> Iterator[Batch]:
    messages = json.loads(workload.read_text())["messages"]
    batch: dict[tuple[str, str], bytes] = {}
    for written in (written for message in messages for written in message["sets"]):
        for key_type, values in written.items():
            batch |= {(key_type, key_id): json.dumps(value).encode() for key_id, value in values.items()}
        if len(batch) >= ROWS_PER_COMMIT:
            names = sorted(batch)[:ROWS_PER_COMMIT]
            types, ids = [name[0].encode() for name in names], [name[1].encode() for name in names]
            yield (
                TextArray(array(_TEXT_OID, types)),
                TextArray(array(_TEXT_OID, ids)),
                ByteaArray(array(_BYTEA_OID, [batch[name] for name in names])),
            )
            batch = {}


def array(oid: int, values: Sequence[bytes]) -> bytes:
    """One dimension, without NULLs: https://github.com/postgres/postgres/blob/master/src/backend/utils/adt/arrayfuncs.c"""
    header = struct.pack("!iiIii", 1, 0, oid, len(values), 1)
    return header + b"".join(struct.pack("!i", len(value)) + value for value in values)
