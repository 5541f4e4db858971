"""The connections to PostgreSQL, and the one place where its errors become ours."""

import asyncio
import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any

import psycopg
import sqlalchemy as sa
import sqlalchemy.exc
import structlog
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from orchestrator.domain.errors import DatabaseUnavailable

#: Seconds that one use of the database may take in all. Below the sidecar's 10 s for a call, so that it learns "unknown"
#: from an answer rather than from silence.
STATEMENT_SECONDS = 8.0

#: The same for the transactions of `Database.whole_transaction`.
_WHOLE_TRANSACTION_SECONDS = 120.0

log = structlog.get_logger(__name__)

#: The newest revision in alembic/versions.
SCHEMA_VERSION = "0017"

#: Server out of reach, shutting down, out of disk or memory, read-only after a failover, or hanging: all of them say
#: nothing about the data.
_OUTAGES = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.InternalError,
    PoolTimeout,
    PoolClosed,
    TooManyRequests,
    OSError,
    TimeoutError,
)


class outages_translated:  # noqa: N801 (used like a function, as contextlib's own)
    """Raise ``DatabaseUnavailable`` for what an outage raises or for what takes too long; let every other error through.

    A class, because a generator costs several times as much and each write comes through here.
    """

    __slots__ = ("_timeout",)

    def __init__(self, seconds: float = STATEMENT_SECONDS) -> None:
        self._timeout = asyncio.timeout(seconds)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, error, traceback)
        except TimeoutError as timeout:
            raise DatabaseUnavailable from timeout
        below = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else error
        if isinstance(below, (*_OUTAGES, sqlalchemy.exc.TimeoutError)):
            raise DatabaseUnavailable from error


# The server gives a statement up before we do: one that we stopped waiting for must not commit later, over a newer write
# of the same keys.
_BOUND_STATEMENTS = f"SET statement_timeout = {int((STATEMENT_SECONDS - 1) * 1000)}"


async def _bounded(connection: psycopg.AsyncConnection[Any]) -> None:
    await connection.execute(_BOUND_STATEMENTS)


async def connected(url: str, application_name: str) -> psycopg.AsyncConnection[tuple[Any, ...]]:
    """A connection beside the pool, in autocommit, bounded like those in it; its user closes it."""
    connection = await _Connection.connect(url, autocommit=True, application_name=application_name)
    await _bounded(connection)
    return connection


def is_quiet(connection: psycopg.AsyncConnection[Any]) -> bool:
    """Whether an idle connection is as it was left: a server that ends one says so. A look at the socket, no round trip."""
    if connection.closed:
        return False
    poll = select.poll()
    poll.register(connection.pgconn.socket, select.POLLIN)
    return not poll.poll(0)


async def _still_connected(connection: psycopg.AsyncConnection[Any]) -> None:
    """Raise ``OperationalError`` for a connection that the server has ended."""
    if not is_quiet(connection):
        await AsyncConnectionPool.check_connection(connection)


class _Connection(psycopg.AsyncConnection[Any]):
    """A connection that is closed when somebody stops waiting for it.

    psycopg 3.3 first asks the server to cancel and waits up to 5 s for that and 5 s for the statement: a server that
    hangs would take 18 s instead of 8 to be noticed, and block the pool for as long.
    """

    async def _try_cancel(self, *, timeout: float = 5.0) -> None:
        self.pgconn.finish()


class Database:
    """Two ways to one PostgreSQL: SQLAlchemy for what is rare, a bare psycopg pool for the auth state."""

    def __init__(self, url: str, *, connections: int = 4) -> None:
        self._url = url
        self._pool: AsyncConnectionPool[psycopg.AsyncConnection[tuple[Any, ...]]] = AsyncConnectionPool(
            url,
            connection_class=_Connection,
            min_size=1,
            max_size=connections,
            open=False,
            timeout=STATEMENT_SECONDS,
            reconnect_timeout=2.0,
            check=_still_connected,
            configure=_bounded,
            kwargs={"autocommit": True, "prepare_threshold": 0, "application_name": "orchestrator auth state"},
        )
        self._engine: AsyncEngine = create_async_engine(
            sqlalchemy_url(url),
            pool_size=2 * connections,
            max_overflow=0,  # what overflows is closed after each use, and to open one costs more than most statements
            pool_timeout=STATEMENT_SECONDS,
            pool_pre_ping=True,
            hide_parameters=True,
            async_creator=self._connect,
        )
        # SQLAlchemy's pool gives a connection to whoever asks in the moment in which it comes back, before those who wait:
        # a request that needs several would have them all before another has its first.
        self._turns = asyncio.Semaphore(2 * connections)

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        connection = await connected(self._url, "orchestrator")
        await connection.set_autocommit(False)
        return connection

    async def open(self) -> None:
        """Start to fill the pool; the server needn't be there yet."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        await self._pool.close()
        await self._engine.dispose()

    async def ping(self) -> None:
        """Raise ``DatabaseUnavailable`` unless the server answers a query and takes writes."""
        async with self.begin() as connection:
            if (await connection.execute(sa.text("SHOW transaction_read_only"))).scalar_one() == "on":
                raise DatabaseUnavailable("The database takes no writes at the moment; is it a standby?")

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """A SQLAlchemy transaction: committed at the end of the block, or ``DatabaseUnavailable``."""
        async with outages_translated(), self._turns, self._engine.begin() as connection:
            yield connection

    @asynccontextmanager
    async def driver(self) -> AsyncIterator[psycopg.AsyncConnection[tuple[Any, ...]]]:
        """A bare psycopg connection in autocommit: each statement is a transaction of its own."""
        async with outages_translated(), self._pool.connection() as connection:
            yield connection

    @asynccontextmanager
    async def whole_transaction(
        self, *, snapshot: bool = False
    ) -> AsyncIterator[psycopg.AsyncConnection[tuple[Any, ...]]]:
        """A bare psycopg connection of its own in one transaction, for work on a whole auth state: minutes are allowed.

        ``snapshot``: read-only, and everything as it was at one moment.
        """
        async with outages_translated(_WHOLE_TRANSACTION_SECONDS):
            connection = await _Connection.connect(self._url, application_name="orchestrator whole auth state")
            async with connection:
                if snapshot:
                    await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
                    await connection.set_read_only(True)
                yield connection

    async def migrate(self) -> None:
        """Bring the schema to this version's; replicas that start together do it one after the other.

        A newer one stays as it is if it says that it works with this version: the way back after a deploy.
        """
        async with self.driver() as connection:
            version = await schema_version(connection)
            newer = version is not None and version > SCHEMA_VERSION
            works = newer and await works_since(connection) <= SCHEMA_VERSION
        if works:
            log.warning(
                "the schema is a newer version's, which works with this one", schema=version, own=SCHEMA_VERSION
            )
        elif version != SCHEMA_VERSION:
            from orchestrator.store.migration import migrate  # noqa: PLC0415 (a tenth of the start-up time and memory)

            await asyncio.to_thread(migrate, self._url)


async def schema_version(connection: psycopg.AsyncConnection[Any]) -> str | None:
    """The revision of the schema; None when no migration has seen the database."""
    # Asked first, because the server's log would have an error at every first start.
    found = await connection.execute("SELECT to_regclass('alembic_version')")
    if await found.fetchone() == (None,):
        return None
    row = await (await connection.execute("SELECT version_num FROM alembic_version")).fetchone()
    return str(row[0]) if row else None


async def works_since(connection: psycopg.AsyncConnection[Any]) -> str:
    """The oldest version that works with the schema."""
    row = await (await connection.execute("SELECT max(works_since) FROM schema_compatibility")).fetchone()
    return str(row[0]) if row else ""


def sqlalchemy_url(url: str) -> str:
    """The same database for SQLAlchemy, which knows psycopg 3 by a scheme of its own."""
    return "postgresql+psycopg" + url[url.index("://") :]
