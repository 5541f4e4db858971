"""What the bot tells the operator of, and what not."""

from orchestrator.domain.alert import AlertKind
from orchestrator.domain.errors import AlertNotFound
from orchestrator.pages.dashboard.visits import Done, Page, Visit


async def listed(visit: Visit) -> Page:
    values = {"alerts": await visit.client.operator.alerts()}
    return Page(template="alerts.html", title=visit.texts.alerts, area="alerts", values=values)


async def mute(visit: Visit) -> Done:
    await visit.client.operator.mute(_kind(visit))
    return Done(note="muted")


async def unmute(visit: Visit) -> Done:
    await visit.client.operator.unmute(_kind(visit))
    return Done(note="unmuted")


def _kind(visit: Visit) -> AlertKind:
    try:
        return AlertKind(visit.typed("kind"))
    except ValueError:
        raise AlertNotFound from None
