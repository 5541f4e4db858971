"""Messages that wait to be sent, and what became of the others, by session."""

from orchestrator.domain.outbox import MessageState
from orchestrator.pages.dashboard.showing import path, query
from orchestrator.pages.dashboard.visits import Done, Page, Visit, first
from orchestrator.wire.outbox import OutboxPage

_MOST = 200


async def listed(visit: Visit) -> Page:
    sessions = [one.session_id for one in await first(visit.own.sessions.list(), _MOST)]
    chosen, state = (
        visit.asked("session") or visit.typed("session") or (sessions[0] if sessions else ""),
        visit.asked("state"),
    )
    found = OutboxPage(messages=[], next_cursor=None)
    if chosen:
        narrowed = {"state": state or None, "cursor": visit.asked("cursor") or None}
        found = await visit.own.page(f"/v1{path('sessions', chosen, 'outbox')}", OutboxPage, narrowed)
    values = {
        "sessions": sessions,
        "chosen": chosen,
        "state": state,
        "message_states": list(MessageState),
        "queued": MessageState.QUEUED,
        "messages": found.messages,
        "next_cursor": found.next_cursor,
    }
    return Page(template="outbox.html", title=visit.texts.outbox, area="outbox", values=values)


async def cancel(visit: Visit) -> Done:
    session_id = visit.typed("session")
    await visit.own.outbox.cancel(session_id, visit.typed("message_id"))
    back = path("tenants", visit.tenant_id, "outbox") + query(session=session_id)
    return Done(note="cancelled", to=back)
