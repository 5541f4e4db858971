"""Every error that this software raises on purpose, as one tree.

::

    OrchestratorError
    ├── InvalidRequest
    │   ├── AddressForbidden
    │   │   └── MediaAddressForbidden
    │   ├── AddressUnreachable
    │   │   └── MediaUnreachable
    │   ├── MediaTypeRefused
    │   ├── NotOnWhatsapp
    │   ├── MessageNotForwardable
    │   ├── AuthStateRefused
    │   ├── BackupRefused
    │   ├── MalformedJson
    │   └── BodyTooLarge
    │       └── MediaTooLarge
    ├── Unauthorized
    │   ├── TokenExpired
    │   └── NotificationNotSigned
    ├── PaymentRequired
    ├── Forbidden
    │   ├── ScopeMissing
    │   └── TenantBlocked
    ├── RateLimited
    ├── NotFound
    │   ├── TenantNotFound
    │   ├── TokenNotFound
    │   ├── LoginNotFound
    │   ├── LoginLinkNotFound
    │   ├── PlanNotFound
    │   ├── ChargeNotFound
    │   ├── SessionNotFound
    │   ├── PairingLinkNotFound
    │   ├── ProcessNotFound
    │   ├── GenerationNotFound
    │   ├── MessageNotFound
    │   ├── MediaNotFound
    │   ├── BulkNotFound
    │   ├── ContactNotFound
    │   ├── TemplateNotFound
    │   ├── ScheduleNotFound
    │   ├── AlertNotFound
    │   ├── BroadcastNotFound
    │   ├── WebhookNotFound
    │   └── DeliveryNotFound
    ├── MethodNotAllowed
    ├── NotAcceptable
    ├── Conflict
    │   ├── TenantExists
    │   ├── TenantInUse
    │   ├── OperatorTenant
    │   ├── BillingOff
    │   ├── PlanExists
    │   ├── PlanNotAvailable
    │   ├── NothingToPay
    │   ├── SessionLimit
    │   ├── StorageLimit
    │   ├── SessionExists
    │   ├── SessionNotOpen
    │   ├── SessionNotSynced
    │   ├── SessionRunning
    │   ├── SessionQuarantined
    │   ├── GenerationInUse
    │   ├── GenerationNotPaired
    │   ├── ConfirmationRequired
    │   ├── IdempotencyKeyReused
    │   ├── OutboxFull
    │   ├── NotCancellable
    │   ├── NotReplayable
    │   ├── WebhookLimit
    │   ├── ContactExists
    │   ├── ContactLimit
    │   ├── DueDateMoved
    │   ├── ScheduleLimit
    │   ├── AlreadyPaired
    │   ├── NotPairing
    │   ├── PairingCodeRefused
    │   ├── QrNotReady
    │   ├── ChatsNotKept
    │   ├── MessageAmbiguous
    │   ├── BotOff
    │   ├── BroadcastUnderWay
    │   ├── LeaseBusy
    │   ├── BotLeaseLost
    │   └── LeaseLost
    ├── PairingCodeRateLimited
    ├── MediaExpired
    ├── MediaHostUnreachable
    ├── SendFailed
    │   └── MessageRefused
    ├── WhatsAppRefused
    │   └── WhatsAppRateLimited
    ├── WhatsAppNoAnswer
    ├── PaymentRefused
    ├── AuthStateCorrupt
    │   └── EncryptionKeyMissing
    ├── UnexpectedAnswer
    └── Unavailable
        ├── ServiceUnreachable
        ├── DatabaseUnavailable
        ├── ReplicaUnreachable
        ├── PaymentProviderUnavailable
        ├── Overloaded
        ├── SidecarUnavailable
        │   ├── SidecarGone
        │   └── JournalUndrained
        └── SendUnconfirmed

The docstring is the default message and says what the caller should do. ``code`` is stable: programs decide by it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field of a request; ``field`` is a path such as ``text`` or ``set[3]``."""

    field: str
    message: str


class OrchestratorError(Exception):
    """Something went wrong inside; try again, and look into the log if it stays."""

    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.default_message())

    @classmethod
    def default_message(cls) -> str:
        return " ".join((cls.__doc__ or "").split())

    @property
    def message(self) -> str:
        return str(self.args[0])


class InvalidRequest(OrchestratorError):
    """The request is not valid; correct the named fields and send it again."""

    code = "invalid_request"

    def __init__(self, message: str | None = None, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(message)
        self.errors = tuple(errors)


class MalformedJson(InvalidRequest):
    """The body is not valid JSON; send one JSON object in UTF-8."""

    code = "malformed_json"


class BodyTooLarge(InvalidRequest):
    """The body is larger than this address takes; send less at a time."""

    code = "body_too_large"


class MediaTooLarge(BodyTooLarge):
    """The file is larger than phones or this service take for this kind of message; make it smaller, or send it as a document."""

    code = "media_too_large"


class AddressForbidden(InvalidRequest):
    """The address leads to a private, local or reserved network, which is never called from here; give a public one."""

    code = "address_forbidden"


class AddressUnreachable(InvalidRequest):
    """The address did not give a complete answer; check that it can be reached from the internet."""

    code = "address_unreachable"


class MediaAddressForbidden(AddressForbidden):
    """The media's address leads to a private, local or reserved network, which is never called from here; upload the file."""

    code = "media_address_forbidden"


class MediaUnreachable(AddressUnreachable):
    """The media's address did not give the file; check that it can be reached from the internet, or upload the file."""

    code = "media_unreachable"


class MediaTypeRefused(InvalidRequest):
    """Phones don't show a file of this type as this kind of message; convert it, or send it as a document."""

    code = "media_type_refused"


class NotOnWhatsapp(InvalidRequest):
    """This number is not on WhatsApp; check it, country code included."""

    code = "not_on_whatsapp"


class MessageNotForwardable(InvalidRequest):
    """This kind of message can't be forwarded; send its text anew."""

    code = "message_not_forwardable"


class AuthStateRefused(InvalidRequest):
    """The auth state from outside can't be taken, and nothing was stored; correct its source and send it again."""

    code = "auth_state_refused"


class BackupRefused(InvalidRequest):
    """The backup can't be made, read or restored like this, and nothing was changed; see what is said of it."""

    code = "backup_refused"


class Unauthorized(OrchestratorError):
    """A valid token is needed; send it as "Authorization: Bearer <token>"."""

    code = "unauthorized"


class TokenExpired(Unauthorized):
    """This token is past its expiry; make a new one with POST /v1/tokens, or ask for one."""

    code = "token_expired"


class NotificationNotSigned(Unauthorized):
    """The notification doesn't bear a signature of MercadoPago's; check that MERCADOPAGO_WEBHOOK_SECRET is the one of its panel."""

    code = "notification_not_signed"


class PaymentRequired(OrchestratorError):
    """The subscription has ended and the sessions are paused; pay with POST /v1/charges, which brings them back without a QR code."""

    code = "payment_required"


class Forbidden(OrchestratorError):
    """This token may not do that; ask whoever gave it to you."""

    code = "forbidden"


class ScopeMissing(Forbidden):
    """This token may not do that; use one with the scope that the operation needs."""

    code = "scope_missing"


class TenantBlocked(Forbidden):
    """The operator has blocked this tenant; ask the operator. Its sessions stay linked."""

    code = "tenant_blocked"


class RateLimited(OrchestratorError):
    """Too many requests in a short time; wait as long as Retry-After says, then go on more slowly."""

    code = "rate_limited"

    def __init__(self, message: str | None = None, *, retry_after_seconds: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class NotFound(OrchestratorError):
    """There is nothing at this address; check the path."""

    code = "not_found"


class TenantNotFound(NotFound):
    """There is no tenant with this id; create it with POST /v1/tenants."""

    code = "tenant_not_found"


class TokenNotFound(NotFound):
    """There is no token with this id; list the tokens to see what there is."""

    code = "token_not_found"


class LoginNotFound(NotFound):
    """This token is not that of a browser's log-in; revoke it like any other."""

    code = "login_not_found"


class LoginLinkNotFound(NotFound):
    """This log-in link doesn't exist, is over, or was used; ask for a new one."""

    code = "login_link_not_found"


class PlanNotFound(NotFound):
    """There is no plan with this id; list the plans to see what there is."""

    code = "plan_not_found"


class ChargeNotFound(NotFound):
    """There is no charge with this id; create one with POST /v1/charges."""

    code = "charge_not_found"


class SessionNotFound(NotFound):
    """There is no session with this id; create it with POST /v1/sessions."""

    code = "session_not_found"


class GenerationNotFound(NotFound):
    """The session has no generation of this number; list its generations to see what there is."""

    code = "generation_not_found"


class PairingLinkNotFound(NotFound):
    """This pairing link doesn't exist, is over, or was opened in another browser; ask whoever sent it for a new one."""

    code = "pairing_link_not_found"


class ProcessNotFound(NotFound):
    """No process of this name runs here; list the processes to see what there is."""

    code = "process_not_found"


class MessageNotFound(NotFound):
    """The message is not known here, or not any more; check its id and its chat."""

    code = "message_not_found"


class MediaNotFound(NotFound):
    """The message has no file with it; look at its type first."""

    code = "media_not_found"


class BulkNotFound(NotFound):
    """The session has no bulk of this id; it is in the answer to the request that made it."""

    code = "bulk_not_found"


class ContactNotFound(NotFound):
    """There is no contact of this id; look into the list of contacts."""

    code = "contact_not_found"


class TemplateNotFound(NotFound):
    """There is no template of this id; look into the list of templates."""

    code = "template_not_found"


class ScheduleNotFound(NotFound):
    """There is no schedule of this id; look into the list of schedules."""

    code = "schedule_not_found"


class AlertNotFound(NotFound):
    """There are no alerts of this kind; list the alerts for those that there are."""

    code = "alert_not_found"


class BroadcastNotFound(NotFound):
    """There is no broadcast with this id; list the broadcasts for those that there are."""

    code = "broadcast_not_found"


class WebhookNotFound(NotFound):
    """There is no webhook of this id; list them to see what there is."""

    code = "webhook_not_found"


class DeliveryNotFound(NotFound):
    """The webhook has no delivery of this number; list its deliveries to see what there is."""

    code = "delivery_not_found"


class MethodNotAllowed(OrchestratorError):
    """This address does not take that method; look up which one it takes."""

    code = "method_not_allowed"


class NotAcceptable(OrchestratorError):
    """None of the formats in Accept can be made here; ask for one of those that are documented."""

    code = "not_acceptable"


class Conflict(OrchestratorError):
    """The request does not fit the present state; read the state and decide anew."""

    code = "conflict"


class TenantExists(Conflict):
    """A tenant with this id exists or existed; choose another id."""

    code = "tenant_exists"


class TenantInUse(Conflict):
    """The tenant has sessions; delete these first."""

    code = "tenant_in_use"


class OperatorTenant(Conflict):
    """This is the operator's own tenant; it can't be blocked or deleted."""

    code = "operator_tenant"


class BillingOff(Conflict):
    """No payments are taken here, so everybody may use everything; to take them, set MERCADOPAGO_ACCESS_TOKEN."""

    code = "billing_off"


class PlanExists(Conflict):
    """A plan with this id exists already; choose another id or change that one."""

    code = "plan_exists"


class PlanNotAvailable(Conflict):
    """This plan can't be bought any more; list the plans and choose one that is available."""

    code = "plan_not_available"


class NothingToPay(Conflict):
    """The tenant's subscription never ends, so there is nothing to pay."""

    code = "nothing_to_pay"


class SessionLimit(Conflict):
    """The tenant has as many sessions as it may have; delete one, or ask the operator for more."""

    code = "session_limit"


class StorageLimit(Conflict):
    """The tenant's sessions take as much storage as they may; delete one or what waits, or ask the operator for more."""

    code = "storage_limit"


class SessionExists(Conflict):
    """A session with this id exists already; choose another id or use the existing one."""

    code = "session_exists"


class SessionNotOpen(Conflict):
    """The session is not connected to WhatsApp; wait for connection_state "open" and send again."""

    code = "session_not_open"

    def __init__(self, message: str | None = None, connection_state: str | None = None) -> None:
        super().__init__(message)
        self.connection_state = connection_state


class SessionNotSynced(Conflict):
    """The phone has not given this device the key to its chats and contacts yet; try again in some seconds."""

    code = "session_not_synced"


class SessionRunning(Conflict):
    """This service runs the session itself, so nobody else may; stop it here first."""

    code = "session_running"


class SessionQuarantined(Conflict):
    """The session's pairing is set aside; to link the account anew, start it with {"new_pairing": true}."""

    code = "session_quarantined"


class GenerationInUse(Conflict):
    """The session uses a pairing that works; to set that aside for the older one, repeat the call with "replace": true."""

    code = "generation_in_use"


class GenerationNotPaired(Conflict):
    """This generation was never linked to a phone, or its state is gone, so there is nothing to restore; link the session anew."""

    code = "generation_not_paired"


class ConfirmationRequired(Conflict):
    """This takes the session away from its programs; repeat the call with ?confirm= and the session's id."""

    code = "confirmation_required"


class IdempotencyKeyReused(Conflict):
    """This Idempotency-Key was used with another body; use a new key for another message."""

    code = "idempotency_key_reused"


class OutboxFull(Conflict):
    """The session's outbox holds as many waiting messages as it may; wait until some are sent, or cancel some."""

    code = "outbox_full"


class NotCancellable(Conflict):
    """The message is being sent or was sent already, so it can't be cancelled; delete it on WhatsApp instead."""

    code = "not_cancellable"


class NotReplayable(Conflict):
    """Only a delivery that was given up can be replayed; this one is waiting or was delivered."""

    code = "not_replayable"


class WebhookLimit(Conflict):
    """There are as many webhooks as a tenant may have; delete one that isn't needed."""

    code = "webhook_limit"


class ContactExists(Conflict):
    """There is a contact with this phone number already; change that one."""

    code = "contact_exists"


class ContactLimit(Conflict):
    """The tenant has as many contacts as it can have; delete some first."""

    code = "contact_limit"


class DueDateMoved(Conflict):
    """The contact's due date is another one by now; look at it again."""

    code = "due_date_moved"


class ScheduleLimit(Conflict):
    """The tenant has as many schedules as it can have; delete one first."""

    code = "schedule_limit"


class AlreadyPaired(Conflict):
    """The session is paired already and needs no QR code; log it out first to link another account."""

    code = "already_paired"


class NotPairing(Conflict):
    """The session is not being paired at the moment; start it and ask again."""

    code = "not_pairing"


class PairingCodeRefused(Conflict):
    """WhatsApp refused the pairing code; check the phone number, or scan the QR code instead."""

    code = "pairing_code_refused"


class QrNotReady(Conflict):
    """The QR code is being made; ask again in a second."""

    code = "qr_not_ready"


class ChatsNotKept(Conflict):
    """Messages of chats are not kept; set retention_days in the session's settings, or chat_retention_days of the tenant."""

    code = "chats_not_kept"


class MessageAmbiguous(Conflict):
    """Several messages have this id, which their senders choose; name the chat, and in a group the sender."""

    code = "message_ambiguous"


class BotOff(Conflict):
    """There is no Telegram bot that could tell anybody; to have one, set BOT_TOKEN."""

    code = "bot_off"


class BroadcastUnderWay(Conflict):
    """Another broadcast is under way; wait for its end, or cancel it."""

    code = "broadcast_under_way"


class LeaseBusy(Conflict):
    """The lease of a process that ended has not run out; ask again in a second."""

    code = "lease_busy"


class LeaseLost(Conflict):
    """Another owner runs this session, or its epoch is past; close the socket and do not reconnect."""

    code = "lease_lost"


class BotLeaseLost(Conflict):
    """Another process is the bot by now; deal with no further update before you have the lease again."""

    code = "bot_lease_lost"


class PairingCodeRateLimited(OrchestratorError):
    """WhatsApp was asked for too many pairing codes for this number; scan the QR code instead, or wait some hours."""

    code = "pairing_code_rate_limited"


class MediaExpired(OrchestratorError):
    """WhatsApp doesn't keep this file any more; ask its sender to send it again."""

    code = "media_expired"


class MediaHostUnreachable(OrchestratorError):
    """WhatsApp's media host did not give the file; try again."""

    code = "media_host_unreachable"


class SendFailed(OrchestratorError):
    """WhatsApp did not take the message; check the recipient and send again."""

    code = "send_failed"


class MessageRefused(SendFailed):
    """WhatsApp refused the message, and would refuse it again; check the recipient and whether the account is restricted."""

    code = "message_refused"


class WhatsAppRefused(OrchestratorError):
    """WhatsApp refused it; look at whatsapp_code: 401 and 403 mean that the account may not, 404 and 410 that it isn't there."""

    code = "whatsapp_refused"

    def __init__(self, message: str | None = None, whatsapp_code: int | None = None) -> None:
        super().__init__(message)
        self.whatsapp_code = whatsapp_code


class WhatsAppRateLimited(WhatsAppRefused):
    """WhatsApp was asked too often and did nothing; wait some minutes and ask for less at a time."""

    code = "whatsapp_rate_limited"


class WhatsAppNoAnswer(OrchestratorError):
    """WhatsApp did not answer in time; it may have done what was asked, so look before you repeat it."""

    code = "whatsapp_no_answer"


class PaymentRefused(OrchestratorError):
    """MercadoPago has refused the request; check the payer's e-mail address, the amount and MERCADOPAGO_ACCESS_TOKEN."""

    code = "payment_refused"


class AuthStateCorrupt(OrchestratorError):
    """The stored auth state exists and cannot be opened; check SESSION_ENCRYPTION_KEYS and the database."""

    code = "auth_state_corrupt"


class EncryptionKeyMissing(AuthStateCorrupt):
    """A stored value is sealed with a key that SESSION_ENCRYPTION_KEYS does not hold; add that key and start again."""

    code = "encryption_key_missing"


class UnexpectedAnswer(OrchestratorError):
    """The answer isn't one that this version of the client knows; check the address, and use the client of the service's version."""

    code = "unexpected_answer"


class Unavailable(OrchestratorError):
    """A part of the service is out of reach for the moment; try again."""

    code = "unavailable"


class ServiceUnreachable(Unavailable):
    """The API gave no answer; look whether the request was carried out before you repeat it."""

    code = "service_unreachable"

    def __init__(self, message: str | None = None, *, asked: bool = True) -> None:
        super().__init__(message)
        self.asked = asked
        """False if it is certain that the request never arrived."""


class DatabaseUnavailable(Unavailable):
    """The database is out of reach for the moment; look whether the request was carried out before you repeat it."""

    code = "database_unavailable"


class ReplicaUnreachable(Unavailable):
    """The session runs on another machine, which can't be reached now; try again in a few seconds."""

    code = "replica_unreachable"


class PaymentProviderUnavailable(Unavailable):
    """MercadoPago doesn't answer at the moment; try again, nothing is paid twice by that."""

    code = "payment_provider_unavailable"


class Overloaded(Unavailable):
    """Too much is waiting to be written already and nothing of this was taken; send it again in a while."""

    code = "overloaded"


class SidecarUnavailable(Unavailable):
    """The WhatsApp process is out of reach for the moment; try again."""

    code = "sidecar_unavailable"


class SidecarGone(SidecarUnavailable):
    """No WhatsApp process is listening; nothing was asked of it, so try again when it is back."""

    code = "sidecar_gone"


class JournalUndrained(SidecarUnavailable):
    """The session is closed, but its last changes still wait for the database; try again when it is back."""

    code = "journal_undrained"


class SendUnconfirmed(Unavailable):
    """The WhatsApp process did not answer in time; the message may have been sent, so look before you repeat it."""

    code = "send_unconfirmed"
