"""Takes secrets out of log lines: those that this process knows, and whatever looks like one.

The lines are written so that no secret is in them; this is the net below. It errs on the side of hiding: a run of 10 to 15
digits is a phone number unless it is part of a longer word.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

HIDDEN = "[secret]"

#: Fields that hold a secret whatever it looks like.
_FIELDS = re.compile(
    r"(^|_)(authorization|cookie|creds|passphrase|password|private_key|qr|pairing_code|secret|secrets|token|tokens)$",
    re.IGNORECASE,
)

_Rule = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]


def _masked(found: re.Match[str]) -> str:
    return f"***{found[0][-4:]}"


def _masked_user(found: re.Match[str]) -> str:
    """The account of a jid; its device and its server say nothing of a person."""
    return f"***{found['user'][-4:]}{found['device'] or ''}@{found['server']}"


_RULES: tuple[_Rule, ...] = (
    # The user name and password of an address, such as a database's or a proxy's.
    (re.compile(r"(?<=://)[^/\s@?#]+(?=@)"), HIDDEN),
    (re.compile(r"(?i)\b(password|passwd|secret|token|access_token|api_key|apikey)=[^\s&;'\"]+"), rf"\1={HIDDEN}"),
    (re.compile(r"(?i)\b(bearer|basic) +[A-Za-z0-9+/=._~-]{8,}"), rf"\1 {HIDDEN}"),
    # Telegram: the number of the bot, a colon, 35 characters; also in the paths of its API.
    (re.compile(r"(?<![0-9])\d{6,12}:[A-Za-z0-9_-]{30,}"), HIDDEN),
    (re.compile(r"\b(APP_USR|TEST)-[A-Za-z0-9-]{16,}"), HIDDEN),
    # Our own: tokens of tenants, links to the pairing page, and 32 bytes in hexadecimal digits or base64.
    (re.compile(r"\bbo_[A-Za-z0-9_-]{20,}"), HIDDEN),
    (re.compile(r"(?<=/pair/)[A-Za-z0-9_-]{16,}"), HIDDEN),
    (re.compile(r"(?<![0-9A-Za-z])[0-9a-fA-F]{64}(?![0-9A-Za-z])"), HIDDEN),
    (re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])"), HIDDEN),
    (re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{43}=(?![A-Za-z0-9+/=])"), HIDDEN),
    (
        re.compile(
            r"(?P<user>\d[\d-]{4,40})(?P<device>:\d+)?@(?P<server>s\.whatsapp\.net|lid|g\.us|c\.us|newsletter)\b"
        ),
        _masked_user,
    ),
    (re.compile(r"(?<![0-9A-Za-z_.*-])\+?\d{10,15}(?![0-9A-Za-z_]|\.\d)"), _masked),
)


class Redaction:
    """A structlog processor. ``secrets`` are hidden wherever they are, also in the middle of a word."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = sorted({secret for secret in secrets if len(secret) >= 8}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, _logger: object, _method: str, event: Mapping[str, Any]) -> dict[str, Any]:
        return {key: self._field(key, value) for key, value in event.items()}

    def text(self, text: str) -> str:
        if self._known is not None:
            text = self._known.sub(HIDDEN, text)
        for pattern, replacement in _RULES:
            text = pattern.sub(replacement, text)
        return text

    def _field(self, key: str, value: Any) -> Any:
        if value is not None and not isinstance(value, bool) and _FIELDS.search(key):
            return HIDDEN
        if key == "timestamp":
            return value
        return self._value(value)

    def _value(self, value: Any) -> Any:
        match value:
            case str():
                return self.text(value)
            case bool() | int() | float() | None:
                return value
            case bytes() | bytearray() | memoryview():
                return HIDDEN
            case Mapping():
                return {self.text(str(key)): self._field(str(key), inner) for key, inner in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self._value(inner) for inner in value]
            case _:
                return self.text(str(value))
