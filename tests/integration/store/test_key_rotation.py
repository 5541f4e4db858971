import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from orchestrator.domain.auth_state import AuthStateWrite, StateAddress
from orchestrator.domain.event import Event
from orchestrator.domain.portable_state import PortableState
from orchestrator.domain.session import DesiredState
from orchestrator.domain.webhook import new_secret
from orchestrator.services.key_rotation import KeyRotation, Outcome
from orchestrator.store.auth_state_writer import AuthStateWriter
from orchestrator.store.database import Database
from orchestrator.store.key_rotation import BATCH, TABLES, KeyRotationStore
from orchestrator.store.leases import LeaseStore
from orchestrator.store.outbox import Acceptance, NewFile, NewMessage, OutboxStore
from orchestrator.store.portable_states import PortableStateStore
from orchestrator.store.sealing import Sealer, place_of
from orchestrator.store.sessions import SessionStore
from orchestrator.store.stored_events import StoredEvents
from orchestrator.store.tables import incoming_messages, sent_messages, sessions
from orchestrator.store.webhooks import WebhookStore

OLD, NEW, LOST = (os.urandom(32) for _ in range(3))
NAMES = {
    Sealer([OLD]).key_ids[0]: "old",
    Sealer([NEW]).key_ids[0]: "new",
    Sealer([LOST]).key_ids[0]: "lost",
    None: "plain",
}


async def parts(*contents: bytes) -> AsyncIterator[bytes]:
    for content in contents:
        yield content


def named(numbers: Mapping[bytes | None, int]) -> dict[str, int]:
    return {NAMES[key]: number for key, number in numbers.items()}


async def add_session(database: Database, session_id: str, key: bytes | None, state: PortableState) -> None:
    """A session with a value in every sealed table."""
    sealer = Sealer([key] if key else [])
    await PortableStateStore(database, sealer).add("t", session_id, state, DesiredState.STOPPED)
    async with database.begin() as connection:
        ref = (
            await connection.execute(sa.select(sessions.c.session_ref).where(sessions.c.session_id == session_id))
        ).scalar_one()

        def sealed(kind: str) -> bytes:
            return sealer.seal(b"message", place_of("t", ref, 1, kind, "A"))

        row = {"session_ref": ref, "generation": 1}
        sent = {**row, "message_id": "A", "message": sealed("sent-message")}
        incoming = {**row, "message_key": "A", "event": sealed("incoming-message")}
        await connection.execute(sa.insert(sent_messages).values(sent))
        await connection.execute(sa.insert(incoming_messages).values(incoming))


def rotation(database: Database, *keys: bytes) -> KeyRotation:
    return KeyRotation(KeyRotationStore(database, Sealer(keys)))


async def run(database: Database, *keys: bytes) -> Outcome:
    return await rotation(database, *keys).run(lambda _: None)


async def test_every_value_is_sealed_under_the_first_key_and_stays_what_it_was(
    database: Database, state: PortableState
) -> None:
    await add_session(database, "old", OLD, state)
    await add_session(database, "plain", None, state)
    await add_session(database, "new", NEW, state)
    each = len(state.keys) + 3
    assert named(await rotation(database, NEW, OLD).count()) == {"old": each, "plain": each, "new": each}
    outcome = await run(database, NEW, OLD)
    assert (outcome.sealed, outcome.unreadable, named(outcome.remaining)) == (2 * each, 0, {"new": 3 * each})
    states = PortableStateStore(database, Sealer([NEW]))
    for session_id in ("old", "plain", "new"):
        assert await states.snapshot("t", session_id) == state
    async with database.begin() as connection:
        for table, column, kind in (
            (sent_messages, sent_messages.c.message, "sent-message"),
            (incoming_messages, incoming_messages.c.event, "incoming-message"),
        ):
            for ref, value in await connection.execute(sa.select(table.c.session_ref, column)):
                assert Sealer([NEW]).open(value, place_of("t", ref, 1, kind, "A")) == b"message"


async def test_a_second_run_finds_nothing_to_do(database: Database, state: PortableState) -> None:
    await add_session(database, "old", OLD, state)
    await run(database, NEW, OLD)
    assert (await run(database, NEW, OLD)).sealed == 0


async def test_values_that_no_key_opens_are_reported_and_left_alone(database: Database, state: PortableState) -> None:
    await add_session(database, "old", OLD, state)
    await add_session(database, "lost", LOST, state)
    async with database.begin() as connection:
        damage = "UPDATE signal_keys SET value = substr(value, 1, 30) WHERE key_type = 'pre-key' AND session_ref = 1"
        await connection.execute(sa.text(damage))
        select = sa.text("SELECT * FROM signal_keys WHERE session_ref = 2 ORDER BY key_type, key_id")
        before = (await connection.execute(select)).all()
    outcome = await run(database, NEW, OLD)
    each = len(state.keys) + 3
    assert (outcome.sealed, outcome.unreadable) == (each - 2, each + 2)
    assert named(outcome.remaining) == {"old": 2, "lost": each, "new": each - 2}
    async with database.begin() as connection:
        assert (await connection.execute(select)).all() == before


async def test_a_rotation_that_was_cut_short_goes_on_where_it_stopped(database: Database, state: PortableState) -> None:
    many = PortableState(state.creds, state.account, {("session", f"{number}.0"): b"{}" for number in range(3 * BATCH)})
    await add_session(database, "s", OLD, many)

    class Interrupted(Exception):
        pass

    def interrupt(done: int) -> None:
        if done > BATCH:
            raise Interrupted

    with pytest.raises(Interrupted):
        await rotation(database, NEW, OLD).run(interrupt)
    done = named(await rotation(database, NEW, OLD).count())
    assert 0 < done["new"] < 3 * BATCH
    outcome = await run(database, NEW, OLD)
    assert outcome.sealed == done["old"]
    assert await PortableStateStore(database, Sealer([NEW])).snapshot("t", "s") == many


async def test_large_values_go_in_batches_that_a_statement_can_bear(database: Database, state: PortableState) -> None:
    large = PortableState(
        state.creds, state.account, {("sender-key", str(number)): os.urandom(4 * 1024 * 1024) for number in range(5)}
    )
    await add_session(database, "s", OLD, large)
    store = KeyRotationStore(database, Sealer([NEW, OLD]))
    (table,) = [table for table in TABLES if table.name == "signal_keys"]
    numbers, batch = [], await store.seal_batch(table, None)
    while batch.last is not None:
        numbers.append(batch.sealed)
        batch = await store.seal_batch(table, batch.last)
    assert numbers == [2, 2, 1]
    assert await PortableStateStore(database, Sealer([NEW, OLD])).snapshot("t", "s") == large


async def test_a_newer_write_of_a_running_session_is_never_overwritten_by_a_rotation(
    database: Database, database_url: str, state: PortableState
) -> None:
    """Its owner, still with the old settings, changes the same keys all the while; what it wrote last must be there."""
    names = [("session", f"{number}.0") for number in range(2 * BATCH)]
    many = PortableState(state.creds, state.account, dict.fromkeys(names, b"[0]"))
    await add_session(database, "s", OLD, many)
    await SessionStore(database).desire((await SessionStore(database).get("t", "s")).session_ref, DesiredState.RUNNING)
    (lease,) = await LeaseStore(database, "a", 30.0).claim(1)
    address = StateAddress("t", lease.session_ref, lease.generation, "a", lease.epoch)
    writer = AuthStateWriter(database_url, "a", Sealer([OLD, NEW]))
    rotating = asyncio.ensure_future(run(database, NEW, OLD))
    number = 0
    while not rotating.done() or number < 5:
        number += 1
        changed, gone = dict.fromkeys(names[1:], b"[%d]" % number), frozenset(names[:1])
        await writer.write(address, AuthStateWrite(state.creds, state.account, changed, gone))
        await writer.write(address, AuthStateWrite(set_keys={names[0]: b"[%d]" % number}))
    await rotating
    await writer.close()
    newest = replace(many, keys=dict.fromkeys(names, b"[%d]" % number))
    assert await PortableStateStore(database, Sealer([NEW, OLD])).snapshot("t", "s") == newest
    assert set(named((await run(database, NEW, OLD)).remaining)) == {"new"}
    assert await PortableStateStore(database, Sealer([NEW])).snapshot("t", "s") == newest


async def test_a_row_that_a_writer_holds_is_not_waited_for(database: Database, state: PortableState) -> None:
    await add_session(database, "s", OLD, state)
    async with database.whole_transaction() as writer:
        await writer.execute("SELECT 1 FROM signal_keys WHERE key_type = 'pre-key' FOR UPDATE")
        outcome = await run(database, NEW, OLD)
        assert named(outcome.remaining)["old"] == 2
        await writer.rollback()
    assert named((await run(database, NEW, OLD)).remaining) == {"new": len(state.keys) + 3}


async def test_the_outbox_webhooks_and_events_are_sealed_anew_too(database: Database) -> None:
    await SessionStore(database).create("t", "s")

    def stores(*keys: bytes) -> tuple[OutboxStore, WebhookStore, StoredEvents]:
        sealer = Sealer(keys)
        events = StoredEvents(database, sealer)
        return OutboxStore(database, sealer, events), WebhookStore(database, sealer, "a"), events

    outbox, webhooks, events = stores(OLD)
    webhook = await webhooks.add("t", "s", "https://example.org/", new_secret(), ("*",))
    file = NewFile(6, parts(b"abc", b"def"))
    accepted = await outbox.accept("t", "s", NewMessage("1@s.whatsapp.net", b"{}"), Acceptance(b"d"), "a", file)
    await events.add_live([Event("t", "session.alert", "s", {"alert": "conflict"}, datetime.now(UTC))])
    outcome = await run(database, NEW, OLD)
    assert (outcome.sealed, outcome.unreadable, named(outcome.remaining)) == (7, 0, {"new": 7})
    outbox, webhooks, events = stores(NEW)
    assert await webhooks.get("t", webhook.webhook_id) == webhook
    assert await outbox.get("t", "s", accepted.message_id) == accepted
    (event,) = await events.page("t", None, after=0, past=0, most=9)
    assert event.data == {"alert": "conflict"}
    (stream,) = await webhooks.claim(busy=(), most=9, seconds=1.0)
    (waiting,) = await webhooks.next_of(stream, 9)
    assert waiting.data == event.data
    (lease,) = await LeaseStore(database, "a", 30.0).claim(1)
    (claimed,) = await outbox.claim(lease, "a", paced=False, busy=(), most=9)
    assert claimed.body == b"{}"
    assert [part async for part in outbox.file(lease, accepted.message_id)] == [b"abc", b"def"]
