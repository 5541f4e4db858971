"""Whole columns in one value: PostgreSQL's binary arrays, put together without a look at each element's type."""

import struct
from collections.abc import Sequence

#: Bytes of dimensions, has nulls, type, length and first index.
_ARRAY_HEADER = 20
_BYTEA, _BIGINT, _TEXT = 17, 20, 25


def bytea_array(values: Sequence[bytes]) -> bytes:
    """A ``bytea[]``, encoded."""
    return _array(_BYTEA, values)


def bigint_array(values: Sequence[int]) -> bytes:
    """A ``bigint[]``, encoded."""
    return _array(_BIGINT, [bigint(value) for value in values])


def text_array(values: Sequence[str | None]) -> bytes:
    """A ``text[]``, encoded; None makes a null."""
    return _array(_TEXT, [None if value is None else value.encode() for value in values])


def bigint(value: int) -> bytes:
    """A ``bigint``, encoded."""
    return value.to_bytes(8, "big", signed=True)


def bigints(array: bytes) -> Sequence[int]:
    """The elements of a ``bigint[]`` of one dimension and without nulls, decoded."""
    elements = array[_ARRAY_HEADER:]
    return struct.unpack(f"!{'4xq' * (len(elements) // 12)}", elements)


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
