"""The outbox as its users see it: accept, look, cancel, and set the pace."""

import contextlib
import hashlib
import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from orchestrator.domain.errors import (
    BodyTooLarge,
    FieldError,
    InvalidRequest,
    MessageNotFound,
    NotCancellable,
    SessionNotFound,
)
from orchestrator.domain.media import MediaKind
from orchestrator.domain.outbox import DEADLINE, FURTHEST, MOST_FILE_BYTES, Bulk, MessageState, OutboxMessage
from orchestrator.domain.pacing import PacedMessages, Pacing
from orchestrator.domain.recipient import recipient_jid
from orchestrator.services.events import EventBus
from orchestrator.services.leases import LeaseBook
from orchestrator.services.media import MediaFiles, StagedMedia, Upload
from orchestrator.services.messaging import Messaging
from orchestrator.services.outbox_sender import OutboxSender
from orchestrator.store.outbox import Acceptance, Changed, NewFile, NewMessage, OutboxStore, bulk_data
from orchestrator.store.pacing import PacingStore
from orchestrator.wire import messages as wire

#: Bytes of a message that waits: a file in it would lie in the database.
_LONGEST_BODY = 1024 * 1024
#: Bytes of a file that are in one row: sealed between other work in a millisecond.
_PART_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """A message as its sender gave it, and how it is to be sent."""

    message: wire.OutgoingMessage
    idempotency_key: str | None = None
    send_at: datetime | None = None
    deadline: datetime | None = None
    upload: Upload | None = None
    """The message's file, if that comes with the request."""


class Outbox:
    def __init__(
        self,
        store: OutboxStore,
        pacing: PacingStore,
        leases: LeaseBook,
        messaging: Messaging,
        media: MediaFiles,
        sender: OutboxSender,
        events: EventBus,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._pacing = pacing
        self._leases = leases
        self._messaging = messaging
        self._media = media
        self._sender = sender
        self._events = events
        self._clock = clock

    async def accept(
        self, tenant_id: str, session_id: str, request: Request, *, as_bulk: bool = False
    ) -> OutboxMessage:
        """Keep the message for when the session is open; the same request with the same key gets the same message.

        ``as_bulk``: it is one of many, and keeps to the pace as messages of a bulk do.
        """
        self._check_times(request.send_at, request.deadline)
        if request.upload is None:
            return await self._accept(tenant_id, session_id, request, self._checked(request.message), None, as_bulk)
        self._messaging.check(request.message, request.upload)
        kind = MediaKind(str(request.message.__struct_config__.tag))
        async with self._media.staged(kind, request.upload, limit=MOST_FILE_BYTES) as staged:
            about = wire.MediaSource(mimetype=staged.mimetype, file_name=staged.file_name)
            described = msgspec.structs.replace(request.message, media=about)
            message = NewMessage(self._messaging.check(request.message, request.upload), _body(described))
            return await self._accept(tenant_id, session_id, request, message, staged, as_bulk)

    async def _accept(
        self,
        tenant_id: str,
        session_id: str,
        request: Request,
        message: NewMessage,
        staged: StagedMedia | None,
        as_bulk: bool,
    ) -> OutboxMessage:
        pacing = await self._pacing.get(tenant_id, session_id)
        how = Acceptance(
            digest=_digest([message], request, None if staged is None else await staged.digest()),
            idempotency_key=request.idempotency_key,
            send_at=request.send_at,
            deadline=request.deadline,
            default_deadline=DEADLINE,
            paced=pacing.applies_to is not PacedMessages.NONE if as_bulk else pacing.applies_to is PacedMessages.ALL,
        )
        file = None if staged is None else NewFile(staged.path.stat().st_size, staged.parts(_PART_BYTES))
        accepted = await self._store.accept(tenant_id, session_id, message, how, self._leases.owner, file)
        self._wake(tenant_id, session_id)
        return accepted

    async def accept_bulk(self, tenant_id: str, session_id: str, requests: Sequence[Request]) -> Bulk:
        """Keep many messages, which are sent by the session's pace; key and times are those of the first."""
        first = requests[0]
        self._check_times(first.send_at, first.deadline)
        messages = [self._checked(request.message, f"messages[{number}].") for number, request in enumerate(requests)]
        pacing = await self._pacing.get(tenant_id, session_id)
        # By its pace a bulk may take long: it has that time, and a day.
        minutes = len(messages) / pacing.messages_per_minute if pacing.applies_to is not PacedMessages.NONE else 0.0
        how = Acceptance(
            digest=_digest(messages, first),
            idempotency_key=first.idempotency_key,
            send_at=first.send_at,
            deadline=first.deadline,
            default_deadline=DEADLINE * 6 + timedelta(minutes=2 * minutes),
            paced=pacing.applies_to is not PacedMessages.NONE,
        )
        bulk_id = f"bulk_{secrets.token_hex(12)}"
        bulk = await self._store.accept_bulk(tenant_id, session_id, messages, how, bulk_id, self._leases.owner)
        self._wake(tenant_id, session_id)
        return bulk

    async def page(
        self,
        tenant_id: str,
        session_id: str,
        *,
        before: int | None,
        most: int,
        states: Collection[MessageState] = (),
        bulk_id: str | None = None,
        to: str | None = None,
    ) -> list[OutboxMessage]:
        """Messages below number ``before``, newest first."""
        jid = None if to is None else recipient_jid(to)
        if to is not None and jid is None:
            message = "must be a phone number with country code, digits only, or a WhatsApp jid such as 120363@g.us"
            raise InvalidRequest(errors=[FieldError("to", message)])
        return await self._store.page(
            tenant_id, session_id, before=before, most=most, states=states, bulk_id=bulk_id, to=jid
        )

    async def get(self, tenant_id: str, session_id: str, message_id: str) -> OutboxMessage:
        return await self._store.get(tenant_id, session_id, message_id)

    async def cancel(self, tenant_id: str, session_id: str, message_id: str) -> OutboxMessage:
        """``NotCancellable`` once it is being sent."""
        changed = await self._store.cancel(tenant_id, session_id, message_id)
        self._tell(changed)
        return changed.messages[0]

    async def give_back(self, tenant_id: str, session_id: str, message_id: str) -> None:
        """Cancel it if it still waits."""
        with contextlib.suppress(NotCancellable, MessageNotFound, SessionNotFound):
            await self.cancel(tenant_id, session_id, message_id)

    async def bulk(self, tenant_id: str, session_id: str, bulk_id: str) -> Bulk:
        return await self._store.bulk(tenant_id, session_id, bulk_id)

    async def cancel_bulk(self, tenant_id: str, session_id: str, bulk_id: str) -> Bulk:
        """Cancel what still waits of it; the rest goes its way."""
        self._tell(await self._store.cancel_bulk(tenant_id, session_id, bulk_id))
        return await self._store.bulk(tenant_id, session_id, bulk_id)

    async def pacing(self, tenant_id: str, session_id: str) -> Pacing:
        return await self._pacing.get(tenant_id, session_id)

    async def set_pacing(self, tenant_id: str, session_id: str, pacing: Pacing) -> Pacing:
        await self._pacing.put(tenant_id, session_id, pacing)
        lease = self._leases.find(tenant_id, session_id)
        if lease is not None:
            self._sender.pace_changed(lease.session_ref)
        return pacing

    def _checked(self, message: wire.OutgoingMessage, within: str = "") -> NewMessage:
        """As it is kept; ``InvalidRequest`` for what couldn't be sent, its fields named as those ``within`` the request."""
        try:
            to = self._messaging.check(message)
        except InvalidRequest as error:
            errors = [FieldError(within + each.field, each.message) for each in error.errors]
            raise InvalidRequest(errors=errors) from error
        return NewMessage(to, _body(message))

    def _wake(self, tenant_id: str, session_id: str) -> None:
        lease = self._leases.find(tenant_id, session_id)
        if lease is not None:
            self._sender.wake(lease.session_ref)

    def _tell(self, changed: Changed) -> None:
        for event in changed.events:
            self._events.relay(event)
        for lease, bulk in changed.bulks:
            self._events.publish(lease.tenant_id, "bulk.progress", lease.session_id, bulk_data(bulk))

    def _check_times(self, send_at: datetime | None, deadline: datetime | None) -> None:
        now = self._clock()
        if send_at is not None and send_at > now + FURTHEST:
            raise InvalidRequest(errors=[FieldError("send_at", "must be within a year")])
        if deadline is not None and not max(now, send_at or now) < deadline <= now + 2 * FURTHEST:
            raise InvalidRequest(errors=[FieldError("deadline", "must be later than now and than send_at")])


def _body(message: wire.OutgoingMessage) -> bytes:
    body = msgspec.json.encode(msgspec.structs.replace(message, queue=False, send_at=None, deadline=None))
    if len(body) > _LONGEST_BODY:
        raise BodyTooLarge(
            "A message that waits is at most 1 MiB; give the address of its file, or the file as a part of a form."
        )
    return body


def _digest(messages: Sequence[NewMessage], how: Request, file: bytes | None = None) -> bytes:
    """Tells one request from another, whatever the order of its fields; ``file`` is the digest of what comes with it."""
    asked: list[object] = [[(message.to, message.body) for message in messages], how.send_at, how.deadline]
    if file is not None:
        asked.append(file)
    return hashlib.sha256(msgspec.json.encode(asked)).digest()
