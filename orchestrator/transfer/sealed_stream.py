"""Sealed streams: 64 KiB chunks under AES-256-GCM, so that what is large needn't be in memory to be sealed or opened.

::

    prologue (whatever the format begins with, salt and nonce prefix included) | chunks

The key is scrypt(passphrase, salt, n=2**15, r=8, p=1), the nonce ``prefix (7) | number of the chunk (4, big-endian) | 1 if it
is the last, else 0``, and the prologue is associated data. So a chunk that is missing, moved or cut off is noticed, as in the
STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár 2015).
"""

import hashlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SALT = 16
NONCE_PREFIX = 7
TAG = 16
CHUNK = 64 * 1024


class CutOff(Exception):
    """The stream ended early or was changed; ``chunks`` were whole before that, and none means the passphrase may be wrong."""

    def __init__(self, chunks: int) -> None:
        super().__init__()
        self.chunks = chunks


def passphrase_cipher(passphrase: str, salt: bytes) -> AESGCM:
    memory = 64 * 1024**2  # scrypt itself needs 32 MiB
    return AESGCM(hashlib.scrypt(passphrase.encode(), salt=salt, n=2**15, r=8, p=1, maxmem=memory, dklen=32))


def chunk_nonce(prefix: bytes, number: int, *, last: bool) -> bytes:
    return prefix + number.to_bytes(4, "big") + bytes([last])


class Seal:
    """Seals what is put in; one chunk stays behind, because the last one is sealed as such."""

    def __init__(self, cipher: AESGCM, prologue: bytes) -> None:
        self._cipher = cipher
        self._prologue = prologue
        self._number = 0
        self._left = bytearray()

    def put(self, content: bytes) -> bytes:
        """What can be written by now, which may be nothing yet."""
        self._left += content
        sealed = bytearray()
        while len(self._left) > CHUNK:
            sealed += self._chunk(last=False)
        return bytes(sealed)

    def end(self) -> bytes:
        return self._chunk(last=True)

    def _chunk(self, *, last: bool) -> bytes:
        content = bytes(self._left[:CHUNK])
        del self._left[:CHUNK]
        nonce = chunk_nonce(self._prologue[-NONCE_PREFIX:], self._number, last=last)
        self._number += 1
        return self._cipher.encrypt(nonce, content, self._prologue)


class Unseal:
    """Opens what is put in; nothing of a chunk comes out before the whole chunk is known to be right."""

    def __init__(self, cipher: AESGCM, prologue: bytes) -> None:
        self._cipher = cipher
        self._prologue = prologue
        self._number = 0
        self._left = bytearray()

    def put(self, sealed: bytes) -> bytes:
        self._left += sealed
        content = bytearray()
        while len(self._left) > CHUNK + TAG:
            content += self._chunk(last=False)
        return bytes(content)

    def end(self) -> bytes:
        return self._chunk(last=True)

    def _chunk(self, *, last: bool) -> bytes:
        sealed = bytes(self._left[: CHUNK + TAG])
        del self._left[: CHUNK + TAG]
        try:
            content = self._cipher.decrypt(
                chunk_nonce(self._prologue[-NONCE_PREFIX:], self._number, last=last), sealed, self._prologue
            )
        except (InvalidTag, ValueError) as error:
            raise CutOff(self._number) from error
        self._number += 1
        return content
