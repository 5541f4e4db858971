import struct
import zlib

from orchestrator.bot.desk import shown_bytes, shown_price
from orchestrator.bot.pictures import bars, qr_code, waiting_picture


def size_of(png: bytes) -> tuple[int, int]:
    """Width and height; every chunk is whole and the pixels fit."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    at, chunks = 8, dict[bytes, bytes]()
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack(">I", png[at + 8 + length : at + 12 + length]) == (zlib.crc32(kind + data),)
        chunks[kind] = chunks.get(kind, b"") + data
        at += 12 + length
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    if chunks[b"IHDR"][8:10] == b"\x08\x02":
        assert len(zlib.decompress(chunks[b"IDAT"])) == height * (1 + 3 * width)
    return width, height


def test_pictures_are_whole() -> None:
    assert size_of(waiting_picture()) == (360, 360)
    assert size_of(bars([(f"{month:02d}/26", month * 123_456) for month in range(1, 13)])) == (1800, 640)
    assert size_of(bars([("01/26", 0)]))[1] == 640
    assert size_of(qr_code("2@abc"))[0] > 100


def test_money_and_sizes_are_written_as_people_read_them() -> None:
    assert [shown_price(cents) for cents in (0, 5, 123_456_789, -4990)] == [
        "R$ 0,00",
        "R$ 0,05",
        "R$ 1.234.567,89",
        "-R$ 49,90",
    ]
    assert [shown_bytes(number) for number in (0, 999, 12_345, 25_300_000_000)] == ["0 B", "999 B", "12 KB", "25.3 GB"]
