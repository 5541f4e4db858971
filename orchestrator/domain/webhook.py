"""Webhooks: what they want to hear, how a delivery is signed, and when it is tried again.

The headers are those of Standard Webhooks (https://www.standardwebhooks.com): ``webhook-id``, ``webhook-timestamp`` and
``webhook-signature``, which is ``v1,`` and the base64 of HMAC-SHA256 over ``id.timestamp.body``; two of them, separated by a
space, while a secret is being changed.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

#: Everything that a webhook may ask for; ``*`` stands for all of it.
EVENT_TYPES: Final = frozenset(
    """
    message.received message.status bulk.finished
    group.participants group.updated group.created group.join_request
    session.state session.alert session.degraded session.repaired session.pairing_failed
    """.split()
)
ALL: Final = "*"
MOST_WEBHOOKS: Final = 50

#: How long after an event it is tried to be delivered.
GIVE_UP: Final = timedelta(hours=24)
#: A webhook that failed for that long without one success is switched off.
SWITCH_OFF: Final = timedelta(days=5)
#: How long the secret before the present one signs too.
ROTATION_OVERLAP: Final = timedelta(hours=24)

_SECRET_PREFIX: Final = "whsec_"  # noqa: S105 (every secret begins so)
_SECRET_BYTES: Final = 32
_FIRST_RETRY_SECONDS: Final = 0.25
_LONGEST_RETRY_SECONDS: Final = 3600.0


class DeliveryState(StrEnum):
    WAITING = "waiting"
    DELIVERED = "delivered"
    DEAD = "dead"
    """Given up; it can be replayed."""


@dataclass(frozen=True, slots=True)
class Secret:
    """``until``: when it stops to sign; None for the present one."""

    value: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Webhook:
    """``session_id`` None: of all sessions of the tenant."""

    webhook_id: str
    tenant_id: str
    session_id: str | None
    url: str
    secrets: tuple[Secret, ...]
    events: tuple[str, ...]
    enabled: bool
    disabled_reason: str | None
    failing_since: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one webhook; the last try's outcome. ``answer``: the first bytes of what came back."""

    number: int
    event_id: str
    type: str
    session_id: str
    state: DeliveryState
    created_at: datetime
    attempts: int
    attempted_at: datetime | None
    duration_ms: int | None
    status: int | None
    answer: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of one try. ``status`` None: there was no answer, and ``error`` says why."""

    duration_ms: int
    status: int | None
    answer: str | None
    error: str | None

    @property
    def succeeded(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def wants(events: Iterable[str], type_: str) -> bool:
    return type_ in events or (ALL in events and type_ in EVENT_TYPES)


def new_secret() -> Secret:
    return Secret(_SECRET_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode())


def signing(webhook_secrets: Iterable[Secret], now: datetime) -> list[str]:
    """The secrets that sign at this moment."""
    return [secret.value for secret in webhook_secrets if secret.until is None or secret.until > now]


def headers(event_id: str, signed_at: datetime, body: bytes, secret_values: Iterable[str]) -> Mapping[str, str]:
    timestamp = str(int(signed_at.timestamp()))
    content = b".".join((event_id.encode(), timestamp.encode(), body))
    return {
        "Content-Type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(_signature(value, content) for value in secret_values),
    }


def _signature(secret: str, content: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX))
    return "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()


def retry_seconds(attempts: int, random: float) -> float:
    """How long to wait after that many failed tries; ``random`` is from 0 to 1."""
    longest = min(_LONGEST_RETRY_SECONDS, _FIRST_RETRY_SECONDS * 2.0 ** min(attempts - 1, 20))
    return longest * (0.5 + random / 2)
