"""One text to all tenants, with its progress in the operator's chat. A restart goes on where it was."""

from orchestrator.bot.desk import Desk
from orchestrator.bot.memory import Broadcast, Memory
from orchestrator.bot.screen import Button, Screen, rows
from orchestrator.bot.telegram import ChatGoneError, Telegram
from orchestrator.bot.texts import Texts, fill

_LONGEST = 3500
#: Messages between two edits of the progress, and two writes of it.
_STEP = 10


async def ask(desk: Desk) -> Screen:
    return Screen(
        text=desk.texts.broadcast_ask, rows=rows(Button(desk.texts.cancel, ("home",))), asks=("broadcast",), fresh=True
    )


async def typed(desk: Desk, text: str) -> Screen:
    if len(text) > _LONGEST:
        return Screen(text=desk.texts.too_long, rows=rows(Button(desk.texts.cancel, ("home",))), asks=("broadcast",))
    number = len(_recipients(desk.memory))
    if number == 0:
        return desk.says(desk.texts.broadcast_nobody)
    question = fill(desk.texts.broadcast_sure, number=number, text=text)
    return Screen(
        text=question,
        rows=rows((Button(desk.texts.broadcast_go, ("broadcast-go", text)), Button(desk.texts.cancel, ("home",)))),
    )


async def begin(desk: Desk, text: str) -> Screen | None:
    if desk.memory.broadcast.text:
        return desk.says(_progress(desk.texts, desk.memory.broadcast))
    begun = Broadcast(text=text, total=len(_recipients(desk.memory)))
    message_id = await desk.telegram.show(desk.chat, Screen(text=_progress(desk.texts, begun)))
    begun.message_id = message_id
    desk.memory.broadcast = begun
    await desk.memory.save_broadcast()
    return None


async def go_on(desk: Desk) -> bool:
    """Tell the next few; False when there is nobody left."""
    memory, broadcast = desk.memory, desk.memory.broadcast
    if not broadcast.text:
        return False
    waiting = [chat for chat in _recipients(memory) if broadcast.after is None or chat > broadcast.after]
    for chat_id in waiting[:_STEP]:
        if await _told(desk.telegram, chat_id, broadcast.text):
            broadcast.done += 1
        else:
            broadcast.failed += 1
        broadcast.after = chat_id
        await memory.save_broadcast()
    over = len(waiting) <= _STEP
    text = _progress(desk.texts, broadcast, over=over)
    if broadcast.message_id is not None:
        home = rows(Button(desk.texts.home, ("home",)))
        await desk.telegram.show(desk.chat, Screen(text=text, rows=home if over else ()), edit=broadcast.message_id)
    if over:
        memory.broadcast = Broadcast()
        await memory.save_broadcast()
    return not over


async def _told(telegram: Telegram, chat_id: int, text: str) -> bool:
    try:
        await telegram.tell(chat_id, fill("{text}", text=text))
    except ChatGoneError:
        return False
    return True


def _recipients(memory: Memory) -> list[int]:
    return sorted(chat.chat_id for chat in memory.chats.values() if chat.tenant_id is not None and not chat.blocked)


def _progress(texts: Texts, broadcast: Broadcast, *, over: bool = False) -> str:
    template = texts.broadcast_done if over else texts.broadcast_running
    return fill(template, done=broadcast.done, total=broadcast.total, failed=broadcast.failed)
