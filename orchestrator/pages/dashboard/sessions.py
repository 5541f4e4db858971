"""The beginning: all sessions, how they are, and a new one."""

from collections.abc import Sequence
from typing import Any

from orchestrator.domain.session import ConnectionState
from orchestrator.domain.tenant import existing_tenant_id
from orchestrator.pages.dashboard import session
from orchestrator.pages.dashboard.showing import path
from orchestrator.pages.dashboard.visits import Done, Page, Visit
from orchestrator.wire.activity import Hour
from orchestrator.wire.overview import TenantSession, TenantSessions
from orchestrator.wire.sessions import Session, Sessions

_LIMIT = "25"


async def listed(visit: Visit) -> Page:
    """Of the visitor's tenant; the admin sees all, or those of the one that ``?tenant=`` names."""
    tenant_id = visit.asked("tenant") if visit.is_admin else visit.tenant_id
    tenant_id = existing_tenant_id(tenant_id) if tenant_id else ""
    shown = await (_of_tenant(visit, tenant_id) if tenant_id else _of_all(visit))
    counts = {count.connection_state: count.sessions for count in shown["states"]}
    values = {
        **shown,
        "search": visit.asked("search"),
        "states_asked": visit.asked("states"),
        "tenant": tenant_id if visit.is_admin else "",
        "counts": [(state, counts[state]) for state in ConnectionState if state in counts],
        "total": sum(counts.values()),
        "marks": session.MARKS,
    }
    return Page(template="sessions.html", title=visit.texts.sessions, area="sessions", values=values, looks_seconds=3.0)


async def create(visit: Visit) -> Done:
    tenant_id = existing_tenant_id((visit.typed("tenant_id") if visit.is_admin else "") or visit.tenant_id)
    made = await visit.client.of(tenant_id).sessions.create(visit.typed("session_id"))
    return Done(note="created", to=path("tenants", tenant_id, "sessions", made.session_id))


async def _of_tenant(visit: Visit, tenant_id: str) -> dict[str, Any]:
    client = visit.client.of(tenant_id)
    query = {"search": visit.asked("search"), "states": visit.asked("states"), "cursor": visit.asked("cursor") or None}
    found = await client.page("/v1/sessions", Sessions, {**query, "limit": _LIMIT})
    activity = await client.activity([one.session_id for one in found.sessions])
    strips = {(tenant_id, one.session_id): one.hours for one in activity.sessions}
    return {
        "rows": _rows([(tenant_id, one) for one in found.sessions], strips),
        "next_cursor": found.next_cursor,
        "hours": activity.hours,
        "states": activity.states,
        "overview": None,
        "backups": [],
    }


async def _of_all(visit: Visit) -> dict[str, Any]:
    query = {"search": visit.asked("search"), "states": visit.asked("states"), "cursor": visit.asked("cursor") or None}
    found = await visit.client.page("/v1/overview/sessions", TenantSessions, {**query, "limit": _LIMIT})
    overview, service = await visit.client.operator.overview(), await visit.client.operator.activity()
    return {
        "rows": _rows([(one.tenant_id, one) for one in found.sessions], await _strips(visit, found.sessions)),
        "next_cursor": found.next_cursor,
        "hours": service.hours,
        "states": overview.states,
        "overview": overview,
        "backups": service.backups,
    }


async def _strips(visit: Visit, found: Sequence[TenantSession]) -> dict[tuple[str, str], list[Hour]]:
    """The hours of sessions of several tenants."""
    strips = {}
    for tenant_id in dict.fromkeys(one.tenant_id for one in found):
        names = [one.session_id for one in found if one.tenant_id == tenant_id]
        for one in (await visit.client.of(tenant_id).activity(names)).sessions:
            strips[tenant_id, one.session_id] = one.hours
    return strips


def _rows(
    found: Sequence[tuple[str, Session]], strips: dict[tuple[str, str], list[Hour]]
) -> list[tuple[str, Session, list[Hour]]]:
    return [(tenant_id, one, strips.get((tenant_id, one.session_id), [])) for tenant_id, one in found]
