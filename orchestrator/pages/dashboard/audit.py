"""What was done through the API, and by whom."""

from orchestrator.pages.dashboard.visits import Page, Visit
from orchestrator.wire.tenants import Acts


async def listed(visit: Visit) -> Page:
    narrowed = {"cursor": visit.asked("cursor") or None, "tenant_id": visit.asked("tenant") or None}
    found = await visit.client.page("/v1/audit", Acts, narrowed)
    values = {"acts": found.audit, "next_cursor": found.next_cursor, "tenant": visit.asked("tenant")}
    return Page(template="audit.html", title=visit.texts.audit, area="audit", values=values)
