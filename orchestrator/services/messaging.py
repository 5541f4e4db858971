"""Sending messages through a session that is open, and what belongs to messages by their id."""

import base64
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec

from orchestrator.domain.errors import (
    FieldError,
    InvalidRequest,
    MediaNotFound,
    MessageAmbiguous,
    MessageNotFound,
    SessionNotOpen,
)
from orchestrator.domain.media import MediaKind
from orchestrator.domain.meter import MessageMeter
from orchestrator.domain.recipient import is_channel, recipient_jid
from orchestrator.domain.session import ConnectionState, Lease
from orchestrator.domain.vcard import CardPhone, vcard
from orchestrator.services.chat_history import ChatHistory
from orchestrator.services.connections import Connections
from orchestrator.services.leases import LeaseBook
from orchestrator.services.link_previews import LinkPreviews
from orchestrator.services.media import MediaFiles, Upload
from orchestrator.services.shards import Shards
from orchestrator.sidecar.client import MediaStream, Sent
from orchestrator.store.messages import KnownMessage, MessageStore
from orchestrator.store.sessions import SessionStore
from orchestrator.wire import messages as wire

#: Characters of a text, in UTF-16 units: WhatsApp counts as JavaScript does, an emoji is two.
TEXT_LIMIT = 65_536

_NOT_A_RECIPIENT = "must be a phone number with country code, digits only, or a WhatsApp jid such as 120363@g.us"
#: What can be posted to a channel.
_POSTS = (wire.TextMessage, wire.MediaMessage)
#: What goes to the sidecar in another form than it came in.
_TRANSLATED = frozenset(
    (
        "to",
        "recipients",
        "mentions",
        "quoted",
        "target",
        "media",
        "link_preview",
        "contacts",
        *wire.Queueing.__struct_fields__,
    )
)


class Messaging:
    """Sends go through what this replica holds, without a look into the database: they go on while that is away.

    Only what refers to an earlier message needs the database.
    """

    def __init__(
        self,
        sessions: SessionStore,
        messages: MessageStore,
        leases: LeaseBook,
        connections: Connections,
        shards: Shards,
        media: MediaFiles,
        previews: LinkPreviews,
        history: ChatHistory,
        meter: MessageMeter,
    ) -> None:
        self._sessions = sessions
        self._messages = messages
        self._leases = leases
        self._connections = connections
        self._shards = shards
        self._media = media
        self._previews = previews
        self._history = history
        self._meter = meter

    async def send(
        self,
        tenant_id: str,
        session_id: str,
        message: wire.OutgoingMessage,
        *,
        upload: Upload | None = None,
    ) -> Sent:
        """Send a message; answers once it is written to WhatsApp's socket. ``upload`` is its file, if that comes with the request."""
        return await self._send(tenant_id, session_id, message, upload, {})

    async def send_once(
        self,
        tenant_id: str,
        session_id: str,
        message: wire.OutgoingMessage,
        message_id: str,
        *,
        again: bool,
        upload: Upload | None = None,
    ) -> bool:
        """Send a message under an id that was fixed before: whether WhatsApp said that it has it.

        It may be asked for again whenever the outcome is unknown, which False and ``SendUnconfirmed`` say: the phone shows
        it once. ``again`` says that it may have left before. Raises ``MessageRefused`` when there is no use in it.
        """
        fixed = {"message_id": message_id, "again": again}
        return (await self._send(tenant_id, session_id, message, upload, fixed)).acknowledged

    def check(self, message: wire.OutgoingMessage, upload: Upload | None = None) -> str:
        """The jid that a message goes to; ``InvalidRequest`` for what couldn't be sent later, with this file beside it."""
        to = _recipient(message)
        _plain(message)
        if isinstance(message, wire.MediaMessage):
            _source(message, upload)
        elif upload is not None:
            raise _no_file()
        return to

    async def _send(
        self,
        tenant_id: str,
        session_id: str,
        message: wire.OutgoingMessage,
        upload: Upload | None,
        fixed: Mapping[str, Any],
    ) -> Sent:
        to = _recipient(message)
        order = _plain(message) | {"to": to, **fixed}
        lease = await self._held(tenant_id, session_id)
        async with AsyncExitStack() as stack:
            await self._add_references(lease, message, to, order)
            await self._add_files(stack, message, upload, order)
            if await self._history.keeps(lease):
                order["describe"] = True
            with self._state_told(lease):
                sent = await self._shards.client_of(lease.session_ref).send(lease.session_ref, order)
        self._meter.sent(lease.session_ref)
        if sent.event is not None:
            await self._history.keep(lease, sent.event)
        return sent

    @asynccontextmanager
    async def media(
        self, tenant_id: str, session_id: str, message_id: str, chat: str | None, sender: str | None
    ) -> AsyncIterator[MediaStream]:
        """The decrypted file of a message that came in or was sent through here, as WhatsApp gives it."""
        lease = await self._held(tenant_id, session_id)
        target = wire.Target(message_id=message_id, chat=chat, sender=sender)
        content = (await self._known(lease, target, None)).get("message")
        if content is None:
            raise MediaNotFound
        with self._state_told(lease):
            async with self._shards.client_of(lease.session_ref).media(lease.session_ref, content) as stream:
                yield stream

    async def _held(self, tenant_id: str, session_id: str) -> Lease:
        lease = self._leases.find(tenant_id, session_id)
        if lease is not None:
            return lease
        # Tells a session that isn't held here from one that isn't.
        session = await self._sessions.get(tenant_id, session_id)
        raise SessionNotOpen(connection_state=session.connection_state)

    def _state_told(self, lease: Lease) -> "_StateTold":
        return _StateTold(self._connections, lease.session_ref)

    async def _add_references(
        self, lease: Lease, message: wire.OutgoingMessage, to: str, order: dict[str, Any]
    ) -> None:
        if isinstance(message, wire.QuotingMessage) and message.quoted is not None:
            order["quoted"] = await self._known(lease, _target(message.quoted), to, "quoted")
        match message:
            case wire.ReactionMessage() | wire.DeleteMessage():
                order["target"] = await self._key(lease, _target(message.target), to)
            case wire.EditMessage():
                order["target"] = await self._known(lease, _target(message.target), to)
                if not order["target"]["from_me"]:
                    raise InvalidRequest(errors=[FieldError("target", "must be a message of this account")])
            case wire.ForwardMessage():
                order["target"] = await self._known(lease, _target(message.target), None)

    async def _key(self, lease: Lease, target: wire.Target, to: str) -> dict[str, Any]:
        """What names a message for WhatsApp; as the caller says, or as it is known here."""
        if target.from_me is not None:
            author = {} if target.sender is None else {"participant": _jid(target.sender, "target.sender")}
            return {"id": target.message_id, "from_me": target.from_me, **author}
        return {name: value for name, value in (await self._known(lease, target, to)).items() if name != "message"}

    async def _known(self, lease: Lease, target: wire.Target, to: str | None, field: str = "target") -> dict[str, Any]:
        """A message with its content, as the control API takes it. ``to`` is the chat that is meant if none is said."""
        chat = target.chat if target.chat in (None, wire.STATUS) else _jid(target.chat, f"{field}.chat")
        sender = None if target.sender is None else _jid(target.sender, f"{field}.sender")
        tenant_id, session_ref, message_id = lease.tenant_id, lease.session_ref, target.message_id
        if sender is None and target.from_me is not False:
            sent = await self._messages.sent(tenant_id, session_ref, message_id)
            if sent is not None:
                elsewhere = {} if chat in (None, to) else {"chat": chat}
                return {"id": message_id, "from_me": True, "message": base64.b64encode(sent).decode(), **elsewhere}
        found = await self._messages.received(tenant_id, session_ref, message_id)
        known = _the_one(_meant(found, chat or to, sender, strictly=chat is not None))
        reference: dict[str, Any] = {"id": message_id, "from_me": known.data["from_me"]}
        if known.origin["participant"] is not None and not known.data["from_me"]:
            reference["participant"] = known.origin["participant"]
        if to not in (known.data["chat"], known.origin["chat"]):
            reference["chat"] = known.data["chat"]
        if known.origin["message"] is not None:
            reference["message"] = known.origin["message"]
        return reference

    async def _add_files(
        self, stack: AsyncExitStack, message: wire.OutgoingMessage, upload: Upload | None, order: dict[str, Any]
    ) -> None:
        if isinstance(message, wire.MediaMessage):
            kind = MediaKind(order["type"])
            staged = await stack.enter_async_context(self._media.staged(kind, _source(message, upload)))
            order["media"] = {"file": staged.file, "mimetype": staged.mimetype}
            if isinstance(message, wire.DocumentMessage):
                order["file_name"] = message.file_name or staged.file_name or "file"
        elif upload is not None:
            raise _no_file()
        if isinstance(message, wire.TextMessage) and message.link_preview is True:
            preview = await stack.enter_async_context(self._previews.of(message.text))
            if preview is not None:
                order["link_preview"] = preview


class _StateTold:
    """A context in which ``SessionNotOpen`` is told with the state that the connection has."""

    def __init__(self, connections: Connections, session_ref: int) -> None:
        self._connections = connections
        self._session_ref = session_ref

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, SessionNotOpen) and error.connection_state is None:
            state = self._connections.of(self._session_ref).state
            if state is not ConnectionState.OPEN:  # it was a moment ago
                raise SessionNotOpen(connection_state=state) from error


def _recipient(message: wire.OutgoingMessage) -> str:
    """The jid that a message goes to; raises ``InvalidRequest`` for everything that only a look at several fields tells."""
    errors = []
    recipients = message.recipients if isinstance(message, wire.PostableMessage) else None
    to = message.to if message.to == wire.STATUS else recipient_jid(message.to)
    if to is None:
        errors.append(FieldError("to", _NOT_A_RECIPIENT))
    if to == wire.STATUS and recipients is None:
        errors.append(FieldError("recipients", "is required for a status post, which only some types can be"))
    if to != wire.STATUS and recipients is not None:
        errors.append(FieldError("recipients", f"belongs to {wire.STATUS} only"))
    if (
        isinstance(message, wire.TextMessage | wire.EditMessage)
        and len(message.text.encode("utf-16-le")) > 2 * TEXT_LIMIT
    ):
        errors.append(FieldError("text", f"must be at most {TEXT_LIMIT} characters"))
    if to is not None and is_channel(to) and (not isinstance(message, _POSTS) or message.quoted is not None):
        errors.append(FieldError("to", "is a channel, which takes texts and files only, and nothing is quoted there"))
    if isinstance(message, wire.PollMessage):
        if len(set(message.options)) < len(message.options):
            errors.append(FieldError("options", "must all be different"))
        if message.selectable_count > len(message.options):
            errors.append(FieldError("selectable_count", "must not be more than there are options"))
    if errors or to is None:
        raise InvalidRequest(errors=errors)
    return to


def _plain(message: wire.OutgoingMessage) -> dict[str, Any]:
    """The fields that the control API takes as they are, and those that are only spelt otherwise there."""
    fields = msgspec.to_builtins(message)
    order = {name: value for name, value in fields.items() if value is not None and name not in _TRANSLATED}
    mentions = getattr(message, "mentions", None)
    if mentions:
        order["mentions"] = _jids(mentions, "mentions")
    if isinstance(message, wire.PostableMessage) and message.recipients is not None:
        order["recipients"] = _jids(message.recipients, "recipients")
    if isinstance(message, wire.TextMessage) and isinstance(message.link_preview, wire.LinkPreview):
        order["link_preview"] = _without_nothing(fields["link_preview"])
    if isinstance(message, wire.ContactMessage):
        order["contacts"] = [{"name": card.name, "vcard": _vcard(card)} for card in message.contacts]
    return order


def _without_nothing(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _vcard(card: wire.ContactCard) -> str:
    phones = [CardPhone(phone.number, phone.label) for phone in card.phones]
    return vcard(card.name, phones, emails=card.emails, organization=card.organization, title=card.title, url=card.url)


def _jids(recipients: Iterable[str], field: str) -> list[str]:
    return [_jid(recipient, f"{field}[{number}]") for number, recipient in enumerate(recipients)]


def _jid(recipient: str, field: str) -> str:
    jid = recipient_jid(recipient)
    if jid is None:
        raise InvalidRequest(errors=[FieldError(field, _NOT_A_RECIPIENT)])
    return jid


def _source(message: wire.MediaMessage, upload: Upload | None) -> wire.MediaSource | Upload:
    if (message.media is None) == (upload is None):
        raise InvalidRequest(errors=[FieldError("media", "is required, or the part file of a form, and not both")])
    return upload if message.media is None and upload is not None else message.media or wire.MediaSource()


def _no_file() -> InvalidRequest:
    return InvalidRequest(errors=[FieldError("file", "belongs to messages with media only")])


def _target(reference: str | wire.Target) -> wire.Target:
    return wire.Target(message_id=reference) if isinstance(reference, str) else reference


def _meant(
    found: Iterable[KnownMessage], chat: str | None, sender: str | None, *, strictly: bool
) -> list[KnownMessage]:
    """Those in the chat, by the sender. A chat that wasn't said may have another of its addresses here."""
    by_sender = [known for known in found if sender in (None, known.data["sender"], known.origin["participant"])]
    there = [known for known in by_sender if chat in (None, known.data["chat"], known.origin["chat"])]
    return there if there or strictly else by_sender


def _the_one(meant: list[KnownMessage]) -> KnownMessage:
    match meant:
        case [known]:
            return known
        case []:
            raise MessageNotFound
        case _:
            raise MessageAmbiguous
