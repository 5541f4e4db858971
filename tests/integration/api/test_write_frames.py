"""Frames of writes against the real backup API, in POSTs and over an upgraded connection, with the examples of tests/contract."""

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from tests.support.event_stream import listening
from tests.support.serving import Serving, serving_leases
from tests.support.waiting import eventually

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


@dataclass
class Stream:
    """An upgraded connection, from its first byte to its last."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, frame: bytes) -> None:
        self.writer.write(len(frame).to_bytes(4, "big") + frame)
        await self.writer.drain()

    async def answer(self) -> tuple[int, bytes]:
        """Its kind, and what it says."""
        length = int.from_bytes(await self.reader.readexactly(4), "big")
        answer = await self.reader.readexactly(length)
        return answer[0], answer[1:]

    async def outcomes(self) -> Any:
        kind, answer = await self.answer()
        assert kind == 0
        return msgspec.msgpack.decode(answer)

    async def problem(self) -> str:
        """The code of a refusal of the whole frame."""
        kind, answer = await self.answer()
        assert kind == 1
        return str(json.loads(answer)["code"])


@contextlib.asynccontextmanager
async def stream(orchestrator: Serving, *, token: str | None = None) -> AsyncIterator[Stream]:
    reader, writer = await asyncio.open_unix_connection(str(orchestrator.socket))
    head = [
        f"GET {WRITES} HTTP/1.1",
        "Host: orchestrator",
        f"Authorization: Bearer {token or orchestrator.internal_token}",
        "Connection: Upgrade",
        "Upgrade: tcp",
    ]
    try:
        writer.write("".join(f"{line}\r\n" for line in [*head, ""]).encode())
        status = (await reader.readuntil(b"\r\n\r\n")).split()[1]
        if status != b"101":
            raise ConnectionRefusedError(status.decode())
        yield Stream(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def stored(orchestrator: Serving, session_ref: int = 17, generation: int = 3, epoch: int = 12) -> dict[str, str]:
    """The values of the keys a, b and c."""
    body = {"generation": generation, "epoch": epoch, "key_type": "session", "key_ids": ["a", "b", "c"]}
    answer = await orchestrator.internal("POST", f"/internal/v1/sessions/{session_ref}/auth-state/read", body)
    return dict(answer.json["values"])


async def test_the_examples_come_true_in_a_post_and_over_a_stream(orchestrator: Serving) -> None:
    async with stream(orchestrator) as socket:
        for name in ("one-key", "many", "lease-lost"):
            example = EXAMPLES[f"auth-states-writes-{name}"]
            status, answer = await post(orchestrator, bytes.fromhex(example["frame_hex"]))
            assert (status, answer) == (200, example["answer"])
            await socket.send(bytes.fromhex(example["frame_hex"]))
            assert (await socket.answer())[1].hex() == example["answer_hex"]


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


MALFORMED = [
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
]


async def test_a_malformed_frame_is_refused_whole(orchestrator: Serving, subtests: pytest.Subtests) -> None:
    async with stream(orchestrator) as socket:
        for malformed in MALFORMED:
            with subtests.test(begins=malformed[:80]):
                assert await post(orchestrator, malformed) == (422, "invalid_request")
                await socket.send(malformed)
                assert await socket.problem() == "invalid_request"
                assert await stored(orchestrator) == {}
        await socket.send(frame(set_key()))
        assert await socket.outcomes() == [None]


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


async def test_frames_are_answered_in_their_order_however_they_arrive(orchestrator: Serving) -> None:
    frames = [frame(set_key(value=b"%d" % n), set_key(epoch=11)) for n in range(8)]
    bytes_of_all = b"".join(len(each).to_bytes(4, "big") + each for each in frames)
    async with stream(orchestrator) as socket:
        for at in range(0, len(bytes_of_all), 7):
            socket.writer.write(bytes_of_all[at : at + 7])
            await asyncio.sleep(0)
        socket.writer.write(bytes_of_all)
        for _ in range(16):
            assert [outcome and outcome[0] for outcome in await socket.outcomes()] == [None, "lease_lost"]
    assert await stored(orchestrator) == {"a": "7"}


async def test_a_sidecar_that_leaves_before_its_answer_is_no_fault(orchestrator: Serving, database_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        await connection.execute("SELECT FROM leases FOR UPDATE")  # whoever writes waits
        async with stream(orchestrator) as socket:
            await socket.send(frame(set_key()))
            await eventually(lambda: waits_for_a_lock(database_url), what="the write to wait")
    await asyncio.to_thread(orchestrator.child.wait_for_output, "stream of writes ended before an answer")
    assert "request failed" not in orchestrator.child.output
    assert await stored(orchestrator) == {"a": "x"}


async def waits_for_a_lock(database_url: str) -> bool:
    waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        return await (await connection.execute(waiting)).fetchone() is not None


async def test_a_frame_beyond_the_limit_ends_the_stream_and_is_refused_over_http(orchestrator: Serving) -> None:
    huge = bytes(32 * 1024 * 1024 + 1)
    assert await post(orchestrator, huge) == (413, "body_too_large")
    async with stream(orchestrator) as socket:
        with contextlib.suppress(ConnectionError):  # it may end while we still send
            await socket.send(huge)
        assert await ended(socket)
    assert await post(orchestrator, frame(set_key())) == (200, [None])


async def test_the_stream_wants_the_token_and_an_upgrade(orchestrator: Serving) -> None:
    with pytest.raises(ConnectionRefusedError, match="401"):
        async with stream(orchestrator, token="wrong"):
            pass
    assert (await orchestrator.internal("GET", WRITES)).code == "invalid_request"


async def test_an_open_stream_is_closed_when_the_orchestrator_stops(orchestrator: Serving) -> None:
    async with stream(orchestrator) as socket:
        orchestrator.child.process.terminate()
        assert await ended(socket)
    assert orchestrator.child.wait(15) == 0


async def ended(socket: Stream) -> bool:
    try:
        return await socket.reader.read() == b""
    except ConnectionError:
        return True


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
