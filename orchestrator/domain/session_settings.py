"""What an owner decides about a session, changed while it runs."""

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any
from urllib.parse import unquote, urlsplit

from orchestrator.domain.outbound import AddressRules


class HistorySync(StrEnum):
    """How much of the old chats the phone sends at a pairing."""

    NONE = "none"
    RECENT = "recent"
    FULL = "full"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """``proxy`` is a URL with its credentials: a secret. ``retention_days`` is for the messages of its chats that are kept.

    With ``own_webhooks_only`` the tenant's webhooks don't hear of the session, but for those that were made for it.
    """

    proxy: str | None = None
    device_name: str | None = None
    mark_online: bool = True
    read_automatically: bool = False
    ignore_groups: bool = False
    ignore_status: bool = False
    ignore_channels: bool = False
    reject_calls: bool = False
    reject_call_message: str | None = None
    history_sync: HistorySync = HistorySync.RECENT
    retention_days: int | None = None
    own_webhooks_only: bool = False

    def __repr__(self) -> str:
        return f"<SessionSettings {sorted(self.differing())}>"

    def differing(self) -> dict[str, Any]:
        """What isn't as by default."""
        return {name: value for name, value in self.values().items() if value != getattr(DEFAULT_SETTINGS, name)}

    def values(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


DEFAULT_SETTINGS = SessionSettings()

#: WhatsApp is told these at a pairing only.
TOLD_AT_PAIRING = frozenset({"device_name", "history_sync"})
#: The sidecar has no use for these.
NOT_FOR_SIDECAR = frozenset({"retention_days", "own_webhooks_only"})

_SCHEMES = ("http", "https", "socks5")
#: SOCKS5 counts the bytes of each in one byte.
_CREDENTIAL_BYTES = 255


def waiting_for_pairing(before: SessionSettings, after: SessionSettings, *, paired: bool) -> list[str]:
    """The changes that a session which is linked already shows only when it is linked anew."""
    if not paired:
        return []
    return sorted(name for name in TOLD_AT_PAIRING if getattr(before, name) != getattr(after, name))


def proxy_problem(url: str, rules: AddressRules) -> str | None:
    """Why this can't be a proxy's URL; None if it can. Never repeats what is in it.

    A name that leads to a forbidden address is found by the sidecar, at each connection.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "must be a URL such as socks5://user:password@host:1080"
    if parts.scheme not in _SCHEMES or not parts.hostname or port == 0 or not url.isascii() or not url.isprintable():
        return "must be a URL of http, https or socks5, such as socks5://user:password@host:1080"
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        return "must end with the host and the port"
    if any(len(unquote(text or "").encode()) > _CREDENTIAL_BYTES for text in (parts.username, parts.password)):
        return f"must have credentials of at most {_CREDENTIAL_BYTES} bytes each"
    if parts.password and not parts.username:
        return "must have a user where it has a password"
    return rules.host_problem(parts.hostname)


def masked_proxy(url: str) -> str:
    """A proxy's URL as it may be shown: without its password."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    user = f"{parts.username}:***@" if parts.username else ""
    return f"{parts.scheme}://{user}{host}"
