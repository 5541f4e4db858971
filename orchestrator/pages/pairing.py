"""The pairing page: what an operator or a tenant sends to whoever holds the phone.

``/pair/{token}`` says who asks for what, and begins when a person presses a button: programs that look at links (a chat's
preview) must not use it up. From then on it is bound to that browser by a cookie. Whoever has neither token nor cookie is
told the same for every reason. The page asks ``state`` again and again; each question waits for news, so that any replica
can hand it to the one that runs the session.
"""

import asyncio
import hashlib
import math
from collections.abc import Awaitable, Callable
from datetime import UTC
from typing import Any

import msgspec
from aiohttp import web
from markupsafe import Markup

from orchestrator.api.admission import address_of
from orchestrator.api.forwarding import from_owner
from orchestrator.api.keys import SERVICES
from orchestrator.api.qr_codes import data_uri
from orchestrator.domain.errors import InvalidRequest, OrchestratorError, PairingLinkNotFound, RateLimited, Unavailable
from orchestrator.domain.language import Language
from orchestrator.domain.pairing_failure import EXPLANATIONS, Explanation, pairing_failure
from orchestrator.domain.pairing_link import PairingLink
from orchestrator.pages.serving import SECURITY, TEMPLATES, VERSION, add_pages, language_of, over_tls
from orchestrator.pages.texts import PAIRING, PairingTexts
from orchestrator.services.events import remaining_seconds
from orchestrator.services.pairing import Phase, Progress

_COOKIE = "pairing"
#: Seconds that a question for the state waits for news.
_NEWS_SECONDS = 20.0
#: Seconds that a request waits for somebody to take a session that was started just now.
_OWNER_SECONDS = 5.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ShownState(msgspec.Struct, frozen=True, rename="camel"):
    """What the page shows now. ``version`` changes with everything but the clock."""

    phase: Phase
    version: str
    qr: str | None = None
    code: str | None = None
    life_ms: int | None = None
    remaining_ms: int | None = None
    notice: str | None = None
    happened: str | None = None
    advice: str | None = None


def add_to(app: web.Application) -> None:
    """Serve the page."""
    routes = [
        web.get("/pair/{token}", _guarded(show)),
        web.post("/pair/{token}/open", _guarded(open_link)),
        web.get("/pair/{token}/state", _guarded(state)),
        web.post("/pair/{token}/start", _guarded(start)),
        web.post("/pair/{token}/code", _guarded(code)),
    ]
    add_pages(app, list(routes))


async def show(request: web.Request) -> web.StreamResponse:
    link = await _link(request)
    opened = link.opened_at is not None
    if not opened:
        return _page(request, "pairing.html", link=link, opened=False)
    return await _of_owner(request, link, lambda: _live_page(request, link))


async def open_link(request: web.Request) -> web.StreamResponse:
    token = request.match_info["token"]
    browser = await request.app[SERVICES].pairing_links.open(token)
    response = _redirect(request)
    # Lax: a click on the link in a chat must find the page again. Other sites can't post with it.
    response.set_cookie(_COOKIE, browser, path=_path(request), httponly=True, samesite="Lax", secure=over_tls(request))
    return response


async def state(request: web.Request) -> web.StreamResponse:
    link = await _opened_link(request)
    return await _of_owner(request, link, lambda: _news(request, link))


async def start(request: web.Request) -> web.StreamResponse:
    link = await _opened_link(request)

    async def begin() -> web.StreamResponse:
        services = request.app[SERVICES]
        session = (await services.sessions.get(link.tenant_id, link.session_id)).session
        if not session.paired:
            await services.sessions.start(link.tenant_id, link.session_id, new_pairing=session.set_aside_by is not None)
        return _redirect(request)

    return await _of_owner(request, link, begin)


async def code(request: web.Request) -> web.StreamResponse:
    """Have a code shown for the posted phone number: 204 for the page's script, a redirect for a browser without one."""
    link = await _opened_link(request)
    scripted = "application/json" in request.headers.get("Accept", "")

    async def ask() -> web.StreamResponse:
        phone = str((await request.post()).get("phone", ""))
        digits = "".join(character for character in phone if character not in " +-().")
        try:
            await request.app[SERVICES].pairing.code(link.tenant_id, link.session_id, digits)
        except OrchestratorError as error:
            sentence = _sentence(error, language_of(request))
            if scripted:
                return web.json_response({"message": sentence}, status=409, headers=SECURITY)
            return await _live_page(request, link, code_error=sentence)
        return web.Response(status=204, headers=SECURITY) if scripted else _redirect(request)

    return await _of_owner(request, link, ask)


async def _link(request: web.Request) -> PairingLink:
    return await request.app[SERVICES].pairing_links.find(request.match_info["token"], request.cookies.get(_COOKIE))


async def _opened_link(request: web.Request) -> PairingLink:
    """The link of a request that only its own browser may make."""
    link = await _link(request)
    if link.opened_at is None:
        raise PairingLinkNotFound
    return link


async def _of_owner(
    request: web.Request, link: PairingLink, here: Callable[[], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """What the replica that runs the session answers, which alone knows its QR code."""
    there = await from_owner(request, link.tenant_id, link.session_id, wait_seconds=_OWNER_SECONDS)
    return there or await here()


async def _live_page(request: web.Request, link: PairingLink, code_error: str | None = None) -> web.StreamResponse:
    shown = await _shown(request, link)
    as_json = msgspec.json.encode(shown).decode().replace("<", "\\u003c")
    return _page(
        request,
        "pairing.html",
        link=link,
        opened=True,
        state=shown,
        state_json=Markup(as_json),
        code_error=code_error,
    )


async def _news(request: web.Request, link: PairingLink) -> web.StreamResponse:
    """The state, as soon as it is another than the one that the page has seen, or after a while."""
    deadline = asyncio.get_running_loop().time() + _NEWS_SECONDS
    pairing = request.app[SERVICES].pairing
    while True:
        shown = await _shown(request, link)
        left = deadline - asyncio.get_running_loop().time()
        if shown.version != request.query.get("seen") or left <= 0:
            return web.Response(body=msgspec.json.encode(shown), content_type="application/json", headers=SECURITY)
        await pairing.change(min(left, 2.0))


async def _shown(request: web.Request, link: PairingLink) -> ShownState:
    services = request.app[SERVICES]
    progress = await services.pairing.progress(link.tenant_id, link.session_id)
    if progress.phase is Phase.LINKED:
        await services.pairing_links.used(link)
    return shown_state(progress, language_of(request))


def shown_state(progress: Progress, language: Language) -> ShownState:
    """The progress of a pairing in words and pictures."""
    texts = PAIRING[language]
    fields: dict[str, Any] = {}
    shown = progress.code or progress.qr
    if progress.phase is Phase.SCAN and shown is not None:
        fields["code"] = progress.code.code if progress.code else None
        fields["qr"] = data_uri(progress.qr.qr) if progress.qr else None
        fields["notice"] = _notice(progress, texts, language)
    if progress.phase is Phase.FAILED:
        explanation = _explanation(progress.failure, texts, language)
        fields |= {"happened": explanation.happened, "advice": explanation.advice}
    version = hashlib.sha256(repr((progress.phase, fields)).encode()).hexdigest()[:16]
    if progress.phase is Phase.SCAN and shown is not None:
        # The ring is full when a code is fresh: 60 s for the first QR code, less for the others.
        left = round(remaining_seconds(shown.expires_at) * 1000)
        fields |= {"remaining_ms": left, "life_ms": 200_000 if progress.code else 60_000 if left > 20_000 else 20_000}
    return ShownState(progress.phase, version, **fields)


def _notice(progress: Progress, texts: PairingTexts, language: Language) -> str | None:
    if progress.qr is not None and progress.qr.rotated and progress.code is None:
        return texts.scan_rotated
    if progress.failure is None:
        return None
    return str(_explanation(progress.failure, texts, language))


def _explanation(failure: str | None, texts: PairingTexts, language: Language) -> Explanation:
    known = pairing_failure(failure) if failure is not None else None
    return Explanation(texts.stopped, texts.stopped_hint) if known is None else EXPLANATIONS[language][known]


def _sentence(error: OrchestratorError, language: Language) -> str:
    """An error of the code form in the page's language; those without a text of their own are said as a failure."""
    if isinstance(error, InvalidRequest):
        return PAIRING[language].phone_format
    known = pairing_failure(error.code.removeprefix("pairing_"))
    if known is None:
        return PAIRING[language].stopped
    return str(EXPLANATIONS[language][known])


def _guarded(handler: Handler) -> Handler:
    """A page instead of a problem document when there is nothing to show."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        texts = PAIRING[language_of(request)]
        try:
            return await handler(request)
        except Unavailable:
            fields = {
                "heading": texts.unavailable_title,
                "sentence": texts.unavailable,
                "again": request.method == "GET",
            }
            return _page(request, "notice.html", status=503, **fields)
        except PairingLinkNotFound:
            return _refused(request, texts)
        except OrchestratorError:  # the session is gone, or something that a person can't mend
            return _gone(request, texts)

    return guarded


def _refused(request: web.Request, texts: PairingTexts) -> web.Response:
    """Whoever guesses tokens is slowed down; a token that is right is never counted."""
    try:
        request.app[SERVICES].rate_limits.failed_login(address_of(request))
    except RateLimited as error:
        fields = {"heading": texts.too_many_title, "sentence": texts.too_many, "again": False}
        response = _page(request, "notice.html", status=429, **fields)
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_seconds)))
        return response
    return _gone(request, texts)


def _gone(request: web.Request, texts: PairingTexts) -> web.Response:
    return _page(request, "notice.html", status=404, heading=texts.gone_title, sentence=texts.gone, again=False)


def _page(request: web.Request, template: str, *, status: int = 200, **values: Any) -> web.Response:
    language = language_of(request)
    link = values.get("link")
    body = (
        request.app[TEMPLATES]
        .get_template(template)
        .render(
            t=PAIRING[language],
            language=language,
            other=Language.EN if language is Language.PT_BR else Language.PT_BR,
            version=request.app[VERSION],
            path=_path(request),
            until=link.expires_at.astimezone(UTC) if link else None,
            **values,
        )
    )
    return web.Response(body=body.encode(), status=status, content_type="text/html", charset="utf-8", headers=SECURITY)


def _redirect(request: web.Request) -> web.Response:
    location = f"{_path(request)}?lang={language_of(request)}"
    return web.Response(status=303, headers={"Location": location, **SECURITY})


def _path(request: web.Request) -> str:
    return f"/pair/{request.match_info['token']}"
