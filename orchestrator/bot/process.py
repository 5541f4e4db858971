"""The process: it waits for the right to be the bot, is the bot, and hands over at once when it is told to stop."""

import asyncio
import os
import secrets
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog
from aiogram.exceptions import TelegramAPIError, TelegramConflictError, TelegramUnauthorizedError
from aiogram.types import Update

from orchestrator.bot import notices
from orchestrator.bot.desk import Desk
from orchestrator.bot.dialogs import broadcast, pairing
from orchestrator.bot.memory import Chat, Memory
from orchestrator.bot.telegram import ChatGoneError, Telegram
from orchestrator.bot.texts import TEXTS
from orchestrator.bot.updates import Conversations, Inbox, Operators
from orchestrator.bot.watch import Watch
from orchestrator.client import Client
from orchestrator.config import BotProcessSettings, Settings, webhook_secret
from orchestrator.domain.alert import AlertKind
from orchestrator.domain.errors import BillingOff, BotLeaseLost, DatabaseUnavailable, NotFound, OrchestratorError
from orchestrator.telemetry.logs import configure_logging

log = structlog.get_logger(__name__)

#: After a kill another process may be the bot so much later.
LEASE_SECONDS = 6.0
_RENEW_SECONDS = 2.0
#: A question that takes longer is asked again: there is time for two before the lease runs out.
_HOLD_SECONDS = 1.5
_CLAIM_SECONDS = 0.5
_POLL_SECONDS = 25
_WATCH_SECONDS = 3.0
_PAIRING_SECONDS = 1.5
_NOTICES_SECONDS = 5.0
_WEBHOOK_SECONDS = 0.5
_PARENT_SECONDS = 1.0
#: How long updates that are being dealt with may take once the process was told to stop.
_FINISH_SECONDS = 3.0
#: Of the database's absence, before the operator is told: at once by the last bot, later by one that has just started.
_OUTAGE_SECONDS, _OUTAGE_AT_START_SECONDS = 10.0, 60.0

WEBHOOK_PATH = "/telegram/webhook"


def run(settings: Settings, process: BotProcessSettings, parent: int) -> int:
    """Run until SIGTERM or the end of the process ``parent``."""
    configure_logging(settings.log_level, (settings.bot_token or "", process.bot_api_token))
    return asyncio.run(_run(settings, process, parent))


async def _run(settings: Settings, process: BotProcessSettings, parent: int) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    assert settings.bot_token is not None
    telegram = Telegram(settings.bot_token, settings.telegram_api_url)
    watching = asyncio.create_task(_watch_the_parent(parent, stop))
    try:
        async with Client("http://orchestrator", process.bot_api_token, socket=process.api_socket) as client:
            await BotProcess(settings, client, telegram, stop).run()
    finally:
        watching.cancel()
        await telegram.close()
    return 0


async def _watch_the_parent(parent: int, stop: asyncio.Event) -> None:
    while not stop.is_set():
        await _pause(stop, _PARENT_SECONDS)
        if os.getppid() != parent:
            stop.set()
            log.error("supervisord is gone; stopping")


class BotProcess:
    def __init__(self, settings: Settings, client: Client, telegram: Telegram, stop: asyncio.Event) -> None:
        self._settings = settings
        self._client = client
        self._telegram = telegram
        self._stop = stop
        self._holder = secrets.token_hex(16)
        self._outage = _Outage(telegram, settings.admin_chat_id)

    async def run(self) -> None:
        waits = False
        while not self._stop.is_set():
            began = time.monotonic()
            epoch = await self._held()
            if epoch is not None:
                waits = False
                log.info("this process is the bot", epoch=epoch)
                await self._be_the_bot(epoch, began)
                continue
            if not waits:
                log.info("waiting: another process is the bot, or the orchestrator isn't ready")
            waits = True
            await _pause(self._stop, _CLAIM_SECONDS)

    async def _held(self) -> int | None:
        """The epoch if this process may be the bot; None also when nobody can tell."""
        try:
            async with asyncio.timeout(_HOLD_SECONDS):
                epoch = await self._client.bot.hold(self._holder, LEASE_SECONDS)
        except DatabaseUnavailable:
            await self._outage.lasts()
            return None
        except (OrchestratorError, TimeoutError):
            return None
        await self._outage.over(was_bot=epoch is not None)
        return epoch

    async def _be_the_bot(self, epoch: int, began: float) -> None:
        """Until the process stops or the lease is lost."""
        try:
            memory = Memory(self._client, epoch)
            await memory.load()
            term = Term(self._settings, self._client, self._telegram, memory)
            over = asyncio.Event()
            tasks = [asyncio.create_task(work) for work in term.works(over)]
            tasks.append(asyncio.create_task(self._renew(epoch, began)))
            stopping = asyncio.create_task(self._stop.wait())
            try:
                await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
            finally:
                over.set()
                await term.finish(_FINISH_SECONDS if self._stop.is_set() else None)
                stopping.cancel()
                for task in tasks:
                    task.cancel()
                outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            for outcome in outcomes:
                if isinstance(outcome, Exception) and not isinstance(outcome, OrchestratorError):
                    raise outcome
        except OrchestratorError as error:
            log.warning("this process is no longer the bot", reason=error.message)
        finally:
            await self._give_up()

    async def _renew(self, epoch: int, began: float) -> None:
        """Ends when the lease is another's, or may be by now."""
        valid_until, pause = began + LEASE_SECONDS, _RENEW_SECONDS
        while time.monotonic() < valid_until - 1.0:
            await asyncio.sleep(pause)
            began = time.monotonic()
            held = await self._held()
            if held == epoch:
                valid_until, pause = began + LEASE_SECONDS, _RENEW_SECONDS
            elif held is None:
                pause = _CLAIM_SECONDS
            else:
                break
        log.warning("the right to be the bot is lost, or may be")

    async def _give_up(self) -> None:
        try:
            async with asyncio.timeout(2.0):
                await self._client.bot.release(self._holder)
        except (OrchestratorError, TimeoutError):
            log.info("the right to be the bot runs out by itself")


class _Outage:
    """The database can't be asked who the bot is: the operator is told by whoever was it last."""

    def __init__(self, telegram: Telegram, chat_id: int | None) -> None:
        self._telegram = telegram
        self._chat_id = chat_id
        self._since: float | None = None
        self._was_bot = False
        self._told = False

    async def lasts(self) -> None:
        self._since = time.monotonic() if self._since is None else self._since
        patience = _OUTAGE_SECONDS if self._was_bot else _OUTAGE_AT_START_SECONDS
        if not self._told and time.monotonic() - self._since > patience:
            self._told = True
            await self._say([texts.alert_begun[AlertKind.DATABASE] for texts in TEXTS.values()])

    async def over(self, *, was_bot: bool) -> None:
        self._since, self._was_bot = None, was_bot
        if self._told:
            self._told = False
            await self._say([texts.alert_over[AlertKind.DATABASE] for texts in TEXTS.values()])

    async def _say(self, sentences: list[str]) -> None:
        """In every language: which is the operator's is in the database."""
        if self._chat_id is None:
            return
        try:
            await self._telegram.tell(self._chat_id, "\n".join(sentences))
        except (TelegramAPIError, ChatGoneError) as error:
            log.warning("the operator could not be told", error=type(error).__name__)


class Term:
    """The time for which this process is the bot."""

    def __init__(self, settings: Settings, client: Client, telegram: Telegram, memory: Memory) -> None:
        self._settings = settings
        self._client = client
        self._telegram = telegram
        self._memory = memory
        chat_id = settings.admin_chat_id
        operators = Operators(chat_id, settings.admin_user_ids)
        self._inbox = Inbox(Conversations(client, telegram, memory, operators))
        self._watch = Watch(client, telegram, memory, chat_id)
        self._billing = False
        self._asked_for_token = False
        self._first_token: str | None = None

    def works(self, over: asyncio.Event) -> list[Coroutine[Any, Any, None]]:
        webhook = self._settings.telegram_mode == "webhook"
        return [
            self._delivered(over) if webhook else self._polled(over),
            self._again_and_again(over, self._look, _WATCH_SECONDS),
            self._again_and_again(over, self._follow_pairings, _PAIRING_SECONDS),
            self._again_and_again(over, self._broadcast, _PAIRING_SECONDS),
            self._again_and_again(over, self._tell_notices, _NOTICES_SECONDS),
            self._again_and_again(over, self._hand_over_token, _NOTICES_SECONDS),
        ]

    async def finish(self, seconds: float | None) -> None:
        """Let updates that are being dealt with come to their end; None: another process deals with them from now on."""
        if seconds is None:
            await self._inbox.leave()
        else:
            await self._inbox.wait(seconds)
            await self._confirm(self._inbox.finished()[0])

    async def _confirm(self, done: list[int]) -> None:
        """Tell whoever gave the updates that they were dealt with."""
        if not done or self._settings.telegram_mode == "webhook":
            return
        try:
            async with asyncio.timeout(2.0):
                await self._telegram.updates(max(done) + 1 if self._inbox.first_unfinished is None else None, 0)
        except (TelegramAPIError, TimeoutError):
            log.info("Telegram may give the last updates again; they are known")

    async def _prepare(self) -> None:
        assert self._settings.bot_token is not None
        webhook = self._settings.telegram_mode == "webhook" and self._settings.public_url is not None
        url = f"{self._settings.public_url}{WEBHOOK_PATH}" if webhook else None
        await self._telegram.prepare(url, webhook_secret(self._settings.bot_token))

    async def _polled(self, over: asyncio.Event) -> None:
        """https://core.telegram.org/bots/api#getupdates: an offset confirms all updates before it."""
        prepared, highest = False, None
        while not over.is_set():
            try:
                if not prepared:
                    await self._prepare()
                    prepared = True
                unfinished = self._inbox.first_unfinished
                offset = unfinished if unfinished is not None else None if highest is None else highest + 1
                updates = await self._telegram.updates(offset, 0 if unfinished is not None else _POLL_SECONDS)
            except TelegramConflictError:
                log.info("another poller's question is still open at Telegram")
                await _pause(over, 1.0)
                continue
            except TelegramUnauthorizedError:
                log.error("BOT_TOKEN is not accepted by Telegram; set it to the one that @BotFather gave you")
                await _pause(over, 60.0)
                continue
            except TelegramAPIError as error:
                log.warning("Telegram doesn't answer as it should", error=type(error).__name__)
                await _pause(over, 1.0)
                continue
            if not over.is_set():  # otherwise whoever is the bot next is given them
                highest = await self._dealt_with(updates, highest, over)

    async def _dealt_with(self, updates: list[Update], highest: int | None, over: asyncio.Event) -> int | None:
        """Begin with what is new, wait a little, and find out up to which number all were dealt with."""
        self._inbox.take([update for update in updates if highest is None or update.update_id > highest])
        await self._inbox.wait(0.2)
        done, again = self._inbox.finished()
        if again:
            await _pause(over, 1.0)
            return highest
        candidates = [number for number in done if highest is None or number > highest]
        first = self._inbox.first_unfinished
        confirmed = [number for number in candidates if first is None or number < first]
        return max(confirmed, default=highest) if confirmed else highest

    async def _delivered(self, over: asyncio.Event) -> None:
        """What Telegram gave to the webhook, from the database."""
        prepared = False
        while not over.is_set():
            try:
                if not prepared:
                    await self._prepare()
                    prepared = True
            except TelegramAPIError as error:
                log.warning("Telegram doesn't take the webhook", error=type(error).__name__)
                await _pause(over, 5.0)
                continue
            raw = await self._client.bot.updates()
            if over.is_set():
                return
            updates = [Update.model_validate(one, context={"bot": self._telegram.bot}) for one in raw]
            self._inbox.take(updates)
            await self._inbox.wait(0.2)
            done, _ = self._inbox.finished()
            if done:
                await self._client.bot.forget(done)
            await _pause(over, _WEBHOOK_SECONDS)

    async def _again_and_again(self, over: asyncio.Event, work: Callable[[], Awaitable[None]], seconds: float) -> None:
        while not over.is_set():
            try:
                await work()
            except BotLeaseLost:
                raise
            except (OrchestratorError, TelegramAPIError, ChatGoneError) as error:
                log.info("later", work=work.__name__, error=type(error).__name__)
            await _pause(over, seconds)

    async def _look(self) -> None:
        await self._watch.round(billing=self._billing)

    async def _hand_over_token(self) -> None:
        """The admin token of the very first start, in every language: nobody has chosen one yet."""
        if self._settings.admin_chat_id is None:
            return
        if not self._asked_for_token:
            self._first_token = await self._client.bot.first_token()
            self._asked_for_token = True
        if self._first_token is not None:
            sentences = [texts.first_token for texts in TEXTS.values()]
            await self._telegram.tell(self._settings.admin_chat_id, "\n".join((*sentences, self._first_token)))
            self._first_token = None

    async def _tell_notices(self) -> None:
        try:
            self._billing = (await self._client.billing.subscription()).billing
        except (BillingOff, NotFound):
            self._billing = False
        if self._billing:
            await notices.tell(self._client, self._telegram, self._memory, self._settings.admin_chat_id)

    async def _follow_pairings(self) -> None:
        waiting = [chat for chat in self._memory.chats.values() if chat.pairing is not None]
        await asyncio.gather(*(self._follow(chat) for chat in waiting))

    async def _follow(self, chat: Chat) -> None:
        followed = chat.pairing
        if followed is None:
            return
        gone, seen = False, None
        try:
            seen = await pairing.look(self._client, followed)  # for seconds: the person's buttons don't wait for that
        except NotFound:
            gone = True
        async with self._memory.lock(chat.chat_id):
            if chat.pairing is not followed:
                return
            desk = Desk(chat, chat.chat_id == self._settings.admin_chat_id, self._client, self._telegram, self._memory)
            changed = False
            try:
                with chat.asking_on():
                    changed = seen is not None and await pairing.draw(desk, followed, seen)
            except ChatGoneError:
                gone = True
            if gone:
                chat.pairing = None
            if gone or changed:
                await self._memory.save(chat)

    async def _broadcast(self) -> None:
        found = await self._client.broadcasts.newest()
        if found is None or not broadcast.concerns(self._memory, found):
            return
        found = await broadcast.tell_some(self._client, self._telegram, self._memory, found)
        chat_id = self._settings.admin_chat_id
        chat = None if chat_id is None else self._memory.chats.get(chat_id)
        if chat is not None:
            async with self._memory.lock(chat.chat_id):
                await broadcast.show(self._telegram, self._memory, chat, found)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
