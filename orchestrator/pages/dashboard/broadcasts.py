"""One text to all tenants that use the Telegram bot, and how far it is."""

from orchestrator.domain.broadcast import BroadcastState, existing_broadcast_id
from orchestrator.domain.errors import FieldError, InvalidRequest
from orchestrator.pages.dashboard.visits import Done, Page, Visit
from orchestrator.wire.broadcasts import LONGEST_TEXT, Broadcasts

_MARKS = {
    BroadcastState.WAITING: "busy",
    BroadcastState.RUNNING: "busy",
    BroadcastState.DONE: "good",
    BroadcastState.CANCELLED: "off",
}


async def listed(visit: Visit) -> Page:
    found = await visit.client.page("/v1/broadcasts", Broadcasts, {"cursor": visit.asked("cursor") or None})
    values = {
        "broadcasts": found.broadcasts,
        "next_cursor": found.next_cursor,
        "marks": _MARKS,
        "longest": LONGEST_TEXT,
    }
    return Page(
        template="broadcasts.html", title=visit.texts.broadcasts, area="broadcasts", values=values, looks_seconds=2.0
    )


async def create(visit: Visit) -> Done:
    text = "\n".join(visit.typed("text").splitlines())
    if not 1 <= len(text) <= LONGEST_TEXT:
        raise InvalidRequest(errors=[FieldError("broadcast_text", f"must have 1 to {LONGEST_TEXT} characters")])
    await visit.client.broadcasts.create(text)
    return Done(note="broadcast_begun")


async def cancel(visit: Visit) -> Done:
    await visit.client.broadcasts.cancel(existing_broadcast_id(visit.typed("broadcast_id")))
    return Done(note="cancelled")
