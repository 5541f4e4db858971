"""What a person is shown without having asked for it."""

from orchestrator.bot.memory import Chat, Memory
from orchestrator.bot.screen import Screen
from orchestrator.bot.telegram import ChatGoneError, Telegram


async def show_news(telegram: Telegram, memory: Memory, chat: Chat, screen: Screen) -> None:
    """A message of its own in the chat, which nobody may have written in yet. What is being asked there goes on."""
    async with memory.lock(chat.chat_id):
        chat = memory.chats.setdefault(chat.chat_id, chat)
        with chat.asking_on():
            try:
                await telegram.show(chat, screen)
            except ChatGoneError:
                chat.blocked = True
        await memory.save(chat)
