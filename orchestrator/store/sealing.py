"""Sealing: what leaves the process for the database, encrypted and bound to its place.

A sealed value is ``0x01 | key id (4 bytes) | nonce (12) | AES-256-GCM ciphertext and tag``, with the value's place
(tenant, session, generation, kind, id) as associated data: a row that is moved to another place doesn't open.
Without keys it is ``0x00 | checksum (8) | plaintext``, so that a damaged or moved row is noticed all the same. The first
key seals, all of them open.
"""

import hashlib
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from orchestrator.domain.errors import AuthStateCorrupt, EncryptionKeyMissing

_PLAIN = b"\x00"
_SEALED = b"\x01"
_KEY_ID = 4
_NONCE = 12
_CHECKSUM = 8
_DAMAGED = "A stored value was changed or moved since it was written; restore the database from a backup."


class Sealer:
    """Seals and opens values; ``keys`` are 32 bytes each, none means that values stay plain."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._ciphers = {_key_id(key): AESGCM(key) for key in keys}
        self._first = _key_id(keys[0]) if keys else None

    def seal(self, value: bytes, place: bytes) -> bytes:
        if self._first is None:
            return _PLAIN + _checksum(value, place) + value
        nonce = os.urandom(_NONCE)
        return _SEALED + self._first + nonce + self._ciphers[self._first].encrypt(nonce, value, place)

    def open(self, sealed: bytes, place: bytes) -> bytes:
        """The value; ``AuthStateCorrupt`` if it was changed or moved, ``EncryptionKeyMissing`` if its key isn't given."""
        if sealed[:1] == _PLAIN:
            return _open_plain(sealed, place)
        cipher = self._ciphers.get(sealed[1 : 1 + _KEY_ID])
        if sealed[:1] != _SEALED:
            raise AuthStateCorrupt(_DAMAGED)
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
    parts = (tenant_id, str(session_ref), str(generation), kind, name)
    return b"".join(len(part).to_bytes(4, "big") + part for part in (text.encode() for text in parts))
