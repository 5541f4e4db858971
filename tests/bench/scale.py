"""`python -m tests.bench.scale`: what leases, heartbeats and events of replicas cost, with up to a million sessions of others.

No Baileys: the statements of the store and the event bus themselves, on a PostgreSQL of their own.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable

import psycopg
import sqlalchemy as sa

from orchestrator.domain.replica import Replica
from orchestrator.peer.client import PeerClient
from orchestrator.services.leases import LeaseBook
from orchestrator.store.database import Database
from orchestrator.store.leases import LeaseStore
from orchestrator.store.replicas import Own, ReplicaStore
from orchestrator.store.sealing import Sealer
from tests.support.postgres import fresh_database, server_url
from tests.support.public_api import public_api
from tests.support.waiting import eventually

TTL = 15.0
OWN = 1000
"""Sessions of the replica that is measured."""
PER_REPLICA = 10_000
ROUNDS = 20
EVENTS = 2000
PAYLOAD = "x" * 500


async def main() -> None:
    print(
        "| sessions of others | count free, none | count and claim 50 free | renew 1,000 own | heartbeat | bury 10,000 |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    with server_url() as server:
        for others in (0, 10_000, 100_000, 1_000_000):
            with fresh_database(server) as url:
                print(await _leases(url, others), flush=True)
        with fresh_database(server) as url:
            database = Database(url)
            await database.open()
            await database.migrate()
            await database.close()
            await _events(url)


async def _leases(url: str, others: int) -> str:
    database = Database(url)
    await database.open()
    await database.migrate()
    await _fill(database, 1, OWN, owners=["me"])
    names = [f"other{n}" for n in range(max(1, others // PER_REPLICA))]
    if others:
        await _fill(database, OWN + 1, others, owners=names)
    async with database.begin() as connection:
        await connection.execute(sa.text("ANALYZE"))
    store = LeaseStore(database, "me", TTL)
    book = LeaseBook(store)
    await book.adopt(alone=False)
    replica = ReplicaStore(url, "me", TTL, "t", Sealer([]))
    none_free = await _milliseconds(store.free)
    renew = await _milliseconds(book.renew)
    heartbeat = await _milliseconds(lambda: replica.renew(Own(None, OWN, ready=True)))

    async def claim() -> None:
        async with database.begin() as connection:
            free = "UPDATE leases SET owner = NULL WHERE session_ref <= 50"
            await connection.execute(sa.text(free))
        for ref in range(1, 51):
            book.forget(ref)
        started = time.perf_counter()
        await store.free()
        claimed = await book.claim(50)
        times.append((time.perf_counter() - started) * 1000)
        assert len(claimed) == 50

    times: list[float] = []
    for _ in range(ROUNDS):
        await claim()
    bury = "-"
    if others:
        async with database.begin() as connection:
            silent = "UPDATE replicas SET renewed_at = now() - interval '1 day' WHERE replica_id = 'other0'"
            await connection.execute(sa.text(silent))
        while True:  # a server that has just started allows for replicas that come back
            started = time.perf_counter()
            dead, freed = await replica.bury(1e9)
            if dead:
                break
            await asyncio.sleep(0.2)
        assert freed == min(others, PER_REPLICA)
        bury = f"{(time.perf_counter() - started) * 1000:.0f} ms"
    await replica.close()
    await database.close()
    claimed_in = statistics.median(times)
    return f"| {others:,} | {none_free:.2f} ms | {claimed_in:.1f} ms | {renew:.1f} ms | {heartbeat:.2f} ms | {bury} |"


async def _fill(database: Database, first: int, number: int, owners: list[str]) -> None:
    last = first + number - 1
    async with database.whole_transaction() as connection:
        for owner in owners:
            await connection.execute(
                "INSERT INTO replicas (replica_id, ttl_seconds, renewed_at) VALUES (%s, 15, now() + interval '1 hour')",
                [owner],
            )
        for statement in (
            "INSERT INTO sessions (session_ref, tenant_id, session_id, desired_state, connection_state, generation) "
            f"OVERRIDING SYSTEM VALUE SELECT n, 'operator', 's' || n, 'running', 'open', 1 FROM generate_series({first}, {last}) n",
            "INSERT INTO generations (session_ref, generation, paired_at) "
            f"SELECT n, 1, now() FROM generate_series({first}, {last}) n",
            "INSERT INTO leases (session_ref, owner, epoch) "
            f"SELECT n, '{owners[0].rstrip('0123456789')}' || "
            + (f"((n - {first}) / {PER_REPLICA})" if len(owners) > 1 or owners[0] != "me" else "''")
            + f", 1 FROM generate_series({first}, {last}) n",
        ):
            await connection.execute(statement)


async def _milliseconds(work: Callable[[], Awaitable[object]]) -> float:
    """The median of some rounds, after a few to warm up."""
    times = []
    for _ in range(ROUNDS + 5):
        started = time.perf_counter()
        await work()
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times[5:])


async def _events(url: str) -> None:
    """An event from one process's PostgreSQL connection to another's, against one over a connection between the two."""
    sender = await psycopg.AsyncConnection.connect(url, autocommit=True)
    listener = await psycopg.AsyncConnection.connect(url, autocommit=True)
    await listener.execute("LISTEN events")
    notified = [await _notify(sender, listener) for _ in range(200)]
    burst = await _burst(sender, listener)
    await sender.close()
    await listener.close()
    direct, direct_burst = await _direct(url)
    print(f"\nNOTIFY: {statistics.median(notified):.2f} ms for one event of 500 bytes, {burst:,.0f} a second")
    print(f"between the replicas: {statistics.median(direct):.2f} ms, {direct_burst:,.0f} a second")
    sys.stdout.flush()


async def _notify(sender: psycopg.AsyncConnection, listener: psycopg.AsyncConnection) -> float:
    started = time.perf_counter()
    await sender.execute("SELECT pg_notify('events', %s)", [PAYLOAD])
    async for _ in listener.notifies(timeout=5, stop_after=1):
        break
    return (time.perf_counter() - started) * 1000


async def _burst(sender: psycopg.AsyncConnection, listener: psycopg.AsyncConnection) -> float:
    async def send() -> None:
        for _ in range(EVENTS):
            await sender.execute("SELECT pg_notify('events', %s)", [PAYLOAD])

    started = time.perf_counter()
    sending = asyncio.create_task(send())
    async for _ in listener.notifies(timeout=60, stop_after=EVENTS):
        pass
    await sending
    return EVENTS / (time.perf_counter() - started)


async def _direct(url: str) -> tuple[list[float], float]:
    """The same through the WebSocket between two replicas, both ends in this process."""

    async def interests() -> AsyncGenerator[frozenset[str]]:
        yield frozenset({"t"})
        await asyncio.Event().wait()

    async with public_api(url) as api:
        events = api.services.events
        there = Replica("there", f"http://127.0.0.1:{api.port}", api.peer_token, 0, ready=True)
        told = PeerClient(api.http, "here").events(there, interests())
        first = asyncio.ensure_future(anext(told))

        async def heard() -> bool:
            events.publish("t", "message.received", "s", {"text": PAYLOAD})
            return first.done()

        await eventually(heard, what="the other replica's interest")
        times: list[float] = []
        for number in range(200):
            started = time.perf_counter()
            events.publish("t", "message.received", str(number), {"text": PAYLOAD})
            while (await anext(told)).session_id != str(number):
                pass
            times.append((time.perf_counter() - started) * 1000)
        started = time.perf_counter()
        for _ in range(EVENTS):
            events.publish("t", "message.received", "s", {"text": PAYLOAD})
        for _ in range(EVENTS):
            await anext(told)
        return times, EVENTS / (time.perf_counter() - started)


if __name__ == "__main__":
    asyncio.run(main())
