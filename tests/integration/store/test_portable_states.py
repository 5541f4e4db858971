import asyncio
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from orchestrator.domain.errors import (
    EncryptionKeyMissing,
    NotFound,
    SessionExists,
    SessionNotFound,
    SessionQuarantined,
    SessionRunning,
)
from orchestrator.domain.portable_state import PortableState
from orchestrator.domain.session import DesiredState
from orchestrator.store.database import Database
from orchestrator.store.leases import LeaseStore
from orchestrator.store.portable_states import Changes, PortableStateStore
from orchestrator.store.sealing import Sealer
from orchestrator.store.sessions import SessionStore

STOPPED, RUNNING = DesiredState.STOPPED, DesiredState.RUNNING
TABLES = "sessions generations leases creds signal_keys".split()


@pytest.fixture(params=[0, 1], ids=["plain", "sealed"])
def keys(request: pytest.FixtureRequest) -> list[bytes]:
    return [os.urandom(32) for _ in range(request.param)]


@pytest.fixture
def states(database: Database, keys: Sequence[bytes]) -> PortableStateStore:
    return PortableStateStore(database, Sealer(keys))


@pytest.fixture
def sessions(database: Database) -> SessionStore:
    return SessionStore(database)


async def everything(database: Database) -> list[list[Any]]:
    async with database.begin() as connection:
        return [
            [tuple(row) for row in await connection.execute(sa.text(f"SELECT * FROM {table} ORDER BY 1, 2"))]
            for table in TABLES
        ]


def same_pairing(one: bytes, other: bytes) -> bool:
    return one[:40] == other[:40]


async def test_what_was_added_is_handed_out_again(
    states: PortableStateStore, sessions: SessionStore, state: PortableState
) -> None:
    await states.add("t", "s", state, STOPPED)
    assert await states.snapshot("t", "s") == state
    session = await sessions.get("t", "s")
    assert (session.paired, session.jid, session.generation) == (True, state.account.jid, 1)
    assert session.desired_state is STOPPED


async def test_a_session_that_was_added_stopped_is_claimed_only_once_it_is_wanted(
    database: Database, states: PortableStateStore, sessions: SessionStore, state: PortableState
) -> None:
    await states.add("t", "stopped", state, STOPPED)
    await states.add("t", "running", state, RUNNING)
    leases = LeaseStore(database, "a", 30.0)
    assert [lease.session_id for lease in await leases.claim(9)] == ["running"]
    await sessions.desire((await sessions.get("t", "stopped")).session_ref, RUNNING)
    assert {lease.session_id for lease in await leases.claim(9)} == {"running", "stopped"}


async def test_a_paired_session_is_never_overwritten(
    database: Database, states: PortableStateStore, state: PortableState
) -> None:
    await states.add("t", "s", state, STOPPED)
    before = await everything(database)
    with pytest.raises(SessionExists, match="nothing is overwritten"):
        await states.add("t", "s", state, STOPPED)
    assert await everything(database) == before
    await states.add("other tenant", "s", state, STOPPED)


async def test_a_session_that_was_never_paired_takes_a_pairing_in_once_nobody_runs_it(
    database: Database, states: PortableStateStore, sessions: SessionStore, state: PortableState
) -> None:
    created = await sessions.create("t", "s")
    leases = LeaseStore(database, "a", 30.0)
    held = await leases.claim(1)
    with pytest.raises(SessionRunning):
        await states.add("t", "s", state, STOPPED)
    await sessions.desire(created.session_ref, STOPPED)
    with pytest.raises(SessionRunning):  # its owner still has the lease
        await states.add("t", "s", state, STOPPED)
    await leases.release(held)
    await states.add("t", "s", state, STOPPED)
    assert (await sessions.get("t", "s")).generation == 2
    assert await states.snapshot("t", "s") == state


async def test_nothing_is_kept_of_an_addition_that_fails(
    database: Database, states: PortableStateStore, state: PortableState
) -> None:
    before = await everything(database)
    impossible = replace(state, keys={**state.keys, ("session", "a\x00"): b"{}"})  # PostgreSQL's text has no NUL
    with pytest.raises(Exception, match="NUL"):
        await states.add("t", "s", impossible, STOPPED)
    assert await everything(database) == before


async def test_a_snapshot_needs_a_pairing(
    states: PortableStateStore, sessions: SessionStore, state: PortableState
) -> None:
    with pytest.raises(SessionNotFound):
        await states.snapshot("t", "s")
    await sessions.create("t", "s")
    with pytest.raises(NotFound, match="never paired"):
        await states.snapshot("t", "s")


async def test_a_pairing_that_is_set_aside_is_not_handed_out(
    database: Database, states: PortableStateStore, state: PortableState
) -> None:
    await states.add("t", "s", state, STOPPED)
    async with database.begin() as connection:
        await connection.execute(sa.text("UPDATE generations SET set_aside_at = now(), set_aside_by = 'whatsapp'"))
    with pytest.raises(SessionQuarantined):
        await states.snapshot("t", "s")
    await states.add("t", "s", state, STOPPED)
    assert await states.snapshot("t", "s") == state
    async with database.begin() as connection:
        by = (await connection.execute(sa.text("SELECT set_aside_by FROM generations ORDER BY 1"))).scalars().all()
    assert by == ["whatsapp", None]


async def test_a_post_writes_only_what_differs(
    database: Database, states: PortableStateStore, state: PortableState
) -> None:
    assert (await states.post("t", "s", state, same_pairing)).written == len(state.keys)
    before = await everything(database)
    assert await states.post("t", "s", state, same_pairing) == Changes(creds=False, written=0, removed=0)
    after = await everything(database)
    assert after[3:] == before[3:]
    changed = {**state.keys, ("session", "new.0"): b"{}", ("pre-key", "2"): b'{"x": 1}'}
    del changed["pre-key", "1"]
    newer = replace(state, keys=changed)
    assert await states.post("t", "s", newer, same_pairing) == Changes(creds=False, written=2, removed=1)
    assert await states.snapshot("t", "s") == newer
    account = replace(state.account, lid="99:7@lid")  # which WhatsApp tells some time after the pairing
    newest = replace(newer, creds=state.creds + b" ", account=account)
    assert await states.post("t", "s", newest, same_pairing) == Changes(creds=True, written=0, removed=0)
    assert await states.snapshot("t", "s") == newest


async def test_another_pairing_is_posted_into_a_generation_of_its_own(
    database: Database, states: PortableStateStore, sessions: SessionStore, state: PortableState
) -> None:
    await states.post("t", "s", state, same_pairing)
    await states.post("t", "s", replace(state, creds=b" " + state.creds), same_pairing)
    assert (await sessions.get("t", "s")).generation == 2
    async with database.begin() as connection:
        rows = await connection.execute(sa.text("SELECT generation, set_aside_by FROM generations ORDER BY 1"))
        assert [tuple(row) for row in rows] == [(1, "replaced"), (2, None)]
        assert (await connection.execute(sa.text("SELECT count(*) FROM creds"))).scalar_one() == 2


async def test_a_post_never_writes_under_an_owner_nor_after_one(
    database: Database, states: PortableStateStore, sessions: SessionStore, state: PortableState
) -> None:
    await states.post("t", "s", state, same_pairing)
    session = await sessions.get("t", "s")
    await sessions.desire(session.session_ref, RUNNING)
    leases = LeaseStore(database, "a", 30.0)
    stale = replace(state, keys={("session", "stale.0"): b"{}"})
    held = await leases.claim(1)
    with pytest.raises(SessionRunning):
        await states.post("t", "s", stale, same_pairing)
    await sessions.desire(session.session_ref, STOPPED)
    with pytest.raises(SessionRunning):
        await states.post("t", "s", stale, same_pairing)
    await leases.release(held)
    with pytest.raises(SessionRunning, match="the newer ones"):
        await states.post("t", "s", stale, same_pairing)
    assert await states.snapshot("t", "s") == state


async def test_a_post_never_replaces_the_newer_keys_of_a_session_that_was_paired_here(
    database: Database, states: PortableStateStore, sessions: SessionStore, state: PortableState
) -> None:
    """Its first and only owner had epoch 1."""
    created = await sessions.create("t", "s")
    leases = LeaseStore(database, "a", 30.0)
    (lease,) = held = await leases.claim(1)
    async with database.begin() as connection:
        await connection.execute(sa.text("UPDATE generations SET paired_at = now(), account_jid = 'a@b'"))
    await sessions.desire(created.session_ref, STOPPED)
    await leases.release(held)
    assert lease.epoch == 1
    with pytest.raises(SessionRunning, match="the newer ones"):
        await states.post("t", "s", state, same_pairing)


async def test_an_owner_whose_lease_ran_out_is_fenced_by_a_session_brought_in(
    database: Database, states: PortableStateStore, sessions: SessionStore, state: PortableState
) -> None:
    created = await sessions.create("t", "s")
    (lease,) = await LeaseStore(database, "a", 30.0).claim(1)
    await sessions.desire(created.session_ref, STOPPED)
    async with database.begin() as connection:
        await connection.execute(sa.text("UPDATE replicas SET renewed_at = now() - interval '1 hour'"))
    await states.add("t", "s", state, STOPPED)
    assert await LeaseStore(database, "a", 30.0).renew([lease], {}) == {}


async def test_posts_of_one_session_at_the_same_moment_follow_each_other(
    states: PortableStateStore, state: PortableState
) -> None:
    variants = [replace(state, keys={("session", "x.0"): f"[{number}]".encode()}) for number in range(8)]
    await asyncio.gather(*(states.post("t", "s", variant, same_pairing) for variant in variants))
    assert await states.snapshot("t", "s") in variants


async def test_keys_other_than_the_services_are_noticed_before_anything_is_stored(
    database: Database, states: PortableStateStore, keys: Sequence[bytes], state: PortableState
) -> None:
    await states.require_same_keys()
    await states.add("t", "s", state, STOPPED)
    await states.require_same_keys()
    if keys:
        for others in ([], [os.urandom(32)]):
            with pytest.raises(EncryptionKeyMissing):
                await PortableStateStore(database, Sealer(others)).require_same_keys()
