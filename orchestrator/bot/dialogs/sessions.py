"""One session: how it is, and what can be done with it. The operator has all of them, a tenant its own."""

import asyncio

from orchestrator.bot.desk import Desk
from orchestrator.bot.screen import Button, Rows, Screen, rows
from orchestrator.bot.texts import fill
from orchestrator.domain.session import ConnectionState, DesiredState
from orchestrator.wire.sessions import Generation, Session

_MARKS = {ConnectionState.OPEN: "🟢", ConnectionState.STOPPED: "⚪️", ConnectionState.QUARANTINED: "🔴"}
#: States that pass by themselves within seconds after a start.
_ON_ITS_WAY = frozenset({ConnectionState.STOPPED, ConnectionState.STARTING, ConnectionState.CONNECTING})
_LOOKS, _LOOK_SECONDS = 10, 0.5
#: What is shown of a session's pairings and of its events.
_MOST = 8

#: A passphrase of an archive.
_PASSPHRASE = range(12, 201)


def mark(state: ConnectionState) -> str:
    return _MARKS.get(state, "🟠" if state in (ConnectionState.CONFLICT, ConnectionState.PAUSED) else "🟡")


async def show(desk: Desk, tenant_id: str, session_id: str) -> Screen:
    return shown(desk, tenant_id, await desk.of(tenant_id).sessions.get(session_id))


def shown(desk: Desk, tenant_id: str, session: Session, note: str | None = None) -> Screen:
    texts = desk.texts
    lines = [
        fill(
            texts.session,
            session=session.session_id if not desk.operator else f"{tenant_id} / {session.session_id}",
            mark=mark(session.connection_state),
            state=texts.states[session.connection_state],
            account=number_of(session.jid),
            opened=desk.day(session.last_open_at),
            backup=desk.day(session.last_backup_at),
        )
    ]
    if session.degraded:
        lines.append(texts.session_degraded)
    if session.pairing_failure is not None:
        failure = texts.pairing_failures.get(session.pairing_failure, session.pairing_failure)
        lines.append(fill(texts.session_failure, failure=failure))
    elif session.reason is not None:
        lines.append(fill(texts.session_reason, reason=desk.why(session.reason)))
    if note is not None:
        lines = [note, "", *lines]
    return Screen(text="\n".join(lines), rows=_buttons(desk, tenant_id, session))


def _buttons(desk: Desk, tenant_id: str, session: Session) -> Rows:
    texts, of = desk.texts, (tenant_id, session.session_id)
    state = session.connection_state
    links = state in (ConnectionState.PAIRING, ConnectionState.STARTING) and session.jid is None
    runs = session.desired_state is DesiredState.RUNNING and state is not ConnectionState.QUARANTINED
    back = ("sessions", "", "", "") if desk.operator else ("home",)
    return rows(
        (Button(texts.by_qr, ("qr", *of)), Button(texts.by_code, ("code", *of))) if links else None,
        Button(texts.by_link, ("link", *of)) if links else None,
        Button(texts.new_pairing, ("link-again", *of)) if state is ConnectionState.QUARANTINED else None,
        (Button(texts.stop, ("stop", *of)), Button(texts.restart, ("restart", *of)))
        if runs
        else Button(texts.start, ("start", *of))
        if state is not ConnectionState.QUARANTINED
        else None,
        Button(texts.log_out, ("log-out?", *of)) if state is ConnectionState.OPEN else None,
        (Button(texts.pairings, ("pairings", *of)), Button(texts.last_errors, ("events", *of))),
        Button(texts.export, ("export?", *of)) if desk.operator else None,
        (Button(texts.refresh, ("session", *of)), desk.back(*back)),
    )


async def start(desk: Desk, tenant_id: str, session_id: str) -> Screen:
    await desk.of(tenant_id).sessions.start(session_id)
    return shown(desk, tenant_id, await _under_way(desk, tenant_id, session_id), desk.texts.done)


async def _under_way(desk: Desk, tenant_id: str, session_id: str) -> Session:
    """The session when it is connected, or asks for a phone; or as it is after some seconds."""
    sessions = desk.of(tenant_id).sessions
    for _ in range(_LOOKS):
        session = await sessions.get(session_id)
        if session.connection_state not in _ON_ITS_WAY:
            return session
        await asyncio.sleep(_LOOK_SECONDS)
    return await sessions.get(session_id)


async def stop(desk: Desk, tenant_id: str, session_id: str) -> Screen:
    return shown(desk, tenant_id, await desk.of(tenant_id).sessions.stop(session_id), desk.texts.done)


async def restart(desk: Desk, tenant_id: str, session_id: str) -> Screen:
    await desk.of(tenant_id).sessions.restart(session_id)
    return shown(desk, tenant_id, await _under_way(desk, tenant_id, session_id), desk.texts.done)


async def ask_log_out(desk: Desk, tenant_id: str, session_id: str) -> Screen:
    return sure(desk, fill(desk.texts.log_out_sure, session=session_id), "log-out", tenant_id, session_id)


async def log_out(desk: Desk, tenant_id: str, session_id: str) -> Screen:
    session = await desk.of(tenant_id).sessions.log_out(session_id)
    return shown(desk, tenant_id, session, fill(desk.texts.logged_out, session=session_id))


async def pairings(desk: Desk, tenant_id: str, session_id: str) -> Screen:
    texts, found = desk.texts, list[Generation]()
    async for generation in desk.of(tenant_id).sessions.generations(session_id):
        found.append(generation)
        if len(found) == _MOST:
            break
    lines = [fill(texts.pairings_title, session=session_id)]
    for one in found:
        since = desk.day(one.paired_at or one.created_at)
        current = " ✅" if one.current and one.set_aside_at is None else ""
        line = fill(texts.pairing_line, number=one.generation, account=number_of(one.jid), since=since, current=current)
        lines.append(line + (fill(" — {reason}", reason=desk.why(one.reason)) if one.reason else ""))
    restorable = [
        Button(fill(texts.restore, number=one.generation), ("restore?", tenant_id, session_id, str(one.generation)))
        for one in found
        if one.restorable
    ]
    return desk.says("\n".join(lines), *restorable, back=("session", tenant_id, session_id))


async def ask_restore(desk: Desk, tenant_id: str, session_id: str, generation: str) -> Screen:
    text = fill(desk.texts.restore_sure, session=session_id, number=generation)
    return sure(desk, text, "restore", tenant_id, session_id, generation)


async def restore(desk: Desk, tenant_id: str, session_id: str, generation: str) -> Screen:
    session = await desk.of(tenant_id).sessions.restore(session_id, int(generation), replace=True)
    return shown(desk, tenant_id, session, fill(desk.texts.restored, session=session_id, number=generation))


async def events(desk: Desk, tenant_id: str, session_id: str) -> Screen:
    """What happened to its pairings, and why its connection ended last."""
    texts, lines = desk.texts, list[str]()
    sessions = desk.of(tenant_id).sessions
    session = await sessions.get(session_id)
    if session.reason is not None:
        lines.append(fill(texts.session_reason, reason=desk.why(session.reason)))
    async for entry in sessions.audit(session_id):
        reason = desk.why(entry.reason) if entry.reason else entry.actor
        action = texts.generation_actions.get(entry.action, entry.action)
        lines.append(fill(texts.errors_line, at=desk.day(entry.at), action=action, reason=reason))
        if len(lines) == _MOST:
            break
    title = fill(texts.errors_title, session=session_id)
    text = "\n".join([title, *(lines or [texts.nothing_here])])
    return desk.says(text, back=("session", tenant_id, session_id))


async def ask_export(desk: Desk, tenant_id: str, session_id: str) -> Screen:
    cancel = Button(desk.texts.cancel, ("session", tenant_id, session_id))
    return Screen(text=desk.texts.export_ask, rows=rows(cancel), asks=("export", tenant_id, session_id))


async def export(desk: Desk, tenant_id: str, session_id: str, passphrase: str) -> Screen:
    if desk.typed is not None:
        await desk.telegram.delete(desk.chat.chat_id, desk.typed)
    if len(passphrase) not in _PASSPHRASE:
        cancel = Button(desk.texts.cancel, ("session", tenant_id, session_id))
        return Screen(text=desk.texts.export_short, rows=rows(cancel), asks=("export", tenant_id, session_id))
    archive = await desk.of(tenant_id).operator.export(session_id, passphrase)
    text = fill(desk.texts.export_done, session=session_id)
    back = rows(desk.back("session", tenant_id, session_id))
    return Screen(text=text, document=(f"{session_id}.archive", archive), rows=back)


def sure(desk: Desk, question: str, *action: str) -> Screen:
    """Yes does it, no goes back to the session or whatever it is about."""
    back = ("session", *action[1:3]) if action[0] in ("log-out", "restore") else ("home",)
    return Screen(text=question, rows=rows((Button(desk.texts.yes, action), Button(desk.texts.no, back))))


def number_of(jid: str | None) -> str:
    """The phone number in a jid such as 5511999990000:7@s.whatsapp.net."""
    return "–" if jid is None else "+" + jid.partition("@")[0].partition(":")[0]
