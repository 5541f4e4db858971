"""Pages as HTML, and errors as sentences in the visitor's language."""

from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

from aiohttp import web

from orchestrator.api.problems import status_of
from orchestrator.api.qr_codes import data_uri
from orchestrator.bot.texts import TEXTS
from orchestrator.domain.errors import InvalidRequest, NotFound, OrchestratorError, RateLimited, Unavailable
from orchestrator.domain.language import Language
from orchestrator.domain.reason import reason_in
from orchestrator.domain.reminder_text import shown_date
from orchestrator.pages.dashboard import drawing
from orchestrator.pages.dashboard.forms import form_token
from orchestrator.pages.dashboard.navigation import entries
from orchestrator.pages.dashboard.texts import DASHBOARD
from orchestrator.pages.dashboard.visits import Page, Visit
from orchestrator.pages.serving import SECURITY, TEMPLATES, VERSION, language_of

#: Forms tell where they were posted from: the token in them, and the browser's Origin header.
_HEADERS = {**SECURITY, "Referrer-Policy": "same-origin"}


def page(visit: Visit, shown: Page, *, status: int = 200) -> web.Response:
    template = visit.request.app[TEMPLATES].get_template(f"dashboard/{shown.template}")
    return _html(template.render(_context(visit, shown)), status)


def live_parts(visit: Visit, shown: Page) -> dict[str, str]:
    """The parts of a page that change by themselves, by their id."""
    template = visit.request.app[TEMPLATES].get_template(f"dashboard/{shown.template}")
    context = template.new_context(_context(visit, shown))
    names = [name for name in template.blocks if name.startswith("live_")]
    return {name.replace("_", "-"): "".join(template.blocks[name](context)).strip() for name in names}


def question(visit: Visit, name: str, back: str) -> web.Response:
    """What is done by the form, and a button that does it."""
    values = {**visit.request.match_info, **visit.form}
    asked = visit.texts.questions[name].format_map(_Named(values))
    kept = {name: value for name, value in visit.form.items() if name not in ("csrf", "sure")}
    fields = {"question": asked, "kept": kept, "back": back, "action": visit.request.rel_url.raw_path}
    return page(visit, Page(template="question.html", title=asked, area="", values=fields))


def failure(visit: Visit, error: OrchestratorError) -> web.Response:
    """A page that couldn't be shown."""
    texts = visit.texts
    title = texts.gone_title if isinstance(error, NotFound) else texts.failed_title
    fields = {"sentence": sentence(visit, error), "again": isinstance(error, Unavailable)}
    shown = Page(template="failure.html", title=title, area="", values=fields)
    return page(visit, shown, status=status_of(type(error)))


def refused_form(visit: Visit) -> web.Response:
    fields = {"sentence": visit.texts.form_refused, "again": False}
    shown = Page(template="failure.html", title=visit.texts.failed_title, area="", values=fields)
    return page(visit, shown, status=HTTPStatus.FORBIDDEN)


def notice(request: web.Request, error: OrchestratorError) -> web.Response:
    """For somebody who isn't logged in, or can't be now."""
    texts = DASHBOARD[language_of(request)]
    fields = {"sentence": _sentence(language_of(request), error), "again": isinstance(error, Unavailable)}
    return bare(request, "notice.html", texts.failed_title, status=status_of(type(error)), **fields)


def bare(request: web.Request, template: str, title: str, *, status: int = 200, **values: Any) -> web.Response:
    """A page without navigation, for whoever isn't logged in."""
    found = request.app[TEMPLATES].get_template(f"dashboard/{template}")
    return _html(found.render(**_common(request), title=title, **values), status)


def sentence(visit: Visit, error: OrchestratorError) -> str:
    return _sentence(visit.language, error)


def _sentence(language: Language, error: OrchestratorError) -> str:
    texts, known = DASHBOARD[language], {**TEXTS[language].errors, **DASHBOARD[language].errors}
    if isinstance(error, InvalidRequest) and error.errors:
        fields = dict.fromkeys(
            one.field.partition("[")[0].partition(".")[2] or one.field.partition("[")[0] for one in error.errors
        )
        return " ".join(texts.fields.get(name) or texts.field_other.format(field=name) for name in fields)
    if isinstance(error, RateLimited) and error.code not in known:
        return texts.too_often
    if error.code in known:
        return known[error.code]
    if isinstance(error, Unavailable):
        return texts.unavailable
    if language is Language.EN:
        return error.message
    return texts.error_other.format(code=error.code, message=error.message)


def _context(visit: Visit, shown: Page) -> dict[str, Any]:
    return {
        **_common(visit.request),
        "title": shown.title,
        "visit": visit,
        "entries": entries(visit, shown.area),
        "csrf": form_token(visit.token),
        "live_path": visit.request.path_qs
        if visit.request.method == "GET"
        else visit.request.rel_url.raw_path.rpartition("/")[0] or "/",
        "note": visit.texts.notes.get(visit.asked("note")) if visit.request.method == "GET" else None,
        **shown.values,
    }


def _common(request: web.Request) -> dict[str, Any]:
    language = language_of(request)
    return {
        "t": DASHBOARD[language],
        "b": TEXTS[language],
        "language": language,
        "other": Language.EN if language is Language.PT_BR else Language.PT_BR,
        "here": quote(request.path_qs if request.method == "GET" else "/", safe=""),
        "version": request.app[VERSION],
        "draw": drawing,
        "qr_uri": data_uri,
        "path": path,
        "plain_time": plain_time,
        "price": price,
        "size": size,
        "query": query,
        "number_of": number_of,
        "day": partial(shown_date, language=language),
        "why": partial(reason_in, language),
    }


def path(*parts: object) -> str:
    """An address out of its parts, none of which can lead elsewhere."""
    return "/" + "/".join(quote(str(part), safe="") for part in parts)


def query(**values: object) -> str:
    """A query out of what isn't empty."""
    text = urlencode({name: value for name, value in values.items() if value not in (None, "")})
    return f"?{text}" if text else ""


def plain_time(moment: str) -> str:
    """A time of the API for a browser without scripts; with them it shows it in the visitor's own zone."""
    return datetime.fromisoformat(moment).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def price(cents: int | None) -> str:
    """Of reais, as Brazil writes them."""
    whole, rest = divmod(abs(cents or 0), 100)
    return f"{'-' if (cents or 0) < 0 else ''}R$ {whole:,}".replace(",", ".") + f",{rest:02d}"


def size(number: int) -> str:
    """Bytes for people."""
    value, units = float(number), ("B", "KB", "MB", "GB", "TB")
    for unit in units:
        if value < 1000 or unit == units[-1]:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError


def number_of(jid: str | None) -> str:
    """The phone number in a jid such as 5511999990000:7@s.whatsapp.net."""
    return "–" if jid is None else "+" + jid.partition("@")[0].partition(":")[0]


class _Named(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return ""


def _html(text: str, status: int) -> web.Response:
    return web.Response(body=text.encode(), status=status, content_type="text/html", charset="utf-8", headers=_HEADERS)
