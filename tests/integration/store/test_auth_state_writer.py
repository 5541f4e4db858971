"""The writer: many writes in one transaction, each with an outcome of its own."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace

import psycopg
import pytest
import sqlalchemy as sa

from orchestrator.domain.auth_state import Account, AuthStateWrite, Found, StateAddress
from orchestrator.domain.errors import DatabaseUnavailable, InvalidRequest, LeaseLost, Overloaded
from orchestrator.store import auth_state_writer
from orchestrator.store.auth_state import AuthStateStore
from orchestrator.store.auth_state_writer import LANES, AuthStateWriter
from orchestrator.store.database import Database
from orchestrator.store.leases import LeaseStore
from orchestrator.store.sealing import Sealer
from orchestrator.store.sessions import SessionStore
from tests.support.waiting import eventually

SEALER = Sealer([os.urandom(32)])
A, B = ("session", "a"), ("session", "b")


@pytest.fixture
async def writer(database: Database, database_url: str) -> AsyncIterator[AuthStateWriter]:
    writer = AuthStateWriter(database_url, "a", SEALER)
    yield writer
    await writer.close()


@pytest.fixture
def auth_states(database: Database) -> AuthStateStore:
    return AuthStateStore(database, SEALER)


@pytest.fixture
async def addresses(database: Database) -> list[StateAddress]:
    """The auth states of five sessions of one lane, whose leases "a" holds."""
    for number in range(5 * LANES):
        await SessionStore(database).create("t", f"s{number}")
    leases = await LeaseStore(database, "a", 30.0).claim(100)
    return [
        StateAddress("t", lease.session_ref, lease.generation, "a", lease.epoch)
        for lease in leases
        if lease.session_ref % LANES == 0
    ]


async def outcomes(writer: AuthStateWriter, *writes: tuple[StateAddress, AuthStateWrite]) -> list[object]:
    """What becomes of writes that come together: they share a transaction."""
    return [*await writer.write_all(writes)]


def sets(**values: bytes) -> AuthStateWrite:
    return AuthStateWrite(set_keys={("session", name): value for name, value in values.items()})


async def scalars(database: Database, statement: str) -> list[object]:
    async with database.begin() as connection:
        return list((await connection.execute(sa.text(statement))).scalars())


async def execute(database: Database, statement: str) -> None:
    async with database.begin() as connection:
        await connection.execute(sa.text(statement))


async def transactions(database: Database) -> int:
    """How many transactions wrote the keys that there are."""
    (number,) = await scalars(database, "SELECT count(DISTINCT xmin::text) FROM signal_keys")
    assert isinstance(number, int)
    return number


async def test_writes_of_many_sessions_share_a_transaction(
    database: Database, auth_states: AuthStateStore, writer: AuthStateWriter, addresses: list[StateAddress]
) -> None:
    writes = [(address, sets(a=str(address.session_ref).encode(), b=b"b")) for address in addresses]
    assert await outcomes(writer, *writes) == [{}] * len(addresses)
    for address in addresses:
        assert await auth_states.read(address, [A, B]) == {A: str(address.session_ref), B: "b"}
    assert await transactions(database) == 1


async def test_one_stale_write_among_good_ones_is_alone_in_being_refused(
    auth_states: AuthStateStore, writer: AuthStateWriter, addresses: list[StateAddress]
) -> None:
    first, second, third, fourth, _ = addresses
    stale = replace(second, epoch=second.epoch - 1)
    elsewhere = replace(third, owner="b")
    everything = AuthStateWrite(
        b"{}", Account("j", None), {A: b"stale"}, frozenset({B}), {"sent": b"stale"}, {"incoming": b"stale"}
    )
    settled = await outcomes(
        writer,
        (first, sets(a=b"1")),
        (stale, everything),
        (second, sets(b=b"2")),
        (elsewhere, everything),
        (fourth, sets(a=b"4")),
    )
    assert [type(outcome) for outcome in settled] == [dict, LeaseLost, dict, LeaseLost, dict]
    assert await auth_states.read(second, [A, B]) == {B: "2"}
    assert await auth_states.read_sent_message(second, "sent") is None
    assert await auth_states.read(third, [A, B]) == {}
    (loaded,) = await auth_states.load([second])
    assert not isinstance(loaded, Found)


async def test_the_newest_of_duplicates_wins_and_so_does_the_last_of_set_and_delete(
    auth_states: AuthStateStore, writer: AuthStateWriter, addresses: list[StateAddress]
) -> None:
    address = addresses[0]
    delete_a = AuthStateWrite(delete_keys=frozenset({A}))
    await outcomes(writer, (address, sets(a=b"1", b=b"1")), (address, sets(a=b"2")), (address, sets(b=b"3")))
    assert await auth_states.read(address, [A, B]) == {A: "2", B: "3"}
    await outcomes(writer, (address, sets(a=b"4")), (address, delete_a))
    assert await auth_states.read(address, [A]) == {}
    await outcomes(writer, (address, delete_a), (address, sets(a=b"5")))
    assert await auth_states.read(address, [A]) == {A: "5"}


async def test_the_newest_creds_win_and_an_account_keeps_the_lid_that_was_known(
    auth_states: AuthStateStore, writer: AuthStateWriter, addresses: list[StateAddress]
) -> None:
    address = addresses[0]
    await outcomes(
        writer,
        (address, AuthStateWrite(b'{"n": 1}', Account("j", "l"))),
        (address, AuthStateWrite(b'{"n": 2}', Account("j", None))),
    )
    assert await auth_states.load([address]) == [Found('{"n": 2}', Account("j", "l"))]


async def test_a_bad_write_does_not_fail_its_neighbours_and_none_of_it_is_written(
    auth_states: AuthStateStore, writer: AuthStateWriter, addresses: list[StateAddress]
) -> None:
    first, second, third, *_ = addresses
    bad = AuthStateWrite(set_keys={A: b"half", ("session", "no\x00text"): b"x"}, sent_messages={"half": b"x"})
    settled = await outcomes(
        writer, (first, sets(a=b"1")), (second, bad), (second, sets(b=b"2")), (third, sets(a=b"3"))
    )
    assert [type(outcome) for outcome in settled] == [dict, InvalidRequest, dict, dict]
    assert await auth_states.read(second, [A, B]) == {B: "2"}
    assert await auth_states.read_sent_message(second, "half") is None
    assert await auth_states.read(third, [A]) == {A: "3"}


async def test_an_incoming_message_is_new_once_and_numbered_as_it_came(
    database: Database, writer: AuthStateWriter, addresses: list[StateAddress]
) -> None:
    first, second, *_ = addresses

    def brings(*keys: str) -> AuthStateWrite:
        return AuthStateWrite(incoming_messages=dict.fromkeys(keys, b"{}"))

    settled = await outcomes(writer, (first, brings("z", "a")), (second, brings("a")), (first, brings("a", "m")))
    assert settled == [{"z": 1, "a": 2}, {"a": 3}, {"m": 4}]
    # A number is used up by a message that is there already.
    assert set(await writer.write(first, brings("z", "n"))) == {"n"}
    assert len(await scalars(database, "SELECT number FROM incoming_messages")) == 5


async def test_a_large_backlog_is_written_in_several_transactions_in_order(
    database: Database,
    auth_states: AuthStateStore,
    writer: AuthStateWriter,
    addresses: list[StateAddress],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(auth_state_writer, "BATCH_ROWS", 15)
    address = addresses[0]
    writes = [(address, sets(**{f"k{number}": b"x", "a": str(number).encode()})) for number in range(50)]
    assert await outcomes(writer, *writes) == [{}] * 50
    assert await auth_states.read(address, [A]) == {A: "49"}
    assert await transactions(database) == 10


async def test_what_is_too_much_is_refused_as_a_whole_and_taken_later(
    database: Database,
    writer: AuthStateWriter,
    addresses: list[StateAddress],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(auth_state_writer, "WAITING_WRITES", 3)
    address, other = addresses[0], replace(addresses[0], session_ref=addresses[0].session_ref + 1)
    monkeypatch.setattr(auth_state_writer, "BATCH_ROWS", 1)  # one is taken at once, and three wait
    settling = asyncio.ensure_future(writer.write_all([(address, sets(a=b"x"))] * 4))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await writer.write_all([(other, sets(a=b"x")), (address, sets(b=b"x"))])
    assert await settling == [{}] * 4
    assert await scalars(database, "SELECT key_id FROM signal_keys") == ["a"]
    assert await writer.write(address, sets(b=b"x")) == {}


async def test_a_merged_write_waits_for_a_take_over_under_way_and_is_refused(
    database: Database,
    database_url: str,
    auth_states: AuthStateStore,
    writer: AuthStateWriter,
    addresses: list[StateAddress],
) -> None:
    first, second, *_ = addresses
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        await connection.execute(
            "UPDATE leases SET owner = 'b', epoch = epoch + 1 WHERE session_ref = %s", (second.session_ref,)
        )
        settling = asyncio.ensure_future(writer.write_all([(first, sets(a=b"1")), (second, sets(a=b"late"))]))

        async def blocked() -> bool:
            waiting = "SELECT FROM pg_stat_activity WHERE application_name LIKE 'writer %' AND wait_event_type = 'Lock'"
            return bool(await scalars(database, f"SELECT EXISTS ({waiting})") == [True])

        await eventually(blocked)
    assert [type(outcome) for outcome in await settling] == [dict, LeaseLost]
    assert await auth_states.read(first, [A]) == {A: "1"}
    newer = replace(second, owner="b", epoch=second.epoch + 1)
    assert await auth_states.read(newer, [A]) == {}


async def test_a_new_writer_ends_the_statements_of_its_predecessor(
    database: Database, database_url: str, auth_states: AuthStateStore, addresses: list[StateAddress]
) -> None:
    """An orchestrator that was killed, or that stopped waiting, may have left a statement that could commit late."""
    address = addresses[0]
    old, new = (AuthStateWriter(database_url, "a", SEALER) for _ in range(2))
    try:
        await old.write(address, sets(a=b"first"))
        async with await psycopg.AsyncConnection.connect(database_url) as connection:
            await connection.execute("SELECT FROM leases WHERE session_ref = %s FOR UPDATE", (address.session_ref,))
            late = asyncio.ensure_future(old.write(address, sets(a=b"late")))

            async def blocked() -> bool:
                waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                return await scalars(database, waiting) == [1]

            await eventually(blocked)
            newer = asyncio.ensure_future(new.write(address, sets(a=b"newer")))
            (unknown,) = await asyncio.gather(late, return_exceptions=True)
            assert type(unknown).__name__ == "DatabaseUnavailable"
        await newer
        assert await auth_states.read(address, [A]) == {A: "newer"}
    finally:
        await old.close()
        await new.close()


async def test_nothing_is_written_while_a_predecessor_can_not_be_ended(
    database: Database, database_url: str, auth_states: AuthStateStore, addresses: list[StateAddress]
) -> None:
    """As when the user in DATABASE_URL was changed: the new one may not end what the old one left."""
    address = addresses[0]
    role = f"role_{os.urandom(8).hex()}"
    old = AuthStateWriter(database_url, "a", SEALER)
    new = AuthStateWriter(f"{database_url}{'&' if '?' in database_url else '?'}options=-crole%3D{role}", "a", SEALER)
    async with database.driver() as connection:
        await connection.execute(f"CREATE ROLE {role}")
        await connection.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
    try:
        await old.write(address, sets(a=b"first"))
        for _ in range(3):
            with pytest.raises(DatabaseUnavailable):
                await new.write(address, sets(a=b"newer"))
        assert await auth_states.read(address, [A]) == {A: "first"}
        await old.close()

        async def written() -> bool:
            outcome = (await asyncio.gather(new.write(address, sets(a=b"newer")), return_exceptions=True))[0]
            return outcome == {}

        await eventually(written)
        assert await auth_states.read(address, [A]) == {A: "newer"}
    finally:
        await old.close()
        await new.close()
        async with database.driver() as connection:
            await connection.execute(f"DROP OWNED BY {role}")
            await connection.execute(f"DROP ROLE {role}")


async def test_no_table_is_read_from_end_to_end_though_it_was_empty_when_the_plans_were_made(
    database: Database, writer: AuthStateWriter, addresses: list[StateAddress]
) -> None:
    whole = "SELECT coalesce(sum(seq_scan), 0)::bigint FROM pg_stat_user_tables WHERE relname ~ '^(signal_keys|leases)'"
    before = await scalars(database, whole)
    delete = AuthStateWrite(delete_keys=frozenset({A, B}))
    for _ in range(10):
        await outcomes(writer, *((address, delete) for address in addresses))
    await writer.close()  # what a connection counted is known at the latest when it ends

    async def counted() -> bool:
        looked = "SELECT sum(idx_scan) >= 100 FROM pg_stat_user_tables WHERE relname LIKE 'signal_keys%'"
        return await scalars(database, looked) == [True]

    await eventually(counted)
    assert await scalars(database, whole) == before
