"""A Telegram Bot API on loopback: strict about the methods that there are and the fields they take, and it keeps what every chat shows.

Fields, types and limits are those of https://core.telegram.org/bots/api. What doesn't fit is answered as Telegram answers
it and counts as a violation, and a test ends with none.
"""

import asyncio
import contextlib
import itertools
import json
import re
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any, TypeVar

from aiohttp import web

from tests.support.processes import DeadlineError
from tests.support.waiting import eventually

T = TypeVar("T")

TOKEN = "123456:fake-bot-token-for-tests-0123456789"
BOT = {"id": 123456, "is_bot": True, "first_name": "Orchestrator", "username": "orchestrator_bot"}

#: By method: the fields that must be there, and those that may.
METHODS: Mapping[str, tuple[set[str], set[str]]] = {
    "getMe": (set(), set()),
    "getWebhookInfo": (set(), set()),
    "getChat": ({"chat_id"}, set()),
    "getUpdates": (set(), {"offset", "limit", "timeout", "allowed_updates"}),
    "setMyCommands": ({"commands"}, {"scope", "language_code"}),
    "deleteWebhook": (set(), {"drop_pending_updates"}),
    "setWebhook": (
        {"url"},
        {"secret_token", "allowed_updates", "max_connections", "drop_pending_updates", "ip_address", "certificate"},
    ),
    "sendMessage": (
        {"chat_id", "text"},
        {"parse_mode", "reply_markup", "link_preview_options", "disable_notification", "entities"},
    ),
    "sendPhoto": ({"chat_id", "photo"}, {"caption", "parse_mode", "reply_markup"}),
    "sendDocument": ({"chat_id", "document"}, {"caption", "parse_mode", "reply_markup"}),
    "editMessageText": (
        {"text"},
        {"chat_id", "message_id", "parse_mode", "reply_markup", "link_preview_options", "inline_message_id"},
    ),
    "editMessageMedia": ({"media"}, {"chat_id", "message_id", "reply_markup"}),
    "deleteMessage": ({"chat_id", "message_id"}, set()),
    "getFile": ({"file_id"}, set()),
    "answerCallbackQuery": ({"callback_query_id"}, {"text", "show_alert", "url", "cache_time"}),
}

_TAGS = frozenset("b i u s code pre a".split())
_TEXT_LIMIT, _CAPTION_LIMIT, _BUTTON_LIMIT, _DATA_LIMIT = 4096, 1024, 64, 64
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass
class Shown:
    """One message as its chat shows it now."""

    message_id: int
    by_bot: bool
    text: str
    buttons: list[list[dict[str, str]]] = field(default_factory=list)
    photo: bytes | None = None
    document: tuple[str, bytes] | None = None
    edits: int = 0

    def button(self, label: str) -> str | None:
        """The callback data of the first button that has this in its label."""
        return next((b["callback_data"] for row in self.buttons for b in row if label in b["text"]), None)


@dataclass
class Person:
    """Somebody with Telegram, in a chat; everything that a person can do there."""

    fake: "FakeTelegram"
    user_id: int
    chat_id: int
    name: str
    language: str

    @property
    def messages(self) -> list[Shown]:
        return self.fake.chats[self.chat_id]

    async def types(self, text: str) -> None:
        self.fake.deliver({"message": self._message(text=text)})

    async def sends_voice(self) -> None:
        voice = {"file_id": "v", "file_unique_id": "v", "duration": 2}
        self.fake.deliver({"message": self._message(voice=voice)})

    async def sends_file(self, name: str, content: bytes) -> None:
        file_id = self.fake.keep_file(content)
        document = {"file_id": file_id, "file_unique_id": file_id, "file_name": name, "file_size": len(content)}
        self.fake.deliver({"message": self._message(document=document)})

    async def blocks_the_bot(self) -> None:
        self.fake.blocked.add(self.chat_id)
        member = {"user": BOT, "status": "kicked", "until_date": 0}
        before = {"user": BOT, "status": "member"}
        event = {"chat": self._chat(), "from": self._user(), "date": 1, "old_chat_member": before}
        self.fake.deliver({"my_chat_member": {**event, "new_chat_member": member}})

    async def sees(self, text: str, seconds: float = 30.0) -> Shown:
        """The newest message of the bot with this in it, as soon as there is one."""

        async def found() -> Shown | None:
            return next((m for m in reversed(self.messages) if m.by_bot and text in m.text), None)

        message = await self._eventually(found, seconds, f"a message with {text!r}")
        assert message is not None
        return message

    async def _eventually(self, found: Callable[[], Awaitable[T]], seconds: float, what: str) -> T:
        try:
            return await eventually(found, seconds, f"{what} in the chat of {self.name}")
        except DeadlineError as error:
            last = " | ".join(m.text[:200] for m in self.messages[-4:])
            raise DeadlineError(f"{error}; its last messages are {last}") from None

    async def presses(self, label: str, seconds: float = 30.0) -> Shown:
        """Press the newest button of this label, as soon as there is one; the message that it is on."""

        async def found() -> tuple[Shown, str] | None:
            for message in reversed(self.messages):
                data = message.button(label)
                if data is not None:
                    return message, data
            return None

        pressed = await self._eventually(found, seconds, f"a button {label!r}")
        assert pressed is not None
        message, data = pressed
        self.presses_data(message, data)
        return message

    def presses_data(self, message: Shown, data: str) -> None:
        carried: dict[str, Any] = {"message_id": message.message_id, "date": 1, "chat": self._chat(), "from": BOT}
        if message.photo is not None:
            carried |= {"photo": [_photo_size(message.photo)], "caption": message.text}
        else:
            carried |= {"text": message.text}
        query = {"id": self.fake.next_callback(), "from": self._user(), "chat_instance": "1", "data": data}
        self.fake.deliver({"callback_query": {**query, "message": carried}})

    def _message(self, **content: Any) -> dict[str, Any]:
        message_id = self.fake.next_message()
        self.messages.append(Shown(message_id, False, content.get("text", "🎤")))
        return {"message_id": message_id, "date": 1, "chat": self._chat(), "from": self._user(), **content}

    def _chat(self) -> dict[str, Any]:
        if self.chat_id < 0:
            return {"id": self.chat_id, "type": "supergroup", "title": "Operators"}
        return {"id": self.chat_id, "type": "private", "first_name": self.name}

    def _user(self) -> dict[str, Any]:
        return {"id": self.user_id, "is_bot": False, "first_name": self.name, "language_code": self.language}


class FakeTelegram:
    """``url`` is what TELEGRAM_API_URL takes. ``scripts`` holds by method what the next calls are answered with instead."""

    def __init__(self) -> None:
        self.url = ""
        self.chats: defaultdict[int, list[Shown]] = defaultdict(list)
        self.blocked: set[int] = set()
        self.violations: list[str] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.scripts: defaultdict[str, deque[tuple[int, dict[str, Any]]]] = defaultdict(deque)
        self.webhook: dict[str, Any] | None = None
        self.conflicts = 0
        self.answered: set[str] = set()
        self.commands: dict[str, list[dict[str, str]]] = {}
        self._files: dict[str, bytes] = {}
        self._updates: list[dict[str, Any]] = []
        self._arrived = asyncio.Condition()
        self._pollers: set[object] = set()
        self._numbers = itertools.count(1)
        self._update_ids = itertools.count(1000)
        self._people = itertools.count(7001)

    def person(self, name: str, language: str, *, chat_id: int | None = None, user_id: int | None = None) -> Person:
        user_id = user_id or next(self._people)
        return Person(self, user_id, chat_id or user_id, name, language)

    def next_message(self) -> int:
        return next(self._numbers)

    def next_callback(self) -> str:
        return f"cb{next(self._numbers)}"

    def keep_file(self, content: bytes) -> str:
        """The id under which it can be asked for."""
        file_id = f"file{next(self._numbers)}"
        self._files[file_id] = content
        return file_id

    async def give_file(self, request: web.Request) -> web.Response:
        """https://core.telegram.org/bots/api#getfile: content is at an address of its own."""
        if request.match_info["token"] != TOKEN or request.match_info["name"] not in self._files:
            return _refused(404, "Not Found")
        if self.scripts["file"]:
            status, answer = self.scripts["file"].popleft()
            return web.json_response(answer, status=status)
        return web.Response(body=self._files[request.match_info["name"]])

    @property
    def unconfirmed(self) -> int:
        return len(self._updates)

    def deliver(self, update: dict[str, Any]) -> int:
        """Hand an update to the bot; its id."""
        number = next(self._update_ids)
        self._updates.append({"update_id": number, **update})
        self._wake()
        return number

    def will_answer(self, method: str, status: int, description: str, **parameters: int) -> None:
        answer: dict[str, Any] = {"ok": False, "error_code": status, "description": description}
        if parameters:
            answer["parameters"] = parameters
        self.scripts[method].append((status, answer))

    def called(self, method: str) -> list[dict[str, Any]]:
        return [fields for name, fields in self.calls if name == method]

    async def handle(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        if request.match_info["token"] != TOKEN:
            return _refused(401, "Unauthorized")
        fields, files = await _read(request)
        self.calls.append((method, fields))
        problem = self._problem(method, fields)
        if problem is not None:
            self.violations.append(f"{method}: {problem}")
            return _refused(404 if method not in METHODS else 400, f"Bad Request: {problem}")
        if self.scripts[method]:
            status, answer = self.scripts[method].popleft()
            return web.json_response(answer, status=status)
        answer_with: Callable[..., Any] = getattr(self, f"_{method}")
        result = answer_with(fields, files)
        response: web.Response = await result if asyncio.iscoroutine(result) else result
        return response

    def _problem(self, method: str, fields: dict[str, Any]) -> str | None:
        if method not in METHODS:
            return "method not found"
        required, optional = METHODS[method]
        missing, unknown = required - fields.keys(), fields.keys() - required - optional
        if missing or unknown:
            return f"missing {sorted(missing)}, unknown {sorted(unknown)}"
        markup = fields.get("reply_markup")
        for button in (b for row in (markup or {}).get("inline_keyboard", []) for b in row):
            if not 1 <= len(button.get("callback_data", "x").encode()) <= _DATA_LIMIT:
                return "BUTTON_DATA_INVALID"
            if not 1 <= len(button["text"]) <= 2 * _BUTTON_LIMIT:
                return "button text is empty or too long"
        text, limit = (fields.get("text"), _TEXT_LIMIT) if "text" in fields else (fields.get("caption"), _CAPTION_LIMIT)
        if method.startswith(("send", "edit")) and text is not None:
            if not text.strip():
                return "message text is empty"
            if len(_plain(text)) > limit:
                return "message is too long"
            if fields.get("parse_mode") == "HTML":
                return _markup_problem(text)
        return None

    # -- the methods

    def _getMe(self, _fields: dict[str, Any], _files: dict[str, bytes]) -> web.Response:
        return _done(BOT)

    def _getWebhookInfo(self, _fields: dict[str, Any], _files: dict[str, bytes]) -> web.Response:
        return _done(
            {"url": (self.webhook or {}).get("url", ""), "has_custom_certificate": False, "pending_update_count": 0}
        )

    def _getChat(self, fields: dict[str, Any], _files: dict[str, bytes]) -> web.Response:
        chat_id = int(fields["chat_id"])
        known = chat_id in self.chats
        return _done({"id": chat_id}) if known else _refused(400, "Bad Request: chat not found")

    async def _getUpdates(self, fields: dict[str, Any], _files: dict[str, bytes]) -> web.Response:
        if self.webhook is not None:
            return _refused(409, "Conflict: can't use getUpdates method while webhook is active")
        if self._pollers:
            # Telegram ends the older question.
            self.conflicts += 1
            self._pollers.clear()
            self._wake()
        me = object()
        self._pollers.add(me)
        try:
            offset = int(fields.get("offset", 0))
            if offset > 0:
                self._updates = [u for u in self._updates if u["update_id"] >= offset]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(float(fields.get("timeout", 0))), self._arrived:
                    while not self._updates and me in self._pollers:
                        await self._arrived.wait()
            if me not in self._pollers:
                return _refused(409, "Conflict: terminated by other getUpdates request")
            return _done(self._updates[: int(fields.get("limit", 100))])
        finally:
            self._pollers.discard(me)

    def _setMyCommands(self, fields: dict[str, Any], _files: dict[str, bytes]) -> web.Response:
        for command in fields["commands"]:
            if not re.fullmatch(r"[a-z0-9_]{1,32}", command["command"]) or not 1 <= len(command["description"]) <= 256:
                self.violations.append(f"setMyCommands: {command}")
        self.commands[fields.get("language_code", "")] = fields["commands"]
        return _done(True)

    def _deleteWebhook(self, _fields: dict[str, Any], _files: dict[str, bytes]) -> web.Response:
        self.webhook = None
        return _done(True)

    def _setWebhook(self, fields: dict[str, Any], _files: dict[str, bytes]) -> web.Response:
        self.webhook = fields
        return _done(True)

    def _sendMessage(self, fields: dict[str, Any], _files: dict[str, bytes]) -> web.Response:
        return self._sent(fields, fields["text"])

    def _sendPhoto(self, fields: dict[str, Any], files: dict[str, bytes]) -> web.Response:
        photo = _attached(fields["photo"], files)
        if not photo.startswith(_PNG):
            self.violations.append("sendPhoto: not a PNG")
        return self._sent(fields, fields.get("caption", ""), photo=photo)

    def _sendDocument(self, fields: dict[str, Any], files: dict[str, bytes]) -> web.Response:
        name = fields["document"].removeprefix("attach://")
        return self._sent(fields, fields.get("caption", ""), document=(name, _attached(fields["document"], files)))

    def _sent(self, fields: dict[str, Any], text: str, **more: Any) -> web.Response:
        chat_id = int(fields["chat_id"])
        if chat_id in self.blocked:
            return _refused(403, "Forbidden: bot was blocked by the user")
        shown = Shown(self.next_message(), True, text, _buttons(fields), **more)
        self.chats[chat_id].append(shown)
        return _done(_as_message(chat_id, shown))

    def _editMessageText(self, fields: dict[str, Any], _files: dict[str, bytes]) -> web.Response:
        shown = self._found(fields)
        if shown is None or shown.photo is not None or shown.document is not None:
            what = "message to edit not found" if shown is None else "there is no text in the message to edit"
            return _refused(400, f"Bad Request: {what}")
        if (shown.text, shown.buttons) == (fields["text"], _buttons(fields)):
            return _refused(400, "Bad Request: message is not modified: specified new message content is the same")
        shown.text, shown.buttons, shown.edits = fields["text"], _buttons(fields), shown.edits + 1
        return _done(_as_message(int(fields["chat_id"]), shown))

    def _editMessageMedia(self, fields: dict[str, Any], files: dict[str, bytes]) -> web.Response:
        shown, media = self._found(fields), fields["media"]
        if shown is None:
            return _refused(400, "Bad Request: message to edit not found")
        if media.get("type") != "photo":
            self.violations.append(f"editMessageMedia: {media}")
        shown.photo, shown.text = _attached(media["media"], files), media.get("caption", "")
        shown.buttons, shown.edits = _buttons(fields), shown.edits + 1
        return _done(_as_message(int(fields["chat_id"]), shown))

    def _deleteMessage(self, fields: dict[str, Any], _files: dict[str, bytes]) -> web.Response:
        shown = self._found(fields)
        if shown is None:
            return _refused(400, "Bad Request: message to delete not found")
        self.chats[int(fields["chat_id"])].remove(shown)
        return _done(True)

    def _getFile(self, fields: dict[str, Any], _files: dict[str, bytes]) -> web.Response:
        file_id = fields["file_id"]
        if file_id not in self._files:
            return _refused(400, "Bad Request: wrong file_id or the file is temporarily unavailable")
        size = len(self._files[file_id])
        file = {"file_id": file_id, "file_unique_id": file_id, "file_size": size, "file_path": f"documents/{file_id}"}
        return _done(file)

    def _answerCallbackQuery(self, fields: dict[str, Any], _files: dict[str, bytes]) -> web.Response:
        if fields["callback_query_id"] in self.answered:
            return _refused(400, "Bad Request: query is too old and response timeout expired or query ID is invalid")
        self.answered.add(fields["callback_query_id"])
        return _done(True)

    def _found(self, fields: dict[str, Any]) -> Shown | None:
        wanted = int(fields["message_id"])
        return next((m for m in self.chats[int(fields["chat_id"])] if m.message_id == wanted), None)

    def _wake(self) -> None:
        async def wake() -> None:
            async with self._arrived:
                self._arrived.notify_all()

        task = asyncio.get_running_loop().create_task(wake())
        task.add_done_callback(lambda _: None)


def _done(result: Any) -> web.Response:
    return web.json_response({"ok": True, "result": result})


def _refused(status: int, description: str) -> web.Response:
    return web.json_response({"ok": False, "error_code": status, "description": description}, status=status)


async def _read(request: web.Request) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Fields and files of an address, a form or of JSON; in a form, what isn't a plain text is JSON."""
    if request.content_type == "application/json":
        return await request.json(), {}
    fields: dict[str, Any] = dict(request.query)
    files: dict[str, bytes] = {}
    for name, value in (await request.post()).items():
        if isinstance(value, web.FileField):
            files[name] = value.file.read()
            fields_name = value.filename
            files[f"name:{name}"] = fields_name.encode()
        else:
            text = str(value)
            fields[name] = json.loads(text) if text[:1] in "[{" and name not in ("text", "caption") else text
    return fields, files


def _attached(reference: str, files: dict[str, bytes]) -> bytes:
    return files[reference.removeprefix("attach://")]


def _buttons(fields: dict[str, Any]) -> list[list[dict[str, str]]]:
    return list((fields.get("reply_markup") or {}).get("inline_keyboard", []))


def _photo_size(photo: bytes) -> dict[str, Any]:
    return {"file_id": "p", "file_unique_id": "p", "width": 360, "height": 360, "file_size": len(photo)}


def _as_message(chat_id: int, shown: Shown) -> dict[str, Any]:
    kind = "private" if chat_id > 0 else "supergroup"
    message: dict[str, Any] = {"message_id": shown.message_id, "date": 1, "chat": {"id": chat_id, "type": kind}}
    if shown.photo is not None:
        return {**message, "photo": [_photo_size(shown.photo)], "caption": shown.text}
    if shown.document is not None:
        document = {"file_id": "d", "file_unique_id": "d", "file_name": shown.document[0]}
        return {**message, "document": document, "caption": shown.text}
    return {**message, "text": shown.text}


class _Markup(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.problem: str | None = None
        self.plain = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _TAGS:
            self.problem = f"can't parse entities: unsupported start tag {tag!r}"
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.problem = f"can't parse entities: unexpected end tag {tag!r}"

    def handle_data(self, data: str) -> None:
        self.plain += data


def _markup_problem(text: str) -> str | None:
    markup = _Markup()
    markup.feed(text)
    markup.close()
    return markup.problem or (f"can't parse entities: {markup.open[-1]!r} isn't closed" if markup.open else None)


def _plain(text: str) -> str:
    markup = _Markup()
    markup.feed(text)
    markup.close()
    return markup.plain


@contextlib.asynccontextmanager
async def fake_telegram() -> AsyncIterator[FakeTelegram]:
    """A fake of one's own; at the end nothing may have been asked of it that the real one wouldn't take."""
    fake = FakeTelegram()
    app = web.Application(client_max_size=20 * 1024 * 1024)
    for method in ("GET", "POST"):
        app.router.add_route(method, "/bot{token}/{method}", fake.handle)
    app.router.add_get("/file/bot{token}/documents/{name}", fake.give_file)
    runner = web.AppRunner(app, shutdown_timeout=0.5, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield fake
        assert fake.violations == []
    finally:
        await runner.cleanup()
