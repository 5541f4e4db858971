"""The public API: the application and its operations."""

import secrets

from aiohttp import web

from orchestrator.api import (
    activity,
    alerts,
    bot,
    broadcasts,
    channels,
    charges,
    chats,
    contacts,
    event_stream,
    groups,
    health,
    logins,
    messages,
    metrics,
    openapi,
    outbox,
    overview,
    pairing,
    payments,
    peer,
    plans,
    processes,
    reminder_contacts,
    reminder_schedules,
    reminder_templates,
    seed,
    session_settings,
    sessions,
    subscriptions,
    tenants,
    webhooks,
)
from orchestrator.api.admission import PAGE_TOKEN, PAGES, PEER_TOKEN, PROXIES, admitted, tell_rate
from orchestrator.api.compression import compressed
from orchestrator.api.forwarding import forwarded
from orchestrator.api.hardening import hardened
from orchestrator.api.keys import HAS_BOT, PUBLIC_URL, SERVICES, WEBHOOK_SECRET, Services
from orchestrator.api.operations import BODY_LIMIT, Operation, operation_of, register
from orchestrator.api.problems import problems
from orchestrator.api.record import recorded
from orchestrator.api.request_ids import Handler, identified, tell_request_id
from orchestrator.api.tracing import traced
from orchestrator.peer.client import DATABASE_PATH, EVENTS_PATH

#: In the order in which the documentation shows them.
OPERATIONS: tuple[Operation, ...] = (
    *sessions.OPERATIONS,
    *pairing.OPERATIONS,
    *session_settings.OPERATIONS,
    *activity.OPERATIONS,
    *messages.OPERATIONS,
    *outbox.OPERATIONS,
    *webhooks.OPERATIONS,
    *chats.OPERATIONS,
    *contacts.OPERATIONS,
    *groups.OPERATIONS,
    *channels.OPERATIONS,
    *event_stream.OPERATIONS,
    *tenants.OPERATIONS,
    *logins.OPERATIONS,
    *overview.OPERATIONS,
    *processes.OPERATIONS,
    *alerts.OPERATIONS,
    *broadcasts.OPERATIONS,
    *bot.OPERATIONS,
    *plans.OPERATIONS,
    *subscriptions.OPERATIONS,
    *charges.OPERATIONS,
    *payments.OPERATIONS,
    *reminder_contacts.OPERATIONS,
    *reminder_templates.OPERATIONS,
    *reminder_schedules.OPERATIONS,
    *health.OPERATIONS,
    *metrics.OPERATIONS,
    *openapi.OPERATIONS,
    *seed.OPERATIONS,
)


def public_app(
    services: Services,
    peer_token: str,
    public_url: str | None = None,
    *,
    proxies: int = 0,
    metrics_token: str | None = None,
    has_bot: bool = False,
    webhook_secret: str | None = None,
) -> web.Application:
    """``proxies``: how many in front of us add an address to X-Forwarded-For; ``webhook_secret``: what Telegram shows."""
    middlewares = [
        identified,
        traced,
        metrics.metered,
        compressed,
        problems,
        seed.plain_answers,
        admitted,
        recorded,
        bounded,
        forwarded,
    ]
    app = web.Application(middlewares=middlewares, client_max_size=BODY_LIMIT)
    app[SERVICES] = services
    app[PEER_TOKEN] = peer_token
    app[PUBLIC_URL] = public_url
    app[PROXIES] = proxies
    app[PAGES] = set()
    app[PAGE_TOKEN] = secrets.token_hex(32)
    app[HAS_BOT] = has_bot
    app[WEBHOOK_SECRET] = webhook_secret
    app[metrics.METRICS_TOKEN] = metrics_token
    app.on_response_prepare.extend([tell_request_id, tell_rate, hardened])
    register(app, OPERATIONS)
    app.add_routes([web.get(EVENTS_PATH, peer.events), web.get(DATABASE_PATH, peer.database)])
    return app


@web.middleware
async def bounded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse bodies beyond the operation's limit while they are read; compressed ones count as what they unfold to."""
    operation = operation_of(request)
    if operation is not None and operation.body_limit != BODY_LIMIT:
        request = request.clone(client_max_size=operation.body_limit)
    return await handler(request)
