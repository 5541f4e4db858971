"""The golden examples of tests/contract, played against the real backup API."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.serving import Serving, serving_leases

GOLDEN = {path.stem: json.loads(path.read_text()) for path in sorted(Path("tests/contract").glob("*.json"))}
INTERNAL = {name: golden for name, golden in GOLDEN.items() if "/internal/" in golden.get("call", "")}
REPLICA = "a" * 32
AUTH_STATE = "/internal/v1/sessions/17/auth-state"
LOAD = "/internal/v1/auth-states/load"

#: What has to be stored before an example can come true: the examples' own session, by way of other examples.
FOUND = GOLDEN["auth-states-load-found"]["response"]["body"]["sessions"][0]
KEYS = GOLDEN["auth-state-prefetch"]["response"]["body"]["keys"]


@pytest.fixture
async def orchestrator(database_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Serving]:
    """An orchestrator that holds the examples' lease: session 17, generation 3, epoch 12 unless the test says otherwise."""
    generation, epoch = getattr(request, "param", (3, 12))
    async with serving_leases(database_url, [(17, generation, epoch)], {17: "loja-centro"}) as served:
        yield served


async def write(orchestrator: Serving, **changes: Any) -> None:
    body: dict[str, Any] = {
        "generation": 3,
        "epoch": 12,
        "creds": None,
        "account": None,
        "set": [],
        "delete": [],
        "sent_messages": [],
    }
    assert (await orchestrator.internal("POST", f"{AUTH_STATE}/write", {**body, **changes})).status == 200


async def play(orchestrator: Serving, name: str) -> tuple[int, Any]:
    method, path = INTERNAL[name]["call"].split()
    answer = await orchestrator.internal(method, path, INTERNAL[name]["request"])
    return answer.status, answer.json


async def matches(orchestrator: Serving, name: str) -> None:
    expected = INTERNAL[name]["response"]
    status, body = await play(orchestrator, name)
    assert (name, status) == (name, expected["status"])
    if status >= 400:
        assert body["code"] == expected["body"]["code"]
    elif "keys" in body and name.startswith("auth-state-prefetch"):
        assert {tuple(key) for key in body.pop("keys")} == {tuple(key) for key in expected["body"]["keys"]}
        assert body == {k: v for k, v in expected["body"].items() if k != "keys"}
    else:
        assert body == expected["body"]


async def test_examples_that_need_nothing_stored_come_true(orchestrator: Serving) -> None:
    for name in (
        "sidecar-hello",
        "lease-check-held",
        "lease-check-lost",
        "auth-states-load-lease-lost",
        "auth-state-prefetch-lease-lost",
        "auth-state-write-invalid",
        "auth-state-write-lease-lost",
        "auth-state-write-keys",
        "auth-state-write-sent-message",
        "auth-state-write-creds-without-lid",
        "auth-state-write-creds",
        "sent-messages-read-absent",
        "events",
        "directory",
        "sidecar-departing",
        "sidecar-goodbye",
    ):
        await matches(orchestrator, name)


@pytest.mark.parametrize("orchestrator", [(4, 13)], indirect=True)
async def test_a_new_generation_is_proven_absent(orchestrator: Serving) -> None:
    await matches(orchestrator, "auth-states-load-absent")


async def test_what_was_written_is_found(orchestrator: Serving) -> None:
    await write(orchestrator, creds=FOUND["creds"], account=FOUND["account"], set=KEYS)
    await matches(orchestrator, "auth-states-load-found")
    await matches(orchestrator, "auth-state-prefetch")


async def test_the_lease_of_a_journal_is_recovered_under_a_new_epoch_each_time_that_is_asked(
    orchestrator: Serving,
) -> None:
    await matches(orchestrator, "journal-recover-superseded")
    await matches(orchestrator, "journal-recover")
    assert await play(orchestrator, "journal-recover") == (200, {"epoch": 14})
    body = {"generation": 3, "epoch": 14, "set": [["session", "a", "x"]]}
    assert (await orchestrator.internal("POST", f"{AUTH_STATE}/write", body)).status == 200


async def test_the_lease_that_another_owner_may_still_use_is_busy(orchestrator: Serving, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE leases SET owner = 'another'")
    await matches(orchestrator, "journal-recover-busy")


async def test_one_corrupt_state_does_not_keep_the_others_from_loading(
    orchestrator: Serving, database_url: str
) -> None:
    await write(orchestrator, creds=FOUND["creds"], account=FOUND["account"])
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE creds SET value = set_byte(value, 20, get_byte(value, 20) # 1)")
    await matches(orchestrator, "auth-states-load-corrupt")
    assert (await orchestrator.call("GET", "/v1/sessions/loja-centro")).json["connection_state"] == "quarantined"
    await matches(orchestrator, "auth-states-load-lease-lost")


async def test_keys_are_read_and_the_absent_ones_are_missing(orchestrator: Serving) -> None:
    values = GOLDEN["auth-state-read"]["response"]["body"]["values"]
    key_type = GOLDEN["auth-state-read"]["request"]["key_type"]
    await write(orchestrator, set=[[key_type, key_id, value] for key_id, value in values.items()])
    await matches(orchestrator, "auth-state-read")


async def test_a_sent_message_is_read_back(orchestrator: Serving) -> None:
    message_id = GOLDEN["sent-messages-read-found"]["request"]["message_id"]
    message = GOLDEN["sent-messages-read-found"]["response"]["body"]["message"]
    await write(orchestrator, sent_messages=[[message_id, message]])
    await matches(orchestrator, "sent-messages-read-found")


async def test_the_public_view_follows_the_sidecars_events(orchestrator: Serving) -> None:
    events = INTERNAL["events"]["request"]["events"]
    opened = next(event for event in events if event["data"].get("state") == "open")
    degraded = next(event for event in events if event["type"] == "session.degraded")
    batch = {"instance": "x", "events": [opened, degraded]}
    assert (await orchestrator.internal("POST", "/internal/v1/events", batch)).status == 200
    shown = (await orchestrator.call("GET", "/v1/sessions/loja-centro")).json
    assert (shown["connection_state"], shown["degraded"]) == ("open", True)
    assert shown["last_open_at"] is not None
    stale = {**opened, "epoch": 11, "data": {**opened["data"], "state": "quarantined"}}
    assert (
        await orchestrator.internal("POST", "/internal/v1/events", {"instance": "x", "events": [stale]})
    ).status == 200
    assert (await orchestrator.call("GET", "/v1/sessions/loja-centro")).json["connection_state"] == "open"


async def test_a_proven_logout_quarantines_and_needs_a_new_pairing_asked_for(orchestrator: Serving) -> None:
    account = GOLDEN["auth-state-write-creds"]["request"]["account"]
    await write(orchestrator, creds=FOUND["creds"], account=account)
    event = {
        "session_ref": 17,
        "epoch": 12,
        "type": "connection.state",
        "at": 1,
        "data": {"state": "quarantined", "reason": "The device was removed on the phone.", "code": 401, "jid": None},
    }
    await orchestrator.internal("POST", "/internal/v1/events", {"instance": "x", "events": [event]})
    shown = (await orchestrator.call("GET", "/v1/sessions/loja-centro")).json
    assert (shown["connection_state"], shown["reason"]) == ("quarantined", "The device was removed on the phone.")
    refused = await orchestrator.call("POST", "/v1/sessions/loja-centro/start")
    assert (refused.status, refused.code) == (409, "session_quarantined")
    anew = await orchestrator.call("POST", "/v1/sessions/loja-centro/start", {"new_pairing": True})
    assert (anew.json["generation"], anew.json["connection_state"]) == (4, "starting")


MALFORMED: list[tuple[str, dict[str, Any]]] = [
    ("write", {"set": [["session", "a\u0000", "x"]]}),
    ("write", {"set": [["session", "", "x"]]}),
    ("write", {"set": [["s" * 65, "a", "x"]]}),
    ("write", {"set": [["session", "a" * 513, "x"]]}),
    ("write", {"set": [["session", "a", 1]]}),
    ("write", {"set": [["session", "a"]]}),
    ("write", {"set": [["session", "a", "x"]], "delete": [["session", "a"]]}),
    ("write", {"creds": "{}"}),
    ("write", {"sent_messages": [["A", "not base64!"]]}),
    ("write", {"colour": "red"}),
    ("write", {"epoch": 0}),
    ("read", {"key_type": "session", "key_ids": "a"}),
    ("verify", {"creds": "short", "keys": []}),
]


async def test_a_malformed_request_is_refused_whole(orchestrator: Serving, subtests: pytest.Subtests) -> None:
    for call, change in MALFORMED:
        with subtests.test(call=call, change=change):
            good = {"set": [["session", "good", "x"]]} if call == "write" and "set" not in change else {}
            body = {"generation": 3, "epoch": 12, **good, **change}
            answer = await orchestrator.internal("POST", f"{AUTH_STATE}/{call}", body)
            assert (answer.status, answer.code) == (422, "invalid_request")
            read = {"generation": 3, "epoch": 12, "key_type": "session", "key_ids": ["good", "a"]}
            assert (await orchestrator.internal("POST", f"{AUTH_STATE}/read", read)).json == {"values": {}}


async def test_the_backup_api_wants_its_own_token(orchestrator: Serving) -> None:
    for token in ("wrong", orchestrator.token):
        answer = await orchestrator.internal("POST", LOAD, {"sessions": []}, token=token)
        assert (answer.status, answer.code) == (401, "unauthorized")
    assert (await orchestrator.call("POST", LOAD, {})).status == 404
