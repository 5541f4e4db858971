"""The Bot API, by aiogram: what is sent is sent, however often Telegram asks us to wait, and pictures stay fresh in their place."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import aiohttp
import structlog
from aiogram import Bot
from aiogram.client.default import DefaultBotProperties
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramBadRequest,
    TelegramForbiddenError,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
)
from aiogram.methods import GetFile
from aiogram.types import (
    BotCommand,
    BufferedInputFile,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputMediaPhoto,
    LinkPreviewOptions,
    Message,
    Update,
)

from orchestrator.bot.memory import Chat
from orchestrator.bot.screen import Screen
from orchestrator.bot.texts import TEXTS
from orchestrator.domain.language import Language

log = structlog.get_logger(__name__)

T = TypeVar("T")

#: What a text message may have, and a caption.
_TEXT_LIMIT = 4096
_CAPTION_LIMIT = 1024

_ATTEMPTS = 8
_LONGEST_PAUSE_SECONDS = 30.0
_CALL_SECONDS = 20.0

UPDATES = ["message", "callback_query", "my_chat_member"]


class ChatGoneError(Exception):
    """The person has blocked the bot, or the chat is gone."""


class Telegram:
    def __init__(self, token: str, api_url: str) -> None:
        session = AiohttpSession(api=TelegramAPIServer.from_base(api_url), timeout=_CALL_SECONDS)
        self.bot = Bot(token, session=session, default=DefaultBotProperties(parse_mode="HTML"))

    async def close(self) -> None:
        await self.bot.session.close()

    async def updates(self, offset: int | None, wait_seconds: int) -> list[Update]:
        """Long polling. ``TelegramConflictError`` while another poller's question is open, or a webhook is set."""
        seconds = wait_seconds + int(_CALL_SECONDS)
        return await self.bot.get_updates(
            offset=offset, timeout=wait_seconds, allowed_updates=UPDATES, request_timeout=seconds
        )

    async def prepare(self, webhook: str | None, secret: str) -> None:
        """The commands in each language, and where updates come from."""
        for language, texts in TEXTS.items():
            commands = [
                BotCommand(command="start", description=texts.command_start),
                BotCommand(command="help", description=texts.command_help),
                BotCommand(command="language", description=texts.command_language),
            ]
            code = None if language is Language.EN else language.partition("-")[0]
            await self._surely(partial(self.bot.set_my_commands, commands, language_code=code))
        if webhook is None:
            await self._surely(self.bot.delete_webhook)
        else:
            # One at a time: updates of a chat come in their order.
            await self._surely(
                lambda: self.bot.set_webhook(webhook, secret_token=secret, allowed_updates=UPDATES, max_connections=1)
            )

    async def show(self, chat: Chat, screen: Screen, *, edit: int | None = None) -> int:
        """Show it in the chat, in the place of the message ``edit`` if that can be; the id of the message.

        The chat remembers what its buttons do; who calls saves it. ``ChatGoneError``.
        """
        actions = [list(button.action) for row in screen.rows for button in row]
        serial = chat.serial_for(edit, actions)
        markup = _markup(serial, screen)
        message_id = None
        if edit is not None and not screen.fresh and screen.photo is None and screen.document is None:
            message_id = await self._edited(chat.chat_id, edit, screen.text, markup)
        if message_id is None:
            message_id = await self._sent(chat.chat_id, screen, markup)
        chat.add_keyboard(serial, message_id, actions, stays=screen.stays)
        chat.asks = list(screen.asks) if screen.asks is not None else None
        chat.asks_file = list(screen.asks_file) if screen.asks_file is not None else None
        return message_id

    async def show_photo(self, chat: Chat, message_id: int, screen: Screen) -> None:
        """Another picture, text and buttons in the same message."""
        assert screen.photo is not None
        actions = [list(button.action) for row in screen.rows for button in row]
        serial = chat.serial_for(message_id, actions)
        media = InputMediaPhoto(
            media=BufferedInputFile(screen.photo, "code.png"), caption=screen.text[:_CAPTION_LIMIT], parse_mode="HTML"
        )
        markup = _markup(serial, screen)
        await self._unless_same(
            lambda: self.bot.edit_message_media(media, chat_id=chat.chat_id, message_id=message_id, reply_markup=markup)
        )
        chat.add_keyboard(serial, message_id, actions)

    async def tell(self, chat_id: int, text: str) -> None:
        """A text without buttons; ``ChatGoneError``."""
        await self._surely(lambda: self.bot.send_message(chat_id, text[:_TEXT_LIMIT], link_preview_options=_NO_PREVIEW))

    async def answer(self, callback_id: str, text: str | None = None) -> None:
        """Let a pressed button rest. Telegram gives a minute for it; what comes later has no one to tell."""
        await self._unless_same(lambda: self.bot.answer_callback_query(callback_id, text))

    async def download(self, file_id: str) -> bytes:
        """A file that somebody sent."""

        async def fetch() -> bytes:
            try:
                content = await self.bot.download(file_id)
            except (aiohttp.ClientError, TimeoutError) as error:  # aiogram translates only its own calls
                raise TelegramNetworkError(GetFile(file_id=file_id), type(error).__name__) from None
            assert content is not None
            return content.read()

        return await self._surely(fetch)

    async def delete(self, chat_id: int, message_id: int) -> None:
        await self._unless_same(lambda: self.bot.delete_message(chat_id, message_id))

    async def _edited(self, chat_id: int, message_id: int, text: str, markup: InlineKeyboardMarkup) -> int | None:
        """None when this message can't be edited, such as a picture."""
        try:
            await self._surely(
                lambda: self.bot.edit_message_text(
                    text[:_TEXT_LIMIT],
                    chat_id=chat_id,
                    message_id=message_id,
                    reply_markup=markup,
                    link_preview_options=_NO_PREVIEW,
                )
            )
        except TelegramBadRequest as error:
            return message_id if _is_same(error) else None
        return message_id

    async def _sent(self, chat_id: int, screen: Screen, markup: InlineKeyboardMarkup) -> int:
        async def send() -> Message:
            if screen.photo is not None:
                file = BufferedInputFile(screen.photo, "code.png")
                return await self.bot.send_photo(
                    chat_id, file, caption=screen.text[:_CAPTION_LIMIT], reply_markup=markup
                )
            if screen.document is not None:
                name, content = screen.document
                return await self.bot.send_document(
                    chat_id,
                    BufferedInputFile(content, name),
                    caption=screen.text[:_CAPTION_LIMIT],
                    reply_markup=markup,
                )
            return await self.bot.send_message(
                chat_id, screen.text[:_TEXT_LIMIT], reply_markup=markup, link_preview_options=_NO_PREVIEW
            )

        return (await self._surely(send)).message_id

    async def _unless_same(self, call: Callable[[], Awaitable[Any]]) -> None:
        """A refusal says here only that there is nothing to change any more."""
        try:
            await self._surely(call)
        except TelegramBadRequest as error:
            if not _is_same(error):
                log.info("Telegram refused a change", reason=error.message)

    async def _surely(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call until it is done: 429 says how long to wait, and what fails by itself is tried again."""
        attempt = 0
        while True:
            try:
                return await call()
            except TelegramForbiddenError as error:
                raise ChatGoneError from error
            except TelegramRetryAfter as error:
                log.info("Telegram asks to wait", seconds=error.retry_after)
                await asyncio.sleep(error.retry_after)
            except (TelegramServerError, TelegramNetworkError, ClientDecodeError) as error:
                attempt += 1
                if attempt >= _ATTEMPTS:
                    raise
                log.warning("Telegram doesn't answer as it should", error=type(error).__name__, attempt=attempt)
                await asyncio.sleep(random.uniform(0.1, min(_LONGEST_PAUSE_SECONDS, 0.5 * 2.0**attempt)))


_NO_PREVIEW = LinkPreviewOptions(is_disabled=True)


def _is_same(error: TelegramBadRequest) -> bool:
    return "message is not modified" in error.message


def _markup(serial: int, screen: Screen) -> InlineKeyboardMarkup:
    number, keyboard = 0, []
    for row in screen.rows:
        line = []
        for button in row:
            line.append(InlineKeyboardButton(text=button.label, callback_data=f"{serial}:{number}"))
            number += 1
        keyboard.append(line)
    return InlineKeyboardMarkup(inline_keyboard=keyboard)
