"""Linking a session to a phone: a QR code that is kept fresh, a code to type, or a link for another person."""

import re

from orchestrator.bot.desk import Desk
from orchestrator.bot.dialogs import sessions
from orchestrator.bot.memory import Pairing
from orchestrator.bot.pictures import qr_code, waiting_picture
from orchestrator.bot.screen import Button, Rows, Screen, rows
from orchestrator.bot.texts import Texts, fill
from orchestrator.client import Client
from orchestrator.domain.errors import AlreadyPaired, NotPairing, QrNotReady
from orchestrator.domain.session import ConnectionState
from orchestrator.wire.pairing import CreatePairingLink, Qr
from orchestrator.wire.sessions import Session

_PHONE = re.compile(r"[0-9]{7,15}")
_FIRST_SESSION = "whatsapp"
#: Of a session without a code: it will have one, or is linked and not open yet.
_ON_THE_WAY = frozenset(
    {ConnectionState.STARTING, ConnectionState.PAIRING, ConnectionState.CONNECTING, ConnectionState.WAITING_RETRY}
)


async def connect(desk: Desk) -> Screen:
    """The tenant's first session, or the one that waits to be linked, or one more."""
    assert desk.chat.tenant_id is not None
    own, found = desk.of(desk.chat.tenant_id), dict[str, ConnectionState]()
    async for session in own.sessions.list():
        found[session.session_id] = session.connection_state
        if session.jid is None and session.connection_state is not ConnectionState.OPEN:
            return await choose(desk, desk.chat.tenant_id, session.session_id)
    names = (_FIRST_SESSION if number == 1 else f"{_FIRST_SESSION}-{number}" for number in range(1, len(found) + 2))
    name = next(name for name in names if name not in found)
    await own.sessions.create(name)
    return await choose(desk, desk.chat.tenant_id, name)


async def choose(desk: Desk, tenant_id: str, session_id: str) -> Screen:
    """How to link it. One that has stopped is started."""
    own, texts, of = desk.of(tenant_id), desk.texts, (tenant_id, session_id)
    session = await own.sessions.get(session_id)
    if session.connection_state is ConnectionState.OPEN:
        return sessions.shown(desk, tenant_id, session)
    if session.connection_state in (ConnectionState.STOPPED, ConnectionState.QUARANTINED):
        quarantined = session.connection_state is ConnectionState.QUARANTINED
        await own.sessions.start(session_id, new_pairing=quarantined)
    return Screen(
        text=fill(texts.choose_connect, session=session_id),
        rows=rows(
            Button(texts.by_qr, ("qr", *of)),
            Button(texts.by_code, ("code", *of)),
            Button(texts.by_link, ("link", *of)),
            desk.back("session", *of),
        ),
    )


async def show_qr(desk: Desk, tenant_id: str, session_id: str) -> Screen | None:
    """A picture that ``look`` and ``draw`` keep up to date from now on."""
    desk.of(tenant_id)
    screen = Screen(
        text=desk.texts.qr_waiting, photo=waiting_picture(), rows=_while_linking(desk.texts, tenant_id, session_id)
    )
    message_id = await desk.telegram.show(desk.chat, screen)
    desk.chat.pairing = Pairing(message_id, tenant_id, session_id)
    return None


async def look(client: Client, pairing: Pairing) -> Qr | Session | None:
    """The code that a phone takes now, waited for a while; or the session, when there will be none; None: not yet."""
    own = client.of(pairing.tenant_id)
    try:
        return await own.sessions.qr(pairing.session_id)
    except QrNotReady:
        return None
    except (AlreadyPaired, NotPairing):
        session = await own.sessions.get(pairing.session_id)
        return None if session.connection_state in _ON_THE_WAY else session


async def draw(desk: Desk, pairing: Pairing, seen: Qr | Session) -> bool:
    """Bring the chat's picture up to date; whether anything was changed."""
    texts = desk.texts
    if isinstance(seen, Session):
        outcome = _outcome(desk, pairing, seen.connection_state, seen.jid, seen.pairing_failure)
        await desk.telegram.show(desk.chat, outcome)
        await desk.telegram.delete(desk.chat.chat_id, pairing.message_id)
        desk.chat.pairing = None
        return True
    code = seen
    if code.qr == pairing.shown:
        return False
    text = fill(texts.qr_caption, session=pairing.session_id)
    if code.rotated:
        text = f"{texts.qr_rotated}\n\n{text}"
    buttons = _while_linking(texts, pairing.tenant_id, pairing.session_id)
    pairing.shown = code.qr
    await desk.telegram.show_photo(
        desk.chat, pairing.message_id, Screen(text=text, photo=qr_code(code.qr), rows=buttons)
    )
    return True


def _outcome(desk: Desk, pairing: Pairing, state: ConnectionState, jid: str | None, failure: str | None) -> Screen:
    texts, of = desk.texts, (pairing.tenant_id, pairing.session_id)
    if state is ConnectionState.OPEN:
        text = fill(texts.qr_done, session=pairing.session_id, account=sessions.number_of(jid))
        return Screen(text=text, rows=rows(Button(texts.status, ("session", *of)), Button(texts.home, ("home",))))
    if failure in (None, "timed_out"):
        text = texts.qr_over
    else:
        text = fill(texts.qr_failed, failure=texts.pairing_failures.get(failure, failure))
    again = Button(texts.new_pairing, ("link-again", *of))
    return Screen(text=text, rows=rows(again, Button(texts.home, ("home",))))


def _while_linking(texts: Texts, tenant_id: str, session_id: str) -> Rows:
    of = (tenant_id, session_id)
    return rows(
        (Button(texts.by_code, ("code", *of)), Button(texts.by_link, ("link", *of))),
        Button(texts.cancel, ("stop-linking", *of)),
    )


async def stop_linking(desk: Desk, tenant_id: str, session_id: str) -> Screen:
    pairing, desk.chat.pairing = desk.chat.pairing, None
    if pairing is not None:
        await desk.telegram.delete(desk.chat.chat_id, pairing.message_id)
    session = await desk.of(tenant_id).sessions.stop(session_id)
    return sessions.shown(desk, tenant_id, session)


async def ask_phone(desk: Desk, tenant_id: str, session_id: str) -> Screen:
    return _ask_phone(desk, desk.texts.phone_ask, tenant_id, session_id)


def _ask_phone(desk: Desk, text: str, *of: str) -> Screen:
    return Screen(text=text, rows=rows(Button(desk.texts.cancel, ("session", *of))), asks=("phone", *of), fresh=True)


async def phone_typed(desk: Desk, tenant_id: str, session_id: str, typed: str) -> Screen:
    phone = re.sub(r"[\s()+.-]", "", typed)
    if not _PHONE.fullmatch(phone):
        return _ask_phone(desk, desk.texts.phone_wrong, tenant_id, session_id)
    code = await desk.of(tenant_id).sessions.pairing_code(session_id, phone)
    minutes = max(1, round(code.remaining_seconds / 60))
    text = fill(desk.texts.code_shown, session=session_id, code=code.pairing_code, minutes=minutes)
    return desk.says(text, Button(desk.texts.status, ("session", tenant_id, session_id)))


async def make_link(desk: Desk, tenant_id: str, session_id: str) -> Screen:
    who = desk.chat.name or tenant_id
    made = await desk.of(tenant_id).sessions.create_pairing_link(session_id, CreatePairingLink(requested_by=who[:80]))
    text = fill(desk.texts.link_shown, url=made.url)
    screen = desk.says(text, Button(desk.texts.status, ("session", tenant_id, session_id)))
    return Screen(text=screen.text, rows=screen.rows, fresh=True)
