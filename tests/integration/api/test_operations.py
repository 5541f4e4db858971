"""What the operations on a session refuse, and what they answer without one that is open."""

from typing import Any

import pytest
import pytest_asyncio

from tests.support.serving import Serving

# One orchestrator without a sidecar serves all of these tests, with one session.
pytestmark = pytest.mark.asyncio(loop_scope="module")

SESSION = "/v1/sessions/loja-1"
GROUP = f"{SESSION}/groups/120363041234567890@g.us"
ANA = "5511988887777@s.whatsapp.net"


@pytest_asyncio.fixture(autouse=True, scope="module", loop_scope="module")
async def session(orchestrator: Serving) -> None:
    await orchestrator.call("POST", "/v1/sessions", {"session_id": "loja-1"})


BAD_INPUT: list[tuple[str, str, Any, str]] = [
    ("POST", f"{SESSION}/numbers/check", {"numbers": []}, "numbers"),
    ("POST", f"{SESSION}/numbers/check", {"numbers": ["5511988887777"] * 501}, "numbers"),
    ("POST", f"{SESSION}/numbers/check", {"numbers": ["5511988887777", "eu"]}, "numbers[1]"),
    ("POST", f"{SESSION}/groups", {"participants": []}, "subject"),
    ("POST", f"{SESSION}/groups", {"subject": "x" * 101}, "subject"),
    ("POST", f"{SESSION}/groups", {"subject": "x", "participants": ["5511988887777", "Ana"]}, "participants[1]"),
    ("GET", f"{SESSION}/groups/equipe", None, "group"),
    ("GET", f"{SESSION}/groups?limit=0", None, "limit"),
    ("GET", f"{SESSION}/groups?cursor=x", None, "cursor"),
    ("PATCH", GROUP, {"announce": "yes"}, "announce"),
    ("PATCH", GROUP, {"ephemeral_seconds": -1}, "ephemeral_seconds"),
    ("PATCH", GROUP, {"colour": "red"}, "colour"),
    ("PUT", f"{GROUP}/picture", {}, "picture"),
    ("POST", f"{GROUP}/participants", {"action": "praise", "participants": [ANA]}, "action"),
    ("POST", f"{GROUP}/participants", {"action": "add", "participants": []}, "participants"),
    ("POST", f"{GROUP}/requests", {"action": "approve", "participants": ["?"]}, "participants[0]"),
    ("POST", f"{SESSION}/groups/invites/https%3A%2F%2Fevil.example%2FAbCdEf", None, "invite"),
    ("GET", f"{SESSION}/groups/invites/a!b", None, "invite"),
    ("GET", f"{SESSION}/contacts?cursor=bm8", None, "cursor"),
    ("PUT", f"{SESSION}/contacts/ana", {"name": "Ana"}, "contact"),
    ("PUT", f"{SESSION}/contacts/{ANA}", {"name": ""}, "name"),
    ("GET", f"{SESSION}/contacts/{ANA}/picture?size=huge", None, "size"),
    ("PUT", f"{SESSION}/blocklist/120363041234567890@g.us", None, "contact"),
    ("PATCH", f"{SESSION}/chats/x", {"archived": True}, "chat"),
    ("PATCH", f"{SESSION}/chats/{ANA}", {"muted_until": "tomorrow"}, "muted_until"),
    ("PATCH", f"{SESSION}/chats/{ANA}", {"muted_until": "2026-12-01T00:00:00"}, "muted_until"),
    ("POST", f"{SESSION}/chats/{ANA}/read", {"messages": [{"message_id": ""}]}, "messages[0].message_id"),
    (
        "POST",
        f"{SESSION}/chats/{ANA}/read",
        {"messages": [{"message_id": "x", "participant": "?"}]},
        "messages[0].participant",
    ),
    ("PUT", f"{SESSION}/presence", {"presence": "busy"}, "presence"),
    ("POST", f"{SESSION}/presence/chat", {"chat": "?", "state": "composing"}, "chat"),
    ("POST", f"{SESSION}/presence/subscribe", {}, "chat"),
    ("PATCH", f"{SESSION}/profile", {"name": "x" * 26}, "name"),
    ("POST", f"{SESSION}/labels", {"name": "x", "color": 20}, "color"),
    ("PUT", f"{SESSION}/labels/a.b/chats/{ANA}", None, "label"),
    ("GET", f"{SESSION}/channels/x", None, "channel"),
    ("POST", f"{SESSION}/channels", {}, "name"),
    ("PATCH", f"{SESSION}/settings", {"proxy": "ftp://proxy.example"}, "proxy"),
    ("PATCH", f"{SESSION}/settings", {"proxy": "socks5://169.254.169.254:80"}, "proxy"),
    ("PATCH", f"{SESSION}/settings", {"history_sync": "all"}, "history_sync"),
    ("PATCH", f"{SESSION}/settings", {"retention_days": 4000}, "retention_days"),
    ("PATCH", f"{SESSION}/settings", {"device_name": ""}, "device_name"),
]


async def test_bad_input_is_refused_by_the_name_of_its_field(orchestrator: Serving, subtests: pytest.Subtests) -> None:
    for method, path, body, field in BAD_INPUT:
        with subtests.test(call=f"{method} {path}", body=body):
            refused = await orchestrator.call(method, path, body)
            assert (refused.status, refused.code) == (422, "invalid_request"), refused.body
            assert [error["field"] for error in refused.json["errors"]] == [field]


async def test_a_session_that_is_not_open_is_asked_nothing(orchestrator: Serving, subtests: pytest.Subtests) -> None:
    for method, path, body in (
        ("GET", f"{SESSION}/groups", None),
        ("GET", f"{SESSION}/profile", None),
        ("GET", f"{SESSION}/blocklist", None),
        ("POST", f"{SESSION}/numbers/check", {"numbers": ["+5511988887777"]}),
        ("PATCH", f"{SESSION}/chats/5511988887777", {"pinned": True}),
        ("PUT", f"{SESSION}/channels/120363101234567890@newsletter/follow", None),
    ):
        with subtests.test(call=f"{method} {path}"):
            refused = await orchestrator.call(method, path, body)
            assert (refused.status, refused.code) == (409, "session_not_open"), refused.body
            gone = await orchestrator.call(method, path.replace("loja-1", "nobody"), body)
            assert (gone.status, gone.code) == (404, "session_not_found")


async def test_settings_are_changed_field_by_field_and_the_proxy_s_password_is_never_shown(
    orchestrator: Serving,
) -> None:
    usual = (await orchestrator.call("GET", f"{SESSION}/settings")).json
    assert (usual["proxy"], usual["mark_online"], usual["history_sync"]) == (None, True, "recent")
    changes = {"proxy": "socks5://loja:senha-secreta@proxy.example:1080", "reject_calls": True, "retention_days": 7}
    changes |= {"own_webhooks_only": True}
    changed = await orchestrator.call("PATCH", f"{SESSION}/settings", changes)
    assert changed.status == 200, changed.body
    assert changed.json["settings"] == usual | changes | {"proxy": "socks5://loja:***@proxy.example:1080"}
    assert (changed.json["at_next_pairing"], changed.json["reconnects"]) == ([], False)
    again = await orchestrator.call("PATCH", f"{SESSION}/settings", {"device_name": "Loja", "retention_days": None})
    assert again.json["settings"]["retention_days"] is None
    assert (await orchestrator.call("GET", f"{SESSION}/settings")).json == again.json["settings"]
    assert "senha-secreta" not in orchestrator.child.output
    assert b"senha-secreta" not in again.body
    reset = await orchestrator.call("PATCH", f"{SESSION}/settings", dict.fromkeys(usual))
    assert reset.json["settings"] == usual


async def test_what_the_session_knows_is_there_without_a_connection(orchestrator: Serving) -> None:
    last = {"id": "3EB0", "from_me": False, "participant": None, "timestamp": 1_790_000_000}
    learned = await orchestrator.internal(
        "POST",
        "/internal/v1/directory",
        {
            "changes": [
                [
                    1,
                    1,
                    "chat",
                    ANA,
                    {"unread_added": 2, "last_message": last, "muted_until": -1, "labels": {"7": True}},
                ],
                [1, 1, "chat", "120363041234567890@g.us", {"name": "Equipe", "pinned_at": 1_790_000_000_000}],
                [1, 1, "contact", ANA, {"push_name": "Aninha", "lid": "100000000000002@lid"}],
                [1, 1, "label", "7", {"name": "Pago", "color": 3}],
            ]
        },
    )
    assert learned.status == 200, learned.body
    first = (await orchestrator.call("GET", f"{SESSION}/chats?limit=1")).json
    assert first["chats"] == [
        {
            "chat": ANA,
            "name": "Aninha",
            "unread_count": 2,
            "marked_unread": False,
            "archived": False,
            "pinned": False,
            "muted": True,
            "muted_until": None,
            "ephemeral_seconds": 0,
            "labels": ["7"],
            "last_message_at": "2026-09-21T14:13:20.000Z",
        }
    ]
    second = (await orchestrator.call("GET", f"{SESSION}/chats?limit=1&cursor={first['next_cursor']}")).json
    assert [(chat["name"], chat["pinned"]) for chat in second["chats"]] == [("Equipe", True)]
    assert second["next_cursor"] is None
    contacts = (await orchestrator.call("GET", f"{SESSION}/contacts")).json
    assert [(each["jid"], each["lid"], each["name"], each["push_name"]) for each in contacts["contacts"]] == [
        (ANA, "100000000000002@lid", None, "Aninha")
    ]
    labels = (await orchestrator.call("GET", f"{SESSION}/labels")).json
    assert labels == {"labels": [{"label_id": "7", "name": "Pago", "color": 3}]}
    for changes in ([], [[1, 1, "smell", "x", {}]], [[1, 1, "chat", "x", {"unread_added": "two"}]]):
        refused = await orchestrator.internal("POST", "/internal/v1/directory", {"changes": changes})
        assert (refused.status, refused.code) == (422, "invalid_request")
