"""Looks every few seconds at how the service is: keeps the dashboard up to date, and tells of troubles and of their end."""

import time
from collections.abc import Callable, Collection, Iterable

import structlog

from orchestrator.bot.desk import shown_bytes
from orchestrator.bot.dialogs.operator import IN_TROUBLE, dashboard
from orchestrator.bot.memory import Chat, Memory
from orchestrator.bot.news import show_news
from orchestrator.bot.screen import Button, Rows, Screen, rows
from orchestrator.bot.telegram import Telegram
from orchestrator.bot.texts import TEXTS, fill
from orchestrator.client import Client
from orchestrator.domain.alert import Alert, AlertBook, AlertKind, Trouble, look
from orchestrator.domain.crash_suspects import ISOLATED
from orchestrator.domain.language import Language
from orchestrator.domain.reason import reason_in
from orchestrator.domain.session import ConnectionState, DesiredState
from orchestrator.domain.subscription import PAUSED_REASON
from orchestrator.wire.overview import Overview, TenantSession

log = structlog.get_logger(__name__)

#: Of the memory, from which on there is trouble.
_FULL = 0.92
#: Troubles that one message names.
_MOST_NAMED = 10
#: Sessions in trouble that are looked at.
_MOST_SESSIONS = 200

_NOT_CONNECTED = (ConnectionState.STARTING, ConnectionState.CONNECTING, ConnectionState.WAITING_RETRY)
_ILL = frozenset({"BACKOFF", "FATAL", "EXITED", "UNKNOWN"})
#: What concerns the tenant whose session it is.
_TENANTS_OWN = frozenset(
    {AlertKind.LOST, AlertKind.QUARANTINED, AlertKind.CONFLICT, AlertKind.PAUSED, AlertKind.CRASH_LOOP}
)
_BY_STATE = {ConnectionState.QUARANTINED: AlertKind.QUARANTINED, ConnectionState.CONFLICT: AlertKind.CONFLICT}


class Watch:
    """``clock`` gives seconds that go on over restarts: those since 1970."""

    def __init__(
        self,
        client: Client,
        telegram: Telegram,
        memory: Memory,
        operator_chat: int | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._telegram = telegram
        self._memory = memory
        self._operator_chat = operator_chat
        self._clock = clock
        self._shown: tuple[int, tuple[str, Rows]] | None = None

    async def round(self, *, billing: bool) -> None:
        overview = await self._client.operator.overview()
        states = ",".join([*IN_TROUBLE, *_NOT_CONNECTED])
        page = await self._client.operator.sessions(states=states, limit=_MOST_SESSIONS)
        troubles = [*troubles_of(overview), *session_troubles(page.sessions)]
        if self._operator_chat is not None:
            await self._tell_operator(self._operator_chat, troubles)
            await self._refresh_dashboard(self._operator_chat, overview, billing=billing)
        await self._tell_tenants([trouble for trouble in troubles if trouble.kind in _TENANTS_OWN])

    async def _refresh_dashboard(self, chat_id: int, overview: Overview, *, billing: bool) -> None:
        async with self._memory.lock(chat_id):
            message_id, chat = self._memory.operator.dashboard, self._memory.chats.get(chat_id)
            if message_id is None or chat is None:
                return
            screen = dashboard(TEXTS[chat.language], overview, billing=billing)
            changed = (screen.text.partition("\n")[2], screen.rows)  # the time alone is no news
            if (message_id, changed) == self._shown:  # a newer dashboard may show what was true before
                return
            shown = Screen(text=screen.text, rows=screen.rows, stays=True)
            with chat.asking_on():
                shown_in = await self._telegram.show(chat, shown, edit=message_id)
            self._shown = (shown_in, changed)
            self._memory.operator.dashboard = shown_in
            await self._memory.save(chat)
            if shown_in != message_id:
                await self._memory.save_operator()

    async def _tell_operator(self, chat_id: int, troubles: Collection[Trouble]) -> None:
        operator = self._memory.operator
        muted = await self._client.operator.muted() if troubles else frozenset()
        heard = [trouble for trouble in troubles if trouble.kind not in muted]
        book, alerts = look(operator.alerts, heard, self._clock())
        if _same(book, operator.alerts):
            return
        for alert in alerts:
            log.warning("alert", kind=alert.kind, over=alert.over, number=len(alert.troubles))
            await self._say(chat_id, alert, operator=True)
        operator.alerts = book
        await self._memory.save_operator()

    async def _tell_tenants(self, troubles: Collection[Trouble]) -> None:
        memory = self._memory.tenant_alerts
        theirs = [trouble for trouble in troubles if self._memory.of_tenant(trouble.subject.partition("/")[0])]
        book, alerts = look(memory.alerts, theirs, self._clock())
        if _same(book, memory.alerts):
            return
        for alert in alerts:
            for tenant_id in sorted({trouble.subject.partition("/")[0] for trouble in alert.troubles}):
                chat = self._memory.of_tenant(tenant_id)
                if chat is not None and chat.chat_id != self._operator_chat:
                    own = tuple(one for one in alert.troubles if one.subject.startswith(f"{tenant_id}/"))
                    await self._say(chat.chat_id, Alert(alert.kind, alert.over, own), operator=False)
        memory.alerts = book
        await self._memory.save_tenant_alerts()

    async def _say(self, chat_id: int, alert: Alert, *, operator: bool) -> None:
        chat = self._memory.chats.get(chat_id) or Chat(chat_id)
        screen = alert_screen(chat.language, alert, operator=operator)
        await show_news(self._telegram, self._memory, chat, screen)


def alert_screen(language: Language, alert: Alert, *, operator: bool) -> Screen:
    """One message for all of a kind, with buttons that lead to the sessions that are meant."""
    texts = TEXTS[language]
    title = (texts.alert_over if alert.over else texts.alert_begun)[alert.kind]
    named = alert.troubles[:_MOST_NAMED]
    lines = [
        fill("• <b>{subject}</b> {detail}", subject=_subject(one, operator), detail=reason_in(language, one.detail))
        for one in named
        if one.subject
    ]
    if len(alert.troubles) > len(named):
        lines.append(fill(texts.alert_more, number=len(alert.troubles) - len(named)))
    sessions = [
        one.subject.split("/", 1) for one in named if one.kind in _TENANTS_OWN or one.kind is AlertKind.REPAIRED
    ]
    buttons = [
        Button(_subject(one, operator), ("session", *session)) for one, session in zip(named, sessions, strict=False)
    ]
    again = alert.kind is AlertKind.QUARANTINED and not alert.over and len(sessions) == 1
    return Screen(
        text="\n".join([title, *lines]),
        stays=True,
        rows=rows(
            *buttons,
            Button(texts.new_pairing, ("link-again", *sessions[0])) if again else None,
            Button(texts.pairings, ("pairings", *sessions[0])) if again else None,
            Button(texts.alerts, ("alerts",)) if operator else None,
        ),
    )


def _subject(trouble: Trouble, operator: bool) -> str:
    return trouble.subject if operator else trouble.subject.rpartition("/")[2]


def troubles_of(overview: Overview) -> Iterable[Trouble]:
    """What is wrong with replicas."""
    for replica in overview.replicas:
        status, name = replica.status, replica.replica_id[:6]
        if status is None:
            continue
        if status.degraded:
            detail = f"{shown_bytes(status.journal_bytes)} / {shown_bytes(status.journal_limit)}"
            yield Trouble(AlertKind.JOURNAL, name, detail)
        if status.memory.used > _FULL * status.memory.limit > 0:
            detail = f"{shown_bytes(status.memory.used)} / {shown_bytes(status.memory.limit)}"
            yield Trouble(AlertKind.MEMORY, name, detail)
        for process in status.processes:
            if process.state in _ILL:
                yield Trouble(AlertKind.PROCESS, f"{process.process} ({name})", process.state)
        for session in status.repaired_sessions:
            yield Trouble(AlertKind.REPAIRED, f"{session.tenant_id}/{session.session_id}")


def session_troubles(sessions: Collection[TenantSession]) -> Iterable[Trouble]:
    for session in sessions:
        subject, state = f"{session.tenant_id}/{session.session_id}", session.connection_state
        if state in _BY_STATE:
            yield Trouble(_BY_STATE[state], subject, session.reason or "")
        elif state is ConnectionState.PAUSED:
            if session.reason == ISOLATED:
                yield Trouble(AlertKind.CRASH_LOOP, subject)
            elif session.paired and session.reason != PAUSED_REASON:  # who doesn't pay is told of that otherwise
                yield Trouble(AlertKind.PAUSED, subject, session.reason or "")
        elif session.paired and session.desired_state is DesiredState.RUNNING:
            yield Trouble(AlertKind.LOST, subject, session.reason or "")


def _same(book: AlertBook, before: AlertBook) -> bool:
    return book.standing == before.standing and dict(book.told_at or {}) == dict(before.told_at or {})
