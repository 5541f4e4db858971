"""Who runs a session, asked at a replica that doesn't: on a real PostgreSQL, with rows of other replicas in it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp
import pytest

from orchestrator.domain.errors import ReplicaUnreachable
from orchestrator.peer.client import PeerClient
from orchestrator.services import forwarding
from orchestrator.services.forwarding import Forwarding
from orchestrator.services.leases import LeaseBook
from orchestrator.services.replicas import Replicas
from orchestrator.store.database import Database
from orchestrator.store.leases import LeaseStore
from orchestrator.store.replicas import Own, ReplicaStore
from orchestrator.store.sealing import Sealer
from orchestrator.store.sessions import SessionStore

TTL = 8.0
ADDRESS = "http://10.0.0.2:8080"


@pytest.fixture
async def there(database: Database, database_url: str) -> AsyncIterator[ReplicaStore]:
    """The owner of session "s" of tenant "t", which hasn't said yet where it is."""
    await SessionStore(database).create("t", "s")
    assert len(await LeaseStore(database, "there", TTL).claim(1)) == 1
    store = ReplicaStore(database_url, "there", TTL, "token of there", Sealer([]))
    yield store
    await store.close()


@pytest.fixture
async def asked(database: Database, database_url: str) -> AsyncIterator[Forwarding]:
    """At a replica whose heart beats."""
    async with aiohttp.ClientSession() as http:
        client, book = PeerClient(http, "here"), LeaseBook(LeaseStore(database, "here", TTL))
        replicas = Replicas(ReplicaStore(database_url, "here", TTL, "t", Sealer([])), book, client, port=1)

        async def beat() -> None:
            while True:
                await replicas.renew()
                await asyncio.sleep(0.1)

        await replicas.renew()
        heart = asyncio.create_task(beat())
        yield Forwarding(SessionStore(database), book, replicas, client)
        heart.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await heart
        await replicas.close()


async def test_a_call_waits_for_the_address_of_an_owner_that_is_new(there: ReplicaStore, asked: Forwarding) -> None:
    call = asyncio.create_task(asked.owner("t", "s"))
    await asyncio.sleep(0)
    await there.renew(Own(ADDRESS, 1, ready=True))
    found = await call
    assert found is not None
    assert (found.replica_id, found.address) == ("there", ADDRESS)


@pytest.mark.usefixtures("there")
async def test_an_owner_that_says_nowhere_where_it_is_is_out_of_reach(
    asked: Forwarding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarding, "_HEARD_OF_SECONDS", 0.5)
    with pytest.raises(ReplicaUnreachable):
        await asked.owner("t", "s")
