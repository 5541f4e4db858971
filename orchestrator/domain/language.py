"""The languages that people are spoken to in."""

from enum import StrEnum

from orchestrator.domain.preferences import by_preference


class Language(StrEnum):
    """As BCP 47 names them, which is how browsers and Telegram tell them."""

    EN = "en"
    PT_BR = "pt-BR"


def preferred_language(accept: str) -> Language:
    """The language that an Accept-Language header prefers (RFC 9110 section 12.5.4); English when it names none of ours.

    Any Portuguese is nearer to ours than English is.
    """
    for tag in by_preference(accept):
        if tag.partition("-")[0] in ("pt", "en"):
            return Language.PT_BR if tag.startswith("pt") else Language.EN
    return Language.EN
