"""What the bot tells the operator of, and what not."""

from orchestrator.domain.alert import existing_alert_kind
from orchestrator.pages.dashboard.visits import Done, Page, Visit


async def listed(visit: Visit) -> Page:
    values = {"alerts": await visit.client.operator.alerts()}
    return Page(template="alerts.html", title=visit.texts.alerts, area="alerts", values=values)


async def mute(visit: Visit) -> Done:
    await visit.client.operator.mute(existing_alert_kind(visit.typed("kind")))
    return Done(note="muted")


async def unmute(visit: Visit) -> Done:
    await visit.client.operator.unmute(existing_alert_kind(visit.typed("kind")))
    return Done(note="unmuted")
