"""Headers on every answer that keep browsers from doing more with it than was meant."""

from collections.abc import Mapping

from aiohttp import web

#: What an answer gets unless it says otherwise: a page has a policy of its own.
_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

#: A year; told only to who came over TLS, which a proxy in front of us ends.
_TRANSPORT = "max-age=31536000"


async def hardened(request: web.Request, response: web.StreamResponse) -> None:
    """A signal of the application, so that streams, errors and pages have them too."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if request.headers.get("X-Forwarded-Proto", request.scheme) == "https":
        response.headers.setdefault("Strict-Transport-Security", _TRANSPORT)
