"""vCards (RFC 2426), as phones read them out of a message: a number opens a chat when its digits are in ``waid``."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_SPECIAL = re.compile(r"([\\;,])")
_BREAK = re.compile(r"[\r\n\x0b\x0c\x85\u2028\u2029]+")


@dataclass(frozen=True, slots=True)
class CardPhone:
    number: str
    label: str | None = None


def vcard(
    name: str,
    phones: Sequence[CardPhone],
    *,
    emails: Sequence[str] = (),
    organization: str | None = None,
    title: str | None = None,
    url: str | None = None,
) -> str:
    return "\n".join(
        [
            "BEGIN:VCARD",
            "VERSION:3.0",
            f"N:;{_text(name)};;;",
            f"FN:{_text(name)}",
            *_line("ORG", organization),
            *_line("TITLE", title),
            *(line for number, phone in enumerate(phones, start=1) for line in _phone(number, phone)),
            *(line for email in emails for line in _line("EMAIL;type=INTERNET", email)),
            *_line("URL", url),
            "END:VCARD",
        ]
    )


def _phone(position: int, phone: CardPhone) -> Iterable[str]:
    digits = re.sub(r"\D", "", phone.number)
    yield f"item{position}.TEL;waid={digits}:{_text(phone.number)}"
    yield from _line(f"item{position}.X-ABLabel", phone.label or "Mobile")


def _line(name: str, value: str | None) -> Iterable[str]:
    return [f"{name}:{_text(value)}"] if value else []


def _text(value: str) -> str:
    """One line, whatever is in it: a line break would begin a property of its own."""
    return _SPECIAL.sub(r"\\\1", _BREAK.sub(" ", value))
