"""The auth state of a generation, as opaque to Python as it can be."""

from dataclasses import dataclass, field

from orchestrator.domain.errors import FieldError, InvalidRequest

#: (key_type, key_id), Baileys' own strings, verbatim.
SignalKeyName = tuple[str, str]


@dataclass(frozen=True, slots=True)
class StateAddress:
    """Which auth state is meant, and by what right it is touched."""

    tenant_id: str
    session_ref: int
    generation: int
    owner: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Account:
    """The WhatsApp account that creds belong to; ``lid`` is WhatsApp's own number-free address of it."""

    jid: str
    lid: str | None


@dataclass(frozen=True, slots=True)
class AuthStateWrite:
    """What is to become durable in one transaction. ``creds`` and values are Baileys' JSON in UTF-8, never parsed here.

    ``sent_messages`` are protobuf bytes by message id, ``incoming_messages`` the JSON of an event's data by message key.
    ``InvalidRequest`` for creds without their account, and for a key that is both set and deleted.
    """

    creds: bytes | None = None
    account: Account | None = None
    set_keys: dict[SignalKeyName, bytes] = field(default_factory=dict)
    delete_keys: frozenset[SignalKeyName] = frozenset()
    sent_messages: dict[str, bytes] = field(default_factory=dict)
    incoming_messages: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.creds is None) != (self.account is None):
            raise InvalidRequest(errors=[FieldError("account", "goes with creds, and creds with account")])
        if not self.delete_keys.isdisjoint(self.set_keys):
            raise InvalidRequest(errors=[FieldError("delete", "names a key that is set in the same request")])


@dataclass(frozen=True, slots=True)
class Found:
    """The creds of a paired generation and whose they are; keys come by ``Prefetched`` and on demand."""

    creds: str
    account: Account


@dataclass(frozen=True, slots=True)
class Prefetched:
    """The keys that a connection will want first; ``complete`` says that nothing but pre-keys was left out."""

    keys: dict[SignalKeyName, str]
    complete: bool


@dataclass(frozen=True, slots=True)
class ProvenAbsent:
    """The store answered, and nothing was ever paired in this generation: only this may make an identity."""


#: The third outcome, *unknown*, is every exception.
LoadOutcome = Found | ProvenAbsent
