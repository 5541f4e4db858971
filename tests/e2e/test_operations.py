"""Everything around a message, by the public API on the real Baileys, and what WhatsApp saw of it: one tree, one account."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.event_stream import Heard, listening
from tests.support.fake_whatsapp import FakeWhatsApp, fake_whatsapp
from tests.support.postgres import short_folder
from tests.support.proxy import proxy
from tests.support.tree import Tree, tree
from tests.support.waiting import eventually
from tests.support.webhook_receiver import receiver

# The tests come one after the other and share the session.
pytestmark = pytest.mark.asyncio(loop_scope="module")

PHONE = "5511999990001"
SESSION = "/v1/sessions/loja"
JPEG = base64.b64encode(b"\xff\xd8\xff\xe0" + bytes(2000)).decode()
MISSING = "12036300000999999@g.us"


class World:
    """The product, its session and two contacts: Ana, and Bia, who hides her picture and joins no group by being added."""

    def __init__(self, product: Tree, whatsapp: FakeWhatsApp, ana: dict[str, str], bia: dict[str, str]) -> None:
        self.product = product
        self.whatsapp = whatsapp
        self.ana, self.bia = ana["jid"], bia["jid"]
        self.ana_lid, self.bia_lid = ana["lid"], bia["lid"]

    async def ask(self, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
        answer = await self.product.call(method, SESSION + path, body)
        assert answer.status == status, f"{method} {path}: {answer.status} {answer.body!r}"
        return answer.json if answer.body else None

    async def sees(self, kind: str, **detail: Any) -> dict[str, Any]:
        """What WhatsApp saw of this kind with these details."""

        async def found() -> dict[str, Any] | None:
            seen = (await self.whatsapp.call("GET", "/seen", kind=kind, phone=PHONE))["seen"]
            return next((each for each in seen if all(each.get(k) == v for k, v in detail.items())), None)

        answer = await eventually(found, 15, f"WhatsApp to see {kind} {detail}")
        assert answer is not None
        return answer

    async def knows(self, things: str, **detail: Any) -> dict[str, Any]:
        """One of what the session lists, with these details."""

        listed: list[dict[str, Any]] = []

        async def found() -> dict[str, Any] | None:
            listed[:] = (await self.ask("GET", f"/{things}"))[things]
            return next((each for each in listed if all(each.get(k) == v for k, v in detail.items())), None)

        try:
            answer = await eventually(found, 20, f"{things} to have {detail}")
        except AssertionError as error:
            raise AssertionError(f"{error}; there are {listed}") from error
        assert answer is not None
        return answer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[World]:
    async with fake_whatsapp() as whatsapp:
        people = [
            {"phone": "5511900000001", "name": "Ana", "about": "Na praia", "picture": True},
            {"phone": "5511900000002", "name": "Bia", "hides_picture": True, "refuses_groups": True},
        ]
        ana, bia = [await whatsapp.call("POST", "/contacts", person) for person in people]
        with short_folder() as folder:
            environ = {**whatsapp.environ, "OUTBOUND_ALLOWED_NETWORKS": "127.0.0.0/8"}  # where the proxies are
            async with tree(folder / "data", folder / "log", environ) as product:
                await product.ready()
                await product.pair("loja", PHONE, whatsapp)
                yield World(product, whatsapp, ana, bia)
                assert await product.terminate() == 0
        assert await whatsapp.violations() == {}


async def test_profile_and_presence(world: World) -> None:
    async def changed() -> bool:
        answer = await world.product.call("PATCH", f"{SESSION}/profile", {"name": "Loja Centro", "about": "Aberta"})
        assert (answer.status, answer.body and answer.code) in ((204, b""), (409, "session_not_synced")), answer.body
        return answer.status == 204

    await eventually(changed, 15, "the phone to give its key, some moments after the pairing")
    await world.sees("name", name="Loja Centro")
    await world.sees("about", about="Aberta")
    await world.ask("PUT", "/profile/picture", {"picture": JPEG}, status=204)
    await world.sees("picture", of=None, bytes=2004)
    profile = await world.ask("GET", "/profile")
    assert (profile["name"], profile["about"], profile["jid"]) == ("Loja Centro", "Aberta", f"{PHONE}@s.whatsapp.net")
    assert profile["picture_url"]
    await world.ask("DELETE", "/profile/picture", status=204)
    await world.ask("PUT", "/presence", {"presence": "unavailable"}, status=204)
    await world.sees("presence", presence="unavailable", name="Loja Centro")
    await world.ask("POST", "/presence/chat", {"chat": "5511900000001", "state": "recording"}, status=204)
    await world.sees("chat_state", to=world.ana, state="recording")
    async with listening(world.product, "?session_id=loja") as heard:
        await world.ask("POST", "/presence/subscribe", {"chat": world.ana}, status=204)
        await world.sees("subscribed", to=world.ana)
        await world.whatsapp.call("POST", "/presence", {"from": world.ana, "to": PHONE, "state": "composing"})
        event = await heard.wait_for("presence.update", chat=world.ana, presence="composing")
        assert event["session_id"] == "loja"


async def test_contacts_numbers_and_the_block_list(world: World) -> None:
    checked = await world.ask("POST", "/numbers/check", {"numbers": ["+5511900000001", "5511900000009"]})
    assert checked["numbers"] == [
        {"number": "5511900000001", "exists": True, "jid": world.ana, "lid": world.ana_lid},
        {"number": "5511900000009", "exists": False, "jid": None, "lid": None},
    ]
    assert (await world.ask("GET", "/contacts/5511900000001/about"))["about"] == "Na praia"
    assert (await world.ask("GET", f"/contacts/{world.ana}/picture?size=image"))["url"].endswith("-image.jpg")
    assert await world.ask("GET", f"/contacts/{world.bia}/picture") == {"url": None, "hidden": True}
    await world.ask("PUT", f"/contacts/{world.ana}", {"name": "Ana Souza"}, status=204)
    await world.sees("app_state", index=["contact", world.ana])
    await world.knows("contacts", jid=world.ana, lid=world.ana_lid, name="Ana Souza")
    await world.ask("DELETE", f"/contacts/{world.ana}", status=204)
    await world.ask("PUT", f"/blocklist/{world.bia}", status=204)
    await world.sees("blocklist", action="block", user=world.bia)
    assert await world.ask("GET", "/blocklist") == {"blocked": [{"jid": world.bia, "lid": world.bia_lid}]}
    await world.ask("DELETE", f"/blocklist/{world.bia}", status=204)
    await world.sees("blocklist", action="unblock", user=world.bia)


async def test_a_group_from_its_creation_to_leaving_it(world: World) -> None:
    made = await world.ask("POST", "/groups", {"subject": "Equipe", "participants": ["5511900000001"]}, status=201)
    group = f"/groups/{made['group_id']}"
    assert [(p["jid"], p["role"]) for p in made["participants"]] == [
        (f"{PHONE}@s.whatsapp.net", "superadmin"),
        (world.ana, "member"),
    ]
    changes = {"subject": "Vendas", "announce": True, "members_can_add": False, "ephemeral_seconds": 86_400}
    await world.ask("PATCH", group, changes, status=204)
    shown = await world.ask("GET", group)
    assert {name: shown[name] for name in changes} == changes
    outcomes = await world.ask("POST", f"{group}/participants", {"action": "add", "participants": [world.bia]})
    assert outcomes["participants"] == [{"jid": world.bia, "lid": world.bia_lid, "done": False, "code": 403}]
    promoted = await world.ask("POST", f"{group}/participants", {"action": "promote", "participants": [world.ana]})
    assert promoted["participants"][0]["done"]
    demoted = await world.ask("POST", f"{group}/participants", {"action": "demote", "participants": [world.ana]})
    assert demoted["participants"][0]["done"]
    more = {"description": "Quem vende", "locked": True, "join_approval": True}
    await world.ask("PATCH", group, more, status=204)
    for change in ("subject", "description", "announcement", "locked", "ephemeral", "promote", "demote"):
        await world.sees("group", group=made["group_id"], change=change)
    shown = await world.ask("GET", group)
    assert {name: shown[name] for name in more} == more
    await world.ask("PATCH", group, {"join_approval": False}, status=204)
    await world.ask("PUT", f"{group}/picture", {"picture": JPEG}, status=204)
    await world.ask("DELETE", f"{group}/picture", status=204)
    await world.sees("picture", of=made["group_id"], bytes=None)
    invite = await world.ask("GET", f"{group}/invite")
    assert (await world.ask("GET", f"/groups/invites/{invite['invite_code']}"))["subject"] == "Vendas"
    renewed = await world.ask("DELETE", f"{group}/invite")
    gone = await world.ask("GET", f"/groups/invites/{invite['invite_code']}", status=422)
    assert (gone["code"], gone["whatsapp_code"]) == ("whatsapp_refused", 410)
    joined = await world.ask("POST", f"/groups/invites/{renewed['invite_code']}")
    assert joined == {"group_id": made["group_id"]}
    await world.whatsapp.call("POST", "/join-request", {"from": world.bia, "group": made["group_id"]})
    assert [r["jid"] for r in (await world.ask("GET", f"{group}/requests"))["requests"]] == [world.bia]
    let_in = await world.ask("POST", f"{group}/requests", {"action": "approve", "participants": [world.bia]})
    assert let_in["participants"][0]["done"]
    page = await world.ask("GET", "/groups?limit=1")
    assert [(g["group_id"], g["size"]) for g in page["groups"]] == [(made["group_id"], 3)]
    assert page["next_cursor"] is None
    removed = await world.ask("POST", f"{group}/participants", {"action": "remove", "participants": [world.bia]})
    assert removed["participants"][0]["done"]
    await world.ask("POST", f"{group}/leave", status=204)
    await world.sees("group", group=made["group_id"], change="leave")
    refused = await world.ask("GET", f"/groups/{MISSING}", status=422)
    assert (refused["code"], refused["whatsapp_code"]) == ("whatsapp_refused", 404)


async def test_what_others_do_to_a_group_is_told_to_streams_and_webhooks_unless_groups_are_ignored(
    world: World,
) -> None:
    group = (await world.whatsapp.call("POST", "/groups", {"subject": "Bairro", "members": [world.ana, PHONE]}))["jid"]
    author = {"jid": world.ana, "lid": world.ana_lid}

    async def change(**order: Any) -> None:
        await world.whatsapp.call("POST", "/group-change", {"from": world.ana, "group": group, **order})

    async with receiver() as receiving, listening(world.product, "?session_id=loja") as heard:
        events = ["group.participants", "group.updated"]
        hook = await world.product.call("POST", "/v1/webhooks", {"url": receiving.url(), "events": events})
        assert hook.status == 201, hook.body
        receiving.secrets.append(hook.json["secret"])
        await change(change="add", participants=[world.bia])
        await change(change="subject", text="Vila")
        added = await heard.wait_for("group.participants", group=group)
        assert (added["action"], added["author"]) == ("add", author)
        assert added["participants"] == [{"jid": world.bia, "lid": world.bia_lid}]
        renamed = await heard.wait_for("group.updated", group=group)
        assert (renamed["changes"], renamed["author"]) == ({"subject": "Vila"}, author)

        async def posted() -> bool:
            return len(receiving.taken()) >= len(events)

        await eventually(posted, 15, "both to be posted")
        assert [taken.event["type"] for taken in receiving.taken()] == events
        assert receiving.taken()[0].data["participants"] == added["participants"]
        await world.ask("PATCH", "/settings", {"ignore_groups": True})
        await change(change="remove", participants=[world.bia])

        async def read() -> bool:
            accounts = (await world.whatsapp.call("GET", "/accounts"))["accounts"]
            return all(device["mailbox"] == 0 for one in accounts if one["phone"] == PHONE for device in one["devices"])

        await eventually(read, 15, "the removal to be read")
        await world.ask("PATCH", "/settings", {"ignore_groups": None})
        await change(change="subject", text="Bairro")
        await heard.wait_for("group.updated", changes={"subject": "Bairro"})
        assert [data["action"] for data in heard.of("group.participants")] == ["add"]
        await world.product.call("DELETE", f"/v1/webhooks/{hook.json['webhook_id']}")
    await world.ask("POST", f"/groups/{group}/leave", status=204)


async def test_chats_are_read_archived_and_labelled_and_known_over_a_crash(world: World) -> None:
    first = await world.whatsapp.send(world.ana, PHONE, "Olá")
    chat = f"/chats/{world.ana}"
    shown = await world.knows("chats", chat=world.ana, unread_count=1)
    assert shown["last_message_at"]
    await world.ask("POST", f"{chat}/read", {"messages": [{"message_id": first}]}, status=204)
    await world.sees("read", chat=world.ana, ids=[first], type="read")
    second = await world.whatsapp.send(world.ana, PHONE, "Alguém aí?")
    await world.knows("chats", chat=world.ana, unread_count=1)
    for archived in (True, False):  # which unpins it
        await world.ask("PATCH", chat, {"archived": archived}, status=204)
        await world.knows("chats", chat=world.ana, archived=archived)
    label = await world.ask("POST", "/labels", {"name": "Novo", "color": 4}, status=201)
    await world.ask("PUT", f"/labels/{label['label_id']}/chats/{world.ana}", status=204)
    await world.ask("PUT", f"/labels/{label['label_id']}", {"name": "Cliente", "color": 5}, status=204)
    await world.knows("labels", name="Cliente", color=5)
    await world.ask("PATCH", chat, {"pinned": True, "muted_until": "2099-01-01T00:00:00Z"}, status=204)
    await world.knows("chats", chat=world.ana, pinned=True, muted=True, labels=[label["label_id"]])
    labelled = f"/labels/{label['label_id']}/chats/{world.ana}/messages/{second}"
    index = ["label_message", label["label_id"], world.ana_lid, second, "0", "0"]
    for method, is_labelled in (("PUT", True), ("DELETE", False)):
        await world.ask(method, labelled, status=204)
        await world.sees("app_state", index=index, value={"labelAssociationAction": {"labeled": is_labelled}})
    await world.ask("PATCH", chat, {"unread": True}, status=204)
    await world.knows("chats", chat=world.ana, marked_unread=True)
    await world.product.kill("baileys")
    await eventually(world.product.sidecar_sessions, 30, "the sidecar to be back")
    await world.product.open("loja")

    async def read() -> bool:
        answer = await world.product.call("POST", f"{SESSION}{chat}/read")
        assert answer.status in (204, 409, 503), answer.body
        return answer.status == 204

    # The newest message of the chat is known from the store now.
    await eventually(read, 30, "the session to take operations again")
    await world.sees("read", chat=world.ana, ids=[second])
    await world.knows("chats", chat=world.ana, unread_count=0, pinned=True, name="Ana")
    await world.ask("DELETE", f"/labels/{label['label_id']}/chats/{world.ana}", status=204)
    await world.ask("DELETE", f"/labels/{label['label_id']}", status=204)
    await world.sees("app_state", index=["label_jid", label["label_id"], world.ana_lid])


async def test_channels(world: World) -> None:
    made = await world.ask("POST", "/channels", {"name": "Ofertas", "description": "Toda semana"}, status=201)
    channel = f"/channels/{made['channel_id']}"
    await world.ask("PATCH", channel, {"name": "Ofertas da loja"}, status=204)
    shown = await world.ask("GET", f"/channels/invites/{made['invite_code']}")
    assert (shown["name"], shown["role"], shown["description"]) == ("Ofertas da loja", "owner", "Toda semana")
    for method, what in (("PUT", "follow"), ("PUT", "mute"), ("DELETE", "mute"), ("DELETE", "follow")):
        await world.ask(method, f"{channel}/{what}", status=204)
    assert (await world.ask("GET", channel))["followers"] == 0
    await world.ask("DELETE", channel, status=204)
    assert (await world.ask("GET", channel, status=422))["whatsapp_code"] == 404


async def test_what_comes_in_is_read_by_itself_if_that_is_said(world: World) -> None:
    await world.ask("PATCH", "/settings", {"read_automatically": True})
    message_id = await world.whatsapp.send(world.ana, PHONE, "Oi")
    await world.sees("read", chat=world.ana, ids=[message_id], type="read")
    await world.ask("PATCH", "/settings", {"read_automatically": None})


async def test_what_whatsapp_limits_is_told_as_such(world: World) -> None:
    await world.whatsapp.call("POST", "/failures", {"kind": "refuse_query", "phone": PHONE})
    limited = await world.ask("GET", "/blocklist", status=429)
    assert (limited["code"], limited["whatsapp_code"]) == ("whatsapp_rate_limited", 429)


async def test_a_proxy_is_taken_while_the_session_runs_and_survives_a_crash(world: World) -> None:
    before = await world.product.session("loja")
    with proxy("loja", "senha-secreta") as through:
        url = through.url("socks5", "loja:senha-secreta")
        changed = await world.ask("PATCH", "/settings", {"proxy": url, "device_name": "Loja"})
        assert (changed["reconnects"], changed["at_next_pairing"]) == (True, ["device_name"])
        await world.product.open("loja", after=before["last_open_at"])
        assert through.tunnels == [world.whatsapp.ws_url.split("/")[2]]
        async with listening(world.product, "?session_id=loja") as heard:
            await world.whatsapp.send(world.ana, PHONE, "pelo proxy")
            await heard.wait_for("message.received", text="pelo proxy")
            await files_travel_both_ways(world, heard)
            # The websocket, and the media host once for what went up and once for what came down, or on one connection.
            assert len(set(through.tunnels)) == 2, through.tunnels
            assert len(through.tunnels) >= 3, through.tunnels
            wrong = {"proxy": through.url("http", "loja:senha-errada")}
            assert (await world.ask("PATCH", "/settings", wrong))["reconnects"]
            await world.whatsapp.send(world.ana, PHONE, "enquanto isso")
            alert = await heard.wait_for("session.alert", alert="proxy_failed")
            assert alert["reason"] == "The proxy refuses the credentials."
            assert "The proxy refuses the credentials" in (await world.product.session("loja"))["reason"]
            refused = (await world.product.session("loja"))["last_open_at"]
            await world.ask("PATCH", "/settings", {"proxy": through.url("http", "loja:senha-secreta")})
            await heard.wait_for("message.received", text="enquanto isso")
            await world.product.open("loja", after=refused)
        opened = (await world.product.session("loja"))["last_open_at"]
        tunnels = len(through.tunnels)
        await world.product.kill("baileys")
        await world.product.open("loja", after=opened)
        assert len(through.tunnels) == tunnels + 1
        after = await world.product.session("loja")
        assert after["generation"] == before["generation"]
        await world.ask("PATCH", "/settings", {"proxy": None})
        await world.product.open("loja", after=after["last_open_at"])
    for secret in ("senha-secreta", "senha-errada"):
        assert secret not in world.product.child.output
    assert (await world.whatsapp.counts())["registrations"] == 1


async def files_travel_both_ways(world: World, heard: Heard) -> None:
    document = {"type": "document", "media": {"data": base64.b64encode(b"%PDF-1.7 nota").decode()}}
    sent = await world.product.call("POST", f"{SESSION}/messages", {"to": world.ana, **document})
    assert sent.status == 201, sent.body
    order = {
        "from": world.ana,
        "to": PHONE,
        "content": {"documentMessage": {"mimetype": "text/plain", "fileName": "a.txt"}},
        "media": {"documentMessage": base64.b64encode(b"recebido").decode()},
    }
    message_id = (await world.whatsapp.call("POST", "/send", order))["id"]
    await heard.wait_for("message.received", message_id=message_id)
    received = await world.product.call("GET", f"{SESSION}/messages/{message_id}/media")
    assert (received.status, received.body) == (200, b"recebido")


async def test_calls_are_rejected_with_a_message_if_that_is_said(world: World) -> None:
    await world.ask("PATCH", "/settings", {"reject_calls": True, "reject_call_message": "Só por mensagem."})
    async with listening(world.product, "?session_id=loja") as heard:
        call = await world.whatsapp.call("POST", "/call", {"from": world.ana, "to": PHONE})
        await heard.wait_for("call.received", call_id=call["call_id"], rejected=True)
    await world.sees("call_rejected", call_id=call["call_id"])

    async def told() -> bool:
        messages = await world.whatsapp.messages("out", PHONE)
        return any(message["text"] == "Só por mensagem." for message in messages)

    await eventually(told, 15, "the caller to get the message")
