"""The API of the system before this one, as its sidecars use it."""

import json
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.portable_states import BaileysState
from tests.support.serving import Answer, Serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

BACKUP = "/api/session/backup"


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def no_session(orchestrator: Serving) -> None:
    for session in (await orchestrator.call("GET", "/v1/sessions")).json["sessions"]:
        name = session["session_id"]
        await orchestrator.call("DELETE", f"/v1/sessions/{name}?confirm={name}")


@pytest.fixture
def files(paired: tuple[Path, BaileysState]) -> dict[str, str]:
    """The posted folder, contents as texts."""
    return {file.name: file.read_text() for file in paired[0].iterdir()}


async def post(orchestrator: Serving, files: dict[str, Any], session_id: str = "loja-1") -> Answer:
    body = json.dumps({"session_id": session_id, "session_data": files}).encode()
    return await orchestrator.call("POST", BACKUP, raw=body)


async def restore(orchestrator: Serving, session_id: str = "loja-1") -> Answer:
    return await orchestrator.call("GET", f"/api/session/restore?session_id={session_id}")


async def test_a_restore_returns_exactly_the_files_that_were_posted(
    orchestrator: Serving, files: dict[str, str]
) -> None:
    posted = await post(orchestrator, files)
    assert (posted.status, posted.json["success"]) == (200, True)
    restored = await restore(orchestrator)
    assert (restored.status, restored.json["success"]) == (200, True)
    assert restored.json["session_data"] == files


async def test_contents_posted_as_objects_come_back_as_objects(orchestrator: Serving, files: dict[str, str]) -> None:
    objects = {name: json.loads(text) for name, text in files.items()}
    assert (await post(orchestrator, objects)).status == 200
    assert (await restore(orchestrator)).json["session_data"] == objects


async def test_a_posted_session_does_not_start_here_by_itself(orchestrator: Serving, files: dict[str, str]) -> None:
    await post(orchestrator, files)
    session = (await orchestrator.call("GET", "/v1/sessions/loja-1")).json
    assert (session["desired_state"], session["connection_state"]) == ("stopped", "stopped")
    assert session["jid"] == "5511999990000:7@s.whatsapp.net"
    (shown,) = (await orchestrator.call("GET", "/api/session/status?session_id=loja-1")).json["sessions"]
    assert (shown["session_id"], shown["paired"]) == ("loja-1", True)
    assert shown["last_backup_at"] is not None


async def test_the_newest_post_wins_and_only_what_differs_is_written(
    orchestrator: Serving, files: dict[str, str]
) -> None:
    await post(orchestrator, files)
    assert (await post(orchestrator, files)).json["written"] == 0
    newer = {**files, "pre-key-3.json": '{"a":1}', "pre-key-2.json": '{"a":2}'}
    del newer["pre-key-1.json"]
    answer = (await post(orchestrator, newer)).json
    assert (answer["written"], answer["removed"]) == (2, 1)
    assert (await restore(orchestrator)).json["session_data"] == newer


NOT_WHOLE: list[dict[str, Any]] = [
    {"creds.json": None},
    {"creds.json": ""},
    {"creds.json": "{"},
    {"creds.json": "{}"},
    {"pre-key-2.json": ""},
    {"pre-key-2.json": '{"public"'},
    {"../creds.json": "{}"},
    {"unknown.json": "{}"},
    {"pre-key-2.json": {}},
    {"pre-key-3.json": " " * (4 * 1024 * 1024 + 1)},
]


async def test_a_post_that_is_not_whole_is_refused_and_changes_nothing(
    orchestrator: Serving, files: dict[str, str], subtests: pytest.Subtests
) -> None:
    await post(orchestrator, files)
    for changed in NOT_WHOLE:
        with subtests.test(changed=str(changed)[:80]):
            damaged = {name: text for name, text in {**files, **changed}.items() if text is not None}
            refused = await post(orchestrator, damaged)
            assert (refused.status, refused.json["success"]) == (422, False)
            assert refused.json["error"]
            assert (await restore(orchestrator)).json["session_data"] == files
            refused = await post(orchestrator, damaged, "other")
            assert refused.status == 422
            assert (await restore(orchestrator, "other")).status == 404


async def test_a_session_that_runs_here_has_an_owner_and_takes_no_posts(
    orchestrator: Serving, files: dict[str, str]
) -> None:
    await post(orchestrator, files)
    await orchestrator.call("POST", "/v1/sessions/loja-1/start")
    refusals = [
        await post(orchestrator, files),
        await restore(orchestrator),
        await orchestrator.call("DELETE", "/api/session/delete?session_id=loja-1"),
    ]
    for refused in refusals:
        assert (refused.status, refused.json["success"]) == (409, False)
    assert (await orchestrator.call("GET", "/v1/sessions/loja-1")).json["desired_state"] == "running"


async def test_a_deletion_hides_the_session_and_the_next_post_begins_anew(
    orchestrator: Serving, files: dict[str, str]
) -> None:
    await post(orchestrator, files)
    deleted = await orchestrator.call("DELETE", "/api/session/delete?session_id=loja-1")
    assert (deleted.status, deleted.json["success"]) == (200, True)
    assert (await restore(orchestrator)).status == 404
    assert (await orchestrator.call("GET", "/api/session/status?session_id=loja-1")).json["sessions"] == []
    assert (await post(orchestrator, files)).status == 200


async def test_only_a_valid_token_enters(orchestrator: Serving, files: dict[str, str]) -> None:
    await post(orchestrator, files)
    address = "/api/session/restore?session_id=loja-1"
    for token in (None, "wrong" * 5):
        refused = await orchestrator.call("GET", address, token=token)
        assert (refused.status, refused.json["success"]) == (401, False)
    key = {"X-API-Key": orchestrator.token}
    base = f"http://127.0.0.1:{orchestrator.port}"
    async with orchestrator.http.get(base + address, headers=key) as response:
        assert (await response.json())["session_data"] == files
    async with orchestrator.http.get(f"{base}/v1/sessions", headers=key) as response:
        assert response.status == 401


@pytest.mark.parametrize(("method", "call", "status"), [("GET", "backup", 405), ("GET", "list", 404)])
async def test_what_the_old_api_does_not_have_is_refused_in_its_own_way(
    orchestrator: Serving, method: str, call: str, status: int
) -> None:
    refused = await orchestrator.call(method, f"/api/session/{call}")
    assert (refused.status, refused.json["success"]) == (status, False)


async def test_a_folder_may_be_much_larger_than_other_bodies(orchestrator: Serving, files: dict[str, str]) -> None:
    large = {**files, **{f"session-{number}.0.json": '"' + "x" * 100_000 + '"' for number in range(50)}}
    assert (await post(orchestrator, large)).status == 200
    assert (await restore(orchestrator)).json["session_data"] == large
    body = b'{"session_id": "loja-1", "session_data": {"a.json": "' + b" " * (64 * 1024 * 1024) + b'"}}'
    refused = await orchestrator.call("POST", BACKUP, raw=body)
    assert (refused.status, refused.json["success"]) == (413, False)


async def test_an_impossible_session_id_is_refused(
    orchestrator: Serving, files: dict[str, str], subtests: pytest.Subtests
) -> None:
    for session_id in ("", "a/b", "..", "x" * 65):
        with subtests.test(session_id=session_id):
            refused = await post(orchestrator, files, session_id)
            assert (refused.status, refused.json["success"]) == (422, False)


async def test_a_body_that_is_no_json_is_refused(orchestrator: Serving) -> None:
    refused = await orchestrator.call("POST", BACKUP, raw=b"{")
    assert (refused.status, refused.json["success"]) == (400, False)
