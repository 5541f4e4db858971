"""QR codes as pictures and as text, in the format that a request prefers."""

import io
from collections.abc import Iterable

import segno

from orchestrator.domain.errors import NotAcceptable


def picture(content: str, kind: str) -> bytes:
    """``kind``: png or svg."""
    out = io.BytesIO()
    segno.make_qr(content, error="l").save(out, kind=kind, scale=8, light="white")
    return out.getvalue()


def terminal(content: str) -> str:
    """Drawn with characters."""
    out = io.StringIO()
    segno.make_qr(content, error="l").terminal(out, compact=True)
    return out.getvalue()


def preferred_format(accept: str, formats: Iterable[str]) -> str:
    """The first of these formats that the Accept header prefers most (RFC 9110 section 12.5.1), or ``NotAcceptable``."""
    wanted: list[tuple[float, str]] = []
    for part in accept.split(","):
        media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        try:
            wanted.append((float(quality), media_range))
        except ValueError:
            continue
    for preference, media_range in sorted(wanted, key=lambda entry: -entry[0]):
        for name in formats:
            if preference > 0 and media_range in (name, "*/*", name.split("/")[0] + "/*"):
                return name
    raise NotAcceptable
