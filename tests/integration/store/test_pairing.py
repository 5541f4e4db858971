"""What a pairing that comes to nothing leaves behind, and links to the pairing page."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from orchestrator.domain.errors import SessionNotFound
from orchestrator.domain.session import ConnectionState, DesiredState, Lease, SetAsideBy
from orchestrator.store.database import Database
from orchestrator.store.generations import GenerationStore
from orchestrator.store.leases import LeaseStore
from orchestrator.store.pairing_links import PairingLinkStore
from orchestrator.store.sessions import SessionStore

HOUR = timedelta(hours=1)


@pytest.fixture
async def sessions(database: Database) -> SessionStore:
    store = SessionStore(database)
    await store.create("t", "s")
    return store


async def execute(database: Database, statement: str) -> None:
    async with database.begin() as connection:
        await connection.execute(sa.text(statement))


async def claimed(database: Database) -> Lease:
    (lease,) = await LeaseStore(database, "a", 30.0).claim(1)
    return lease


async def pair(database: Database, lease: Lease) -> None:
    row = f"session_ref = {lease.session_ref} AND generation = {lease.generation}"
    await execute(database, f"UPDATE generations SET paired_at = now(), account_jid = '5511:1@s' WHERE {row}")
    creds = f"INSERT INTO creds (session_ref, generation, value) VALUES ({lease.session_ref}, {lease.generation}, 'c')"
    await execute(database, creds)


async def aside(database: Database) -> dict[int, SetAsideBy | None]:
    return {g.generation: g.set_aside_by for g in await GenerationStore(database).page("t", "s", before=None, most=10)}


async def test_a_first_pairing_that_fails_stops_the_session_and_says_why(
    database: Database, sessions: SessionStore
) -> None:
    lease = await claimed(database)
    assert await sessions.end_pairing(lease, "a", "timed_out", "Nobody scanned.") is None
    session = await sessions.get("t", "s")
    assert (session.desired_state, session.pairing_failure, session.reason) == (
        DesiredState.STOPPED,
        "timed_out",
        "Nobody scanned.",
    )
    assert await aside(database) == {1: None}
    await sessions.desire(session.session_ref, DesiredState.RUNNING)
    assert (await sessions.get("t", "s")).pairing_failure is None


async def test_a_link_that_was_never_confirmed_is_set_aside_and_the_next_start_is_a_new_pairing(
    database: Database, sessions: SessionStore
) -> None:
    lease = await claimed(database)
    await pair(database, lease)
    assert await sessions.end_pairing(lease, "a", "unconfirmed", "Interrupted.") is None
    assert await aside(database) == {1: SetAsideBy.FAILED_PAIRING}
    session = await sessions.get("t", "s")
    assert (session.shown_state, session.paired, session.owner) == (ConnectionState.STOPPED, False, None)


async def test_a_pairing_that_works_comes_back_when_the_one_in_its_place_fails(
    database: Database, sessions: SessionStore
) -> None:
    lease = await claimed(database)
    await pair(database, lease)
    await sessions.replace_generation(lease.session_ref, lease.generation)
    session = await sessions.get("t", "s")
    assert (session.generation, session.paired, session.epoch) == (2, False, lease.epoch + 1)
    assert await aside(database) == {2: None, 1: SetAsideBy.NEW_PAIRING}
    second = await claimed(database)
    assert await sessions.end_pairing(second, "a", "timed_out", "Nobody scanned.") == 1
    session = await sessions.get("t", "s")
    assert (session.generation, session.paired, session.desired_state) == (1, True, DesiredState.RUNNING)
    assert (session.pairing_failure, session.owner) == ("timed_out", None)
    assert await aside(database) == {2: SetAsideBy.FAILED_PAIRING, 1: None}


async def test_only_the_pairing_right_before_comes_back(database: Database, sessions: SessionStore) -> None:
    lease = await claimed(database)
    await pair(database, lease)
    await sessions.replace_generation(lease.session_ref, 1)
    second = await claimed(database)
    await pair(database, second)
    await sessions.set_aside(second, "a", SetAsideBy.LOGOUT, "Logged out.", ConnectionState.STOPPED)
    await sessions.begin_generation(lease.session_ref, after=2)
    await sessions.desire(lease.session_ref, DesiredState.RUNNING)
    third = await claimed(database)
    assert await sessions.end_pairing(third, "a", "timed_out", "Nobody scanned.") is None
    assert await aside(database) == {3: None, 2: SetAsideBy.LOGOUT, 1: SetAsideBy.NEW_PAIRING}


async def test_a_stale_owner_ends_no_pairing(database: Database, sessions: SessionStore) -> None:
    lease = await claimed(database)
    assert await sessions.end_pairing(lease, "another", "timed_out", "Nobody scanned.") is None
    assert (await sessions.get("t", "s")).desired_state is DesiredState.RUNNING


async def test_a_link_opens_in_one_browser_only(database: Database, sessions: SessionStore) -> None:
    links = PairingLinkStore(database)
    link = await links.add("t", "s", "token", "Loja", HOUR)
    assert (link.tenant_id, link.session_id, link.requested_by, link.opened_at) == ("t", "s", "Loja", None)
    assert await links.find("token", None) == link
    assert await links.open("token", "mine")
    assert not await links.open("token", "theirs")
    mine = await links.find("token", "mine")
    assert mine is not None
    assert mine.opened_at is not None
    assert await links.find("token", "theirs") is None
    assert await links.find("token", None) is None
    assert await links.find("tokem", "mine") is None
    await links.use(link.link_id)
    used = await links.find("token", "mine")
    assert used is not None
    assert used.used_at is not None


async def test_a_link_ends_by_time_by_revocation_by_use_and_with_its_session(
    database: Database, sessions: SessionStore
) -> None:
    links = PairingLinkStore(database)
    await links.add("t", "s", "expired", "Loja", timedelta(seconds=-1))
    revoked = await links.add("t", "s", "revoked", "Loja", HOUR)
    used = await links.add("t", "s", "used", "Loja", HOUR)
    await links.add("t", "s", "good", "Loja", HOUR)
    assert await links.revoke("t", "s", revoked.link_id)
    assert not await links.revoke("other", "s", used.link_id)
    assert not await links.revoke("t", "s", 99)
    await links.use(used.link_id)
    for token in ("expired", "revoked", "used"):
        assert await links.find(token, None) is None
        assert not await links.open(token, "mine")
    assert [link.link_id for link in await links.page("t", "s", before=None, most=10)] == [4, 3, 2, 1]
    assert await links.page("other", "s", before=None, most=10) == []
    assert await links.forget(days=0) == 1
    session = await sessions.get("t", "s")
    await sessions.delete(session.session_ref, 1)
    assert await links.find("good", None) is None
    with pytest.raises(SessionNotFound):
        await links.add("t", "s", "late", "Loja", HOUR)
