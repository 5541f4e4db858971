"""Files that messages carry: which types and sizes WhatsApp shows, told from what a file begins with."""

import mimetypes
from enum import StrEnum
from typing import Final

MIB: Final = 1024 * 1024
#: How much of a file's beginning ``accepted_type`` wants to see.
HEAD_BYTES: Final = 64


class MediaKind(StrEnum):
    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    VOICE = "voice"
    DOCUMENT = "document"
    STICKER = "sticker"


_MOST_MIB: Final = {
    MediaKind.IMAGE: 16,
    MediaKind.VIDEO: 100,
    MediaKind.AUDIO: 16,
    MediaKind.VOICE: 16,
    MediaKind.DOCUMENT: 2048,
    MediaKind.STICKER: 1,
}
_TYPES: Final = {
    MediaKind.IMAGE: {"image/jpeg", "image/png", "image/webp"},
    MediaKind.VIDEO: {"video/mp4", "video/3gpp"},
    MediaKind.AUDIO: {"audio/mpeg", "audio/mp4", "audio/aac", "audio/amr", "audio/ogg", "audio/wav"},
    MediaKind.VOICE: {"audio/ogg"},
    MediaKind.STICKER: {"image/webp"},
}
#: What phones know a voice note by. Nothing is converted here, and they play no other.
_VOICE_TYPE: Final = "audio/ogg; codecs=opus"
#: How the first packet of Opus begins, behind the header of its Ogg page (RFC 7845 section 5.1).
_OPUS: Final = b"OpusHead"
_UNKNOWN: Final = "application/octet-stream"
_SAME: Final = {
    "application/ogg": "audio/ogg",
    "audio/opus": "audio/ogg",
    "audio/mp3": "audio/mpeg",
    "audio/m4a": "audio/mp4",
    "audio/x-m4a": "audio/mp4",
    "audio/x-wav": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/aacp": "audio/aac",
    "image/jpg": "image/jpeg",
}


def most_bytes(kind: MediaKind, limit: int) -> int:
    """The size that a file may have; ``limit`` is the operator's, for every kind."""
    return min(_MOST_MIB[kind] * MIB, limit)


def accepted_types(kind: MediaKind) -> str:
    """The types that ``accepted_type`` accepts, for people."""
    if kind is MediaKind.VOICE:
        return f"{_VOICE_TYPE} (Ogg with Opus)"
    return ", ".join(sorted(_TYPES[kind])) if kind in _TYPES else "any type"


def accepted_type(kind: MediaKind, declared: str | None, file_name: str | None, head: bytes) -> str | None:
    """The mimetype that a file is sent with; None when phones don't show such a file as this kind.

    What it begins with counts more than what somebody says of it: an error page is no picture.
    """
    said = _plain(declared) or _plain(mimetypes.guess_type(file_name or "")[0])
    seen = _seen(head)
    if kind is MediaKind.DOCUMENT:
        return said or seen or _UNKNOWN
    actual = _container_as(kind, seen) or said
    if actual not in _TYPES[kind] or (kind is MediaKind.VOICE and _OPUS not in head):
        return None
    return _VOICE_TYPE if kind is MediaKind.VOICE else actual


def _plain(mimetype: str | None) -> str | None:
    text = (mimetype or "").partition(";")[0].strip().lower()
    if text in ("", _UNKNOWN) or not text.isascii():
        return None
    return _SAME.get(text, text)


def _container_as(kind: MediaKind, seen: str | None) -> str | None:
    """MP4 is a container of both: what is sent as a sound is one."""
    return "audio/mp4" if seen == "video/mp4" and kind is MediaKind.AUDIO else seen


def _seen(head: bytes) -> str | None:
    """The type of a file by its first bytes (https://mimesniff.spec.whatwg.org), if they say."""
    if head[:4] == b"RIFF":
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(head[8:12])
    if head[4:8] == b"ftyp":
        return "video/3gpp" if head[8:11] == b"3gp" else "audio/mp4" if head[8:11] == b"M4A" else "video/mp4"
    if head.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        return "text/html"
    return next((mimetype for magic, mimetype in _MAGIC if head.startswith(magic)), None)


_MAGIC: Final = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF8", "image/gif"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"),
    (b"\xff\xf1", "audio/aac"),
    (b"\xff\xf9", "audio/aac"),
    (b"#!AMR", "audio/amr"),
    (b"%PDF-", "application/pdf"),
)
