"""Which files are taken for which kind of message, by what they begin with."""

import pytest

from orchestrator.domain.media import MIB, MediaKind, accepted_type, accepted_types, most_bytes

JPEG, PNG, GIF = b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a"
WEBP, WAV = b"RIFF\0\0\0\0WEBPVP8 ", b"RIFF\0\0\0\0WAVEfmt "
MP4, M4A, GP3 = b"\0\0\0\x18ftypisom", b"\0\0\0\x18ftypM4A ", b"\0\0\0\x18ftyp3gp4"
OGG, MP3, AMR, AAC, PDF = b"OggS", b"ID3\x04", b"#!AMR\n", b"\xff\xf1", b"%PDF-1.7"
OGG_OPUS = b"OggS\0\x02" + bytes(20) + b"\x01\x13OpusHead\x01"
HTML = b"\n <!DOCTYPE HTML><title>404"
OPUS = "audio/ogg; codecs=opus"

CASES = [
    ("image", JPEG, None, None, "image/jpeg"),
    ("image", PNG, "image/jpeg", None, "image/png"),  # the file knows better
    ("image", WEBP, "text/plain", None, "image/webp"),
    ("image", b"?", "image/jpeg", None, "image/jpeg"),
    ("image", b"?", "image/jpg; charset=x", None, "image/jpeg"),
    ("image", b"?", "application/octet-stream", "a.JPG", "image/jpeg"),
    ("image", GIF, None, None, None),
    ("image", HTML, "image/jpeg", "a.jpg", None),
    ("image", PDF, "image/png", None, None),
    ("image", b"?", None, None, None),
    ("video", MP4, None, None, "video/mp4"),
    ("video", GP3, None, None, "video/3gpp"),
    ("video", b"?", "video/webm", None, None),
    ("audio", MP3, None, None, "audio/mpeg"),
    ("audio", M4A, "video/mp4", None, "audio/mp4"),
    ("audio", MP4, None, None, "audio/mp4"),
    ("audio", OGG, None, None, "audio/ogg"),
    ("audio", WAV, None, None, "audio/wav"),
    ("audio", AMR, None, None, "audio/amr"),
    ("audio", AAC, None, None, "audio/aac"),
    ("audio", JPEG, "audio/mpeg", None, None),
    ("voice", OGG_OPUS, "audio/mpeg", None, OPUS),
    ("voice", OGG, "audio/ogg; codecs=opus", None, None),  # Vorbis, or whatever it is
    ("voice", b"?", "audio/opus", None, None),
    ("voice", MP3, None, None, None),
    ("sticker", WEBP, None, None, "image/webp"),
    ("sticker", PNG, None, None, None),
    ("document", PDF, None, None, "application/pdf"),
    ("document", b"?", None, "a.csv", "text/csv"),
    ("document", HTML, None, None, "text/html"),
    ("document", PDF, "application/x-mine", None, "application/x-mine"),
    ("document", b"?", None, "a", "application/octet-stream"),
]


@pytest.mark.parametrize(("kind", "head", "declared", "name", "mimetype"), CASES)
def test_a_file_is_what_it_begins_with(
    kind: str, head: bytes, declared: str | None, name: str | None, mimetype: str | None
) -> None:
    assert accepted_type(MediaKind(kind), declared, name, head) == mimetype


def test_what_is_accepted_is_told() -> None:
    assert accepted_types(MediaKind.VOICE) == "audio/ogg; codecs=opus (Ogg with Opus)"
    assert accepted_types(MediaKind.IMAGE) == "image/jpeg, image/png, image/webp"
    assert accepted_types(MediaKind.DOCUMENT) == "any type"


def test_the_operator_s_limit_holds_for_every_kind_and_phones_for_theirs() -> None:
    assert most_bytes(MediaKind.DOCUMENT, 5 * MIB) == 5 * MIB
    assert most_bytes(MediaKind.IMAGE, 100 * MIB) == 16 * MIB
