"""Parameters that are whole columns: PostgreSQL's binary arrays, put together without a look at each element's type.

psycopg's own lists go through one Python call for each element, twice, which is most of what a large write costs.
"""

import struct
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

_BYTEA, _BIGINT, _TEXT = 17, 20, 25
_BYTEA_ARRAY, _BIGINT_ARRAY, _TEXT_ARRAY = 1001, 1016, 1009


class ByteaArray(bytes):
    """A ``bytea[]``, encoded."""

    @classmethod
    def of(cls, values: Sequence[bytes]) -> "ByteaArray":
        return cls(_array(_BYTEA, values))


class BigintArray(bytes):
    """A ``bigint[]``, encoded."""

    @classmethod
    def of(cls, values: Sequence[int]) -> "BigintArray":
        return cls(_array(_BIGINT, [value.to_bytes(8, "big", signed=True) for value in values]))


class TextArray(bytes):
    """A ``text[]``, encoded; None makes a null."""

    @classmethod
    def of(cls, values: Sequence[str | None]) -> "TextArray":
        return cls(_array(_TEXT, [None if value is None else value.encode() for value in values]))


def _array(element_oid: int, values: Sequence[bytes | None]) -> bytes:
    """One dimension from index 1: dimensions, has nulls, type, length, first index; then length and bytes of each."""
    parts = [struct.pack("!iiIii", 1, 1, element_oid, len(values), 1)]
    for value in values:
        if value is None:
            parts.append(b"\xff\xff\xff\xff")
        else:
            parts.append(len(value).to_bytes(4, "big"))
            parts.append(value)
    return b"".join(parts)


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Any) -> Buffer | None:
        return bytes(obj)


class _ByteaArrayDumper(_ArrayDumper):
    oid = _BYTEA_ARRAY


class _BigintArrayDumper(_ArrayDumper):
    oid = _BIGINT_ARRAY


class _TextArrayDumper(_ArrayDumper):
    oid = _TEXT_ARRAY


def accept_arrays(connection: psycopg.AsyncConnection[Any]) -> None:
    """Let statements of this connection take the arrays of this module."""
    connection.adapters.register_dumper(ByteaArray, _ByteaArrayDumper)
    connection.adapters.register_dumper(BigintArray, _BigintArrayDumper)
    connection.adapters.register_dumper(TextArray, _TextArrayDumper)
