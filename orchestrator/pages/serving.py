"""What all pages have in common: templates, files, headers, the language, cookies."""

import hashlib
from pathlib import Path
from urllib.parse import urlsplit

import jinja2
from aiohttp import web

from orchestrator.api.admission import PAGES
from orchestrator.domain.language import Language, preferred_language

_FOLDER = Path(__file__).parent

TEMPLATES: web.AppKey[jinja2.Environment] = web.AppKey("templates", jinja2.Environment)
VERSION: web.AppKey[str] = web.AppKey("static_version", str)

LANGUAGE_COOKIE = "language"

SECURITY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",  # some addresses are secrets
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
    "Cache-Control": "no-store",
}


def add_files(app: web.Application) -> None:
    """Have templates, and serve what they refer to."""
    app[TEMPLATES] = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    app[VERSION] = _version_of(_FOLDER / "static")
    add_pages(app, [web.static("/static", _FOLDER / "static")])


def add_pages(app: web.Application, routes: list[web.AbstractRouteDef]) -> None:
    """Serve pages, which let in whom they know."""
    app[PAGES].update(app.add_routes(routes))


def language_of(request: web.Request) -> Language:
    """What the address says, else what the person chose before, else what the browser prefers."""
    for chosen in (request.query.get("lang"), request.cookies.get(LANGUAGE_COOKIE)):
        if chosen in set(Language):
            return Language(chosen)
    return preferred_language(request.headers.get("Accept-Language", ""))


def over_tls(request: web.Request) -> bool:
    """Whether the browser reached us so; a proxy in front of us ends TLS."""
    return request.headers.get("X-Forwarded-Proto", request.scheme) == "https"


def own_path(text: str) -> str:
    """A path of this service that came in a request; "/" for anything that leads elsewhere."""
    parts = urlsplit(text)
    leads_here = text.startswith("/") and not text.startswith(("//", "/\\")) and not parts.netloc and not parts.scheme
    return text if leads_here and text.isprintable() else "/"


def _version_of(folder: Path) -> str:
    """Changes with the files, so that browsers may keep them."""
    contents = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.iterdir())))
    return contents.hexdigest()[:12]
