"""The outbox, webhooks and the resuming of streams over HTTP."""

import json
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from orchestrator.client import Client, File
from orchestrator.domain.errors import InvalidRequest, MediaTypeRefused
from orchestrator.domain.event import Event
from orchestrator.domain.tenant import OPERATOR_TENANT
from orchestrator.store.database import Database
from orchestrator.store.sessions import SessionStore
from orchestrator.wire import outbox as wire
from orchestrator.wire.messages import DocumentMessage, ImageMessage, MediaSource, TextMessage
from orchestrator.wire.webhooks import ChangeWebhook, CreateWebhook
from tests.support.event_stream import listening
from tests.support.processes import PATIENCE
from tests.support.public_api import PublicApi, public_api
from tests.support.serving import Answer

MESSAGES, OUTBOX = "/v1/sessions/loja-1/messages", "/v1/sessions/loja-1/outbox"
HELLO = {"to": "5511988887777", "type": "text", "text": "Olá"}


@pytest.fixture
async def api(database: Database, database_url: str) -> AsyncIterator[PublicApi]:
    await SessionStore(database).create(OPERATOR_TENANT, "loja-1")
    async with public_api(database_url) as made:
        yield made


async def send(api: PublicApi, body: Any, key: str | None = None) -> Answer:
    headers = {} if key is None else {"Idempotency-Key": key}
    return await api.call("POST", MESSAGES, body, headers=headers)


async def test_a_message_is_accepted_looked_at_and_cancelled(api: PublicApi, subtests: pytest.Subtests) -> None:
    first = await send(api, HELLO, "k")
    assert first.status == 202, first.body
    assert first.json.keys() == {"message_id", "to", "state", "accepted_at", "send_at", "deadline"}
    assert (await send(api, {"text": "Olá", "type": "text", "to": "5511988887777"}, "k")).json == first.json
    reused = await send(api, {**HELLO, "text": "Tchau"}, "k")
    assert (reused.status, reused.code) == (409, "idempotency_key_reused")
    later = await send(api, {**HELLO, "send_at": "2026-12-31T09:00:00-03:00"})
    assert later.json["send_at"] == "2026-12-31T12:00:00.000Z"
    assert (await send(api, HELLO)).code == "session_not_open"  # nothing said that it should wait
    page = (await api.call("GET", f"{OUTBOX}?limit=1")).json
    assert [m["message_id"] for m in page["messages"]] == [later.json["message_id"]]
    page = (await api.call("GET", f"{OUTBOX}?limit=1&cursor={page['next_cursor']}")).json
    assert [m["message_id"] for m in page["messages"]] == [first.json["message_id"]]
    assert page["next_cursor"] is None
    one = f"{OUTBOX}/{first.json['message_id']}"
    assert (await api.call("DELETE", one)).json["state"] == "cancelled"
    assert (await api.call("GET", one)).json["state"] == "cancelled"
    assert len((await api.call("GET", f"{OUTBOX}?state=cancelled")).json["messages"]) == 1
    for body, key, field in (
        ({**HELLO, "send_at": "2026-12-31T09:00:00"}, None, "send_at"),
        ({**HELLO, "send_at": "2099-12-31T09:00:00Z"}, None, "send_at"),
        ({**HELLO, "deadline": "2020-12-31T09:00:00Z"}, None, "deadline"),
        ({**HELLO, "to": "ana", "queue": True}, None, "to"),
        ({**HELLO, "text": "x" * 65_537, "queue": True}, None, "text"),
        ({**HELLO, "to": "120363101234567890@newsletter", "quoted": "3EB0", "queue": True}, None, "to"),
        (
            {"to": "120363101234567890@newsletter", "type": "location", "latitude": 1, "longitude": 1, "queue": True},
            None,
            "to",
        ),
        ({"to": "5511988887777", "type": "image", "queue": True}, None, "media"),
        (HELLO, "a b", "Idempotency-Key"),
    ):
        with subtests.test(field=field, key=key):
            refused = await send(api, body, key)
            assert refused.status == 422, refused.body
            assert [error["field"] for error in refused.json["errors"]] == [field]


async def test_a_file_in_a_form_waits_with_its_message(database: Database, database_url: str, tmp_path: Path) -> None:
    await SessionStore(database).create(OPERATOR_TENANT, "loja-1")
    nota, media = tmp_path / "nota.pdf", tmp_path / "media"
    nota.write_bytes(b"%PDF-1.7")
    media.mkdir()
    document = DocumentMessage(to="5511988887777", queue=True)
    async with public_api(database_url, media_dir=media) as api, Client(api.url, api.token) as client:
        waiting = await client.sessions.send_file("loja-1", document, File(nota))
        assert waiting.state == "queued"
        by_key = await client.outbox.accept_file("loja-1", document, File(nota), "k")
        assert (await client.outbox.accept_file("loja-1", document, File(nota), "k")) == by_key
        picture = ImageMessage(to="5511988887777")
        with pytest.raises(MediaTypeRefused):
            await client.outbox.accept_file("loja-1", picture, File(nota, "image/png"), "p")
        twice = DocumentMessage(to="5511988887777", media=MediaSource(url="https://example.org/a.pdf"))
        with pytest.raises(InvalidRequest):
            await client.outbox.accept_file("loja-1", twice, File(nota), "t")
        assert [m.message_id async for m in client.outbox.list("loja-1")] == [by_key.message_id, waiting.message_id]
        assert list(media.iterdir()) == []


async def test_a_bulk_says_which_recipient_lacks_what(api: PublicApi) -> None:
    bulk = {
        "template": {"type": "text", "text": "Olá, {{name}}!"},
        "messages": [{"to": "5511988887777", "variables": {"name": "Ana"}}, {"to": "5511988887778"}],
    }
    refused = await api.call("POST", "/v1/sessions/loja-1/bulk", bulk)
    assert (refused.status, refused.json["errors"][0]["field"]) == (422, "messages[1].variables.name")
    bulk["messages"][1] = {"to": "bia", "variables": {"name": "Bia"}}  # type: ignore[index]
    refused = await api.call("POST", "/v1/sessions/loja-1/bulk", bulk)
    assert (refused.status, refused.json["errors"][0]["field"]) == (422, "messages[1].to")
    bulk["messages"][1] = {"to": "5511988887778", "variables": {"name": "Bia"}}  # type: ignore[index]
    made = await api.call("POST", "/v1/sessions/loja-1/bulk", bulk)
    assert (made.status, made.json["total"], made.json["queued"]) == (202, 2, 2)
    one = f"/v1/sessions/loja-1/bulk/{made.json['bulk_id']}"
    assert (await api.call("GET", one)).json == made.json
    assert (await api.call("DELETE", one)).json["cancelled"] == 2
    refused = await api.call("POST", "/v1/sessions/loja-1/bulk", {**bulk, "template": {**bulk["template"], "to": "1"}})  # type: ignore[dict-item]
    assert refused.json["errors"][0]["field"] == "template"


async def test_the_pace_of_a_session_is_set_and_shown(api: PublicApi) -> None:
    pacing = {
        "applies_to": "all",
        "messages_per_minute": 6.0,
        "jitter": 0.3,
        "time_zone": "America/Sao_Paulo",
        "quiet_hours": {"begins": "22:00", "ends": "08:00"},
        "warm_up": {"first_day": 20, "growth": 1.5, "days": 10},
    }
    assert (await api.call("GET", "/v1/sessions/loja-1/pacing")).json["applies_to"] == "bulk"
    assert (await api.call("PUT", "/v1/sessions/loja-1/pacing", pacing)).json == pacing
    assert (await api.call("GET", "/v1/sessions/loja-1/pacing")).json == pacing
    refused = await api.call("PUT", "/v1/sessions/loja-1/pacing", {"time_zone": "../Mars"})
    assert refused.json["errors"][0]["field"] == "time_zone"


async def test_webhooks_are_made_changed_and_deleted_and_their_secret_is_shown_once(api: PublicApi) -> None:
    asked = {"url": "https://receiver.invalid/", "events": ["message.received"], "session_id": "loja-1"}
    made = await api.call("POST", "/v1/webhooks", asked)
    assert made.status == 201
    secret, one = made.json["secret"], f"/v1/webhooks/{made.json['webhook_id']}"
    assert secret.startswith("whsec_")
    shown = await api.call("GET", one)
    assert secret not in shown.body.decode()
    assert (await api.call("PATCH", one, {"enabled": False})).json["disabled_reason"] == "Switched off by request."
    assert (await api.call("PATCH", one, {"events": ["*"], "enabled": True})).json["events"] == ["*"]
    rotated = await api.call("POST", f"{one}/rotate-secret")
    assert rotated.json["secret"] not in (None, secret)
    assert (await api.call("GET", "/v1/webhooks?session_id=loja-1")).json["webhooks"][0]["enabled"]
    assert (await api.call("GET", f"{one}/deliveries?state=dead")).json == {"deliveries": [], "next_cursor": None}
    assert (await api.call("DELETE", one)).status == 204
    assert (await api.call("GET", one)).code == "webhook_not_found"
    refused = await api.call("POST", "/v1/webhooks", {"url": "http://127.0.0.1/", "events": ["session.qr"]})
    assert [error["field"] for error in refused.json["errors"]] == ["url", "events"]


async def test_a_stream_resumes_over_everything_that_is_stored_and_takes_only_the_types_it_asked_for(
    api: PublicApi,
) -> None:
    messages = [await send(api, {**HELLO, "queue": True}) for _ in range(3)]
    async with listening(api) as heard:
        for message in messages:
            await api.call("DELETE", f"{OUTBOX}/{message.json['message_id']}")
            await heard.wait_for("message.status", message_id=message.json["message_id"])
        first = heard.of("message.status")[0]
    assert heard.last_id is not None
    async with listening(api, last_id=heard.last_id - 2) as again:
        for message in messages[1:]:
            await again.wait_for("message.status", message_id=message.json["message_id"], status="cancelled")
        assert again.last_id == heard.last_id
    assert first["event_id"].startswith("evt_")
    async with listening(api, "?types=session.alert", last_id=1) as alerts:
        api.services.events.publish(OPERATOR_TENANT, "session.state", "loja-1", {"connection_state": "open"})
        api.services.events.publish(OPERATOR_TENANT, "session.alert", "loja-1", {"alert": "conflict"})
        await alerts.wait_for("session.alert")
        assert {type_ for type_, _ in alerts} == {"session.alert"}


async def test_a_web_socket_tells_the_same(api: PublicApi) -> None:
    message = await send(api, {**HELLO, "queue": True})
    await api.call("DELETE", f"{OUTBOX}/{message.json['message_id']}")
    url, headers = f"{api.url}/v1/events/ws", {"Authorization": f"Bearer {api.token}"}
    async with api.http.ws_connect(f"{url}?after=0&types=message.status,x", headers=headers) as socket:
        told = json.loads(await socket.receive_str(timeout=10 * PATIENCE))
        assert (told["type"], told["data"]["message_id"]) == ("message.status", message.json["message_id"])
        api.services.events.relay(
            Event(OPERATOR_TENANT, "message.status", "loja-1", {"status": "read"}, told_at(told), 10**6)
        )
        assert json.loads(await socket.receive_str(timeout=10 * PATIENCE))["id"] == 10**6
    for query, status in (("?after=x", 422), ("?session_id=none", 404), ("", 422)):
        assert (await api.call("GET", f"/v1/events/ws{query}")).status == status
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await api.http.ws_connect(url)


def told_at(told: dict[str, Any]) -> datetime:

    return datetime.fromisoformat(told["data"]["at"])


async def test_the_client_does_all_of_it(api: PublicApi) -> None:
    async with Client(api.url, api.token) as client:
        accepted = await client.outbox.accept("loja-1", TextMessage(to="5511988887777", text="Olá"), "k")
        assert (await client.outbox.accept("loja-1", TextMessage(to="5511988887777", text="Olá"), "k")) == accepted
        assert [m.message_id async for m in client.outbox.list("loja-1")] == [accepted.message_id]
        assert (await client.outbox.get("loja-1", accepted.message_id)).state == "queued"
        assert (await client.outbox.cancel("loja-1", accepted.message_id)).state == "cancelled"
        recipients = [wire.BulkRecipient(to=f"551198888777{n}") for n in range(3)]
        bulk = wire.SendBulk(template={"type": "text", "text": "Olá"}, messages=recipients)
        made = await client.outbox.send_bulk("loja-1", bulk, "b")
        assert await client.outbox.bulk("loja-1", made.bulk_id) == made
        assert (await client.outbox.cancel_bulk("loja-1", made.bulk_id)).cancelled == 3
        pacing = await client.outbox.pacing("loja-1")
        assert await client.outbox.set_pacing("loja-1", pacing) == pacing
        webhook = await client.webhooks.create(CreateWebhook(url="https://receiver.invalid/", events=["*"]))
        assert [w.webhook_id async for w in client.webhooks.list()] == [webhook.webhook_id]
        assert not (await client.webhooks.change(webhook.webhook_id, ChangeWebhook(enabled=False))).enabled
        assert (await client.webhooks.get(webhook.webhook_id)).url == "https://receiver.invalid/"
        assert (await client.webhooks.rotate_secret(webhook.webhook_id)).secret != webhook.secret
        assert [d async for d in client.webhooks.deliveries(webhook.webhook_id)] == []
        assert await client.webhooks.replay(webhook.webhook_id) == 0
        await client.webhooks.delete(webhook.webhook_id)
