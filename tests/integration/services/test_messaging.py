"""Sending, with the sidecar's control API on the wire as tests/contract has it: what it is asked for each type of message."""

import base64
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import sqlalchemy as sa
from aiohttp import web

from orchestrator.domain.errors import (
    DatabaseUnavailable,
    InvalidRequest,
    MediaAddressForbidden,
    MediaTooLarge,
    MediaTypeRefused,
    MediaUnreachable,
    MessageAmbiguous,
    MessageNotFound,
    OrchestratorError,
    SessionNotFound,
    SessionNotOpen,
)
from orchestrator.domain.message_key import message_key
from orchestrator.domain.meter import MessageMeter
from orchestrator.domain.outbound import AddressRules
from orchestrator.domain.session import ConnectionState
from orchestrator.outbound.client import OutboundClient
from orchestrator.services.chat_history import ChatHistory
from orchestrator.services.connections import Connections
from orchestrator.services.leases import LeaseBook
from orchestrator.services.link_previews import LinkPreviews
from orchestrator.services.media import MediaFiles, Upload
from orchestrator.services.messaging import Messaging
from orchestrator.services.shards import Shard, Shards
from orchestrator.sidecar.client import Sent, SidecarClient
from orchestrator.store.database import Database
from orchestrator.store.kept_messages import KeptMessageStore
from orchestrator.store.leases import LeaseStore
from orchestrator.store.messages import MessageStore
from orchestrator.store.sealing import Sealer, place_of
from orchestrator.store.sessions import SessionStore
from orchestrator.wire.messages import OutgoingMessage
from tests.support.processes import free_port

EXAMPLE = json.loads(Path("tests/contract/control-message.json").read_text())["response"]["body"]
SENT = Sent(**EXAMPLE)
ANA = "5511988887777@s.whatsapp.net"
GROUP = "120363000000000000@g.us"
LOOPBACK = AddressRules((ip_network("127.0.0.1"),))
JPEG = b"\xff\xd8\xff\xe0" + bytes(5000)
TOLD = {"to": ANA}


async def restart() -> None:
    raise AssertionError


@dataclass
class FakeSidecar:
    """Answers every send as the example does; keeps what it was asked, and the files that it found."""

    folder: Path
    shards: Shards
    orders: list[dict[str, Any]] = field(default_factory=list)
    files: list[bytes] = field(default_factory=list)
    problem: dict[str, Any] | None = None


@pytest.fixture
async def sidecar(tmp_path: Path) -> AsyncIterator[FakeSidecar]:
    async def send(request: web.Request) -> web.Response:
        order = await request.json()
        fake.orders.append(order)
        preview = order.get("link_preview", {})
        for name in (order.get("media", {}).get("file"), preview.get("thumbnail_file")):
            if name is not None:
                fake.files.append((tmp_path / name).read_bytes())
        if fake.problem is not None:
            return web.json_response(fake.problem, status=fake.problem["status"])
        return web.json_response(EXAMPLE)

    app = web.Application()
    app.router.add_post("/v1/sessions/{ref}/messages", send)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as http:
        shard = Shard("baileys", SidecarClient(http, runner.addresses[0][1], "t" * 64), restart)
        fake = FakeSidecar(tmp_path, Shards([shard]))
        yield fake
    await runner.cleanup()


@contextlib.asynccontextmanager
async def messaging(
    sidecar: FakeSidecar,
    database: Database,
    *,
    book: LeaseBook | None = None,
    connections: Connections | None = None,
    rules: AddressRules = LOOPBACK,
    most_bytes: int = 1_000_000,
) -> AsyncIterator[Messaging]:
    """Session ``s`` of tenant ``t`` is held here, unless there is a book of others."""
    if book is None:
        await SessionStore(database).create("t", "s")
        book = LeaseBook(LeaseStore(database, "a", 30.0))
        (lease,) = await book.claim(1)
        sidecar.shards.settle(lease.session_ref, next(iter(sidecar.shards)))
    outbound = OutboundClient(rules)
    media = MediaFiles(sidecar.folder, outbound, most_bytes)
    try:
        yield Messaging(
            SessionStore(database),
            MessageStore(database, Sealer(())),
            book,
            connections or Connections(),
            sidecar.shards,
            media,
            LinkPreviews(outbound, media),
            ChatHistory(KeptMessageStore(database, Sealer(()))),
            MessageMeter(),
        )
    finally:
        await outbound.close()


def parsed(**fields: Any) -> OutgoingMessage:
    message: OutgoingMessage = msgspec.convert({**TOLD, **fields}, OutgoingMessage)
    return message


HELLO = parsed(type="text", text="hello")


async def test_a_session_that_is_held_here_sends_while_the_database_is_away(
    database: Database, sidecar: FakeSidecar
) -> None:
    await SessionStore(database).create("t", "s")
    book = LeaseBook(LeaseStore(database, "a", 30.0))
    (lease,) = await book.claim(1)
    sidecar.shards.settle(lease.session_ref, next(iter(sidecar.shards)))
    nobody = Database(f"postgresql://orchestrator@127.0.0.1:{free_port()}/none")
    async with messaging(sidecar, nobody, book=book) as sender:
        assert await sender.send("t", "s", HELLO) == SENT
        await sender.send_once("t", "s", HELLO, "3EB0FIXED", again=False)
        for refused in (
            sender.send("another tenant", "s", HELLO),
            sender.send("t", "s", parsed(type="text", text="x", quoted="A")),
        ):
            with pytest.raises(DatabaseUnavailable):
                await refused
    order = {"to": ANA, "type": "text", "text": "hello"}
    assert sidecar.orders == [order, {**order, "message_id": "3EB0FIXED", "again": False}]
    await nobody.close()


async def test_a_session_that_can_t_send_is_told_with_its_state(database: Database, sidecar: FakeSidecar) -> None:
    sessions = SessionStore(database)
    await sessions.create("t", "elsewhere")
    async with messaging(sidecar, database, book=LeaseBook(LeaseStore(database, "a", 30.0))) as sender:
        with pytest.raises(SessionNotOpen) as raised:
            await sender.send("t", "elsewhere", HELLO)
        assert raised.value.connection_state == "starting"
        with pytest.raises(SessionNotFound):
            await sender.send("t", "none", HELLO)
    book = LeaseBook(LeaseStore(database, "a", 30.0))
    (lease,) = await book.claim(1)
    sidecar.shards.settle(lease.session_ref, next(iter(sidecar.shards)))
    connections = Connections()
    await connections.set_state(lease.session_ref, ConnectionState.WAITING_RETRY, None)
    sidecar.problem = {"code": "session_not_open", "status": 409}
    async with messaging(sidecar, database, book=book, connections=connections) as sender:
        with pytest.raises(SessionNotOpen) as raised:
            await sender.send("t", "elsewhere", HELLO)
    assert raised.value.connection_state == "waiting_retry"


ORDERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {"type": "text", "text": "a", "mentions": ["+5511900000001"], "link_preview": {"url": "http://a", "title": "A"}},
        {"mentions": ["5511900000001@s.whatsapp.net"], "link_preview": {"url": "http://a", "title": "A"}, "text": "a"},
    ),
    ({"type": "text", "text": "a", "link_preview": True}, {"text": "a"}),
    (
        {"type": "text", "text": "a", "to": "status@broadcast", "recipients": ["5511900000001"], "background_color": "#00ff00"},
        {"to": "status@broadcast", "recipients": ["5511900000001@s.whatsapp.net"], "text": "a", "background_color": "#00ff00"},
    ),
    ({"type": "location", "latitude": 1.5, "longitude": -2, "name": "L"}, {"latitude": 1.5, "longitude": -2.0, "name": "L"}),
    ({"type": "poll", "name": "P?", "options": ["a", "b"]}, {"name": "P?", "options": ["a", "b"], "selectable_count": 1}),
    (
        {"type": "contact", "contacts": [{"name": "Ana", "phones": [{"number": "+55 11 98888-7777"}]}]},
        {"contacts": [{"name": "Ana", "vcard": "BEGIN:VCARD\nVERSION:3.0\nN:;Ana;;;\nFN:Ana\nitem1.TEL;waid=5511988887777:+55 11 98888-7777\nitem1.X-ABLabel:Mobile\nEND:VCARD"}]},
    ),
    (
        {"type": "reaction", "target": {"message_id": "A", "from_me": False, "sender": "100000000000001@lid"}, "emoji": ""},
        {"target": {"id": "A", "from_me": False, "participant": "100000000000001@lid"}, "emoji": ""},
    ),
    ({"type": "delete", "target": {"message_id": "A", "from_me": True}}, {"target": {"id": "A", "from_me": True}}),
]  # fmt: skip


async def test_what_each_type_asks_of_the_sidecar(database: Database, sidecar: FakeSidecar) -> None:
    async with messaging(sidecar, database) as sender:
        for message, order in ORDERS:
            assert await sender.send("t", "s", parsed(**message)) == SENT
            assert sidecar.orders[-1] == {"to": ANA, "type": message["type"], **order}


INVALID: list[tuple[dict[str, Any], str]] = [
    ({"to": "abc", "type": "text", "text": "a"}, "to"),
    ({"to": "status@broadcast", "type": "text", "text": "a"}, "recipients"),
    ({"to": "status@broadcast", "type": "poll", "name": "p", "options": ["a", "b"]}, "recipients"),
    ({"type": "text", "text": "a", "recipients": ["5511900000001"]}, "recipients"),
    ({"type": "text", "text": "\U0001f600" * 32_769}, "text"),
    ({"type": "text", "text": "a", "mentions": ["5511900000001", "x"]}, "mentions[1]"),
    ({"type": "poll", "name": "p", "options": ["a", "a"]}, "options"),
    ({"type": "poll", "name": "p", "options": ["a", "b"], "selectable_count": 3}, "selectable_count"),
    ({"type": "image"}, "media"),
    ({"type": "image", "media": {}}, "media"),
    ({"type": "image", "media": {"url": "http://a", "data": "AA=="}}, "media"),
    ({"type": "image", "media": {"url": "ftp://a"}}, "media.url"),
    ({"type": "image", "media": {"data": "AA==!"}}, "media.data"),
    ({"type": "image", "media": {"data": ""}}, "media"),
    ({"type": "delete", "target": {"message_id": "A", "from_me": False, "sender": "x"}}, "target.sender"),
]


async def test_what_is_wrong_is_named(database: Database, sidecar: FakeSidecar) -> None:
    async with messaging(sidecar, database) as sender:
        for message, name in INVALID:
            with pytest.raises(InvalidRequest) as raised:
                await sender.send("t", "s", parsed(**message))
            assert [error.field for error in raised.value.errors] == [name], message
    assert sidecar.orders == []


@contextlib.asynccontextmanager
async def site(pages: dict[str, web.Response | type[OrchestratorError]]) -> AsyncIterator[str]:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        page = pages[request.path]
        assert isinstance(page, web.Response)
        return web.Response(body=page.body, status=page.status, headers=page.headers)

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def of_type(body: bytes, mimetype: str, status: int = 200, encoding: str = "identity") -> web.Response:
    return web.Response(body=body, status=status, headers={"Content-Type": mimetype, "Content-Encoding": encoding})


OPUS = b"OggS" + bytes(24) + b"OpusHead" + bytes(100)


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_files_come_by_url_in_base64_and_as_an_upload_and_are_gone_after_the_send(
    database: Database, sidecar: FakeSidecar
) -> None:
    pages: dict[str, Any] = {"/a/nota.pdf": of_type(b"%PDF-1.7", "application/pdf"), "/b": of_type(JPEG, "text/plain")}
    async with site(pages) as url, messaging(sidecar, database) as sender:
        await sender.send("t", "s", parsed(type="document", media={"url": url + "/a/nota.pdf"}, caption="c"))
        await sender.send("t", "s", parsed(type="image", media={"url": url + "/b"}))
        data = base64.b64encode(OPUS).decode()
        await sender.send("t", "s", parsed(type="voice", media={"data": data}))
        upload = Upload(chunks(JPEG[:10], JPEG[10:]), "image/jpeg", "foto.jpg")
        await sender.send("t", "s", parsed(type="image", caption="d"), upload=upload)
    shown = [{name: order[name] for name in order if name not in ("to", "media")} for order in sidecar.orders]
    assert shown == [
        {"type": "document", "caption": "c", "file_name": "nota.pdf"},
        {"type": "image"},
        {"type": "voice"},
        {"type": "image", "caption": "d"},
    ]
    types = [order["media"]["mimetype"] for order in sidecar.orders]
    assert types == ["application/pdf", "image/jpeg", "audio/ogg; codecs=opus", "image/jpeg"]
    assert sidecar.files == [b"%PDF-1.7", JPEG, OPUS, JPEG]
    assert list(sidecar.folder.iterdir()) == []


async def test_files_that_phones_or_the_rules_don_t_take_are_refused_before_they_were_fetched_whole(
    database: Database, sidecar: FakeSidecar
) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 64 * 1024
            yield JPEG[:4] + bytes(64 * 1024 - 4)

    pages: dict[str, Any] = {
        "/html": of_type(b"<!DOCTYPE html><p>not found", "image/jpeg"),
        "/gone": of_type(b"x", "image/jpeg", 404),
        "/gif": of_type(b"GIF89a" + bytes(100), "image/gif"),
        "/zip": of_type(JPEG, "image/jpeg", encoding="gzip"),
        "/away": web.Response(status=302, headers={"Location": "http://169.254.169.254/latest"}),
    }
    async with site(pages) as url, messaging(sidecar, database) as sender:
        for path, error in (("/html", MediaTypeRefused), ("/gone", MediaUnreachable), ("/gif", MediaTypeRefused),
                            ("/zip", MediaUnreachable), ("/away", MediaAddressForbidden)):  # fmt: skip
            with pytest.raises(error):
                await sender.send("t", "s", parsed(type="image", media={"url": url + path}))
        with pytest.raises(MediaAddressForbidden):
            await sender.send("t", "s", parsed(type="image", media={"url": "http://10.0.0.1/secret.jpg"}))
        with pytest.raises(MediaTooLarge):
            await sender.send("t", "s", parsed(type="image"), upload=Upload(endless(), None, None))
        assert read < 1_000_000 + 3 * 64 * 1024
        with pytest.raises(MediaTypeRefused):
            await sender.send("t", "s", parsed(type="sticker"), upload=Upload(endless(), None, None))
        with pytest.raises(MediaTypeRefused, match="audio/ogg; codecs=opus"):
            await sender.send("t", "s", parsed(type="voice"), upload=Upload(chunks(b"ID3" + bytes(99)), None, "a.mp3"))
    assert sidecar.orders == []
    assert list(sidecar.folder.iterdir()) == []


async def test_a_link_preview_is_what_the_page_says_and_never_keeps_a_message_back(
    database: Database, sidecar: FakeSidecar
) -> None:
    html = b"""<html><head><meta property="og:title" content="A &amp; B"><title>other</title>
        <meta name="description" content="what it is"><meta property="og:image" content="/p.jpg"></head><body>"""
    pages: dict[str, Any] = {
        "/page": of_type(html, "text/html; charset=utf-8"),
        "/p.jpg": of_type(JPEG, "image/jpeg"),
        "/plain": of_type(b"<title>a page without a picture</title>", "text/html"),
        "/bare": of_type(b"<p>nothing", "text/html"),
        "/file": of_type(JPEG, "image/jpeg"),
    }
    async with site(pages) as url, messaging(sidecar, database) as sender:
        for path in ("/page", "/plain", "/bare", "/file"):
            await sender.send("t", "s", parsed(type="text", text=f"see {url}{path}.", link_preview=True))
        await sender.send("t", "s", parsed(type="text", text="http://10.0.0.1/ http://x", link_preview=True))
    previews = [order.get("link_preview") for order in sidecar.orders]
    assert previews[0] is not None
    assert previews[0].pop("thumbnail_file")
    assert previews == [
        {"url": url + "/page", "title": "A & B", "description": "what it is"},
        {"url": url + "/plain", "title": "a page without a picture"},
        None,
        None,
        None,
    ]
    assert sidecar.files == [JPEG]


@dataclass
class Received:
    chat: str
    sender: str
    origin_chat: str
    participant: str | None = None
    from_me: bool = False


async def keep(database: Database, message_id: str, message: Received | bytes) -> None:
    """A row as the writer makes it: of a message that came in, or of the content of one that was sent."""
    async with database.begin() as connection:
        ref = (
            await connection.execute(sa.text("SELECT session_ref FROM sessions WHERE session_id = 's'"))
        ).scalar_one()
        if isinstance(message, bytes):
            place = place_of("t", ref, 1, "sent-message", message_id)
            statement = "INSERT INTO sent_messages (session_ref, generation, message_id, message) VALUES (:ref, 1, :key, :value)"
            value, key = Sealer(()).seal(message, place), message_id
        else:
            key = message_key(message_id, message.chat, message.sender)
            origin = {"chat": message.origin_chat, "participant": message.participant, "message": "CgFh"}
            data = {
                "message_id": message_id,
                "chat": message.chat,
                "sender": message.sender,
                "from_me": message.from_me,
            }
            place = place_of("t", ref, 1, "incoming-message", key)
            value = Sealer(()).seal(json.dumps({**data, "origin": origin}).encode(), place)
            statement = "INSERT INTO incoming_messages (session_ref, generation, message_key, event) VALUES (:ref, 1, :key, :value)"
        await connection.execute(sa.text(statement), {"ref": ref, "key": key, "value": value})


async def test_a_message_that_is_referred_to_is_found_among_those_sent_and_received(
    database: Database, sidecar: FakeSidecar
) -> None:
    async with messaging(sidecar, database) as sender:
        other, lid = "5511977776666@s.whatsapp.net", "100000000000001@lid"
        await keep(database, "OURS", b"\n\x01a")
        await keep(database, "THEIRS", Received(ANA, ANA, lid))
        await keep(database, "MEMBER", Received(GROUP, other, GROUP, lid))
        await keep(database, "TWICE", Received(ANA, ANA, ANA))
        await keep(database, "TWICE", Received(GROUP, other, GROUP, lid))
        await keep(database, "TWICE", Received(GROUP, ANA, GROUP, "100000000000002@lid"))

        async def reference(**fields: Any) -> dict[str, Any]:
            await sender.send("t", "s", parsed(**fields))
            order = sidecar.orders[-1]
            found: dict[str, Any] = order.get("quoted") or order["target"]
            return found

        ours = {"id": "OURS", "from_me": True, "message": "CgFh"}
        assert await reference(type="text", text="a", quoted="OURS") == ours
        assert await reference(type="edit", text="b", target="OURS") == ours
        assert await reference(type="delete", target="OURS") == {"id": "OURS", "from_me": True}
        theirs = {"id": "THEIRS", "from_me": False, "message": "CgFh"}
        assert await reference(type="text", text="a", quoted="THEIRS") == theirs
        assert await reference(type="reaction", emoji="x", target="THEIRS") == {"id": "THEIRS", "from_me": False}
        # Typed as another spelling of the number, of which WhatsApp knows one.
        assert await reference(type="text", text="a", quoted="THEIRS", to="551188887777") == {**theirs, "chat": ANA}
        assert await reference(type="forward", target={"message_id": "THEIRS", "chat": ANA}, to=other) == {
            **theirs,
            "chat": ANA,
        }
        member = {"id": "MEMBER", "from_me": False, "participant": lid, "message": "CgFh"}
        assert await reference(type="text", text="a", quoted="MEMBER", to=GROUP) == member
        assert (await reference(type="text", text="a", quoted="TWICE"))["from_me"] is False
        twice = {"message_id": "TWICE", "sender": other}
        assert (await reference(type="text", text="a", quoted=twice, to=GROUP))["participant"] == lid
        refused: list[tuple[type[OrchestratorError], dict[str, Any]]] = [
            (MessageNotFound, {"type": "text", "text": "a", "quoted": "NONE"}),
            (MessageNotFound, {"type": "reaction", "emoji": "x", "target": "NONE"}),
            (MessageNotFound, {"type": "forward", "target": {"message_id": "THEIRS", "chat": other}}),
            (MessageAmbiguous, {"type": "text", "text": "a", "quoted": "TWICE", "to": GROUP}),
            (InvalidRequest, {"type": "edit", "text": "a", "target": "THEIRS"}),
        ]
        for error, fields in refused:
            with pytest.raises(error):
                await sender.send("t", "s", parsed(**fields))
