"""Sealing: what leaves the process for the database, compressed, encrypted and bound to its place.

The first byte tells the format:

- ``0x01 | key id (4 bytes) | nonce (12) | AES-256-GCM ciphertext and tag``, with the value's place (tenant, session,
  generation, kind, id) as associated data: a row that is moved to another place doesn't open.
- ``0x00 | checksum (8) | plaintext`` without keys, so that a damaged or moved row is noticed all the same.
- ``0x03`` and ``0x02`` are the same two with the plaintext compressed (store/compression.py), and the place says so.

The first key seals, all of them open.
"""

import functools
import hashlib
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from orchestrator.domain.errors import AuthStateCorrupt, EncryptionKeyMissing
from orchestrator.store.compression import compressed, decompressed

_PLAIN = b"\x00"
_SEALED = b"\x01"
_PLAIN_COMPRESSED = b"\x02"
_SEALED_COMPRESSED = b"\x03"
#: Ends the place of a compressed value, so that nobody opens it as one that isn't.
_COMPRESSED = b"compressed"
_KEY_ID = 4
_NONCE = 12
_CHECKSUM = 8
#: SQL: the id of the key that a stored value is sealed with; NULL when it is plain.
KEY_ID_OF = r"CASE WHEN substr({value}, 1, 1) IN ('\x01', '\x03') THEN substr({value}, 2, 4) END"
_DAMAGED = "A stored value was changed or moved since it was written; restore the database from a backup."


class Sealer:
    """Seals and opens values; ``keys`` are 32 bytes each, none means that values stay plain."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._ciphers = {_key_id(key): AESGCM(key) for key in keys}
        self._first = _key_id(keys[0]) if keys else None

    @property
    def key_ids(self) -> tuple[bytes, ...]:
        """How stored values name the keys, in their order: 4 bytes each."""
        return tuple(self._ciphers)

    def seal(self, value: bytes, place: bytes) -> bytes:
        small = compressed(value)
        if small is not None:
            return self._sealed(small, place + _COMPRESSED, _PLAIN_COMPRESSED, _SEALED_COMPRESSED)
        return self._sealed(value, place, _PLAIN, _SEALED)

    def open(self, sealed: bytes, place: bytes) -> bytes:
        """The value; ``AuthStateCorrupt`` if it was changed or moved, ``EncryptionKeyMissing`` if its key isn't given."""
        form = sealed[:1]
        if form == _PLAIN:
            return _open_plain(sealed, place)
        if form == _SEALED:
            return self._open_sealed(sealed, place)
        if form == _PLAIN_COMPRESSED:
            return decompressed(_open_plain(sealed, place + _COMPRESSED))
        if form == _SEALED_COMPRESSED:
            return decompressed(self._open_sealed(sealed, place + _COMPRESSED))
        raise AuthStateCorrupt(_DAMAGED)

    def _sealed(self, content: bytes, place: bytes, plain: bytes, sealed: bytes) -> bytes:
        if self._first is None:
            return plain + _checksum(content, place) + content
        nonce = os.urandom(_NONCE)
        return sealed + self._first + nonce + self._ciphers[self._first].encrypt(nonce, content, place)

    def _open_sealed(self, sealed: bytes, place: bytes) -> bytes:
        cipher = self._ciphers.get(sealed[1 : 1 + _KEY_ID])
        if cipher is None:
            raise EncryptionKeyMissing
        nonce = sealed[1 + _KEY_ID : 1 + _KEY_ID + _NONCE]
        try:
            return cipher.decrypt(nonce, sealed[1 + _KEY_ID + _NONCE :], place)
        except (InvalidTag, ValueError) as error:
            raise AuthStateCorrupt(_DAMAGED) from error


def _open_plain(stored: bytes, place: bytes) -> bytes:
    value = stored[1 + _CHECKSUM :]
    if _checksum(value, place) != stored[1 : 1 + _CHECKSUM]:
        raise AuthStateCorrupt(_DAMAGED)
    return value


def _checksum(value: bytes, place: bytes) -> bytes:
    return hashlib.blake2b(value, digest_size=_CHECKSUM, key=hashlib.sha256(place).digest()).digest()


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"baileys-orchestrator key id" + key).digest()[:_KEY_ID]


def place_of(tenant_id: str, session_ref: int, generation: int, kind: str, name: str = "") -> bytes:
    """The associated data of a value. Each part is length-prefixed, so that no two places read the same."""
    return _state(tenant_id, session_ref, generation) + _prefixed(kind) + _prefixed(name)


@functools.lru_cache(10_000)
def _state(tenant_id: str, session_ref: int, generation: int) -> bytes:
    return b"".join(map(_prefixed, (tenant_id, str(session_ref), str(generation))))


def _prefixed(text: str) -> bytes:
    part = text.encode()
    return len(part).to_bytes(4, "big") + part
