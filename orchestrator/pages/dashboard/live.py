"""A page that keeps itself up to date: its own address as server-sent events.

Each event is ``{id: html}`` of the parts that have changed: the template's blocks ``live_...``. The page is put together
anew when something happens to a session of its tenant, and every few seconds for what nobody tells.
"""

import asyncio
import contextlib

import msgspec
from aiohttp import web

from orchestrator.api.keys import SERVICES
from orchestrator.domain.errors import NotFound, OrchestratorError, TenantBlocked, Unauthorized
from orchestrator.pages.dashboard import showing
from orchestrator.pages.dashboard.visits import Look, Visit
from orchestrator.pages.serving import SECURITY
from orchestrator.services.events import Subscription

#: What changes a page.
_TYPES = frozenset(
    "session.state session.qr session.pairing_code session.pairing_failed session.degraded session.repaired".split()
)
#: Seconds between two looks, however much happens.
_PAUSE_SECONDS = 0.3
#: Seconds that a browser may take for what is written to it.
_WRITE_SECONDS = 30.0
_HEADERS = {"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}


async def told(visit: Visit, look: Look) -> web.StreamResponse:
    """Tell of changes until the browser leaves, its log-in ends, or the service stops."""
    events = visit.request.app[SERVICES].events
    response = web.StreamResponse(headers={**SECURITY, **_HEADERS})
    # The type of it only: what it says is asked of the API, with the visitor's rights.
    wanted = Subscription(visit.tenant_id, visit.request.match_info.get("session_id"), types=_TYPES)
    with events.subscribed(wanted):
        await response.prepare(visit.request)
        shown: dict[str, str] = {}
        with contextlib.suppress(ConnectionResetError, TimeoutError):
            while True:
                begun = asyncio.get_running_loop().time()
                seconds, fresh = 5.0, {}
                try:
                    page = await look(visit)
                    seconds, fresh = page.looks_seconds, showing.live_parts(visit, page)
                except (Unauthorized, TenantBlocked, NotFound):
                    await _write(response, "event: gone\ndata: {}\n\n")
                    break
                except OrchestratorError:
                    pass  # the service says later how things are
                changed = {name: html for name, html in fresh.items() if shown.get(name) != html}
                shown |= changed
                data = msgspec.json.encode(changed).decode()
                await _write(response, f"data: {data}\n\n" if changed else ": still here\n\n")
                if not await _something(wanted, begun + seconds):
                    break
    return response


async def _write(response: web.StreamResponse, text: str) -> None:
    async with asyncio.timeout(_WRITE_SECONDS):
        await response.write(text.encode())


async def _something(wanted: Subscription, until: float) -> bool:
    """Wait until something happens, or it is time to look; False when the service stops."""
    await asyncio.sleep(_PAUSE_SECONDS)
    try:
        async with asyncio.timeout_at(until):
            if await wanted.queue.get() is None:
                return False
    except TimeoutError:
        return True
    while not wanted.queue.empty():
        if wanted.queue.get_nowait() is None:
            return False
    return True
