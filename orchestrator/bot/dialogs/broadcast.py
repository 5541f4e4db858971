"""One text to all tenants, with its progress in the operator's chat, wherever it was begun. A restart goes on where it was."""

import structlog
from aiogram.exceptions import TelegramBadRequest

from orchestrator.bot.desk import Desk
from orchestrator.bot.memory import BroadcastShown, Chat, Memory
from orchestrator.bot.screen import Button, Screen, rows
from orchestrator.bot.telegram import ChatGoneError, Telegram
from orchestrator.bot.texts import TEXTS, Texts, fill
from orchestrator.client import Client
from orchestrator.domain.broadcast import BroadcastState
from orchestrator.domain.errors import BroadcastUnderWay
from orchestrator.wire.broadcasts import LONGEST_TEXT, Broadcast, ReportBroadcast

log = structlog.get_logger(__name__)

#: Messages between two edits of the progress.
_STEP = 10


async def ask(desk: Desk) -> Screen:
    return Screen(
        text=desk.texts.broadcast_ask, rows=rows(Button(desk.texts.cancel, ("home",))), asks=("broadcast",), fresh=True
    )


async def typed(desk: Desk, text: str) -> Screen:
    if len(text) > LONGEST_TEXT:
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
    try:
        begun = await desk.client.broadcasts.create(text)
    except BroadcastUnderWay:
        running = await desk.client.broadcasts.newest()
        return desk.says(desk.texts.try_again_later) if running is None else _progress(desk.texts, running)
    await show(desk.telegram, desk.memory, desk.chat, begun)
    return None


async def stop(desk: Desk, broadcast_id: str) -> Screen:
    return _progress(desk.texts, await desk.client.broadcasts.cancel(int(broadcast_id)))


def concerns(memory: Memory, found: Broadcast) -> bool:
    """Whether there is something to be told, or an end to be shown."""
    return found.ended_at is None or found.broadcast_id == memory.broadcast.broadcast_id


async def tell_some(client: Client, telegram: Telegram, memory: Memory, found: Broadcast) -> Broadcast:
    """Tell the next few of a broadcast that is under way. Each is on record before the next is told."""
    if found.ended_at is not None:
        return found
    epoch, told, failed, after = memory.epoch, found.told, found.failed, found.after_chat
    waiting = [chat for chat in _recipients(memory) if after is None or chat > after]
    # Who comes meanwhile counts too, and who has left no more.
    recipients = told + failed + len(waiting)
    for chat_id in waiting[:_STEP]:
        if await _told(telegram, chat_id, found.text):
            told += 1
        else:
            failed += 1
        report = ReportBroadcast(
            epoch=epoch,
            recipients=recipients,
            told=told,
            failed=failed,
            after_chat=chat_id,
        )
        found = await client.bot.report_broadcast(found.broadcast_id, report)
        if found.ended_at is not None:
            return found
    if len(waiting) > _STEP:
        return found
    report = ReportBroadcast(
        epoch=epoch, recipients=recipients, told=told, failed=failed, after_chat=found.after_chat, done=True
    )
    return await client.bot.report_broadcast(found.broadcast_id, report)


async def show(telegram: Telegram, memory: Memory, operator: Chat, found: Broadcast) -> None:
    """How far a broadcast is, in one message that edits itself until the end."""
    shown = memory.broadcast
    message_id = shown.message_id if shown.broadcast_id == found.broadcast_id else None
    screen = _progress(TEXTS[operator.language], found)
    with operator.asking_on():
        try:
            message_id = await telegram.show(operator, screen, edit=message_id)
        except ChatGoneError:
            operator.blocked = True
    await memory.save(operator)
    over = found.ended_at is not None
    memory.broadcast = BroadcastShown() if over else BroadcastShown(found.broadcast_id, message_id)
    await memory.save_broadcast()


async def _told(telegram: Telegram, chat_id: int, text: str) -> bool:
    try:
        await telegram.tell(chat_id, fill("{text}", text=text))
    except (ChatGoneError, TelegramBadRequest) as error:
        log.info("a broadcast could not be told", error=type(error).__name__)
        return False
    return True


def _recipients(memory: Memory) -> list[int]:
    return sorted(chat.chat_id for chat in memory.chats.values() if chat.tenant_id is not None and not chat.blocked)


def _progress(texts: Texts, found: Broadcast) -> Screen:
    match found.state:
        case BroadcastState.DONE:
            template = texts.broadcast_done
        case BroadcastState.CANCELLED:
            template = texts.broadcast_cancelled
        case _:
            template = texts.broadcast_running
    text = fill(template, done=found.told, total=found.recipients or 0, failed=found.failed)
    if found.ended_at is not None:
        return Screen(text=text, rows=rows(Button(texts.home, ("home",))))
    return Screen(text=text, rows=rows(Button(texts.broadcast_stop, ("broadcast-stop", str(found.broadcast_id)))))
