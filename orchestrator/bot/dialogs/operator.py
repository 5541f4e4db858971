"""The operator's dashboard and lists."""

from datetime import UTC, datetime

from orchestrator.bot.desk import Desk, shown_bytes, shown_time
from orchestrator.bot.dialogs import sessions
from orchestrator.bot.dialogs.billing import subscription_of
from orchestrator.bot.screen import Button, Screen, rows
from orchestrator.bot.texts import Texts, fill
from orchestrator.domain.alert import AlertKind
from orchestrator.domain.session import ConnectionState
from orchestrator.domain.tenant import OPERATOR_TENANT
from orchestrator.wire.overview import Overview, Process, Replica

#: What a list shows at once.
PAGE = 8

IN_TROUBLE = (
    ConnectionState.QUARANTINED,
    ConnectionState.CONFLICT,
    ConnectionState.PAUSED,
    ConnectionState.WAITING_RETRY,
)
_WELL = frozenset({"RUNNING", "STARTING"})
_LONGEST_SEARCH = 100


async def home(desk: Desk) -> Screen:
    """A new message, which is the one that edits itself from now on."""
    return dashboard(desk.texts, await desk.client.operator.overview(), billing=await takes_payments(desk))


async def help_(desk: Desk) -> Screen:
    return desk.says(desk.texts.operator_help)


async def takes_payments(desk: Desk) -> bool:
    return await subscription_of(desk, OPERATOR_TENANT) is not None


def dashboard(texts: Texts, overview: Overview, *, billing: bool) -> Screen:
    counts = {count.connection_state: count.sessions for count in overview.states}
    statuses = [replica.status for replica in overview.replicas if replica.status is not None]
    waiting, degraded = sum(s.journal_bytes for s in statuses), sum(s.degraded for s in statuses)
    if degraded:
        backup = fill(texts.dashboard_journal, size=shown_bytes(waiting), degraded=degraded)
    else:
        backup = texts.dashboard_journal_empty
    states = [f"{sessions.mark(state)} {texts.states[state]}: {number}" for state, number in counts.items()]
    text = fill(
        texts.dashboard,
        time=shown_time(texts, overview.at),
        total=sum(counts.values()),
        states="\n".join(states) or "–",
        tenants=overview.tenants,
        backup=backup,
        replicas="{replicas}",
    ).replace("{replicas}", "\n\n".join(_replica(texts, replica) for replica in overview.replicas))
    trouble = sum(counts.get(state, 0) for state in IN_TROUBLE)
    return Screen(
        text=text,
        fresh=True,
        stays=True,
        rows=rows(
            (Button(texts.sessions, ("sessions", "", "", "")), Button(texts.search, ("search?",))),
            Button(f"{texts.in_trouble}: {trouble}", ("sessions", "", ",".join(IN_TROUBLE), "")) if trouble else None,
            (Button(texts.tenants, ("tenants", "0")), Button(texts.processes, ("processes",))),
            (Button(texts.payments, ("payments",)), Button(texts.revenue, ("revenue",))) if billing else None,
            (Button(texts.alerts, ("alerts",)), Button(texts.broadcast, ("broadcast?",))),
            Button(texts.web, ("web",)),
            (Button(texts.language, ("languages",)), Button(texts.help, ("help",))),
        ),
    )


def _replica(texts: Texts, replica: Replica) -> str:
    status = replica.status
    memory, processes = "", ""
    if status is not None:
        percent = round(100 * status.memory.used / max(1, status.memory.limit))
        used, limit = shown_bytes(status.memory.used), shown_bytes(status.memory.limit)
        memory = fill(texts.dashboard_memory, used=used, limit=limit, percent=percent)
        ill = [one for one in status.processes if one.state not in _WELL]
        if ill:
            names = ", ".join(f"{one.process} {one.state}" for one in ill)
            processes = fill(texts.dashboard_processes, names=names)
        else:
            processes = fill(texts.dashboard_processes_fine, number=len(status.processes))
    return fill(
        texts.dashboard_replica,
        replica=replica.replica_id[:6],
        sessions=replica.sessions,
        up=_age(replica.started_at),
        memory=memory,
        processes=processes,
    )


def _age(since: str) -> str:
    minutes = int((datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds()) // 60
    if minutes < 60:
        return f"{max(0, minutes)} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440} d"


async def list_sessions(desk: Desk, search: str, states: str, cursor: str) -> Screen:
    texts = desk.texts
    page = await desk.client.operator.sessions(search=search, states=states, limit=PAGE, cursor=cursor or None)
    found = [
        Button(
            f"{sessions.mark(one.connection_state)} {one.tenant_id} / {one.session_id}",
            ("session", one.tenant_id, one.session_id),
        )
        for one in page.sessions
    ]
    turn = [
        *([Button(texts.first_page, ("sessions", search, states, ""))] if cursor else []),
        *([Button(texts.next_page, ("sessions", search, states, page.next_cursor))] if page.next_cursor else []),
    ]
    title = fill(texts.sessions_title, search=f": {search}" if search else "")
    text = title if found else f"{title}\n{texts.nothing_here}"
    return desk.says(text, *found, tuple(turn) or None, Button(texts.search, ("search?",)))


async def ask_search(desk: Desk) -> Screen:
    return Screen(
        text=desk.texts.search_ask, rows=rows(Button(desk.texts.cancel, ("home",))), asks=("search",), fresh=True
    )


async def search(desk: Desk, typed: str) -> Screen:
    return await list_sessions(desk, typed.strip()[:_LONGEST_SEARCH], "", "")


async def list_processes(desk: Desk) -> Screen:
    processes = await desk.client.operator.processes()
    buttons = [Button(f"{_process_mark(one)} {one.process}", ("process", one.process)) for one in processes]
    return desk.says(desk.texts.processes_title, *buttons)


def _process_mark(process: Process) -> str:
    return "🟢" if process.state == "RUNNING" else "🟡" if process.state == "STARTING" else "🔴"


async def show_process(desk: Desk, name: str) -> Screen:
    texts = desk.texts
    found = next((one for one in await desk.client.operator.processes() if one.process == name), None)
    if found is None:
        return desk.says(texts.errors["process_not_found"], back=("processes",))
    text = fill(texts.process, process=name, state=found.state, detail=found.detail)
    restart, log = Button(texts.process_restart, ("process-restart?", name)), Button(texts.log_tail, ("log", name))
    return desk.says(text, (restart, log), back=("processes",))


async def ask_restart(desk: Desk, name: str) -> Screen:
    question = fill(desk.texts.process_restart_sure, process=name)
    answers = (Button(desk.texts.yes, ("process-restart", name)), Button(desk.texts.no, ("process", name)))
    return Screen(text=question, rows=rows(answers))


async def restart(desk: Desk, name: str) -> Screen:
    """Of this bot or of the orchestrator too: the answer is shown first, because afterwards nobody may be there to."""
    desk.later.append(lambda: desk.client.operator.restart_process(name))
    return desk.says(fill(desk.texts.process_restarted, process=name), back=("process", name))


async def log_tail(desk: Desk, name: str) -> Screen:
    lines = await desk.client.operator.log_tail(name, 3000)
    text = fill("<b>{name}</b>\n<pre>{lines}</pre>", name=name, lines=lines) if lines else desk.texts.log_empty
    return desk.says(text, Button(desk.texts.refresh, ("log", name)), back=("process", name))


async def list_alerts(desk: Desk) -> Screen:
    texts = desk.texts
    buttons = [
        Button(
            fill(texts.alert_muted if one.muted else texts.alert_on, kind=texts.alert_kinds[one.kind]),
            ("unmute" if one.muted else "mute", one.kind),
        )
        for one in await desk.client.operator.alerts()
    ]
    return desk.says(texts.alerts_title, *buttons)


async def mute(desk: Desk, kind: str) -> Screen:
    await desk.client.operator.mute(AlertKind(kind))
    return await list_alerts(desk)


async def unmute(desk: Desk, kind: str) -> Screen:
    await desk.client.operator.unmute(AlertKind(kind))
    return await list_alerts(desk)
