import pytest
import sqlalchemy as sa

from orchestrator.domain.errors import (
    GenerationInUse,
    GenerationNotFound,
    GenerationNotPaired,
    SessionExists,
    SessionNotFound,
)
from orchestrator.domain.session import ConnectionState, DesiredState, Lease, SetAsideBy
from orchestrator.store.audit import AuditStore
from orchestrator.store.database import Database
from orchestrator.store.generations import GenerationStore
from orchestrator.store.leases import LeaseStore
from orchestrator.store.sessions import SessionStore


@pytest.fixture
async def sessions(database: Database) -> SessionStore:
    return SessionStore(database)


async def execute(database: Database, statement: str) -> None:
    async with database.begin() as connection:
        await connection.execute(sa.text(statement))


async def count(database: Database, table: str) -> int:
    async with database.begin() as connection:
        return int((await connection.execute(sa.text(f"SELECT count(*) FROM {table}"))).scalar_one())


async def paired(database: Database, sessions: SessionStore, session_id: str = "s") -> Lease:
    """A session whose current generation is paired, with the lease of owner "a"."""
    try:
        session = await sessions.create("t", session_id)
    except SessionExists:
        session = await sessions.get("t", session_id)
    (lease,) = await LeaseStore(database, "a", 30.0).claim(1)
    assert lease.session_ref == session.session_ref
    where = f"session_ref = {lease.session_ref} AND generation = {lease.generation}"
    row = f"{lease.session_ref}, {lease.generation}"
    await execute(database, f"UPDATE generations SET paired_at = now(), account_jid = '5511:1@s' WHERE {where}")
    await execute(database, f"INSERT INTO creds (session_ref, generation, value) VALUES ({row}, 'c')")
    await execute(database, f"INSERT INTO signal_keys VALUES ({row}, 'pre-key', '1', 'k')")
    await execute(
        database,
        f"INSERT INTO sent_messages VALUES ({lease.session_ref}, 'm{lease.generation}', 'm', {lease.generation})",
    )
    return lease


async def quarantined(database: Database, sessions: SessionStore, session_id: str = "s") -> Lease:
    lease = await paired(database, sessions, session_id)
    await sessions.set_aside(lease, "a", SetAsideBy.WHATSAPP, "removed on the phone", ConnectionState.QUARANTINED)
    return lease


async def test_a_quarantined_generation_comes_back_and_runs_under_a_higher_epoch(
    database: Database, sessions: SessionStore
) -> None:
    lease = await quarantined(database, sessions)
    store = GenerationStore(database)
    (before,) = await store.page("t", "s", before=None, most=9)
    assert (before.restorable, before.current, before.set_aside_by) == (True, True, SetAsideBy.WHATSAPP)
    await store.restore("t", "s", 1, replace=False, actor="owner")
    session = await sessions.get("t", "s")
    assert (session.paired, session.set_aside_by, session.desired_state) == (True, None, DesiredState.RUNNING)
    (again,) = await LeaseStore(database, "b", 30.0).claim(1)
    assert (again.generation, again.epoch > lease.epoch) == (1, True)


async def test_an_older_generation_takes_the_place_of_a_newer_one_only_when_that_is_said(
    database: Database, sessions: SessionStore
) -> None:
    lease = await quarantined(database, sessions)
    await sessions.begin_generation(lease.session_ref, after=1)
    newer = await paired(database, sessions)
    store = GenerationStore(database)
    with pytest.raises(GenerationInUse):
        await store.restore("t", "s", 1, replace=False, actor="owner")
    assert await LeaseStore(database, "a", 30.0).is_ours(newer)
    await store.restore("t", "s", 1, replace=True, actor="owner")
    assert not await LeaseStore(database, "a", 30.0).is_ours(newer)
    kept = {g.generation: (g.current, g.set_aside_by) for g in await store.page("t", "s", before=None, most=9)}
    assert kept == {1: (True, None), 2: (False, SetAsideBy.REPLACED)}
    await sessions.begin_generation(lease.session_ref, after=1)
    assert (await sessions.get("t", "s")).generation == 3


async def test_what_was_never_paired_or_is_not_there_or_is_in_use_is_not_restored(
    database: Database, sessions: SessionStore
) -> None:
    store = GenerationStore(database)
    await sessions.create("t", "new")
    for session_id, generation, error in (
        ("new", 1, GenerationNotPaired),
        ("new", 2, GenerationNotFound),
        ("none", 1, SessionNotFound),
    ):
        with pytest.raises(error):
            await store.restore("t", session_id, generation, replace=True, actor="owner")
    await execute(database, "UPDATE sessions SET desired_state = 'stopped'")
    await paired(database, sessions, "runs")
    with pytest.raises(GenerationInUse):
        await store.restore("t", "runs", 1, replace=True, actor="owner")
    with pytest.raises(SessionNotFound):
        await store.restore("another tenant", "runs", 1, replace=True, actor="owner")


async def test_a_deleted_session_comes_back_unless_its_id_was_given_away(
    database: Database, sessions: SessionStore
) -> None:
    lease = await paired(database, sessions)
    await sessions.delete(lease.session_ref, 1)
    store = GenerationStore(database)
    await store.restore("t", "s", 1, replace=False, actor="owner")
    assert (await sessions.get("t", "s")).session_ref == lease.session_ref
    await sessions.delete(lease.session_ref, 1)
    await sessions.create("t", "s")
    with pytest.raises(GenerationNotPaired):  # the new session's
        await store.restore("t", "s", 1, replace=False, actor="owner")


async def test_the_audit_says_who_set_aside_and_restored_what_and_when(
    database: Database, sessions: SessionStore
) -> None:
    await quarantined(database, sessions)
    await GenerationStore(database).restore("t", "s", 1, replace=False, actor="owner")
    session = await sessions.get("t", "s")
    await sessions.delete(session.session_ref, 1)
    entries = await AuditStore(database).of_session("t", "s", 10)
    assert [(e.action, e.actor, e.generation, e.reason) for e in entries] == [
        ("set_aside", "delete", 1, "The session was deleted."),
        ("restored", "owner", 1, None),
        ("set_aside", "whatsapp", 1, "removed on the phone"),
    ]
    assert await AuditStore(database).of_session("another tenant", "s", 10) == []


async def test_only_what_was_set_aside_long_ago_and_has_a_successor_is_purged_whole(
    database: Database, sessions: SessionStore
) -> None:
    store = GenerationStore(database)
    replaced = await quarantined(database, sessions, "replaced")
    await sessions.begin_generation(replaced.session_ref, after=1)
    await execute(database, "UPDATE sessions SET desired_state = 'stopped'")
    deleted = await paired(database, sessions, "deleted")
    await sessions.delete(deleted.session_ref, 1)
    await quarantined(database, sessions, "quarantined")
    assert await store.purge(days=30, most=10) == 0
    await execute(database, "UPDATE generations SET set_aside_at = set_aside_at - interval '31 days'")
    await execute(database, "UPDATE sessions SET deleted_at = deleted_at - interval '31 days'")
    assert await store.purge(days=30, most=10) == 2
    assert await store.purge(days=30, most=10) == 0
    assert [g.generation for g in await store.page("t", "replaced", before=None, most=9)] == [2]
    assert [g.restorable for g in await store.page("t", "quarantined", before=None, most=9)] == [True]
    with pytest.raises(SessionNotFound):
        await store.page("t", "deleted", before=None, most=9)
    for table in ("creds", "signal_keys", "sent_messages"):
        assert await count(database, table) == 1
    (entry, *_) = await AuditStore(database).of_session("t", "deleted", 10)
    assert (entry.action, entry.actor) == ("purged", "retention")
