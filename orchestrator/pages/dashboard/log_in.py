"""Logging in and out. A browser keeps a short token in a cookie, never the one that was typed."""

from datetime import UTC, datetime

import structlog
from aiohttp import web

from orchestrator.api.admission import address_of
from orchestrator.api.keys import SERVICES
from orchestrator.api.request_ids import REQUEST_ID
from orchestrator.domain.act import Deed
from orchestrator.domain.errors import LoginLinkNotFound, LoginNotFound, OrchestratorError, Unauthorized
from orchestrator.domain.language import Language
from orchestrator.pages.dashboard import showing
from orchestrator.pages.dashboard.forms import comes_from_us, is_own_form, posted
from orchestrator.pages.dashboard.texts import DASHBOARD
from orchestrator.pages.dashboard.visits import COOKIE, api
from orchestrator.pages.serving import LANGUAGE_COOKIE, SECURITY, language_of, over_tls, own_path

log = structlog.get_logger(__name__)

_YEAR_SECONDS = 365 * 24 * 3600
_LONGEST_TOKEN = 200


async def ask(request: web.Request) -> web.Response:
    return _form(request, to=own_path(request.query.get("next", "/")))


async def enter(request: web.Request) -> web.Response:
    """Exchange the token that was typed; the API says whether it is one, and slows guessers down."""
    texts, form = DASHBOARD[language_of(request)], await posted(request)
    to, token = own_path(form.get("next", "/")), form.get("token", "").strip()
    if not comes_from_us(request):
        return _form(request, to=to, problem=texts.form_refused, status=403)
    if not 0 < len(token) <= _LONGEST_TOKEN or not token.isascii() or not token.isprintable():
        return _form(request, to=to, problem=texts.login_wrong, status=401)
    try:
        login = await api(request, token).logins.begin()
    except Unauthorized:
        return _form(request, to=to, problem=texts.login_wrong, status=401)
    except OrchestratorError as error:
        return showing.notice(request, error)
    return _logged_in(request, login.token, datetime.fromisoformat(login.expires_at), to)


async def show_link(request: web.Request) -> web.Response:
    """A page with a button: what looks at links by itself must not use it up."""
    try:
        valid = await request.app[SERVICES].logins.is_valid(request.match_info["secret"])
    except OrchestratorError as error:
        return showing.notice(request, error)
    if not valid:
        return _no_link(request)
    return showing.bare(request, "login_link.html", DASHBOARD[language_of(request)].login)


async def open_link(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    if not comes_from_us(request):
        return _form(request, problem=DASHBOARD[language_of(request)].form_refused, status=403)
    try:
        login = await services.logins.open(request.match_info["secret"])
        act_id = await services.acts.begin(
            Deed(
                actor="login-link",
                action="logins_open_link",
                tenant_id=login.tenant_id,
                path="/login/…",
                request_id=request[REQUEST_ID],
                address=address_of(request),
            )
        )
        await services.acts.end(act_id, 303, None)
    except LoginLinkNotFound:
        return _no_link(request)
    except OrchestratorError as error:
        return showing.notice(request, error)
    return _logged_in(request, login.token, login.expires_at, "/")


async def leave(request: web.Request) -> web.Response:
    """Log out. A browser that isn't logged in any more is shown the same."""
    token = request.cookies.get(COOKIE)
    if token is not None:
        if not is_own_form(request, token, await posted(request)):
            return _redirect("/")
        try:
            await api(request, token).logins.end()
        except (Unauthorized, LoginNotFound):
            pass
        except OrchestratorError as error:
            return showing.notice(request, error)
    response = _redirect("/login")
    response.del_cookie(COOKIE, path="/")
    return response


async def choose_language(request: web.Request) -> web.Response:
    response = _redirect(own_path(request.query.get("next", "/")))
    chosen = request.query.get("to")
    if chosen in set(Language):
        response.set_cookie(
            LANGUAGE_COOKIE, str(chosen), path="/", max_age=_YEAR_SECONDS, samesite="Lax", secure=over_tls(request)
        )
    return response


def _form(request: web.Request, *, to: str = "/", problem: str | None = None, status: int = 200) -> web.Response:
    title = DASHBOARD[language_of(request)].login
    return showing.bare(request, "login.html", title, status=status, next=to, problem=problem)


def _no_link(request: web.Request) -> web.Response:
    """Whoever guesses links is slowed down like one who guesses tokens."""
    texts = DASHBOARD[language_of(request)]
    try:
        request.app[SERVICES].rate_limits.failed_login(address_of(request))
    except OrchestratorError as error:
        return showing.notice(request, error)
    return _form(request, problem=texts.login_link_over, status=404)


def _logged_in(request: web.Request, token: str, until: datetime, to: str) -> web.Response:
    response = _redirect(to)
    seconds = max(0, round((until - datetime.now(UTC)).total_seconds()))
    # Lax: a link to a page in a chat must find it open. Other sites can't post with it.
    response.set_cookie(
        COOKIE, token, path="/", max_age=seconds, httponly=True, samesite="Lax", secure=over_tls(request)
    )
    return response


def _redirect(to: str) -> web.Response:
    return web.Response(status=303, headers={**SECURITY, "Location": to})


ROUTES = (
    web.get("/login", ask),
    web.post("/login", enter),
    web.get("/login/{secret}", show_link),
    web.post("/login/{secret}", open_link),
    web.post("/logout", leave),
    web.get("/language", choose_language),
)
