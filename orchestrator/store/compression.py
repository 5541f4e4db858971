"""Compression of stored values: Zstandard that starts from a dictionary of what every value of Baileys' repeats.

Values are a kilobyte or so, too short to learn their field names from; with the dictionary they halve, in half the time
that deflate takes. ``DICTIONARY`` is part of the stored format: whoever changes one byte of it makes everything stored
before unreadable. A better one needs a new format byte in sealing.py.
"""

import base64
import functools
import threading

import zstandard

from orchestrator.domain.errors import AuthStateCorrupt

#: Bytes below which compression gains nothing.
WORTH_COMPRESSING = 64

#: Bytes that a value has at most when it is opened: what the backup API takes, and room for what older versions took.
MOST_BYTES = 32 * 1024 * 1024

_UNREADABLE = "A stored value can't be decompressed; restore the database from a backup."

_LEVEL = 1


def _shifted(text: str) -> bytes:
    """``text`` inside base64, at each of the three offsets from a group of four that it can have."""
    raw = text.encode()
    return b"".join(
        base64.b64encode(b"\x00" * offset + raw)[4 if offset else 0 :].rstrip(b"=")[:-1] for offset in range(3)
    )


# The most common strings come last: fewer bits are spent on what is near.
DICTIONARY = b"".join(
    (
        b'{"message_id":"3EB0","chat":"55@g.us","sender":"@lid","from_me":false,"timestamp":17,"push_name":null,'
        b'"type":"conversation","type":"image","type":"text","text":"',
        b'{"noiseKey":{"private":"pairingEphemeralKeyPair":{"signedIdentityKey":{"signedPreKey":{"keyPair":{"signature":'
        b'"keyId":1},"advSecretKey":"","processedHistoryMessages":[{"key":{"remoteJid":"","fromMe":true,"id":""},'
        b'"messageTimestamp":17}],"nextPreKeyId":813,"firstUnuploadedPreKeyId":813,"accountSyncCounter":1,'
        b'"accountSettings":{"unarchiveChats":false,"defaultDisappearingMode":{"ephemeralExpiration":0,'
        b'"ephemeralSettingTimestamp":0}},"registered":true,"pairingCode":"","lastPropHash":"","routingInfo":'
        b'"additionalData":"account":{"details":"accountSignatureKey":"accountSignature":"deviceSignature":'
        b'"signalIdentities":[{"identifier":{"name":"","deviceId":0},"identifierKey":"platform":"android",'
        b'"lastAccountSyncTimestamp":17,"myAppStateKeyId":"","me":{"id":"","lid":":7@lid","name":"',
        b'{"keyData":"fingerprint":{"rawId":1,"currentIndex":0,"deviceIndexes":[0]},"timestamp":"17"}',
        b'{"version":1,"hash":"indexValueMap":{"":{"valueMac":',
        b'{"token":{"timestamp":"17","senderTimestamp":17}["0","1","12"]"@s.whatsapp.net":true,"@lid":true',
        _shifted('}},"senderMessageKeys":[]}]'),
        _shifted('"senderSigningKey":{"public":{"type":"Buffer","data":[5,'),
        _shifted('"private":{"type":"Buffer","data":['),
        _shifted('"senderChainKey":{"iteration":1,"seed":{"type":"Buffer","data":['),
        base64.b64encode(b'[{"senderKeyId":')[:-1],
        _shifted(']}},{"iteration":1,"seed":{"type":"Buffer","data":['),
        b'{"_sessions":{"B":{"registrationId":1,"currentRatchet":{"ephemeralKeyPair":{"pubKey":"B","privKey":"',
        b'="},"lastRemoteEphemeralKey":"B","previousCounter":0,"rootKey":"',
        b'="},"indexInfo":{"baseKey":"B","baseKeyType":1,"baseKeyType":2,"closed":-1,"used":17,"created":17,'
        b'"remoteIdentityKey":"B"},"pendingPreKey":{"signedKeyId":1,"baseKey":"B","preKeyId":1},"_chains":{"B":{"chainKey":'
        b'{"counter":1,"key":"="},"chainType":1,"messageKeys":{"0":"',
        b'"}},"B":{"chainKey":{"counter":0},"chainType":2,"messageKeys":{}}}}},"version":"v1"}',
        b'{"private":{"type":"Buffer","data":"="},"public":{"type":"Buffer","data":"',
        b'="}}{"type":"Buffer","data":"B',
    )
)


def compressed(value: bytes) -> bytes | None:
    """``value`` in fewer bytes, or None when it wouldn't be fewer."""
    if len(value) < WORTH_COMPRESSING:
        return None
    small = _contexts().compressor.compress(value)
    return small if len(small) < len(value) else None


def decompressed(small: bytes) -> bytes:
    """What ``compressed`` was given; ``AuthStateCorrupt`` for anything that it can't have made."""
    try:
        if zstandard.frame_content_size(small) > MOST_BYTES:
            raise AuthStateCorrupt(_UNREADABLE)
        return _contexts().decompressor.decompress(small, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise AuthStateCorrupt(_UNREADABLE) from error


class _Contexts(threading.local):
    """A pair for each thread: Zstandard's contexts can't be shared."""

    def __init__(self) -> None:
        dictionary = zstandard.ZstdCompressionDict(DICTIONARY, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
        dictionary.precompute_compress(level=_LEVEL)
        self.compressor = zstandard.ZstdCompressor(level=_LEVEL, dict_data=dictionary)
        self.decompressor = zstandard.ZstdDecompressor(dict_data=dictionary)


@functools.cache
def _contexts() -> _Contexts:
    return _Contexts()
