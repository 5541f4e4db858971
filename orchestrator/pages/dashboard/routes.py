"""All pages and actions of the dashboard, and what is the same for each: who comes in, what went wrong."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import quote

import aiohttp
from aiohttp import web

from orchestrator.api.problems import status_of
from orchestrator.domain.errors import OrchestratorError, TenantBlocked, Unauthorized
from orchestrator.pages.dashboard import (
    alerts,
    audit,
    backups,
    billing,
    broadcasts,
    bulks,
    contacts,
    live,
    log_in,
    outbox,
    processes,
    reminders,
    session,
    sessions,
    showing,
    tenants,
    tokens,
    webhooks,
)
from orchestrator.pages.dashboard.forms import is_own_form, posted
from orchestrator.pages.dashboard.visits import COOKIE, HTTP, Act, Done, Look, Page, Visit, enter
from orchestrator.pages.serving import SECURITY, add_pages, own_path

_SESSION = "/tenants/{tenant_id}/sessions/{session_id}"
_TENANT = "/tenants/{tenant_id}"
_WEBHOOK = f"{_TENANT}/webhooks/{{webhook_id}}"
_SUBSCRIPTION = f"{_TENANT}/subscription"


@dataclass(frozen=True, slots=True)
class Action:
    """What a form of a page does, when it is posted to a path below the page's."""

    name: str
    act: Act
    question: str | None = None
    """Asked before it is done: one of ``Texts.questions``."""
    body_limit: int | None = None
    """Bytes that may be posted, if not as many as anywhere."""


PAGES: tuple[tuple[str, Look, tuple[Action, ...]], ...] = (
    ("/", sessions.listed, (Action("create", sessions.create),)),
    (
        _SESSION,
        session.shown,
        (
            Action("start", session.start),
            Action("stop", session.stop, "stop"),
            Action("restart", session.restart, "restart"),
            Action("logout", session.log_out, "log_out"),
            Action("link-again", session.link_again, "link_again"),
            Action("delete", session.delete, "delete_session"),
            Action("restore", session.restore, "restore"),
            Action("code", session.pairing_code),
            Action("link", session.make_link),
            Action("revoke-link", session.revoke_link, "revoke_link"),
            Action("settings", session.change_settings),
            Action("export", session.export),
        ),
    ),
    (
        f"{_SESSION}/bulks",
        bulks.shown,
        (Action("create", bulks.create), Action("pace", bulks.change_pace)),
    ),
    (f"{_SESSION}/bulks/{{bulk_id}}", bulks.progress, (Action("cancel", bulks.cancel, "cancel_bulk"),)),
    ("/backups", backups.shown, ()),
    ("/tenants", tenants.listed, (Action("create", tenants.create),)),
    (
        _TENANT,
        tenants.shown,
        (
            Action("change", tenants.change),
            Action("block", tenants.block, "block"),
            Action("unblock", tenants.unblock),
            Action("extend", tenants.extend),
            Action("plan", tenants.choose_plan),
            Action("delete", tenants.delete, "delete_tenant"),
        ),
    ),
    (
        f"{_TENANT}/tokens",
        tokens.listed,
        (Action("create", tokens.create), Action("revoke", tokens.revoke, "revoke_token")),
    ),
    (
        _SUBSCRIPTION,
        billing.subscription,
        (
            Action("pay", billing.pay),
            Action("recurring", billing.pay_always),
            Action("cancel-recurring", billing.pay_never, "cancel_recurring"),
        ),
    ),
    (
        "/payments",
        billing.payments,
        (
            Action("reconcile", billing.reconcile),
            Action("create-plan", billing.create_plan),
            Action("change-plan", billing.change_plan),
        ),
    ),
    (
        f"{_TENANT}/contacts",
        contacts.listed,
        (
            Action("create", contacts.create),
            Action("import", contacts.write_in, body_limit=contacts.UPLOAD_LIMIT),
            Action("download", contacts.write_out),
        ),
    ),
    (
        f"{_TENANT}/contacts/{{contact_id}}",
        contacts.shown,
        (
            Action("change", contacts.change),
            Action("paid", contacts.pay),
            Action("delete", contacts.delete, "delete_contact"),
        ),
    ),
    (f"{_TENANT}/reminders", reminders.listed, (Action("create", reminders.create),)),
    (
        f"{_TENANT}/reminders/schedules/{{schedule_id}}",
        reminders.shown,
        (Action("change", reminders.change), Action("delete", reminders.delete, "delete_schedule")),
    ),
    (
        f"{_TENANT}/reminders/texts/{{template_id}}",
        reminders.text,
        (Action("change", reminders.change_text), Action("reset", reminders.reset_text, "reset_text")),
    ),
    (f"{_TENANT}/webhooks", webhooks.listed, (Action("create", webhooks.create),)),
    (
        _WEBHOOK,
        webhooks.shown,
        (
            Action("change", webhooks.change),
            Action("test", webhooks.test),
            Action("rotate", webhooks.rotate, "rotate_secret"),
            Action("replay", webhooks.replay),
            Action("delete", webhooks.delete, "delete_webhook"),
        ),
    ),
    (f"{_TENANT}/outbox", outbox.listed, (Action("cancel", outbox.cancel, "cancel_message"),)),
    ("/alerts", alerts.listed, (Action("mute", alerts.mute), Action("unmute", alerts.unmute))),
    (
        "/broadcasts",
        broadcasts.listed,
        (Action("create", broadcasts.create, "broadcast"), Action("cancel", broadcasts.cancel, "cancel_broadcast")),
    ),
    ("/processes", processes.listed, (Action("restart", processes.restart, "restart_process"),)),
    ("/processes/{process}", processes.log_tail, ()),
    ("/audit", audit.listed, ()),
)


def add_to(app: web.Application) -> None:
    """Serve the dashboard."""
    app.cleanup_ctx.append(_asking_ourselves)
    routes: list[web.AbstractRouteDef] = [*log_in.ROUTES]
    for path, look, actions in PAGES:
        routes.append(web.get(path, _page(look)))
        routes.extend(web.post(f"{path.rstrip('/')}/{one.name}", _action(look, one)) for one in actions)
    add_pages(app, routes)


async def _asking_ourselves(app: web.Application) -> AsyncIterator[None]:
    # Many people's requests go through it: none must leave a cookie for another's.
    connector, jar = aiohttp.TCPConnector(limit=0), aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(connector=connector, cookie_jar=jar) as http:
        app[HTTP] = http
        yield


def _page(look: Look) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handler(request: web.Request) -> web.StreamResponse:
        try:
            visit = await enter(request)
        except OrchestratorError as error:
            return _stays_out(request, error)
        if visit.watches:
            return await live.told(visit, look)
        try:
            return showing.page(visit, await look(visit))
        except OrchestratorError as error:
            return _stays_out(request, error) if _is_out(error) else showing.failure(visit, error)

    return handler


def _action(look: Look, action: Action) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handler(request: web.Request) -> web.StreamResponse:
        if action.body_limit is not None:
            request = request.clone(client_max_size=action.body_limit)
        try:
            visit = await enter(request)
        except OrchestratorError as error:
            return _stays_out(request, error)
        try:
            visit.form = await posted(request)
        except OrchestratorError as error:
            return showing.failure(visit, error)
        back = request.rel_url.raw_path.rpartition("/")[0] or "/"
        if not is_own_form(request, visit.token, visit.form):
            return showing.refused_form(visit)
        if action.question is not None and visit.form.get("sure") != "yes":
            return showing.question(visit, action.question, back)
        try:
            outcome = await action.act(visit)
        except OrchestratorError as error:
            return await _tried(visit, look, error)
        match outcome:
            case Done():
                to = outcome.to or back
                location = f"{to}{'&' if '?' in to else '?'}note={outcome.note}"
                return web.Response(status=303, headers={**SECURITY, "Location": location})
            case Page():
                visit.form = {}  # only what was refused is in the fields again
                return showing.page(visit, outcome)
            case _:
                return outcome

    return handler


async def _tried(visit: Visit, look: Look, error: OrchestratorError) -> web.StreamResponse:
    """The page with the form again, as it was filled in, and why it was refused."""
    if _is_out(error):
        return _stays_out(visit.request, error)
    visit.problem = showing.sentence(visit, error)
    try:
        return showing.page(visit, await look(visit), status=status_of(type(error)))
    except OrchestratorError:  # the page isn't there either
        return showing.failure(visit, error)


def _is_out(error: OrchestratorError) -> bool:
    return isinstance(error, Unauthorized | TenantBlocked)


def _stays_out(request: web.Request, error: OrchestratorError) -> web.StreamResponse:
    """To the log-in page, or a page that says why there is no use in it."""
    if isinstance(error, Unauthorized):
        if request.headers.get("Accept", "").startswith("text/event-stream"):
            return web.Response(status=401, headers=SECURITY)
        to = f"/login?next={quote(own_path(request.path_qs), safe='')}" if request.method == "GET" else "/login"
        response = web.Response(status=303, headers={**SECURITY, "Location": to})
        response.del_cookie(COOKIE, path="/")
        return response
    return showing.notice(request, error)
