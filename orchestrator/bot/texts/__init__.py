"""What the bot says, by language."""

from collections.abc import Mapping

from orchestrator.bot.texts.catalogue import Texts, fill
from orchestrator.bot.texts.english import ENGLISH
from orchestrator.bot.texts.portuguese import PORTUGUESE
from orchestrator.domain.language import Language

TEXTS: Mapping[Language, Texts] = {Language.EN: ENGLISH, Language.PT_BR: PORTUGUESE}

__all__ = ["TEXTS", "Texts", "fill"]
