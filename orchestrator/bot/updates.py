"""From an update to an answer: who it is, what is meant, and that each update is dealt with once.

An update counts as dealt with when the chat's document says so, which is written after the answer was shown. What was not
written comes again from Telegram; so a restart in between asks the same question twice at most, and loses none.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace

import structlog
from aiogram import Bot, Dispatcher, F, Router
from aiogram.exceptions import ClientDecodeError, TelegramNetworkError, TelegramServerError
from aiogram.types import CallbackQuery, ChatMemberUpdated, Document, Message, Update, User

from orchestrator.bot.desk import Desk
from orchestrator.bot.dialogs import OPERATOR, TENANT
from orchestrator.bot.memory import Chat, Memory
from orchestrator.bot.screen import Button, Screen, rows
from orchestrator.bot.telegram import ChatGoneError, Telegram
from orchestrator.bot.texts import TEXTS
from orchestrator.client import Client
from orchestrator.domain.errors import BotLeaseLost, DatabaseUnavailable, OrchestratorError, ServiceUnreachable
from orchestrator.domain.language import Language

log = structlog.get_logger(__name__)

_COMMANDS = {"/start": "home", "/menu": "home", "/help": "help", "/language": "languages", "/idioma": "languages"}
_LONGEST_TYPED = 4000
#: Bytes of a file that somebody sends; no dialog has use for a larger one.
_LARGEST_FILE = 2 * 1024 * 1024
#: What only waiting mends, beside errors of the orchestrator.
_WAITING = (OrchestratorError, TelegramServerError, TelegramNetworkError, ClientDecodeError)
#: What a dialog can't be held without: the update waits, and is dealt with when they are back.
_NOT_NOW = (DatabaseUnavailable, ServiceUnreachable)


@dataclass(frozen=True, slots=True)
class Operators:
    """Who the operator is: in which chat, and who of those in it."""

    chat_id: int | None
    user_ids: Collection[int]

    def includes(self, chat_id: int, user_id: int | None) -> bool:
        if self.chat_id is None or chat_id != self.chat_id:
            return False
        return user_id in self.user_ids if self.user_ids else user_id == chat_id


class Conversations:
    """Deals with updates, one at a time in each chat."""

    def __init__(self, client: Client, telegram: Telegram, memory: Memory, operators: Operators) -> None:
        self._client = client
        self._telegram = telegram
        self._memory = memory
        self._operators = operators
        self._dispatcher = Dispatcher()
        router = Router()
        router.message.register(self._message, F.from_user)
        router.callback_query.register(self._pressed, F.message)
        router.my_chat_member.register(self._member)
        self._dispatcher.include_router(router)

    async def handle(self, update: Update) -> None:
        """Raises what only waiting can mend; then the update is to be given again."""
        chat_id = chat_of(update)
        if chat_id is None:
            return
        later: list[Desk] = []
        async with self._memory.lock(chat_id):
            chat = self._memory.chats.get(chat_id) or Chat(chat_id)
            if update.update_id in chat.handled:
                return
            await self._dispatcher.feed_update(self._telegram.bot, update, chat=chat, later=later)
            chat.has_handled(update.update_id)
            await self._memory.save(chat)
        for desk in later:
            for act in desk.later:
                await self._afterwards(act)

    async def _afterwards(self, act: Callable[[], Awaitable[None]]) -> None:
        try:
            await act()
        except OrchestratorError as error:
            log.warning("what was asked for afterwards failed", error=error.message)

    async def _message(self, message: Message, bot: Bot, chat: Chat, later: list[Desk]) -> None:
        assert message.from_user is not None
        operator = self._operators.includes(chat.chat_id, message.from_user.id)
        if not self._is_meant(message.chat.type, chat, message.text):
            return
        if message.chat.type != "private" and not operator:
            await self._say(chat, TEXTS[_language(message.from_user)].operator_only)
            return
        self._know(chat, message.from_user)
        desk = self._desk(chat, operator=operator, typed=message.message_id)
        later.append(desk)
        command = (message.text or "").split("@")[0].split(" ")[0].lower()
        if command in _COMMANDS:
            chat.asks = chat.asks_file = None
            await self._do(desk, [_COMMANDS[command]])
        elif chat.asks_file is not None:
            await self._sent(desk, message.document)
        elif chat.asks is not None:
            await self._typed(desk, message.text)
        else:
            await self._unexpected(desk, desk.texts.press_a_button)

    def _is_meant(self, kind: str, chat: Chat, text: str | None) -> bool:
        """In a group people talk to one another, too."""
        if kind == "private":
            return True
        if chat.chat_id != self._operators.chat_id:
            return False
        return chat.asks is not None or (text or "").startswith("/")

    async def _typed(self, desk: Desk, text: str | None) -> None:
        """A voice note, a picture or a sticker is no answer to what was asked; the question stays."""
        asks = desk.chat.asks
        assert asks is not None
        if text is None or not text.strip():
            await self._say(desk.chat, desk.texts.not_text)
        elif len(text) > _LONGEST_TYPED:
            await self._say(desk.chat, desk.texts.too_long)
        else:
            await self._do(desk, [*asks, text.strip().replace("\x00", "")])

    async def _sent(self, desk: Desk, document: Document | None) -> None:
        """What isn't a file is no answer to what was asked; the question stays."""
        asks = desk.chat.asks_file
        assert asks is not None
        if document is None:
            await self._say(desk.chat, desk.texts.not_file)
        elif (document.file_size or 0) > _LARGEST_FILE:
            await self._say(desk.chat, desk.texts.file_too_large)
        else:
            content = await self._telegram.download(document.file_id)
            await self._do(replace(desk, file=content), asks)

    async def _pressed(self, query: CallbackQuery, bot: Bot, chat: Chat, later: list[Desk]) -> None:
        assert query.message is not None
        operator = self._operators.includes(chat.chat_id, query.from_user.id)
        if query.message.chat.type != "private" and not operator:
            await self._telegram.answer(query.id, TEXTS[_language(query.from_user)].operator_only)
            return
        self._know(chat, query.from_user)
        desk = self._desk(chat, operator=operator)
        later.append(desk)
        serial, _, number = (query.data or "").partition(":")
        action = chat.action(int(serial), int(number)) if serial.isdecimal() and number.isdecimal() else None
        await self._telegram.answer(query.id)
        if action is None:
            await self._unexpected(desk, desk.texts.old_button)
        else:
            keyboard = chat.keyboard(int(serial))
            stays = keyboard is not None and keyboard.stays
            await self._do(desk, action, edit=None if stays else query.message.message_id)

    async def _member(self, event: ChatMemberUpdated, bot: Bot, chat: Chat, later: list[Desk]) -> None:
        """The person has blocked the bot, or let it in again."""
        chat.blocked = event.new_chat_member.status in ("kicked", "left")

    async def _do(self, desk: Desk, action: list[str], *, edit: int | None = None) -> None:
        dialog = (OPERATOR if desk.operator else TENANT).get(action[0])
        if dialog is None or (desk.chat.tenant_id is None and not desk.operator and action[0] not in _BEFORE_SIGN_UP):
            await self._unexpected(desk, desk.texts.old_button)
            return
        asked, asked_file = desk.chat.asks, desk.chat.asks_file
        desk.chat.asks = desk.chat.asks_file = None
        try:
            screen = await dialog(desk, *action[1:])
        except _NOT_NOW:
            desk.chat.asks, desk.chat.asks_file = asked, asked_file
            raise
        except OrchestratorError as error:
            log.info("a person was told of an error", action=action[0], code=error.code)
            screen = Screen(text=desk.sentence(error), rows=rows(Button(desk.texts.home, ("home",))), fresh=True)
        if screen is None:
            return
        message_id = await self._telegram.show(desk.chat, screen, edit=edit)
        if desk.operator and action[0] == "home":
            self._memory.operator.dashboard = message_id
            await self._memory.save_operator()

    async def _unexpected(self, desk: Desk, sentence: str) -> None:
        """One plain sentence, and where things are."""
        await self._say(desk.chat, sentence)
        await self._do(desk, ["home"])

    async def _say(self, chat: Chat, sentence: str) -> None:
        await self._telegram.tell(chat.chat_id, sentence)

    def _know(self, chat: Chat, user: User) -> None:
        """Who speaks is there; whoever is new is spoken to in the language that their Telegram has."""
        if chat.chat_id not in self._memory.chats:
            chat.language = _language(user)
        chat.name = " ".join(user.full_name.split())[:80]
        chat.blocked = False

    def _desk(self, chat: Chat, *, operator: bool, typed: int | None = None) -> Desk:
        return Desk(chat, operator, self._client, self._telegram, self._memory, typed)


#: What those who have not signed up may do.
_BEFORE_SIGN_UP = frozenset({"home", "help", "languages", "language"})


def _language(user: User) -> Language:
    return Language.PT_BR if (user.language_code or "").lower().startswith("pt") else Language.EN


def chat_of(update: Update) -> int | None:
    if update.message is not None:
        return update.message.chat.id
    if update.callback_query is not None and update.callback_query.message is not None:
        return update.callback_query.message.chat.id
    if update.my_chat_member is not None:
        return update.my_chat_member.chat.id
    return None


class Inbox:
    """Where updates come from, and which were dealt with."""

    def __init__(self, conversations: Conversations) -> None:
        self._conversations = conversations
        self._tasks: dict[int, asyncio.Task[bool]] = {}

    @property
    def first_unfinished(self) -> int | None:
        return min(self._tasks, default=None)

    def take(self, updates: Collection[Update]) -> bool:
        """Begin to deal with those that nobody deals with yet; whether there was one."""
        new = [update for update in updates if update.update_id not in self._tasks]
        for update in sorted(new, key=lambda one: one.update_id):
            self._tasks[update.update_id] = asyncio.create_task(self._deal(update))
        return bool(new)

    def finished(self) -> tuple[list[int], bool]:
        """Those that were dealt with since the last call, and whether some must be given again. Raises ``BotLeaseLost``."""
        done = [number for number, task in self._tasks.items() if task.done()]
        outcomes = {number: self._tasks.pop(number).result() for number in done}
        return [number for number, dealt_with in outcomes.items() if dealt_with], not all(outcomes.values())

    async def wait(self, seconds: float) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=seconds)

    async def leave(self) -> None:
        """Stop in the middle; what was not dealt with is given again."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _deal(self, update: Update) -> bool:
        try:
            await self._conversations.handle(update)
        except BotLeaseLost:
            raise
        except ChatGoneError:
            log.info("a chat is gone", update_id=update.update_id)
        except _WAITING as error:
            log.warning("an update waits", update_id=update.update_id, error=type(error).__name__)
            return False
        except Exception:
            # Given again it would fail again, and keep all later ones from being confirmed.
            log.exception("an update could not be dealt with", update_id=update.update_id)
        return True
