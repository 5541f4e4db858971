"""QR codes as pictures and as text, in the format that a request prefers."""

import io
from collections.abc import Iterable

import segno

from orchestrator.domain.errors import NotAcceptable
from orchestrator.domain.preferences import by_preference


def picture(content: str, kind: str) -> bytes:
    """``kind``: png or svg."""
    out = io.BytesIO()
    segno.make_qr(content, error="l").save(out, kind=kind, scale=8, light="white")
    return out.getvalue()


def data_uri(content: str) -> str:
    """As an address that a page can show: ``data:image/svg+xml...``."""
    return str(segno.make_qr(content, error="l").svg_data_uri(scale=8, light="white"))


def terminal(content: str) -> str:
    """Drawn with characters."""
    out = io.StringIO()
    segno.make_qr(content, error="l").terminal(out, compact=True)
    return out.getvalue()


def preferred_format(accept: str, formats: Iterable[str]) -> str:
    """The first of these formats that the Accept header prefers most (RFC 9110 section 12.5.1), or ``NotAcceptable``."""
    for media_range in by_preference(accept):
        for name in formats:
            if media_range in (name, "*/*", name.split("/")[0] + "/*"):
                return name
    raise NotAcceptable
