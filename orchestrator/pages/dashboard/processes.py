"""Replicas, and the processes of the one that answers."""

from orchestrator.domain.errors import ServiceUnreachable, Unavailable
from orchestrator.pages.dashboard.visits import Done, Page, Visit

_LOG_BYTES = 20_000


async def listed(visit: Visit) -> Page:
    overview = await visit.client.operator.overview()
    try:
        processes = await visit.client.operator.processes()
    except Unavailable:  # supervisord doesn't answer; what replicas said last is worth seeing all the same
        processes = []
    values = {"replicas": overview.replicas, "processes": processes}
    return Page(
        template="processes.html", title=visit.texts.processes, area="processes", values=values, looks_seconds=2.0
    )


async def restart(visit: Visit) -> Done:
    try:
        await visit.client.operator.restart_process(visit.typed("process"))
    except ServiceUnreachable as error:
        if not error.asked:
            raise
        # It was the orchestrator, which can't answer for its own end.
    return Done(note="process_restarted")


async def log_tail(visit: Visit) -> Page:
    name = visit.named("process")
    values = {"process": name, "lines": await visit.client.operator.log_tail(name, _LOG_BYTES)}
    return Page(template="log.html", title=name, area="processes", values=values, looks_seconds=2.0)
