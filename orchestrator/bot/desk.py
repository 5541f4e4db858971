"""What a dialog works with: the chat that it is held in, and everything that it may ask."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from orchestrator.bot.memory import Chat, Memory
from orchestrator.bot.screen import Action, Button, Screen, rows
from orchestrator.bot.telegram import Telegram
from orchestrator.bot.texts import TEXTS, Texts, fill
from orchestrator.client import Client
from orchestrator.domain.errors import OrchestratorError, SessionNotFound, Unavailable
from orchestrator.domain.language import Language
from orchestrator.domain.reason import reason_in
from orchestrator.domain.reminder_text import shown_amount

#: Whoever uses this bot is in Brazil.
_ZONE = ZoneInfo("America/Sao_Paulo")


@dataclass(frozen=True, slots=True)
class Desk:
    chat: Chat
    operator: bool
    """Whether the person is the operator, in the operator's chat."""
    client: Client
    telegram: Telegram
    memory: Memory
    typed: int | None = None
    """The message that was typed, if one was."""
    file: bytes | None = None
    """The file that was sent, if one was."""
    later: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    """What is done when the answer was shown and this update is on record as dealt with."""

    @property
    def texts(self) -> Texts:
        return TEXTS[self.chat.language]

    def of(self, tenant_id: str) -> Client:
        """The API for a tenant's things, which must be the person's own unless it is the operator."""
        if not self.operator and tenant_id != self.chat.tenant_id:
            raise SessionNotFound
        return self.client.of(tenant_id)

    def day(self, moment: str | None) -> str:
        """A time of the API, as people write it."""
        return shown_time(self.texts, moment)

    def why(self, reason: str) -> str:
        """A reason of the API, in the person's language."""
        return reason_in(self.chat.language, reason)

    def back(self, *action: str) -> Button:
        return Button(self.texts.back, action or ("home",))

    def sentence(self, error: OrchestratorError) -> str:
        if isinstance(error, Unavailable) and error.code not in self.texts.errors:
            return self.texts.try_again_later
        return self.texts.errors.get(error.code) or fill(self.texts.error_other, code=error.code)

    def says(self, text: str, *more: Button | tuple[Button, ...] | None, back: Action = ("home",)) -> Screen:
        """One plain text and the way back."""
        return Screen(text=text, rows=rows(*more, self.back(*back)))


def shown_time(texts: Texts, moment: str | None) -> str:
    if moment is None:
        return texts.never
    return datetime.fromisoformat(moment).astimezone(_ZONE).strftime(texts.date_format)


def shown_price(cents: int | None) -> str:
    """Of reais, as Brazil writes them."""
    return f"{'-' if (cents or 0) < 0 else ''}{shown_amount(abs(cents or 0), Language.PT_BR)}"


def shown_bytes(number: int) -> str:
    size = float(number)
    for unit in ("B", "KB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
