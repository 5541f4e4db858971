import asyncio
import re
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.processes import PATIENCE, free_port, is_alive
from tests.support.serving import Serving, serving
from tests.support.waiting import eventually

# One orchestrator serves all of these tests; each starts with no session in it.
pytestmark = pytest.mark.asyncio(loop_scope="module")

SESSION = "/v1/sessions/loja-1"


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def no_session(orchestrator: Serving) -> None:
    for session in (await orchestrator.call("GET", "/v1/sessions")).json["sessions"]:
        name = session["session_id"]
        await orchestrator.call("DELETE", f"/v1/sessions/{name}?confirm={name}")


async def create(orchestrator: Serving, session_id: str = "loja-1") -> None:
    assert (await orchestrator.call("POST", "/v1/sessions", {"session_id": session_id})).status == 201


async def test_a_session_is_created_shown_and_listed(orchestrator: Serving) -> None:
    created = await orchestrator.call("POST", "/v1/sessions", {"session_id": "loja-1"})
    assert created.status == 201
    assert created.headers["Location"] == SESSION
    shown = await orchestrator.call("GET", SESSION)
    fields = (
        "session_id desired_state connection_state jid generation epoch degraded last_open_at last_backup_at reason"
    )
    assert set(fields.split()) <= set(shown.json)
    assert shown.json["session_id"] == "loja-1"
    assert (shown.json["desired_state"], shown.json["connection_state"]) == ("running", "starting")
    assert [s["session_id"] for s in (await orchestrator.call("GET", "/v1/sessions")).json["sessions"]] == ["loja-1"]


async def test_a_second_session_of_the_same_id_is_refused(orchestrator: Serving) -> None:
    await create(orchestrator)
    again = await orchestrator.call("POST", "/v1/sessions", {"session_id": "loja-1"})
    assert (again.status, again.code) == (409, "session_exists")


async def test_an_id_is_made_of_the_documented_characters(orchestrator: Serving, subtests: pytest.Subtests) -> None:
    for session_id in ("", "a" * 65, "a b", "a/b", "ção", "a\n", "a\u0000", "..%2f", ".", ".."):
        with subtests.test(refused=session_id):
            refused = await orchestrator.call("POST", "/v1/sessions", {"session_id": session_id})
            assert (refused.status, refused.code) == (422, "invalid_request")
            assert refused.json["errors"][0]["field"] == "session_id"
    for session_id in ("a", "A" * 64, "Loja_1.centro-2", "...", "-"):
        with subtests.test(made=session_id):
            await create(orchestrator, session_id)


BAD_INPUT: list[tuple[str, str, bytes, int, str, str | None]] = [
    ("POST", "/v1/sessions", b"{", 400, "malformed_json", None),
    ("POST", "/v1/sessions", b"\xff\xfe", 400, "malformed_json", None),
    ("POST", "/v1/sessions", b'{"session_id": "\\ud800"}', 400, "malformed_json", None),
    ("POST", "/v1/sessions", b'{"session_id": "a"} x', 400, "malformed_json", None),
    ("POST", "/v1/sessions", b"[" * 100_000, 422, "invalid_request", "(body)"),
    ("POST", "/v1/sessions", b"", 422, "invalid_request", "session_id"),
    ("POST", "/v1/sessions", b"[]", 422, "invalid_request", "(body)"),
    ("POST", "/v1/sessions", b"null", 422, "invalid_request", "(body)"),
    ("POST", "/v1/sessions", b'{"session_id": 1}', 422, "invalid_request", "session_id"),
    ("POST", "/v1/sessions", b'{"session_id": "a", "colour": "red"}', 422, "invalid_request", "colour"),
    ("POST", "/v1/sessions", b"x" * (1024 * 1024 + 1), 413, "body_too_large", None),
    ("POST", SESSION + "/messages", b"{}", 422, "invalid_request", "type"),
    ("POST", SESSION + "/messages", b'{"type": "text", "text": "a"}', 422, "invalid_request", "to"),
    ("POST", SESSION + "/messages", b'{"to": "1", "type": "smoke", "text": "a"}', 422, "invalid_request", "type"),
    ("POST", SESSION + "/messages", b'{"to": "55119", "type": "text", "text": ""}', 422, "invalid_request", "text"),
    ("POST", SESSION + "/messages", b'{"to": "Ana", "type": "text", "text": "a"}', 422, "invalid_request", "to"),
    ("POST", SESSION + "/pairing-code", b'{"phone": "call me"}', 422, "invalid_request", "phone"),
    ("POST", SESSION + "/start", b'{"new_pairing": "yes"}', 422, "invalid_request", "new_pairing"),
    ("POST", SESSION + "/stop", b'{"now": true}', 422, "invalid_request", "now"),
    ("GET", "/v1/nothing", b"", 404, "not_found", None),
    ("GET", "/nothing", b"", 404, "not_found", None),
    ("PATCH", SESSION, b"", 405, "method_not_allowed", None),
]


async def test_bad_input_gets_a_code_and_the_field(orchestrator: Serving, subtests: pytest.Subtests) -> None:
    await create(orchestrator)
    for method, path, raw, status, code, field in BAD_INPUT:
        with subtests.test(method=method, path=path, raw=raw[:80]):
            answer = await orchestrator.call(method, path, raw=raw)
            assert (answer.status, answer.code) == (status, code)
            assert answer.headers["Content-Type"].startswith("application/problem+json")
            if field is not None:
                assert answer.json["errors"][0]["field"] == field


ACTIONS: dict[tuple[str, str], Any] = {
    ("GET", ""): None,
    ("DELETE", ""): None,
    ("GET", "/generations"): None,
    ("GET", "/audit"): None,
    ("POST", "/generations/1/restore"): None,
    ("POST", "/start"): None,
    ("POST", "/stop"): None,
    ("POST", "/logout"): None,
    ("GET", "/qr"): None,
    ("POST", "/pairing-code"): {"phone": "5511988887777"},
    ("POST", "/messages"): {"to": "5511988887777", "type": "text", "text": "a"},
}


async def test_an_unknown_session_is_not_found_and_without_a_token_nothing_shows(
    orchestrator: Serving, subtests: pytest.Subtests
) -> None:
    await create(orchestrator)
    for (method, action), body in ACTIONS.items():
        with subtests.test(method=method, action=action):
            await is_hidden(orchestrator, method, action, body)


async def is_hidden(orchestrator: Serving, method: str, action: str, body: Any) -> None:
    for unknown in ("/v1/sessions/nobody", "/v1/sessions/a%00b", "/v1/sessions/%F0%9F%92%A9"):
        answer = await orchestrator.call(method, unknown + action, body)
        assert (answer.status, answer.code) == (404, "session_not_found")
    closed = [
        await orchestrator.call(method, path + action, body, token=token)
        for path in (SESSION, "/v1/sessions/nobody")
        for token in (None, "wrong", "")[:2]
    ]
    assert {answer.status for answer in closed} == {401}
    assert len({(answer.code, answer.json["detail"], len(answer.body)) for answer in closed}) == 1


async def test_bytes_that_are_no_text_are_bad_input_and_no_fault(orchestrator: Serving) -> None:
    unknown = await orchestrator.call("GET", "/v1/events?session_id=%00")
    assert (unknown.status, unknown.code) == (404, "session_not_found")
    await create(orchestrator, "ali1")
    assert (await orchestrator.call("GET", "/v1/sessions/al%00i1")).status == 404
    broken = await orchestrator.call("POST", "/v1/sessions", raw=b"no gzip", **{"Content-Encoding": "gzip"})
    assert (broken.status, broken.code) == (400, "malformed_json")
    reader, writer = await asyncio.open_connection("127.0.0.1", orchestrator.port)
    writer.write(b"GET /v1/sessions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\r\nConnection: close\r\n\r\n")
    assert b" 401 " in await reader.readline()
    writer.close()


async def test_health_needs_no_token_and_tells_no_secret(orchestrator: Serving) -> None:
    health = await orchestrator.call("GET", "/healthz", token=None)
    assert (health.status, health.json) == (200, {"status": "ok"})
    ready = await orchestrator.call("GET", "/readyz", token=None)
    assert (ready.status, ready.json) == (503, {"status": "not_ready", "database": True, "sidecar": False})


async def test_without_a_sidecar_nothing_can_be_sent_and_the_answer_says_so(orchestrator: Serving) -> None:
    await create(orchestrator)
    message = {"to": "5511988887777", "type": "text", "text": "a"}
    answer = await orchestrator.call("POST", SESSION + "/messages", message)
    assert (answer.status, answer.code) == (409, "session_not_open")
    logout = await orchestrator.call("POST", SESSION + "/logout")
    assert (logout.status, logout.code) == (409, "session_not_open")


async def test_a_stopped_session_stays_stopped_and_a_deleted_one_frees_its_id(orchestrator: Serving) -> None:
    await create(orchestrator)
    stopped = await orchestrator.call("POST", SESSION + "/stop")
    assert (stopped.json["desired_state"], stopped.json["connection_state"]) == ("stopped", "stopped")
    qr = await orchestrator.call("GET", SESSION + "/qr")
    assert (qr.status, qr.code) == (409, "not_pairing")
    assert (await orchestrator.call("POST", SESSION + "/start")).json["desired_state"] == "running"
    assert (await orchestrator.call("DELETE", f"{SESSION}?confirm=loja-1")).status == 204
    assert (await orchestrator.call("GET", SESSION)).status == 404
    await create(orchestrator)


async def test_a_picture_format_that_can_not_be_made_is_refused(orchestrator: Serving) -> None:
    await create(orchestrator)
    answer = await orchestrator.call("GET", SESSION + "/qr", Accept="audio/ogg")
    assert (answer.status, answer.code) == (406, "not_acceptable")


async def test_events_of_one_session_are_streamed(orchestrator: Serving) -> None:
    await create(orchestrator)
    await create(orchestrator, "other")
    headers = {"Authorization": f"Bearer {orchestrator.token}"}
    url = f"http://127.0.0.1:{orchestrator.port}/v1/events?session_id=loja-1"
    async with orchestrator.http.get(url, headers=headers) as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        assert await stream.content.readline() == b": listening\n"
        await orchestrator.call("POST", "/v1/sessions/other/stop")
        await orchestrator.call("POST", SESSION + "/stop")
        async with asyncio.timeout(5 * PATIENCE):
            lines = [await stream.content.readline() for _ in range(3)]
    assert lines[1] == b"event: session.state\n"
    assert b'"session_id":"loja-1"' in lines[2]
    missing = await orchestrator.call("GET", "/v1/events?session_id=nobody")
    assert (missing.status, missing.code) == (404, "session_not_found")


async def test_without_a_database_it_waits_says_so_and_answers_503() -> None:
    nobody = f"postgresql://orchestrator:secret-password@127.0.0.1:{free_port()}/none"
    async with serving(nobody) as orchestrator:
        assert (await orchestrator.call("GET", "/healthz", token=None)).status == 200
        assert (await orchestrator.call("GET", "/readyz", token=None)).status == 503
        answer = await orchestrator.call("POST", "/v1/sessions", {"session_id": "loja-1"})
        assert (answer.status, answer.code) == (503, "database_unavailable")
        assert answer.headers["Retry-After"]
        assert (await orchestrator.call("GET", "/v1/sessions", token="wrong")).status == 401
        internal = await orchestrator.internal("POST", "/internal/v1/auth-states/load", {"sessions": [[1, 1, 1]]})
        assert (internal.status, internal.code) == (503, "database_unavailable")
        orchestrator.child.wait_for_output("waiting for the database")
        assert "secret-password" not in orchestrator.child.output


async def test_a_database_that_hangs_is_unknown_and_not_empty(database_url: str) -> None:
    """A server that takes the connection and never answers."""
    with socket.socket() as hanging:
        hanging.bind(("127.0.0.1", 0))
        hanging.listen()
        url = f"postgresql://orchestrator@127.0.0.1:{hanging.getsockname()[1]}/none"
        async with serving(url) as orchestrator:
            answer = await orchestrator.internal("POST", "/internal/v1/auth-states/load", {"sessions": [[1, 1, 1]]})
            assert (answer.status, answer.code) == (503, "database_unavailable")
            orchestrator.child.process.terminate()
            assert orchestrator.child.wait(15) == 0


async def test_the_admin_token_is_made_at_the_first_start_and_never_shown_again(database_url: str) -> None:
    async with serving(database_url, ADMIN_TOKEN="") as first:
        first.child.wait_for_output("export ADMIN_TOKEN=")
        shown = re.findall("export ADMIN_TOKEN=(.+)", first.child.output)
        assert len(shown) == 1

        async def opens() -> bool:
            return (await first.call("GET", "/v1/sessions", token=shown[0])).status == 200

        await eventually(opens)
        assert (await first.call("GET", "/v1/sessions", token="wrong")).status == 401
    async with serving(database_url, ADMIN_TOKEN="") as second:

        async def works() -> bool:
            return (await second.call("GET", "/v1/sessions", token=shown[0])).status == 200

        await eventually(works)
        assert "export ADMIN_TOKEN=" not in second.child.output


async def test_a_process_whose_parent_and_output_are_gone_ends_by_itself(database_url: str) -> None:
    """As after a kill -9 of supervisord: otherwise the port stays taken and the next start fails."""
    script = (
        "import os, subprocess, sys; r, w = os.pipe(); "
        "p = subprocess.Popen([sys.executable, '-m', 'orchestrator', 'serve'], stdout=w, stderr=w); os.close(w); "
        "print(p.pid, flush=True); sys.stdin.read()"
    )
    async with serving(database_url) as orchestrator:
        environ = dict(orchestrator.environ)
        orchestrator.child.process.terminate()
        orchestrator.child.wait(15)
    with tempfile.TemporaryDirectory(prefix="serve") as folder:
        environ["ORCHESTRATOR_SOCKET"] = f"{folder}/o.sock"
        parent = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, env=environ, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert parent.stdout is not None
        pid = int(await parent.stdout.readline())

        async def listening() -> bool:
            return await asyncio.to_thread(Path(f"{folder}/o.sock").exists)

        async def ended() -> bool:
            return not is_alive(pid)

        await eventually(listening)
        parent.kill()
        await eventually(ended, 20, "the orchestrator to end")
