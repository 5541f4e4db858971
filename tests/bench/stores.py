"""The stores that are compared, and what each writes to on one disk: the real orchestrator, the same PostgreSQL, a Redis."""

import contextlib
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psycopg

from orchestrator.store.migration import migrate
from tests.bench.disks import BenchPostgres, Disk, redis
from tests.support.postgres import short_folder
from tests.support.serving import Serving, serving
from tests.support.waiting import eventually

PROJECT = Path(__file__).resolve().parents[2]
NODE_BENCH = PROJECT / "baileys-server" / "test" / "bench"
PEER_STORES = Path(__file__).with_name("peers") / "stores"

SESSIONS = 2500
CONNECTIONS = 10
"""As node-pg's own default; the peers' READMEs name none."""
REPLICA = "b" * 32


@dataclass(frozen=True)
class Store:
    name: str
    module: Path
    service: str
    """Which of the services it writes to: `orchestrator`, `database` or `redis`."""
    journal: bool = True
    """Whether creds go to the journal first, as contract 4.5 has it; only ours has one."""


OURS = Store("ours", NODE_BENCH / "stores" / "orchestrator.js", "orchestrator")
OURS_WITHOUT_JOURNAL = Store("ours without journal", OURS.module, OURS.service, journal=False)
POSTGRES_BAILEYS = Store("postgres-baileys", PEER_STORES / "postgres-baileys.js", "database")
KEYV = Store("keyv-postgres", PEER_STORES / "keyv-postgres.js", "database")
PREPARED_UPSERT = Store("prepared upsert", PEER_STORES / "prepared-upsert.js", "database")
GROUP_COMMIT = Store("group commit in Node", PEER_STORES / "group-commit.js", "database")
REDIS_HASH = Store("Redis hash, AOF always", PEER_STORES / "redis-hash.js", "redis")
SNAPSHOT = Store("snapshots", PEER_STORES / "snapshot.js", "database")


@dataclass
class Services:
    """What runs on one disk for the time of the benchmark. The peers have a database of their own on the same server."""

    disk: Disk
    peers_url: str
    ours_url: str
    postgres: BenchPostgres
    postgres_pid: int
    orchestrator: Serving
    journal: Path
    redis: tuple[str, int] | None
    environ: Mapping[str, str]

    def offers(self, store: Store) -> bool:
        return store.service != "redis" or self.redis is not None

    def options(self, store: Store) -> dict[str, Any]:
        """What the store's module takes to reach its service."""
        if store.service == "orchestrator":
            socket, token = str(self.orchestrator.socket), self.orchestrator.internal_token
            return {"socket": socket, "token": token, "journal": str(self.journal) if store.journal else None}
        if store.service == "redis":
            assert self.redis is not None
            return {"redis": self.redis[0]}
        return {"database": self.peers_url, "connections": CONNECTIONS}

    def database(self, store: Store) -> str:
        return self.ours_url if store.service == "orchestrator" else self.peers_url

    def pids(self, store: Store) -> dict[str, int]:
        """The processes that work for this store, beside the one that runs its Node module."""
        if store.service == "orchestrator":
            return {"orchestrator": self.orchestrator.child.pid, "postgres": self.postgres_pid}
        if store.service == "redis":
            assert self.redis is not None
            return {"redis": self.redis[1]}
        return {"postgres": self.postgres_pid}


@contextlib.asynccontextmanager
async def services(disk: Disk) -> AsyncIterator[Services]:
    """Everything as in production: authentication, encryption at rest, fencing, the journal on the same disk."""
    with short_folder("bp") as folder, short_folder("br") as redis_folder, contextlib.ExitStack() as stack:
        postgres = BenchPostgres(folder, disk)
        postgres.prepare()
        server = stack.enter_context(postgres.running(log=folder / "log"))
        redis_at = stack.enter_context(redis(redis_folder, disk))
        urls = [create_database(postgres.url, name) for name in ("ours", "peers")]
        seed(urls[0], SESSIONS)
        journal = redis_folder / "journal"
        journal.mkdir(mode=0o700)
        async with serving(
            urls[0], REPLICA_ID=REPLICA, SESSION_ENCRYPTION_KEYS=secrets.token_hex(32), LEASE_TTL_SECONDS="3600"
        ) as served:
            await started(served)
            yield Services(disk, urls[1], urls[0], postgres, server.pid, served, journal, redis_at, disk.environ)


async def started(served: Serving) -> None:
    """Until the orchestrator has taken up its leases."""

    async def condition() -> bool:
        try:
            return (await served.call("GET", "/v1/sessions")).status == 200
        except aiohttp.ClientError:
            return False

    await eventually(condition, 60, "the orchestrator to reach its database")


def create_database(server: str, name: str) -> str:
    """The URL of a new, empty database."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.replace("/postgres?", f"/{name}?")


def seed(database_url: str, number: int) -> None:
    """Sessions 1 to ``number`` of one tenant, each with a lease of ours under epoch 1, never paired."""
    migrate(database_url)
    with psycopg.connect(database_url) as connection:
        parameters = {"number": number, "owner": REPLICA}
        for statement in (
            "INSERT INTO sessions (session_ref, tenant_id, session_id, desired_state, connection_state, generation) "
            "OVERRIDING SYSTEM VALUE SELECT n, 'operator', 's' || n, 'running', 'open', 1 FROM generate_series(1, %(number)s) n",
            "INSERT INTO generations (session_ref, generation) SELECT n, 1 FROM generate_series(1, %(number)s) n",
            "INSERT INTO leases (session_ref, owner, epoch, expires_at) "
            "SELECT n, %(owner)s, 1, now() + interval '1 day' FROM generate_series(1, %(number)s) n",
        ):
            connection.execute(statement, parameters)
