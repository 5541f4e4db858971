"""Answers are compressed for whoever takes gzip."""

from aiohttp import web

from orchestrator.api.request_ids import Handler

#: Bytes below which it isn't worth it.
_WORTH_IT = 1024

_TEXTS = frozenset(("application/json", "application/problem+json", "image/svg+xml", "text/html", "text/plain"))


@web.middleware
async def compressed(request: web.Request, handler: Handler) -> web.StreamResponse:
    response = await handler(request)
    if isinstance(response, web.Response) and response.content_type in _TEXTS:
        response.headers.add("Vary", "Accept-Encoding")
        large = isinstance(response.body, bytes) and len(response.body) >= _WORTH_IT
        if large and _takes_gzip(request.headers.get("Accept-Encoding", "")):
            response.enable_compression(web.ContentCoding.gzip)
    return response


def _takes_gzip(accept_encoding: str) -> bool:
    for part in accept_encoding.lower().split(","):
        name, _, quality = part.partition(";")
        if name.strip() == "gzip":
            return quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
