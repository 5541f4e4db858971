"""A visit: somebody who is logged in looks at a page, or posts a form."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp
from aiohttp import web

from orchestrator.api.admission import FOR_ADDRESS_HEADER, PAGE_TOKEN, PAGE_TOKEN_HEADER, address_of
from orchestrator.api.keys import SERVICES
from orchestrator.api.request_ids import HEADER, REQUEST_ID
from orchestrator.client import Client
from orchestrator.domain.errors import Unauthorized
from orchestrator.domain.language import Language
from orchestrator.domain.tenant import Caller, Scope, existing_tenant_id
from orchestrator.pages.dashboard.texts import DASHBOARD, Texts
from orchestrator.pages.serving import language_of

T = TypeVar("T")

#: The browser's token.
COOKIE = "login"

#: Connections to ourselves.
HTTP: web.AppKey[aiohttp.ClientSession] = web.AppKey("dashboard_http", aiohttp.ClientSession)


@dataclass(slots=True, kw_only=True)
class Visit:
    request: web.Request
    caller: Caller
    tenant_id: str
    """Whose page it is: the address says it, or it is the visitor's own."""
    token: str = field(repr=False)
    client: Client
    """The API as the visitor may use it."""
    form: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What was posted: kept in the form when it was refused."""
    problem: str | None = None
    """Why it was."""

    @property
    def language(self) -> Language:
        return language_of(self.request)

    @property
    def texts(self) -> Texts:
        return DASHBOARD[self.language]

    @property
    def is_admin(self) -> bool:
        return self.caller.is_admin

    @property
    def watches(self) -> bool:
        """Whether it is the page's stream that asks, again and again, for what changes by itself."""
        return self.request.headers.get("Accept", "").startswith("text/event-stream")

    @property
    def may_manage(self) -> bool:
        """Whether forms are shown; the API decides once more."""
        return Scope.MANAGE in self.caller.scopes

    @property
    def may_send(self) -> bool:
        return Scope.SEND in self.caller.scopes

    @property
    def own(self) -> Client:
        """The API for the things of the page's tenant."""
        return self.client.of(self.tenant_id)

    def named(self, name: str) -> str:
        """A part of the address."""
        return self.request.match_info[name]

    def asked(self, name: str) -> str:
        """A parameter of the address; "" if it isn't there."""
        return self.request.query.get(name, "")

    def typed(self, name: str) -> str:
        """What was typed into a field, without the spaces around it; "" if nothing was."""
        return self.form.get(name, "").strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A template of templates/dashboard and what it shows. Its blocks ``live_...`` are kept up to date in the browser."""

    template: str
    title: str
    area: str
    """Which entry of the navigation it belongs to."""
    values: Mapping[str, Any] = field(default_factory=dict)
    looks_seconds: float = 5.0
    """How often it is looked whether something has changed, beside when something happens to a session of its tenant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Something was done: back to a page, which says so by one of ``Texts.notes``."""

    note: str
    to: str | None = None
    """Another page than the action's own."""


Look = Callable[[Visit], Awaitable[Page]]
Act = Callable[[Visit], Awaitable[Done | Page | web.StreamResponse]]


async def enter(request: web.Request) -> Visit:
    """Whoever is logged in; ``Unauthorized``, ``TenantBlocked``, ``DatabaseUnavailable``, ``RateLimited``.

    ``TenantNotFound`` for an address that can't be a tenant's.
    """
    services, token = request.app[SERVICES], request.cookies.get(COOKIE)
    if token is None:
        raise Unauthorized
    caller = services.access.known(token)
    if caller is None:
        services.rate_limits.may_try(address_of(request))
        services.readiness.require_started()
        try:
            caller = await services.access.caller(token)
        except Unauthorized:
            services.rate_limits.failed_login(address_of(request))
            raise
    tenant_id = existing_tenant_id(request.match_info.get("tenant_id", caller.tenant_id))
    return Visit(request=request, caller=caller, tenant_id=tenant_id, token=token, client=api(request, token))


def api(request: web.Request, token: str) -> Client:
    """Our own API with somebody's token, as if they asked it themselves: from where they are, by the name they know us by."""
    assert request.transport is not None
    host, port = request.transport.get_extra_info("sockname")[:2]
    headers = {
        PAGE_TOKEN_HEADER: request.app[PAGE_TOKEN],
        FOR_ADDRESS_HEADER: address_of(request) or "",
        HEADER: request[REQUEST_ID],
        "Host": request.host,
        "X-Forwarded-Proto": request.headers.get("X-Forwarded-Proto", request.scheme),
    }
    base_url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    # A person is told at once what is wrong, and asks again.
    return Client(base_url, token, http=request.app[HTTP], headers=headers, attempts=1)


async def first(things: AsyncIterator[T], most: int) -> list[T]:
    """The first of a list, of which no more is asked for than is shown."""
    found: list[T] = []
    async for thing in things:
        found.append(thing)
        if len(found) == most:
            break
    return found
