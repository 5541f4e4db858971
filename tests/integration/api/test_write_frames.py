"""Frames of writes against the real backup API, over HTTP and over a WebSocket, with the examples of tests/contract."""

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import psycopg
import pytest

from tests.support.event_stream import listening
from tests.support.serving import Serving, serving_leases

WRITES = "/internal/v1/auth-states/writes"
REPLICA = "a" * 32
EXAMPLES = {
    path.stem: json.loads(path.read_text()) for path in Path("tests/contract").glob("auth-states-writes-*.json")
}


@pytest.fixture
async def orchestrator(database_url: str) -> AsyncIterator[Serving]:
    """An orchestrator that holds the examples' lease, session 17 in generation 3 with epoch 12, and session 18's."""
    async with serving_leases(database_url, [(17, 3, 12), (18, 1, 1)]) as served:
        yield served


def frame(*writes: Any) -> bytes:
    return msgspec.msgpack.encode([1, writes])


def set_key(
    session_ref: int = 17, generation: int = 3, epoch: int = 12, *, name: str = "a", value: bytes = b"x"
) -> Any:
    return [session_ref, generation, epoch, None, None, [["session", name, value]], [], [], []]


async def post(orchestrator: Serving, body: bytes) -> tuple[int, Any]:
    """The status, and the decoded answer or the code of the problem."""
    headers = {"Authorization": f"Bearer {orchestrator.internal_token}"}
    async with orchestrator.unix.post(
        f"http://orchestrator{WRITES}", data=io.BytesIO(body), headers=headers
    ) as response:
        answer = await response.read()
    if response.status == 200:
        return 200, msgspec.msgpack.decode(answer)
    return response.status, json.loads(answer)["code"]


def stream(orchestrator: Serving) -> Any:
    headers = {"Authorization": f"Bearer {orchestrator.internal_token}"}
    return orchestrator.unix.ws_connect(f"http://orchestrator{WRITES}", headers=headers)


async def stored(orchestrator: Serving, session_ref: int = 17, generation: int = 3, epoch: int = 12) -> dict[str, str]:
    """The values of the keys a, b and c."""
    body = {"generation": generation, "epoch": epoch, "key_type": "session", "key_ids": ["a", "b", "c"]}
    answer = await orchestrator.internal("POST", f"/internal/v1/sessions/{session_ref}/auth-state/read", body)
    return dict(answer.json["values"])


async def test_the_examples_come_true_over_http_and_over_a_websocket(orchestrator: Serving) -> None:
    async with stream(orchestrator) as socket:
        for name in ("one-key", "many", "lease-lost"):
            example = EXAMPLES[f"auth-states-writes-{name}"]
            status, answer = await post(orchestrator, bytes.fromhex(example["frame_hex"]))
            assert (status, answer) == (200, example["answer"])
            await socket.send_bytes(bytes.fromhex(example["frame_hex"]))
            assert (await socket.receive_bytes()).hex() == example["answer_hex"]


async def test_one_stale_write_among_good_ones_is_alone_in_failing(orchestrator: Serving) -> None:
    writes = [set_key(value=b"new"), set_key(epoch=11, value=b"stale"), set_key(18, 1, 1, value=b"other")]
    status, answer = await post(orchestrator, frame(*writes))
    assert (status, [outcome and outcome[0] for outcome in answer]) == (200, [None, "lease_lost", None])
    assert await stored(orchestrator) == {"a": "new"}
    assert await stored(orchestrator, 18, 1, 1) == {"a": "other"}


async def test_writes_of_one_session_in_one_frame_take_effect_in_their_order(orchestrator: Serving) -> None:
    delete_a = [17, 3, 12, None, None, [], [["session", "a"]], [], []]
    writes = [set_key(value=b"1"), set_key(value=b"2"), delete_a, set_key(name="b", value=b"1")]
    assert await post(orchestrator, frame(*writes)) == (200, [None] * 4)
    assert await stored(orchestrator) == {"b": "1"}
    assert await post(orchestrator, frame(delete_a, set_key(value=b"3"))) == (200, [None] * 2)
    assert await stored(orchestrator) == {"a": "3", "b": "1"}


@pytest.mark.parametrize(
    "malformed",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode({"writes": []}),
        msgspec.msgpack.encode([2, []]),
        msgspec.msgpack.encode([1, [], "more"]),
        frame(set_key(), set_key(name="")),
        frame(set_key(), set_key(name="n\x00")),
        frame(set_key(), set_key(name="n" * 513)),
        frame(set_key(), set_key(epoch=0)),
        frame(set_key(), set_key()[:-1]),
        frame(set_key(), [*set_key(), 1]),
        frame(set_key(), [17, 3, 12, b"creds without account", None, [], [], [], []]),
        frame(set_key(), [17, 3, 12, None, None, [["session", "b", b"x"]], [["session", "b"]], [], []]),
        frame(set_key(), [17, 3, 12, None, None, [["session", "b", "text"]], [], [], []]),
        frame(set_key(), set_key(value=b"x" * (4 * 1024 * 1024 + 1))),
        frame(*[set_key()] * 10_001),
    ],
    ids=lambda malformed: f"{len(malformed)} bytes",
)
async def test_a_malformed_frame_is_refused_whole(orchestrator: Serving, malformed: bytes) -> None:
    assert await post(orchestrator, malformed) == (422, "invalid_request")
    async with stream(orchestrator) as socket:
        await socket.send_bytes(malformed)
        assert (await socket.receive_json())["code"] == "invalid_request"
        assert await stored(orchestrator) == {}
        await socket.send_bytes(frame(set_key()))
        assert await socket.receive_bytes() == msgspec.msgpack.encode([None])


async def test_too_much_waiting_is_refused_with_a_time_to_come_back(orchestrator: Serving, database_url: str) -> None:
    backlog = frame(*[[17, 3, 12, None, None, [], [["session", "b"]], [], []]] * 10_000)
    headers = {"Authorization": f"Bearer {orchestrator.internal_token}"}

    async def submit() -> tuple[int, str | None]:
        url, body = f"http://orchestrator{WRITES}", io.BytesIO(backlog)
        async with orchestrator.unix.post(url, data=body, headers=headers) as response:
            return response.status, response.headers.get("Retry-After")

    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        await connection.execute("SELECT FROM leases FOR UPDATE")  # whoever writes waits
        submitted = [asyncio.ensure_future(submit()) for _ in range(4)]
        refused, waiting = await asyncio.wait(submitted, return_when=asyncio.FIRST_COMPLETED)
        assert [task.result() for task in refused] == [(503, "2")]
    assert await asyncio.gather(*waiting) == [(200, None)] * 3
    assert await post(orchestrator, frame(set_key())) == (200, [None])


async def test_text_is_no_frame(orchestrator: Serving) -> None:
    async with stream(orchestrator) as socket:
        await socket.send_str("hello")
        assert (await socket.receive_json())["code"] == "invalid_request"


async def test_a_frame_beyond_the_limit_ends_the_stream_and_is_refused_over_http(orchestrator: Serving) -> None:
    huge = bytes(32 * 1024 * 1024 + 1)
    assert await post(orchestrator, huge) == (413, "body_too_large")
    async with stream(orchestrator) as socket:
        with contextlib.suppress(ConnectionError):  # it may end while we still send
            await socket.send_bytes(huge)
        ended = (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
        assert (await socket.receive()).type in ended
    assert await post(orchestrator, frame(set_key())) == (200, [None])


async def test_the_stream_wants_the_token(orchestrator: Serving) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await orchestrator.unix.ws_connect(f"http://orchestrator{WRITES}", headers={"Authorization": "Bearer wrong"})
    assert refused.value.status == 401


async def test_an_open_stream_is_closed_when_the_orchestrator_stops(orchestrator: Serving) -> None:
    async with stream(orchestrator) as socket:
        orchestrator.child.process.terminate()
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == aiohttp.WSCloseCode.GOING_AWAY
    assert orchestrator.child.wait(15) == 0


async def test_a_message_that_came_in_is_told_to_listeners_once(orchestrator: Serving) -> None:
    (*_, write) = EXAMPLES["auth-states-writes-many"]["writes"]
    message_key, text = write[-1][0]
    body = frame([17, 3, 12, None, None, [], [], [], [[message_key, text.encode()]]])
    last = frame([17, 3, 12, None, None, [], [], [], [["last", text.replace("3EB0AAAA", "LAST").encode()]]])
    async with listening(orchestrator) as heard:
        for write_again in (body, body, last):
            assert await post(orchestrator, write_again) == (200, [None])
        await heard.wait_for("message.received", message_id="LAST")
    assert [event["message_id"] for event in heard.of("message.received")] == ["3EB0AAAA", "LAST"]
