"""PIX copy-and-paste codes (Pix Copia e Cola): EMV merchant-presented codes with a checksum at their end.

Banco Central do Brasil, Manual de Padrões para Iniciação do Pix, section 1.5; EMVCo, QR Code Specification for Payment
Systems: Merchant-Presented Mode, section 4.
"""

#: Of EMVCo: the longest payload.
LONGEST: int = 512

_BEGINNING = "000201"
_PIX = "br.gov.bcb.pix"
_CHECKSUM = "6304"
_CHECKSUM_DIGITS = 4
_HEADER = 4


def problem_of(code: str) -> str | None:
    """What is wrong with it, as the end of a sentence; None: nothing."""
    fields = _fields(code)
    if fields is None or not code.startswith(_BEGINNING) or fields[-1][0] != "63":
        return "must be a whole PIX copy-and-paste code, which begins with 000201"
    if not any(26 <= int(name) <= 51 and _is_pix(value) for name, value in fields):
        return "must be a code for PIX, which names br.gov.bcb.pix"
    if code[-_CHECKSUM_DIGITS:].upper() != checksum(code[:-_CHECKSUM_DIGITS]):
        return "has a wrong checksum; copy it once more from the bank's app"
    return None


def checksum(text: str) -> str:
    """CRC-16/CCITT-FALSE of everything up to and including ``6304``, as four hexadecimal digits."""
    value = 0xFFFF
    for byte in text.encode():
        value ^= byte << 8
        for _ in range(8):
            value = (value << 1 ^ 0x1021 if value & 0x8000 else value << 1) & 0xFFFF
    return f"{value:04X}"


def _is_pix(value: str) -> bool:
    inner = _fields(value)
    return bool(inner) and inner is not None and inner[0][0] == "00" and inner[0][1].lower() == _PIX


def _fields(code: str) -> list[tuple[str, str]] | None:
    """Names of two digits, lengths of two digits, values; None if that isn't how it is built."""
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(code):
        header = code[at : at + _HEADER]
        if len(header) < _HEADER or not (header.isascii() and header.isdigit()):
            return None
        at += _HEADER
        length = int(header[2:])
        value = code[at : at + length]
        if not value or len(value) < length:
            return None
        found.append((header[:2], value))
        at += length
    return found or None
