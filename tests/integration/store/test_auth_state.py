import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from orchestrator.domain.auth_state import (
    Account,
    AuthStateWrite,
    Found,
    LoadOutcome,
    Prefetched,
    ProvenAbsent,
    StateAddress,
)
from orchestrator.domain.errors import AuthStateCorrupt, DatabaseUnavailable, EncryptionKeyMissing, LeaseLost
from orchestrator.domain.session import ConnectionState, Lease, SetAsideBy
from orchestrator.store.auth_state import AuthStateStore
from orchestrator.store.auth_state_writer import AuthStateWriter
from orchestrator.store.database import Database
from orchestrator.store.leases import LeaseStore
from orchestrator.store.sealing import Sealer
from orchestrator.store.sessions import SessionStore
from tests.support.processes import PATIENCE, stopped

ACCOUNT = Account("5511999990000:7@s.whatsapp.net", "100000000000001:7@lid")
PAIRED = AuthStateWrite(creds=b'{"me": 1}', account=ACCOUNT)
FOUND = Found('{"me": 1}', ACCOUNT)


@pytest.fixture(params=[0, 1], ids=["plain", "sealed"])
def keys(request: pytest.FixtureRequest) -> list[bytes]:
    return [os.urandom(32) for _ in range(request.param)]


@pytest.fixture
def auth_states(database: Database, keys: Sequence[bytes]) -> AuthStateStore:
    return AuthStateStore(database, Sealer(keys))


@pytest.fixture
async def writer(database: Database, database_url: str, keys: Sequence[bytes]) -> AsyncIterator[AuthStateWriter]:
    writer = AuthStateWriter(database_url, "a", Sealer(keys))
    yield writer
    await writer.close()


@pytest.fixture
async def address(database: Database) -> StateAddress:
    """The auth state of a session whose lease "a" holds."""
    await SessionStore(database).create("t", "s")
    (lease,) = await LeaseStore(database, "a", 30.0).claim(1)
    return StateAddress("t", lease.session_ref, lease.generation, "a", lease.epoch)


async def execute(database: Database, statement: str, **parameters: object) -> None:
    async with database.begin() as connection:
        await connection.execute(sa.text(statement), parameters)


async def load(auth_states: AuthStateStore, address: StateAddress) -> LoadOutcome:
    (loaded,) = await auth_states.load([address])
    if isinstance(loaded, Exception):
        raise loaded
    return loaded


async def take_over(database: Database) -> None:
    await execute(database, "UPDATE leases SET owner = 'b', epoch = epoch + 1")


async def test_a_generation_that_was_never_paired_is_proven_absent(
    auth_states: AuthStateStore, address: StateAddress
) -> None:
    assert await load(auth_states, address) == ProvenAbsent()


async def test_what_was_written_is_loaded_without_the_pre_keys(
    auth_states: AuthStateStore, writer: AuthStateWriter, address: StateAddress
) -> None:
    session, pre_key = ("session", "5511988887777.0"), ("pre-key", "12")
    await writer.write(address, replace(PAIRED, set_keys={session: '{"a": "ç"}'.encode(), pre_key: b"{}"}))
    assert await load(auth_states, address) == FOUND
    assert await auth_states.prefetch(address) == Prefetched({session: '{"a": "ç"}'}, complete=True)
    assert await auth_states.read(address, [session, pre_key, ("pre-key", "13")]) == {
        session: '{"a": "ç"}',
        pre_key: "{}",
    }


async def test_a_prefetch_brings_the_newest_keys_up_to_its_budget_and_says_so(
    auth_states: AuthStateStore, writer: AuthStateWriter, address: StateAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.store.auth_state.PREFETCH_BYTES", 2500)
    await writer.write(address, PAIRED)
    for number in range(4):
        await writer.write(address, AuthStateWrite(set_keys={("session", str(number)): b"x" * 1000}))
    prefetched = await auth_states.prefetch(address)
    assert (set(prefetched.keys), prefetched.complete) == ({("session", "3"), ("session", "2")}, False)


async def test_sets_and_deletions_of_one_write_take_effect_together(
    auth_states: AuthStateStore, writer: AuthStateWriter, address: StateAddress
) -> None:
    old, new = ("pre-key", "1"), ("session", "x.0")
    await writer.write(address, replace(PAIRED, set_keys={old: b"1"}))
    await writer.write(address, AuthStateWrite(set_keys={new: b"2"}, delete_keys=frozenset({old})))
    assert await auth_states.read(address, [old, new]) == {new: "2"}


async def test_key_ids_are_kept_verbatim(
    auth_states: AuthStateStore, writer: AuthStateWriter, address: StateAddress
) -> None:
    names = [("session", name) for name in ("a/b", "a__b", "a:b", "a-b", "ação", "%s", "'", "a\\b")]
    await writer.write(address, AuthStateWrite(set_keys={name: name[1].encode() for name in names}))
    assert await auth_states.read(address, names) == {name: name[1] for name in names}


async def test_a_stale_owner_cannot_overwrite_newer_keys(
    database: Database, auth_states: AuthStateStore, writer: AuthStateWriter, address: StateAddress
) -> None:
    key, other = ("session", "x.0"), ("session", "y.0")
    await take_over(database)
    newer = replace(address, owner="b", epoch=address.epoch + 1)
    await writer.write(newer, replace(PAIRED, set_keys={key: b"new", other: b"kept"}))
    for stale in (address, replace(address, owner="b"), replace(address, epoch=address.epoch + 1)):
        with pytest.raises(LeaseLost):
            await writer.write(
                stale, replace(PAIRED, creds=b'{"me": 0}', set_keys={key: b"old"}, delete_keys=frozenset({other}))
            )
        with pytest.raises(LeaseLost):
            await load(auth_states, stale)
        with pytest.raises(LeaseLost):
            await auth_states.read(stale, [key])
        with pytest.raises(LeaseLost):
            await auth_states.prefetch(stale)
    assert await load(auth_states, newer) == FOUND
    assert await auth_states.prefetch(newer) == Prefetched({key: "new", other: "kept"}, complete=True)


async def test_a_take_over_waits_for_a_write_under_way_and_a_renewal_does_not(
    database: Database, writer: AuthStateWriter, address: StateAddress
) -> None:
    await writer.write(address, PAIRED)
    async with database.driver() as connection, connection.transaction():
        await connection.execute(
            "SELECT 1 FROM leases WHERE session_ref = %s AND epoch = %s FOR KEY SHARE",
            (address.session_ref, address.epoch),
        )
        await execute(database, "UPDATE leases SET expires_at = now() + interval '1 minute'")
        with pytest.raises(DatabaseUnavailable):
            await execute_with_lock_timeout(database, "UPDATE leases SET owner = 'b', epoch = epoch + 1")
    await take_over(database)
    with pytest.raises(LeaseLost):
        await writer.write(address, PAIRED)


async def execute_with_lock_timeout(database: Database, statement: str) -> None:
    async with database.begin() as connection:
        await connection.execute(sa.text("SET LOCAL lock_timeout = '200ms'"))
        await connection.execute(sa.text(statement))


async def test_creds_missing_from_a_paired_generation_are_corrupt_and_not_absent(
    database: Database, auth_states: AuthStateStore, writer: AuthStateWriter, address: StateAddress
) -> None:
    await writer.write(address, PAIRED)
    await execute(database, "DELETE FROM creds")
    with pytest.raises(AuthStateCorrupt):
        await load(auth_states, address)


async def test_a_flipped_byte_in_a_stored_value_is_corrupt_and_not_absent(
    database: Database, auth_states: AuthStateStore, writer: AuthStateWriter, address: StateAddress
) -> None:
    key = ("session", "x.0")
    await writer.write(address, replace(PAIRED, set_keys={key: b"value"}))
    for table in ("signal_keys", "creds"):
        flip = "set_byte(value, octet_length(value) - 1, get_byte(value, octet_length(value) - 1) # 1)"
        await execute(database, f"UPDATE {table} SET value = {flip}")
    with pytest.raises(AuthStateCorrupt):
        await load(auth_states, address)
    with pytest.raises(AuthStateCorrupt):
        await auth_states.prefetch(address)
    with pytest.raises(AuthStateCorrupt):
        await auth_states.read(address, [key])


async def test_a_value_moved_to_another_session_does_not_open(
    database: Database, auth_states: AuthStateStore, writer: AuthStateWriter, address: StateAddress
) -> None:
    await writer.write(address, PAIRED)
    await SessionStore(database).create("t", "other")
    (lease,) = await LeaseStore(database, "a", 30.0).claim(1, [address.session_ref])
    other = StateAddress("t", lease.session_ref, 1, "a", lease.epoch)
    await execute(
        database,
        "INSERT INTO creds (session_ref, generation, value) SELECT :other, 1, value FROM creds",
        other=other.session_ref,
    )
    with pytest.raises(AuthStateCorrupt):
        await load(auth_states, other)


async def test_a_generation_set_aside_takes_no_more_writes_and_keeps_what_it_has(
    database: Database, auth_states: AuthStateStore, writer: AuthStateWriter, address: StateAddress
) -> None:
    await writer.write(address, PAIRED)
    sessions = SessionStore(database)
    lease = Lease(address.session_ref, "s", "t", 1, address.epoch)
    stale = replace(lease, epoch=address.epoch - 1)
    for wrong, owner in ((stale, "a"), (lease, "b")):
        assert not await sessions.set_aside(wrong, owner, SetAsideBy.WHATSAPP, "late", ConnectionState.QUARANTINED)
    assert await sessions.set_aside(lease, "a", SetAsideBy.WHATSAPP, "logged out", ConnectionState.QUARANTINED)
    with pytest.raises(LeaseLost):
        await writer.write(address, PAIRED)
    assert await LeaseStore(database, "a", 30.0).claim(1) == []
    await sessions.begin_generation(address.session_ref, after=1)
    (lease,) = await LeaseStore(database, "a", 30.0).claim(1)
    assert lease.generation == 2
    second = StateAddress("t", lease.session_ref, 2, "a", lease.epoch)
    assert await load(auth_states, second) == ProvenAbsent()
    async with database.begin() as connection:
        assert (await connection.execute(sa.text("SELECT generation FROM creds"))).scalars().all() == [1]


async def test_a_missing_encryption_key_sets_nothing_aside_for_good(
    database: Database,
    auth_states: AuthStateStore,
    writer: AuthStateWriter,
    address: StateAddress,
    keys: Sequence[bytes],
) -> None:
    await writer.write(address, PAIRED)
    without_the_key = AuthStateStore(database, Sealer([os.urandom(32)]))
    if keys:
        with pytest.raises(EncryptionKeyMissing):
            await load(without_the_key, address)
    sessions = SessionStore(database)
    lease = Lease(address.session_ref, "s", "t", 1, address.epoch)
    await sessions.set_aside(lease, "a", SetAsideBy.KEY_MISSING, "no key", ConnectionState.QUARANTINED)
    assert await LeaseStore(database, "a", 30.0).claim(1) == []
    assert await sessions.reinstate(SetAsideBy.CORRUPT) == 0
    assert await sessions.reinstate(SetAsideBy.KEY_MISSING) == 1
    (again,) = await LeaseStore(database, "a", 30.0).claim(1)
    assert isinstance(await load(auth_states, replace(address, epoch=again.epoch)), Found)


async def test_a_state_of_a_past_epoch_is_not_recorded(database: Database, address: StateAddress) -> None:
    sessions = SessionStore(database)
    lease = Lease(address.session_ref, "s", "t", 1, address.epoch)
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    await sessions.record_state(lease, "a", ConnectionState.OPEN, "why", moment)
    await sessions.record_state(lease, "b", ConnectionState.CONFLICT, "late", None)
    await sessions.record_state(replace(lease, epoch=9), "a", ConnectionState.CONFLICT, "late", None)
    stored = await sessions.get("t", "s")
    assert (stored.connection_state, stored.reason, stored.last_open_at) == (ConnectionState.OPEN, "why", moment)


async def test_a_server_that_hangs_is_noticed_before_the_sidecar_gives_up(
    database: Database, auth_states: AuthStateStore, address: StateAddress
) -> None:
    """The server's processes are stopped, as by a machine that stalls."""
    async with database.driver() as connection:
        ours = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        backends = [pid for (pid,) in await (await connection.execute(ours)).fetchall()]
    with stopped(backends):
        async with asyncio.timeout(10 * PATIENCE):  # BACKUP_TIMEOUT_SECONDS
            with pytest.raises(DatabaseUnavailable):
                await load(auth_states, address)


async def test_digests_name_exactly_what_differs(
    auth_states: AuthStateStore, writer: AuthStateWriter, address: StateAddress
) -> None:
    def digest(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    same, changed, missing, extra = (("session", name) for name in ("same", "changed", "missing", "extra"))
    await writer.write(address, replace(PAIRED, set_keys={same: b"1", changed: b"1", extra: b"1"}))
    digests = {same: digest("1"), changed: digest("2"), missing: digest("1"), extra: None, ("session", "none"): None}
    assert await auth_states.differing(address, digest('{"me": 1}'), digests) == (False, [changed, missing, extra])
    assert await auth_states.differing(address, digest("{}"), {}) == (True, [])


async def test_sent_messages_are_kept_for_a_while(
    auth_states: AuthStateStore, writer: AuthStateWriter, address: StateAddress
) -> None:
    for name in ("A", "B", "C"):
        await writer.write(address, AuthStateWrite(sent_messages={name: name.encode()}))
    assert await auth_states.read_sent_message(address, "B") == b"B"
    assert await auth_states.read_sent_message(address, "Z") is None
    assert await auth_states.prune_sent_messages(days=3, most=2) == 1
    assert [await auth_states.read_sent_message(address, name) for name in ("A", "B", "C")] == [None, b"B", b"C"]


async def test_no_plaintext_is_stored_when_a_key_is_set(
    database: Database, writer: AuthStateWriter, address: StateAddress, keys: Sequence[bytes]
) -> None:
    write = AuthStateWrite(
        b"PRIVATE", ACCOUNT, {("session", "x"): b"PRIVATE"}, frozenset(), {"A": b"PRIVATE"}, {"B": b"PRIVATE"}
    )
    await writer.write(address, write)
    async with database.begin() as connection:
        statement = (
            "SELECT value FROM creds UNION ALL SELECT value FROM signal_keys UNION ALL SELECT message FROM sent_messages "
            "UNION ALL SELECT event FROM incoming_messages"
        )
        stored = (await connection.execute(sa.text(statement))).scalars().all()
    assert len(stored) == 4
    assert [b"PRIVATE" in bytes(value) for value in stored] == [not keys] * 4
