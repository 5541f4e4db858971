"""The portable archive: one file with a whole auth state, sealed with a passphrase or at least protected from damage.

::

    "BAILEYS-ORCHESTRATOR-ARCHIVE" | version (1 byte: 1) | form (1 byte)
    form 0, open:    content | SHA-256 of everything before it (32)
    form 1, sealed:  salt (16) | nonce prefix (7) | chunks

``content`` is MessagePack: ``{"creds": bin, "keys": [[type, id, bin], ...]}``. A chunk is 64 KiB of it (the last one may be
shorter) under AES-256-GCM, with a key of scrypt(passphrase, salt, n=2**15, r=8, p=1), the nonce ``prefix | number of the
chunk (4, big-endian) | 1 if it is the last, else 0``, and all that precedes the chunks as associated data. So a chunk that
is missing, moved or cut off is noticed, as in the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár 2015).
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from orchestrator.domain.auth_state import SignalKeyName
from orchestrator.domain.errors import AuthStateRefused
from orchestrator.domain.portable_state import PortableState
from orchestrator.transfer import private_files
from orchestrator.transfer.sealed_stream import CHUNK, NONCE_PREFIX, SALT, TAG, chunk_nonce, passphrase_cipher
from orchestrator.transfer.values import portable_state

_MAGIC = b"BAILEYS-ORCHESTRATOR-ARCHIVE"
_VERSION = 1
_OPEN = 0
_SEALED = 1
_HEADER = len(_MAGIC) + 2
_DIGEST = 32
#: Bytes of an archive; the largest accounts known have a tenth of it.
_ARCHIVE_LIMIT = 1024**3

_CUT_OFF = "The archive is cut off or damaged."


class _Content(msgspec.Struct, forbid_unknown_fields=True):
    creds: bytes
    keys: list[tuple[str, str, bytes]]


def write(state: PortableState, file: Path, passphrase: str | None) -> None:
    """Make ``file``, which must not be there yet."""
    private_files.write_file(file, pack(state, passphrase))


def read(file: Path, passphrase: str | None) -> PortableState:
    try:
        if file.stat().st_size > _ARCHIVE_LIMIT:
            raise AuthStateRefused(f"{file} is larger than {_ARCHIVE_LIMIT // 1024**2} MiB.")
        return unpack(file.read_bytes(), passphrase)
    except OSError as error:
        raise AuthStateRefused(f"{file} can't be read: {error.strerror}.") from error


def is_sealed(file: Path) -> bool:
    """Whether a passphrase is needed to read the archive; False for what is none."""
    try:
        with file.open("rb") as opened:
            return opened.read(_HEADER) == _header(_SEALED)
    except OSError:
        return False


def pack(state: PortableState, passphrase: str | None) -> bytes:
    """The bytes of an archive, sealed if there is a passphrase."""
    keys = [(key_type, key_id, text) for (key_type, key_id), text in sorted(state.keys.items())]
    content = msgspec.msgpack.encode(_Content(state.creds, keys))
    if passphrase is None:
        opened = _header(_OPEN) + content
        return opened + hashlib.sha256(opened).digest()
    prologue = _header(_SEALED) + os.urandom(SALT + NONCE_PREFIX)
    cipher = _cipher(passphrase, prologue)
    chunks = [content[start : start + CHUNK] for start in range(0, len(content), CHUNK)]
    nonces = _nonces(prologue, len(chunks))
    return prologue + b"".join(
        cipher.encrypt(nonce, chunk, prologue) for nonce, chunk in zip(nonces, chunks, strict=True)
    )


def unpack(archive: bytes, passphrase: str | None) -> PortableState:
    """The auth state in an archive; ``AuthStateRefused`` for a wrong passphrase and for anything that isn't whole."""
    if archive[: len(_MAGIC)] != _MAGIC:
        raise AuthStateRefused("This is no archive of Baileys Orchestrator.")
    if len(archive) < _HEADER:
        raise AuthStateRefused(_CUT_OFF)
    version, form = archive[len(_MAGIC) : _HEADER]
    if version != _VERSION or form not in (_OPEN, _SEALED):
        raise AuthStateRefused(
            f"The archive has version {version}.{form}, which this release can't read; use a newer one."
        )
    content = _opened(archive) if form == _OPEN else _unsealed(archive, passphrase)
    try:
        decoded = msgspec.msgpack.decode(content, type=_Content)
    except (msgspec.DecodeError, RecursionError) as error:
        raise AuthStateRefused(_CUT_OFF) from error
    keys: dict[SignalKeyName, bytes] = {}
    for key_type, key_id, text in decoded.keys:
        if (key_type, key_id) in keys:
            raise AuthStateRefused("The archive has two values for one key.")
        keys[key_type, key_id] = text
    return portable_state(decoded.creds, keys)


def _opened(archive: bytes) -> bytes:
    if hashlib.sha256(archive[:-_DIGEST]).digest() != archive[-_DIGEST:]:
        raise AuthStateRefused(_CUT_OFF)
    return archive[_HEADER:-_DIGEST]


def _unsealed(archive: bytes, passphrase: str | None) -> bytes:
    if passphrase is None:
        raise AuthStateRefused("The archive is sealed; give its passphrase.")
    start = _HEADER + SALT + NONCE_PREFIX
    prologue, sealed = archive[:start], archive[start:]
    chunks = [sealed[begin : begin + CHUNK + TAG] for begin in range(0, len(sealed), CHUNK + TAG)]
    if not chunks:
        raise AuthStateRefused(_CUT_OFF)
    cipher = _cipher(passphrase, prologue)
    opened: list[bytes] = []
    for nonce, chunk in zip(_nonces(prologue, len(chunks)), chunks, strict=True):
        try:
            opened.append(cipher.decrypt(nonce, chunk, prologue))
        except (InvalidTag, ValueError) as error:
            # Only the first chunk of a longer archive can tell a passphrase from damage.
            reason = _CUT_OFF if opened else "The passphrase is wrong, or the archive is cut off or damaged."
            raise AuthStateRefused(reason) from error
    return b"".join(opened)


def _header(form: int) -> bytes:
    return _MAGIC + bytes([_VERSION, form])


def _cipher(passphrase: str, prologue: bytes) -> AESGCM:
    return passphrase_cipher(passphrase, prologue[_HEADER : _HEADER + SALT])


def _nonces(prologue: bytes, chunks: int) -> Iterator[bytes]:
    prefix = prologue[-NONCE_PREFIX:]
    return (chunk_nonce(prefix, number, last=number == chunks - 1) for number in range(chunks))
