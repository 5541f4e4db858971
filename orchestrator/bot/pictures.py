"""Pictures for chats: QR codes, and the revenue of months as bars. PNG is drawn by hand: no library for two rectangles."""

import io
import struct
import zlib
from collections.abc import Sequence

import segno

#: Five by seven dots each; what labels of months and amounts need.
_FONT = {
    "0": "0E11131519110E", "1": "040C040404040E", "2": "0E11010204081F", "3": "1F02040201110E", "4": "02060A121F0202",
    "5": "1F101E0101110E", "6": "0608101E11110E", "7": "1F010204080808", "8": "0E11110E11110E", "9": "0E11110F01020C",
    "/": "00010204081000", "-": "0000001F000000", ".": "000000000C0C00", ",": "0000000C040800", "k": "10101214181412",
    "R": "1E11111E141211", "$": "040F140E051E04", " ": "00000000000000",
}  # fmt: skip

_WHITE, _INK, _BAR, _LINE = (255, 255, 255), (40, 50, 60), (38, 134, 92), (222, 226, 230)


def qr_code(text: str) -> bytes:
    """A QR code that phones read from a screen."""
    out = io.BytesIO()
    segno.make_qr(text, error="l").save(out, kind="png", scale=8, border=4)
    return out.getvalue()


def waiting_picture() -> bytes:
    """In the place of a QR code that isn't there yet."""
    canvas = _Canvas(360, 360)
    for dot in range(3):
        canvas.box(120 + dot * 50, 170, 20, 20, _LINE)
    return canvas.png()


def bars(values: Sequence[tuple[str, int]]) -> bytes:
    """A bar for each label; amounts in cents."""
    width, height, floor = 60 + 70 * len(values), 320, 270
    canvas = _Canvas(width, height)
    highest = max([value for _, value in values] + [1])
    for step in range(5):
        y = floor - step * 55
        canvas.box(50, y, width - 60, 1, _LINE)
        canvas.text(4, y - 4, _short(highest * step // 4))
    for number, (label, value) in enumerate(values):
        x, size = 60 + number * 70, max(0, value) * 220 // highest
        canvas.box(x, floor - size, 44, size, _BAR)
        canvas.text(x + 22 - 3 * len(_short(value)), floor - size - 12, _short(value))
        canvas.text(x + 22 - 3 * len(label), floor + 12, label)
    return canvas.png(scale=2)


def _short(cents: int) -> str:
    whole = cents // 100
    return f"{whole / 1000:.1f}k" if whole >= 10_000 else str(whole)


class _Canvas:
    def __init__(self, width: int, height: int) -> None:
        self._width = width
        self._rows = [bytearray(bytes(_WHITE) * width) for _ in range(height)]

    def box(self, x: int, y: int, width: int, height: int, colour: tuple[int, int, int]) -> None:
        for row in self._rows[max(0, y) : y + height]:
            row[3 * x : 3 * (x + width)] = bytes(colour) * width

    def text(self, x: int, y: int, text: str) -> None:
        for number, letter in enumerate(text):
            dots = bytes.fromhex(_FONT.get(letter, _FONT["-"]))
            for line, bits in enumerate(dots):
                for column in range(5):
                    if bits >> (4 - column) & 1:
                        self.box(x + number * 6 + column, y + line, 1, 1, _INK)

    def png(self, scale: int = 1) -> bytes:
        """https://www.w3.org/TR/png-3/: true colour, eight bits, no filter."""
        lines = bytearray()
        for row in self._rows:
            pixels = b"".join(bytes(row[at : at + 3]) * scale for at in range(0, len(row), 3))
            lines += (b"\x00" + pixels) * scale
        size = struct.pack(">IIBBBBB", self._width * scale, len(self._rows) * scale, 8, 2, 0, 0, 0)
        chunks = ((b"IHDR", size), (b"IDAT", zlib.compress(bytes(lines), 9)), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in chunks
        )
