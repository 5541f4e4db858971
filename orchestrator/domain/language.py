"""The languages that people are spoken to in."""

from enum import StrEnum


class Language(StrEnum):
    """As BCP 47 names them, which is how browsers and Telegram tell them."""

    EN = "en"
    PT_BR = "pt-BR"


def preferred_language(accept: str) -> Language:
    """The language that an Accept-Language header prefers (RFC 9110 section 12.5.4); English when it names none of ours.

    Any Portuguese is nearer to ours than English is.
    """
    wanted: list[tuple[float, str]] = []
    for part in accept.split(","):
        tag, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        try:
            wanted.append((float(quality), tag))
        except ValueError:
            continue
    for preference, tag in sorted(wanted, key=lambda entry: -entry[0]):
        if preference > 0 and tag.partition("-")[0] in ("pt", "en"):
            return Language.PT_BR if tag.startswith("pt") else Language.EN
    return Language.EN
