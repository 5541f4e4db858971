"""Every type of message through the public API: what the phone of the contact saw, and what is told of what phones send."""

import base64
import contextlib
import hashlib
import struct
import zlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from tests.support.event_stream import Heard, listening
from tests.support.fake_whatsapp import FakeWhatsApp, fake_whatsapp
from tests.support.postgres import short_folder
from tests.support.serving import Answer
from tests.support.tree import Tree, tree
from tests.support.waiting import eventually

# One process tree and one linked account serve all of these tests.
pytestmark = pytest.mark.asyncio(loop_scope="module")

PHONE = "5511999990000"
OWN = f"{PHONE}@s.whatsapp.net"
MESSAGES = "/v1/sessions/loja/messages"


def png(width: int, height: int) -> bytes:
    """A picture in one colour, with noise that doesn't compress in a chunk of its own."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + b"\x20\xa0\x60" * width) * height
    noise = b"".join(hashlib.sha256(bytes([n % 256, n // 256])).digest() for n in range(10_000))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [
        chunk(b"IHDR", header),
        chunk(b"tEXt", b"noise\0" + noise),
        chunk(b"IDAT", zlib.compress(rows)),
        chunk(b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


PICTURE = png(640, 320)
OGG = b"OggS" + bytes(24) + b"OpusHead" + bytes(3000)
MP4 = b"\0\0\0\x18ftypmp42" + bytes(200_000)
WEBP = b"RIFF\x20\0\0\0WEBPVP8 " + bytes(100)
PDF = b"%PDF-1.7 " + bytes(1000)
PAGE = b'<title>Loja</title><meta property="og:description" content="Tudo"><meta property="og:image" content="/a.png">'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whatsapp() -> AsyncIterator[FakeWhatsApp]:
    async with fake_whatsapp() as server:
        yield server
        assert await server.violations() == {}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def product(whatsapp: FakeWhatsApp) -> AsyncIterator[Tree]:
    environ = {**whatsapp.environ, "OUTBOUND_ALLOWED_NETWORKS": "127.0.0.1", "MEDIA_MAX_MIB": "20"}
    with short_folder() as folder:
        async with tree(folder / "data", folder / "log", environ) as started:
            await started.ready()
            await started.pair("loja", PHONE, whatsapp)
            yield started
            assert await started.terminate() == 0
            assert list((folder / "data" / "run" / "media").iterdir()) == []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def heard(product: Tree) -> AsyncIterator[Heard]:
    async with listening(product) as events:
        yield events


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ana(whatsapp: FakeWhatsApp, product: Tree) -> str:
    return await whatsapp.contact()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[str]:
    """A web site of somebody else."""
    files = {
        "/a.png": (PICTURE, "image/png"),
        "/v.mp4": (MP4, "video/mp4"),
        "/page": (PAGE, "text/html"),
        "/nota.pdf": (PDF, "application/pdf"),
    }

    async def answer(request: web.BaseRequest) -> web.Response:
        if request.path == "/away":
            return web.Response(status=302, headers={"Location": "http://127.0.0.2:9/secret"})
        body, mimetype = files[request.path]
        return web.Response(body=body, content_type=mimetype)

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def sent(product: Tree, to: str, **message: Any) -> str:
    answer = await product.call("POST", MESSAGES, {"to": to, **message})
    assert answer.status == 201, answer.body
    return str(answer.json["message_id"])


async def seen(product: Tree, whatsapp: FakeWhatsApp, to: str, **message: Any) -> dict[str, Any]:
    """What the phone that it was sent to made of it."""
    message_id = await sent(product, message.pop("chat", to), **message)
    return await whatsapp.read_by(to, message_id)


def file_of(content: bytes, field: str, mimetype: str) -> dict[str, Any]:
    return {"field": field, "size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "mimetype": mimetype}


async def test_texts(product: Tree, whatsapp: FakeWhatsApp, ana: str, site: str) -> None:
    plain = await seen(product, whatsapp, ana, type="text", text="Olá", mentions=[ana])
    assert plain["content"]["extendedTextMessage"]["contextInfo"]["mentionedJid"] == [ana]
    fetched = await seen(product, whatsapp, ana, type="text", text=f"Veja {site}/page", link_preview=True)
    text = fetched["content"]["extendedTextMessage"]
    assert (text["matchedText"], text["title"], text["description"]) == (f"{site}/page", "Loja", "Tudo")
    assert base64.b64decode(text["jpegThumbnail"]).startswith(b"\xff\xd8\xff")
    given = {"url": "https://example.org", "title": "Título", "thumbnail": base64.b64encode(b"\xff\xd8").decode()}
    text = (await seen(product, whatsapp, ana, type="text", text="https://example.org", link_preview=given))["content"]
    assert text["extendedTextMessage"]["title"] == "Título"


async def test_files_by_address_in_base64_and_in_a_form(
    product: Tree, whatsapp: FakeWhatsApp, ana: str, site: str
) -> None:
    image = await seen(product, whatsapp, ana, type="image", media={"url": site + "/a.png"}, caption="A loja")
    assert image["media"] == file_of(PICTURE, "imageMessage", "image/png")
    shown = image["content"]["imageMessage"]
    assert (shown["caption"], shown["width"], shown["height"]) == ("A loja", 640, 320)
    assert base64.b64decode(shown["jpegThumbnail"]).startswith(b"\xff\xd8\xff")
    video = await seen(product, whatsapp, ana, type="video", media={"url": site + "/v.mp4"}, gif=True)
    assert video["media"] == file_of(MP4, "videoMessage", "video/mp4")
    assert video["content"]["videoMessage"]["gifPlayback"] is True
    document = await seen(product, whatsapp, ana, type="document", media={"url": site + "/nota.pdf"}, caption="A nota")
    assert document["media"] == file_of(PDF, "documentMessage", "application/pdf")
    assert document["content"]["documentMessage"]["fileName"] == "nota.pdf"
    for kind, content, field, mimetype in (
        ("audio", OGG, "audioMessage", "audio/ogg"),
        ("voice", OGG, "audioMessage", "audio/ogg; codecs=opus"),
        ("sticker", WEBP, "stickerMessage", "image/webp"),
    ):
        media = {"data": base64.b64encode(content).decode()}
        message = await seen(product, whatsapp, ana, type=kind, media=media)
        assert message["media"] == file_of(content, field, mimetype)
        assert bool(message["content"][field].get("ptt")) is (kind == "voice")
    large = PICTURE + bytes(5_000_000)
    answer = await product.upload(
        "loja", f'{{"to": "{ana}", "type": "image", "caption": "c"}}', large, "foto.png", "image/png"
    )
    assert answer.status == 201, answer.body
    assert (await whatsapp.read_by(ana, answer.json["message_id"]))["media"] == file_of(
        large, "imageMessage", "image/png"
    )


async def test_files_that_are_refused(product: Tree, ana: str, site: str) -> None:
    for media, status, code in (
        ({"url": "http://127.0.0.2:9/a.png"}, 422, "media_address_forbidden"),
        ({"url": "http://169.254.169.254/latest"}, 422, "media_address_forbidden"),
        ({"url": site + "/away"}, 422, "media_address_forbidden"),
        ({"url": site + "/nota.pdf"}, 415, "media_type_refused"),
        ({"url": "http://127.0.0.1:9/a.png"}, 422, "media_unreachable"),
        ({"data": "no base64"}, 422, "invalid_request"),
        ({}, 422, "invalid_request"),
    ):
        answer = await product.call("POST", MESSAGES, {"to": ana, "type": "image", "media": media})
        assert (answer.status, answer.code) == (status, code), media
    message = f'{{"to": "{ana}", "type": "image"}}'
    too_large = await product.upload("loja", message, PICTURE + bytes(17 * 1024 * 1024), "a.png", "image/png")
    assert (too_large.status, too_large.code) == (413, "media_too_large")
    for text, code in (("{", "malformed_json"), ('{"type": "image"}', "invalid_request")):
        assert (await product.upload("loja", text, PICTURE, "a.png", "image/png")).code == code


async def test_places_people_and_polls(product: Tree, whatsapp: FakeWhatsApp, heard: Heard, ana: str) -> None:
    place = await seen(product, whatsapp, ana, type="location", latitude=-23.5, longitude=-46.6, name="Loja")
    assert place["content"]["locationMessage"] == {"degreesLatitude": -23.5, "degreesLongitude": -46.6, "name": "Loja"}
    card = {"name": "Bia; Souza", "phones": [{"number": "+55 11 98888-7777", "label": "Loja"}], "organization": "Loja"}
    contact = await seen(product, whatsapp, ana, type="contact", contacts=[card])
    vcard = contact["content"]["contactMessage"]["vcard"]
    assert "waid=5511988887777:+55 11 98888-7777" in vcard
    assert "FN:Bia\\; Souza" in vcard
    poll = await seen(product, whatsapp, ana, type="poll", name="Vamos?", options=["Sim", "Não"])
    assert [o["optionName"] for o in poll["content"]["pollCreationMessageV3"]["options"]] == ["Sim", "Não"]
    await whatsapp.call("POST", "/send", {"from": ana, "to": PHONE, "vote": {"poll": poll["id"], "options": ["Não"]}})
    vote = await heard.wait_for("message.received", type="poll_vote")
    assert (vote["target"]["message_id"], vote["target"]["from_me"], vote["options"]) == (poll["id"], True, ["Não"])


async def test_what_is_done_with_a_message(product: Tree, whatsapp: FakeWhatsApp, heard: Heard, ana: str) -> None:
    received = await whatsapp.send(ana, PHONE, "Qual é o preço?")
    await heard.wait_for("message.received", message_id=received)
    reply = await seen(product, whatsapp, ana, type="text", text="Dez", quoted=received)
    context = reply["content"]["extendedTextMessage"]["contextInfo"]
    assert (context["stanzaId"], context["participant"]) == (received, ana)
    assert context["quotedMessage"]["conversation"] == "Qual é o preço?"
    reaction = await seen(product, whatsapp, ana, type="reaction", target=received, emoji="👍")
    assert reaction["content"]["reactionMessage"]["key"] == {"remoteJid": ana, "fromMe": False, "id": received}
    forward = await seen(product, whatsapp, ana, type="forward", target={"message_id": received, "chat": ana})
    assert forward["content"]["extendedTextMessage"]["text"] == "Qual é o preço?"
    edit = await seen(product, whatsapp, ana, type="edit", target=reply["id"], text="Doze")
    protocol = edit["content"]["protocolMessage"]
    assert (edit["edit"], protocol["key"]["id"]) == ("1", reply["id"])
    assert protocol["editedMessage"]["extendedTextMessage"]["text"] == "Doze"
    deleted = await seen(product, whatsapp, ana, type="delete", target=reply["id"])
    assert (deleted["edit"], deleted["content"]["protocolMessage"]["key"]["id"]) == ("7", reply["id"])
    for message, status, code in (
        ({"type": "edit", "target": received, "text": "x"}, 422, "invalid_request"),
        ({"type": "text", "text": "x", "quoted": "3EB0NONE"}, 404, "message_not_found"),
        ({"type": "text", "text": "x", "to": "5511000000000"}, 422, "not_on_whatsapp"),
    ):
        answer = await product.call("POST", MESSAGES, {"to": ana, **message})
        assert (answer.status, answer.code) == (status, code)


async def test_status_posts(product: Tree, whatsapp: FakeWhatsApp, ana: str, site: str) -> None:
    common = {"chat": "status@broadcast", "recipients": [ana]}
    text = await seen(product, whatsapp, ana, type="text", text="Aberto", background_color="#006d5b", **common)
    assert (text["chat"], text["content"]["extendedTextMessage"]["backgroundArgb"]) == ("status@broadcast", 0xFF006D5B)
    image = await seen(product, whatsapp, ana, type="image", media={"url": site + "/a.png"}, **common)
    assert image["media"]["sha256"] == hashlib.sha256(PICTURE).hexdigest()


async def test_status_posts_of_others_are_told_unless_they_are_ignored(
    product: Tree, whatsapp: FakeWhatsApp, heard: Heard, ana: str
) -> None:
    async def post(text: str) -> str:
        order = {"from": ana, "to": PHONE, "status": True, "text": text}
        return str((await whatsapp.call("POST", "/send", order))["id"])

    event = await heard.wait_for("message.received", message_id=await post("Na praia"))
    assert (event["chat"], event["sender"], event["text"]) == ("status@broadcast", ana, "Na praia")
    quoted = {"message_id": event["message_id"], "chat": "status@broadcast"}
    reply = await seen(product, whatsapp, ana, type="text", text="Que inveja", quoted=quoted)
    context = reply["content"]["extendedTextMessage"]["contextInfo"]
    assert (context["remoteJid"], context["participant"]) == ("status@broadcast", ana)
    settings = "/v1/sessions/loja/settings"
    assert (await product.call("PATCH", settings, {"ignore_status": True})).status == 200
    ignored = await post("Ainda na praia")
    after = await whatsapp.send(ana, PHONE, "Viu?")
    await heard.wait_for("message.received", message_id=after)
    assert ignored not in [data["message_id"] for data in heard.of("message.received")]
    assert (await product.call("PATCH", settings, {"ignore_status": None})).status == 200


async def test_a_channel_is_posted_to_and_heard(
    product: Tree, whatsapp: FakeWhatsApp, heard: Heard, ana: str, site: str
) -> None:
    made = await product.call("POST", "/v1/sessions/loja/channels", {"name": "Ofertas"})
    channel = made.json["channel_id"]
    await whatsapp.call("POST", "/follow", {"from": ana, "channel": channel})
    post = await seen(product, whatsapp, ana, chat=channel, type="text", text="Tudo pela metade")
    assert (post["chat"], post["content"]["extendedTextMessage"]["text"]) == (channel, "Tudo pela metade")
    image = await seen(product, whatsapp, ana, chat=channel, type="image", media={"url": site + "/a.png"}, caption="Já")
    assert image["media"] == file_of(PICTURE, "imageMessage", "image/png")
    refused = await product.call("POST", MESSAGES, {"to": channel, "type": "text", "text": "x", "quoted": post["id"]})
    assert (refused.status, refused.code) == (422, "invalid_request")
    theirs = (await whatsapp.call("POST", "/channels", {"from": ana, "name": "Ana"}))["id"]
    assert (await product.call("PUT", f"/v1/sessions/loja/channels/{theirs}/follow")).status == 204
    told = (await whatsapp.call("POST", "/send", {"from": ana, "channel": theirs, "text": "Novidade"}))["id"]
    event = await heard.wait_for("message.received", message_id=told)
    assert (event["chat"], event["sender"], event["text"]) == (theirs, theirs, "Novidade")


async def test_a_file_in_a_form_waits_in_the_outbox_and_reaches_the_phone(
    product: Tree, whatsapp: FakeWhatsApp, ana: str
) -> None:
    large = PDF + bytes(1_500_000)
    message = f'{{"to": "{ana}", "type": "document", "queue": true}}'
    answer = await product.upload("loja", message, large, "nota.pdf", "application/pdf")
    assert (answer.status, answer.json["state"]) == (202, "queued"), answer.body
    document = await whatsapp.read_by(ana, answer.json["message_id"])
    assert document["media"] == file_of(large, "documentMessage", "application/pdf")
    assert document["content"]["documentMessage"]["fileName"] == "nota.pdf"


async def test_a_bulk_says_to_each_of_its_recipients_what_is_meant_for_him(
    product: Tree, whatsapp: FakeWhatsApp, ana: str
) -> None:
    session, bia = "/v1/sessions/loja", await whatsapp.contact()
    assert (await product.call("PUT", f"{session}/pacing", {"applies_to": "none"})).status == 200
    names = {ana: "Ana", bia: "Bia"}
    bulk = {
        "template": {"type": "text", "text": "Olá, {{name}}!"},
        "messages": [{"to": jid, "variables": {"name": name}} for jid, name in names.items()],
    }
    made = await product.call("POST", f"{session}/bulk", bulk)
    assert made.status == 202, made.body
    waiting = await product.call("GET", f"{session}/outbox?bulk_id={made.json['bulk_id']}")
    for message in waiting.json["messages"]:
        read = await whatsapp.read_by(message["to"], message["message_id"])
        assert read["text"] == f"Olá, {names[message['to']]}!"

    async def done() -> bool:
        return bool((await product.call("GET", f"{session}/bulk/{made.json['bulk_id']}")).json["done"])

    await eventually(done, 15, "the bulk to be done")
    assert len(waiting.json["messages"]) == 2


async def test_a_request_is_in_the_log_of_each_process_by_its_name(
    product: Tree, whatsapp: FakeWhatsApp, ana: str, site: str
) -> None:
    await whatsapp.call("POST", "/media", {"status": 500})
    image = {"to": ana, "type": "image", "media": {"url": site + "/a.png"}}
    answer = await product.call("POST", MESSAGES, image, **{"X-Request-Id": "order-4711"})
    await whatsapp.call("POST", "/media", {})
    assert (answer.status, answer.code, answer.json["request_id"]) == (502, "send_failed", "order-4711")

    async def logged() -> bool:
        return any("send_failed" in line and "order-4711" in line for line in product.child.output.splitlines())

    await eventually(logged, 15, "the sidecar to log the failed send with its request")


async def download(product: Tree, message_id: str, query: str = "") -> Answer:
    return await product.call("GET", f"{MESSAGES}/{message_id}/media{query}")


async def test_received_files_are_streamed_decrypted(
    product: Tree, whatsapp: FakeWhatsApp, heard: Heard, ana: str, site: str
) -> None:
    large = bytes(range(256)) * 2_500
    order = {
        "from": ana,
        "to": PHONE,
        "content": {"documentMessage": {"mimetype": "text/html", "fileName": "página.html", "caption": "veja"}},
        "media": {"documentMessage": base64.b64encode(large).decode()},
    }
    message_id = (await whatsapp.call("POST", "/send", order))["id"]
    event = await heard.wait_for("message.received", message_id=message_id)
    media = {"kind": "document", "mimetype": "text/html", "size": len(large), "file_name": "página.html"}
    assert (event["type"], event["text"], event["media"]) == ("document", "veja", media)
    assert "origin" not in event
    answer = await download(product, message_id)
    assert (answer.status, hashlib.sha256(answer.body).digest()) == (200, hashlib.sha256(large).digest())
    assert answer.headers["Content-Type"] == "text/html"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert (await download(product, message_id, f"?chat={ana.partition('@')[0]}")).body == large
    ours = await sent(product, ana, type="image", media={"url": site + "/a.png"})
    assert (await download(product, ours)).body == PICTURE
    text = await whatsapp.send(ana, PHONE, "sem arquivo")
    await heard.wait_for("message.received", message_id=text)
    for id_, query, status, code in (
        (text, "", 404, "media_not_found"),
        ("3EB0NONE", "", 404, "message_not_found"),
        (message_id, "?chat=5511000000000", 404, "message_not_found"),
        (message_id, "?chat=x", 422, "invalid_request"),
    ):
        answer = await download(product, id_, query)
        assert (answer.status, answer.code) == (status, code)
    await whatsapp.call("POST", "/media", {"forget": True})
    assert ((await download(product, message_id)).status, (await download(product, message_id)).code) == (
        410,
        "media_expired",
    )


async def test_a_chat_s_messages_are_kept_when_its_tenant_wants_it(
    product: Tree, whatsapp: FakeWhatsApp, heard: Heard
) -> None:
    chat = await whatsapp.contact()
    kept = f"/v1/sessions/loja/chats/{chat.partition('@')[0]}/messages"
    assert (await product.call("GET", kept)).code == "chats_not_kept"
    assert (await product.call("PATCH", "/v1/tenants/operator", {"chat_retention_days": 7})).status == 200
    received = await whatsapp.send(chat, PHONE, "Bom dia")
    await heard.wait_for("message.received", message_id=received)

    async def answered() -> bool:  # what is known of the tenant is some seconds old
        reply = await sent(product, chat, type="text", text="Olá", quoted=received)
        newest = (await product.call("GET", kept + "?limit=1")).json
        return bool(newest["messages"][0]["message_id"] == reply)

    await eventually(answered, 60, "what is sent to be kept")
    messages = (await product.call("GET", kept)).json["messages"]
    reply, first = messages[0], messages[-1]
    assert (reply["type"], reply["text"], reply["from_me"], reply["sender"]) == ("text", "Olá", True, OWN)
    assert reply["quoted"]["message_id"] == received
    assert (first["message_id"], first["text"], first["from_me"], "origin" in first) == (
        received,
        "Bom dia",
        False,
        False,
    )
    page = (await product.call("GET", f"{kept}?limit=1")).json
    after = (await product.call("GET", f"{kept}?limit=1&cursor={page['next_cursor']}")).json
    assert [m["message_id"] for m in page["messages"] + after["messages"]] == [m["message_id"] for m in messages[:2]]
    order = {"from": chat, "to": PHONE, "status": True, "text": "Na praia"}
    posted = (await whatsapp.call("POST", "/send", order))["id"]
    await heard.wait_for("message.received", message_id=posted)
    statuses = (await product.call("GET", "/v1/sessions/loja/chats/status@broadcast/messages")).json["messages"]
    assert (statuses[0]["message_id"], statuses[0]["sender"]) == (posted, chat)
    nobody = await product.call("GET", "/v1/sessions/loja/chats/5511000000000/messages")
    assert nobody.json == {"messages": [], "next_cursor": None}


async def test_a_session_that_is_not_open_says_its_state(product: Tree, ana: str) -> None:
    assert (await product.call("POST", "/v1/sessions/loja/stop")).status in (200, 202)
    for answer in (
        await product.call("POST", MESSAGES, {"to": ana, "type": "text", "text": "x"}),
        await download(product, "3EB0NONE"),
    ):
        assert (answer.status, answer.code, answer.json["connection_state"]) == (409, "session_not_open", "stopped")
    with contextlib.suppress(aiohttp.ClientError):
        await product.call("POST", "/v1/sessions/loja/start")
    await product.open("loja")
