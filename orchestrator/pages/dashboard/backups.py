"""How safe what is linked is: what waits for the database, how fast it is durable, what verifications found."""

from orchestrator.domain.session import ConnectionState
from orchestrator.pages.dashboard.visits import Page, Visit
from orchestrator.wire.overview import TenantSessions
from orchestrator.wire.sessions import Session, Sessions

_LIMIT = "50"


async def shown(visit: Visit) -> Page:
    query = {"cursor": visit.asked("cursor") or None, "limit": _LIMIT}
    rows: list[tuple[str, Session]]
    overview, minutes = None, []
    if visit.is_admin:
        found = await visit.client.page("/v1/overview/sessions", TenantSessions, query)
        rows, next_cursor = [(one.tenant_id, one) for one in found.sessions], found.next_cursor
        overview, minutes = await visit.client.operator.overview(), (await visit.client.operator.activity()).backups
    else:
        own = await visit.client.page("/v1/sessions", Sessions, query)
        rows, next_cursor = [(visit.tenant_id, one) for one in own.sessions], own.next_cursor
    statuses = [one.status for one in overview.replicas if one.status is not None] if overview else []
    values = {
        "rows": rows,
        "next_cursor": next_cursor,
        "minutes": minutes,
        "waiting_bytes": sum(status.journal_bytes for status in statuses),
        "degraded": sum(status.degraded for status in statuses) or sum(one.degraded for _, one in rows),
        "repaired": [one for status in statuses for one in status.repaired_sessions],
        "open_state": ConnectionState.OPEN,
    }
    return Page(template="backups.html", title=visit.texts.backups, area="backups", values=values)
