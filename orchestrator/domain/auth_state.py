"""The auth state of a generation, as opaque to Python as it can be."""

from dataclasses import dataclass, field

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
    """What is to become durable in one transaction; texts are Baileys' JSON, ``sent_messages`` protobuf bytes by id."""

    creds: str | None = None
    account: Account | None = None
    set_keys: dict[SignalKeyName, str] = field(default_factory=dict)
    delete_keys: frozenset[SignalKeyName] = frozenset()
    sent_messages: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """The stored state: creds, and the prefetched keys; ``complete`` says that only pre-keys were left out."""

    creds: str
    keys: dict[SignalKeyName, str]
    complete: bool


@dataclass(frozen=True, slots=True)
class ProvenAbsent:
    """The store answered, and nothing was ever paired in this generation: only this may make an identity."""


#: The third outcome, *unknown*, is every exception.
LoadOutcome = Found | ProvenAbsent
