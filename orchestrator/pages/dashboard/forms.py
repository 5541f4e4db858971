"""Whether a form that was posted is one of ours: another site can make a browser post one, with the cookie."""

import hmac
from collections.abc import Mapping
from hashlib import sha256
from urllib.parse import urlsplit

from aiohttp import web

from orchestrator.api.keys import PUBLIC_URL
from orchestrator.domain.errors import BodyTooLarge, FieldError, InvalidRequest


async def posted(request: web.Request) -> dict[str, str]:
    """The fields of a form; none of what isn't one. ``BodyTooLarge``."""
    try:
        fields = await request.post()
    except web.HTTPRequestEntityTooLarge as error:
        raise BodyTooLarge from error
    except ValueError:
        return {}
    return {name: value for name, value in fields.items() if isinstance(value, str)}


async def posted_file(request: web.Request, name: str) -> bytes:
    """A file that was chosen in a form; ``InvalidRequest`` if none was."""
    chosen = (await request.post()).get(name)
    if not isinstance(chosen, web.FileField):
        raise InvalidRequest(errors=[FieldError(name, "must be a file")])
    with chosen.file:
        return chosen.file.read()


def form_token(token: str) -> str:
    """What every form carries: only pages that this browser got from us know it."""
    return hmac.new(token.encode(), b"form", sha256).hexdigest()


def is_own_form(request: web.Request, token: str, form: Mapping[str, str]) -> bool:
    """Whether a form of somebody who is logged in was posted from a page that we gave to that browser."""
    given = form.get("csrf", "").encode(errors="surrogateescape")
    return comes_from_us(request) and hmac.compare_digest(given, form_token(token).encode())


def comes_from_us(request: web.Request) -> bool:
    """Whether a form was posted from a page of ours, as far as the browser says: older ones say nothing."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("Origin")
    if origin is None:
        return True
    ours = {request.host, request.headers.get("X-Forwarded-Host"), urlsplit(request.app[PUBLIC_URL] or "").netloc}
    return urlsplit(origin).netloc in ours - {None, ""}
