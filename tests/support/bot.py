"""The bot's process in the test's own."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from orchestrator.bot.process import BotProcess
from orchestrator.bot.telegram import Telegram
from orchestrator.client import Client
from orchestrator.config import Settings
from tests.support.fake_telegram import TOKEN, FakeTelegram
from tests.support.public_api import PublicApi

OPERATOR = 500_001


@contextlib.asynccontextmanager
async def bot(api: PublicApi, telegram: FakeTelegram, **settings: object) -> AsyncIterator[asyncio.Event]:
    """A bot at work; setting the event stops it in its orderly way."""
    chosen = {"admin_chat_id": OPERATOR, **settings}
    made = Settings(bot_token=TOKEN, telegram_api_url=telegram.url, **chosen)  # type: ignore[arg-type] # a test's choice
    stop, calls = asyncio.Event(), Telegram(TOKEN, telegram.url)
    async with Client(api.url, api.token) as client:
        running = asyncio.create_task(BotProcess(made, client, calls, stop).run())
        try:
            yield stop
        finally:
            stop.set()
            await running
            await calls.close()
