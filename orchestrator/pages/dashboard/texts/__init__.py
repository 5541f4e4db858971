"""What the dashboard says, by language."""

from collections.abc import Mapping

from orchestrator.domain.language import Language
from orchestrator.pages.dashboard.texts.catalogue import Texts
from orchestrator.pages.dashboard.texts.english import ENGLISH
from orchestrator.pages.dashboard.texts.portuguese import PORTUGUESE

DASHBOARD: Mapping[Language, Texts] = {Language.EN: ENGLISH, Language.PT_BR: PORTUGUESE}

__all__ = ["DASHBOARD", "Texts"]
