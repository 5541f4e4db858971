"""Incoming messages reach the listeners of their tenant from PostgreSQL, at least once."""

import json
from collections.abc import AsyncIterator, Iterable, Sequence

import pytest
import sqlalchemy as sa

from orchestrator.api import event_stream
from orchestrator.domain.session import Lease
from orchestrator.domain.tenant import OPERATOR_TENANT
from orchestrator.services.events import BACKLOG
from orchestrator.services.incoming import IncomingMessages
from orchestrator.store.database import Database
from orchestrator.store.incoming_messages import IncomingMessageStore
from orchestrator.store.sealing import Sealer, place_of
from orchestrator.store.sessions import SessionStore
from tests.support.event_stream import Heard, listening
from tests.support.postgres import out_of_reach
from tests.support.public_api import PublicApi, public_api
from tests.support.serving import serving
from tests.support.waiting import eventually


@pytest.fixture
async def lease(database: Database) -> Lease:
    return await session(database, "loja-1")


@pytest.fixture
async def api(lease: Lease, database_url: str) -> AsyncIterator[PublicApi]:
    async with public_api(database_url) as api:
        yield api


async def session(database: Database, session_id: str, tenant_id: str = OPERATOR_TENANT) -> Lease:
    created = await SessionStore(database).create(tenant_id, session_id)
    return Lease(created.session_ref, session_id, tenant_id, generation=1, epoch=1)


def received(message_id: str) -> bytes:
    return json.dumps({"message_id": message_id, "text": "olá"}).encode()


async def store(database: Database, lease: Lease, *message_ids: str) -> list[int]:
    """What the auth-state writer does with incoming messages; their numbers."""
    insert = sa.text(
        "INSERT INTO incoming_messages (session_ref, message_key, generation, event) "
        "SELECT :ref, v.message_key, 1, v.event "
        "FROM unnest(cast(:keys AS text[]), cast(:events AS bytea[])) AS v (message_key, event) RETURNING number"
    )
    sealed = [
        Sealer(()).seal(
            received(key), place_of(lease.tenant_id, lease.session_ref, lease.generation, "incoming-message", key)
        )
        for key in message_ids
    ]
    async with database.begin() as connection:
        rows = await connection.execute(insert, {"ref": lease.session_ref, "keys": list(message_ids), "events": sealed})
        return list(rows.scalars())


def commit(incoming: IncomingMessages, lease: Lease, numbers: Iterable[int], message_ids: Iterable[str]) -> None:
    """What the auth-state writer says once the rows are committed."""
    for number, message_id in zip(numbers, message_ids, strict=True):
        incoming.committed(lease, number, received(message_id))


async def receive(api: PublicApi, lease: Lease, *message_ids: str) -> list[int]:
    numbers = await store(api.database, lease, *message_ids)
    commit(api.services.incoming, lease, numbers, message_ids)
    return numbers


def ids(heard: Heard) -> list[str]:
    return [data["message_id"] for data in heard.of("message.received")]


async def nothing_more(api: PublicApi, heard: Heard, lease: Lease, *message_ids: str) -> None:
    """These messages, once each and in this order, and none of them twice before a last event."""
    api.services.events.publish(lease.tenant_id, "message.receipt", lease.session_id, {"message_id": "the last"})
    await heard.wait_for("message.receipt", message_id="the last")
    assert ids(heard) == list(message_ids)


async def undelivered(database: Database) -> int:
    async with database.begin() as connection:
        count = sa.text("SELECT count(*) FROM incoming_messages WHERE delivered_at IS NULL")
        return int((await connection.execute(count)).scalar_one())


async def execute(database: Database, statement: str) -> None:
    async with database.begin() as connection:
        await connection.execute(sa.text(statement))


def many(number: int) -> Sequence[str]:
    return [f"m{n:05}" for n in range(number)]


async def test_a_message_that_came_while_nobody_listened_is_told_to_the_first_listener(
    api: PublicApi, lease: Lease
) -> None:
    (number,) = await receive(api, lease, "a")
    async with listening(api) as heard:
        event = await heard.wait_for("message.received")
        assert (event["session_id"], event["message_id"], event["text"]) == ("loja-1", "a", "olá")
        assert heard.last_id == number
        await nothing_more(api, heard, lease, "a")
        assert heard.last_id == number, "an event without a row has no id"
    await api.services.incoming.mark_delivered()
    async with listening(api) as later:
        await nothing_more(api, later, lease)


async def test_what_was_told_and_not_marked_before_a_crash_is_told_again(
    api: PublicApi, lease: Lease, database_url: str
) -> None:
    async with listening(api) as heard:
        await receive(api, lease, "a")
        await heard.wait_for("message.received")
    async with public_api(database_url, "b" * 32) as after_the_crash, listening(after_the_crash) as heard:
        await nothing_more(after_the_crash, heard, lease, "a")


async def test_stored_messages_come_before_live_ones_without_gap_or_repetition(api: PublicApi, lease: Lease) -> None:
    await store(api.database, lease, "stored")
    async with listening(api) as heard:
        await receive(api, lease, "live")
        await nothing_more(api, heard, lease, "stored", "live")


async def test_a_message_that_is_read_before_it_is_told_live_is_told_once(api: PublicApi, lease: Lease) -> None:
    numbers = await store(api.database, lease, "a")
    async with listening(api) as heard:
        await heard.wait_for("message.received")
        commit(api.services.incoming, lease, numbers, ["a"])
        await nothing_more(api, heard, lease, "a")


async def test_a_listener_that_comes_back_gets_all_after_its_last_event_delivered_or_not(
    api: PublicApi, lease: Lease
) -> None:
    async with listening(api) as other:
        first, _, _ = await receive(api, lease, "a", "b", "c")
        await other.wait_for("message.received", message_id="c")
    await api.services.incoming.mark_delivered()
    await store(api.database, lease, "d")
    async with listening(api, last_id=first) as back:
        await nothing_more(api, back, lease, "b", "c", "d")


async def test_an_undelivered_message_before_the_last_event_is_told_too(api: PublicApi, lease: Lease) -> None:
    """Two transactions may be committed in the other order than their rows were numbered."""
    numbers = await store(api.database, lease, "slow", "fast")
    async with listening(api, last_id=numbers[1]) as heard:
        await nothing_more(api, heard, lease, "slow", "fast")


@pytest.mark.parametrize("marked", [False, True])
async def test_a_message_that_was_told_after_the_last_event_is_told_again_whatever_its_number(
    api: PublicApi, lease: Lease, marked: bool
) -> None:
    """The last event is all that a listener whose connection broke knows of: what was written behind it may be lost."""
    async with listening(api) as heard:
        await receive(api, lease, "before")
        await heard.wait_for("message.received", message_id="before")
        slow, fast = await store(api.database, lease, "slow", "fast")
        commit(api.services.incoming, lease, [fast], ["fast"])
        await heard.wait_for("message.received", message_id="fast")
        commit(api.services.incoming, lease, [slow], ["slow"])
        await nothing_more(api, heard, lease, "before", "fast", "slow")
    if marked:
        await api.services.incoming.mark_delivered()
    async with listening(api, last_id=fast) as back:
        await nothing_more(api, back, lease, "slow")


@pytest.mark.parametrize("marked", [("slow",), ("slow", "fast"), ("fast", "slow")])
async def test_what_a_replica_gave_after_another_ones_last_event_is_told_again_whenever_each_marks_it(
    api: PublicApi, lease: Lease, marked: Sequence[str]
) -> None:
    """A replica marks what it gave a moment later, by another clock, or not at all if it dies."""
    numbers = dict(zip(("slow", "fast"), await store(api.database, lease, "slow", "fast"), strict=True))
    for which in marked:
        await IncomingMessageStore(api.database, Sealer([])).mark_delivered([numbers[which]])
    async with listening(api, last_id=numbers["fast"]) as back:
        await back.wait_for("message.received", message_id="slow")


async def test_each_of_two_listeners_gets_every_live_message(api: PublicApi, lease: Lease) -> None:
    async with listening(api) as one, listening(api) as two:
        await receive(api, lease, "a", "b")
        for heard in (one, two):
            await nothing_more(api, heard, lease, "a", "b")


async def test_another_tenants_messages_are_neither_told_nor_marked(api: PublicApi, lease: Lease) -> None:
    theirs = await session(api.database, "loja-1", "another")
    numbers = await receive(api, theirs, "stored")
    async with listening(api, last_id=numbers[0] - 1) as heard:
        await receive(api, theirs, "live")
        await nothing_more(api, heard, lease)
    await api.services.incoming.mark_delivered()
    assert await undelivered(api.database) == 2


async def test_a_listener_to_one_session_leaves_the_others_messages_for_others(api: PublicApi, lease: Lease) -> None:
    other = await session(api.database, "loja-2")
    await receive(api, lease, "mine")
    await receive(api, other, "stored elsewhere")
    async with listening(api, "?session_id=loja-1") as heard:
        await receive(api, other, "live elsewhere")
        await nothing_more(api, heard, lease, "mine")
    await api.services.incoming.mark_delivered()
    async with listening(api) as all_sessions:
        await nothing_more(api, all_sessions, lease, "stored elsewhere", "live elsewhere")


@pytest.mark.parametrize("number", [199, 200, 201, 400, 450])
async def test_a_long_backlog_is_told_in_order_over_all_pages(api: PublicApi, lease: Lease, number: int) -> None:
    other = await session(api.database, "loja-2")
    expected = many(number)
    for start in range(0, number, 50):  # both sessions' numbers alternate
        await store(api.database, lease if start % 100 else other, *expected[start : start + 50])
    async with listening(api) as heard:
        await nothing_more(api, heard, lease, *expected)


async def test_a_listener_that_was_cut_off_comes_back_and_misses_nothing(api: PublicApi, lease: Lease) -> None:
    live = many(BACKLOG + 500)
    async with listening(api) as slow:
        await receive(api, lease, *live)  # more at once than a listener may be behind
        await slow.wait_for_the_end()
    assert ids(slow) == live[:BACKLOG]
    async with listening(api, last_id=slow.last_id) as back:
        await nothing_more(api, back, lease, *live[BACKLOG:])


async def test_a_damaged_row_is_left_out_and_keeps_nobody_from_the_others(
    api: PublicApi, lease: Lease, capsys: pytest.CaptureFixture[str]
) -> None:
    await store(api.database, lease, "a", "damaged", "c")
    await execute(
        api.database, "UPDATE incoming_messages SET event = event || '!'::bytea WHERE message_key = 'damaged'"
    )
    for _ in range(2):
        async with listening(api, last_id=0) as heard:
            await nothing_more(api, heard, lease, "a", "c")
    assert capsys.readouterr().out.count("incoming message can't be opened") == 1
    await api.services.incoming.mark_delivered()
    assert await undelivered(api.database) == 1, "the damaged one may be opened again when it is restored"


async def test_what_is_no_json_object_is_logged_and_told_to_nobody(api: PublicApi, lease: Lease) -> None:
    async with listening(api) as heard:
        for data in (b"{", b"[]", b"\xff", b'{"text": "\xff"}', b"[" * 100_000):
            api.services.incoming.committed(lease, 1, data)
        await nothing_more(api, heard, lease)


async def test_a_malformed_last_event_id_is_refused_with_the_field(api: PublicApi, subtests: pytest.Subtests) -> None:
    url = f"http://127.0.0.1:{api.port}/v1/events"
    for last_id in ("", "x", "-1", "1.5", "١", "9" * 19, "1 2"):
        with subtests.test(last_id=last_id):
            headers = {"Authorization": f"Bearer {api.token}", "Last-Event-ID": last_id}
            async with api.http.get(url, headers=headers) as response:
                assert response.status == 422
                problem = await response.json()
            assert (problem["code"], problem["errors"][0]["field"]) == ("invalid_request", "Last-Event-ID")


async def test_messages_of_a_deleted_session_are_told_no_more(api: PublicApi, lease: Lease) -> None:
    await store(api.database, lease, "a")
    await api.services.sessions.delete(OPERATOR_TENANT, "loja-1")
    recreated = await session(api.database, "loja-1")
    async with listening(api) as heard:
        await nothing_more(api, heard, recreated)


async def test_a_message_that_another_replica_stored_reaches_a_listener_here_once(
    api: PublicApi, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "_LOOK_SECONDS", 0.05)
    async with listening(api) as heard:
        await store(api.database, lease, "a")
        await heard.wait_for("message.received", message_id="a")
        await store(api.database, lease, "b")
        await heard.wait_for("message.received", message_id="b")
        await api.services.incoming.mark_delivered()
        await receive(api, lease, "c")
        await nothing_more(api, heard, lease, "a", "b", "c")


async def test_a_listener_outlasts_an_outage_of_the_database_and_a_new_one_is_told_of_it(
    api: PublicApi, lease: Lease, postgres_server: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "_LOOK_SECONDS", 0.05)
    url, headers = f"http://127.0.0.1:{api.port}/v1/events", {"Authorization": f"Bearer {api.token}"}
    async with listening(api) as heard:
        with out_of_reach(postgres_server, database_url):
            async with api.http.get(url, headers=headers) as response:
                assert (response.status, (await response.json())["code"]) == (503, "database_unavailable")
            await nothing_more(api, heard, lease)
        await store(api.database, lease, "a")
        await heard.wait_for("message.received", message_id="a")


async def test_old_messages_are_forgotten_and_what_nobody_was_given_with_a_line_in_the_log(
    api: PublicApi, lease: Lease, capsys: pytest.CaptureFixture[str]
) -> None:
    await store(api.database, lease, "dropped", "waiting", "told long ago", "told late", "told lately")
    await execute(
        api.database,
        "UPDATE incoming_messages SET "
        "received_at = now() - CASE message_key WHEN 'dropped' THEN interval '8 days' "
        "WHEN 'told lately' THEN interval '1 hour' ELSE interval '6 days' END, "
        "delivered_at = now() - CASE message_key WHEN 'told long ago' THEN interval '25 hours' "
        "WHEN 'told late' THEN interval '1 hour' WHEN 'told lately' THEN interval '1 hour' END",
    )
    for _ in range(2):
        await api.services.incoming.prune(delivered_hours=24, undelivered_days=7)
    assert capsys.readouterr().out.count("messages dropped that nobody was given") == 1
    async with listening(api, last_id=0) as heard:
        await nothing_more(api, heard, lease, "waiting", "told late", "told lately")


async def test_a_restarted_process_tells_again_only_what_is_asked_for(
    lease: Lease, database: Database, database_url: str
) -> None:
    async def all_marked() -> bool:
        return await undelivered(database) == 0

    async with serving(database_url) as first:
        await first.started()
        (number,) = await store(database, lease, "a")
        async with listening(first) as heard:
            await heard.wait_for("message.received", message_id="a")
            await eventually(all_marked)  # by the loop
        await store(database, lease, "b")
        async with listening(first) as heard:
            await heard.wait_for("message.received", message_id="b")
            first.child.process.terminate()
            assert first.child.wait(15) == 0
    assert await all_marked()  # at the end
    await store(database, lease, "c")
    async with serving(database_url) as second:
        await second.started()
        async with listening(second, last_id=number) as heard:
            await heard.wait_for("message.received", message_id="c")
            assert ids(heard) == ["b", "c"]
