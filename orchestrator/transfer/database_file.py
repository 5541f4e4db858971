"""The file of a database backup: a sealed, compressed stream of the parts of a copy (domain/database_copy.py).

::

    "BAILEYS-ORCHESTRATOR-BACKUP" | version (1 byte: 1) | salt (16) | nonce prefix (7) | chunks (transfer/sealed_stream.py)

What is sealed is one Zstandard stream of frames, each ``length (4, big-endian) | MessagePack``: a ``Beginning``, ``Rows`` and
an ``Ending``. There is no form without a passphrase: the file opens every account.
"""

import os
from collections.abc import AsyncIterator
from datetime import datetime

import msgspec
import zstandard

from orchestrator.domain.database_copy import Beginning, CopiedTable, Ending, Part, Rows
from orchestrator.domain.errors import BackupRefused
from orchestrator.transfer.sealed_stream import NONCE_PREFIX, SALT, CutOff, Seal, Unseal, passphrase_cipher

_MAGIC = b"BAILEYS-ORCHESTRATOR-BACKUP"
_VERSION = 1
_PROLOGUE = len(_MAGIC) + 1 + SALT + NONCE_PREFIX
_LENGTH = 4
#: Bytes of a frame: PostgreSQL hands out rows in pieces of 64 KiB, and a single row may be as large as a value.
_FRAME_LIMIT = 256 * 1024**2

_CUT_OFF = "The backup is cut off or damaged."


class _Table(msgspec.Struct, array_like=True):
    name: str
    columns: list[str]


class _Beginning(msgspec.Struct, tag="beginning"):
    schema_version: str
    software_version: str
    made_at: datetime
    tables: list[_Table]


class _Rows(msgspec.Struct, tag="rows"):
    table: str
    text: bytes


class _Ending(msgspec.Struct, tag="ending"):
    rows: dict[str, int]
    sequences: dict[str, int]


_DECODER = msgspec.msgpack.Decoder(_Beginning | _Rows | _Ending)


async def written(parts: AsyncIterator[Part], passphrase: str) -> AsyncIterator[bytes]:
    """The bytes of the file, piece by piece."""
    prologue = _MAGIC + bytes([_VERSION]) + os.urandom(SALT + NONCE_PREFIX)
    seal = Seal(passphrase_cipher(passphrase, prologue[len(_MAGIC) + 1 :][:SALT]), prologue)
    compressor = zstandard.ZstdCompressor(level=3).compressobj()
    yield prologue
    async for part in parts:
        frame = msgspec.msgpack.encode(_to_wire(part))
        piece = seal.put(compressor.compress(len(frame).to_bytes(_LENGTH, "big") + frame))
        if piece:
            yield piece
    yield seal.put(compressor.flush())
    yield seal.end()


async def read(pieces: AsyncIterator[bytes], passphrase: str) -> AsyncIterator[Part]:
    """The parts, each as soon as it is known to be whole; ``BackupRefused`` for anything that isn't as it was written.

    Whoever acts on the parts must be able to take it back: that the last one is missing is only known at the end.
    """
    frames = _Frames(passphrase)
    async for piece in pieces:
        for part in frames.put(piece):
            yield part
    for part in frames.end():
        yield part


class _Frames:
    def __init__(self, passphrase: str) -> None:
        self._passphrase = passphrase
        self._head = bytearray()
        self._unseal: Unseal | None = None
        self._decompressor = zstandard.ZstdDecompressor().decompressobj()
        self._left = bytearray()
        self._ended = False

    def put(self, piece: bytes) -> list[Part]:
        if self._unseal is None:
            self._head += piece
            if len(self._head) < _PROLOGUE:
                return []
            prologue, piece = bytes(self._head[:_PROLOGUE]), bytes(self._head[_PROLOGUE:])
            _require_ours(prologue)
            salt = prologue[len(_MAGIC) + 1 :][:SALT]
            self._unseal = Unseal(passphrase_cipher(self._passphrase, salt), prologue)
        try:
            return self._parts(self._unseal.put(piece))
        except CutOff as error:
            raise _refused(error) from error

    def end(self) -> list[Part]:
        if self._unseal is None:
            _require_ours(bytes(self._head))
            raise BackupRefused(_CUT_OFF)
        try:
            parts = self._parts(self._unseal.end())
        except CutOff as error:
            raise _refused(error) from error
        if not self._ended or self._left:
            raise BackupRefused(_CUT_OFF)
        return parts

    def _parts(self, content: bytes) -> list[Part]:
        try:
            self._left += self._decompressor.decompress(content) if content else b""
        except zstandard.ZstdError as error:
            raise BackupRefused(_CUT_OFF) from error
        parts: list[Part] = []
        while len(self._left) >= _LENGTH:
            length = int.from_bytes(self._left[:_LENGTH], "big")
            if length > _FRAME_LIMIT or self._ended:
                raise BackupRefused(_CUT_OFF)
            if len(self._left) < _LENGTH + length:
                break
            parts.append(_from_wire(bytes(self._left[_LENGTH : _LENGTH + length])))
            self._ended = isinstance(parts[-1], Ending)
            del self._left[: _LENGTH + length]
        return parts


def _require_ours(prologue: bytes) -> None:
    if not prologue or prologue[: len(_MAGIC)] != _MAGIC[: len(prologue)]:
        raise BackupRefused("This is no backup of Baileys Orchestrator.")
    if len(prologue) > len(_MAGIC) and prologue[len(_MAGIC)] != _VERSION:
        raise BackupRefused("The backup has a format that this release can't read; use a newer one.")


def _refused(error: CutOff) -> BackupRefused:
    # Only the first chunk can tell a passphrase from damage.
    return BackupRefused(
        _CUT_OFF if error.chunks else "The passphrase is wrong, or the backup is cut off or damaged at its beginning."
    )


def _to_wire(part: Part) -> msgspec.Struct:
    match part:
        case Beginning():
            tables = [_Table(table.name, list(table.columns)) for table in part.tables]
            return _Beginning(part.schema_version, part.software_version, part.made_at, tables)
        case Rows():
            return _Rows(part.table, part.text)
        case Ending():
            return _Ending(dict(part.rows), dict(part.sequences))


def _from_wire(frame: bytes) -> Part:
    try:
        decoded: _Beginning | _Rows | _Ending = _DECODER.decode(frame)
    except msgspec.DecodeError as error:
        raise BackupRefused(_CUT_OFF) from error
    match decoded:
        case _Beginning():
            tables = tuple(CopiedTable(table.name, tuple(table.columns)) for table in decoded.tables)
            return Beginning(decoded.schema_version, decoded.software_version, decoded.made_at, tables)
        case _Rows():
            return Rows(decoded.table, decoded.text)
        case _Ending():
            return Ending(decoded.rows, decoded.sequences)
