"""Prepared statements one after the other over one connection, with nothing between them and libpq.

A cursor of psycopg looks at the type of each parameter, plans each execution and has the event loop watch the socket anew
for each wait. On a small write that costs more than PostgreSQL's own work.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, Format
from psycopg.pq.abc import PGresult

from orchestrator.store.database import is_quiet

#: A value of each column: bytes, or None for a null.
Row = tuple[Any, ...]


class StatementConnection:
    """Executes one statement at a time. Parameters and rows are in PostgreSQL's binary format, text is UTF-8.

    It takes over a connection in autocommit, which nobody else uses from then on.
    """

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._loop = asyncio.get_running_loop()
        self._socket = connection.pgconn.socket
        self._prepared: dict[str, bytes] = {}
        self._results: list[PGresult] = []
        self._answer: asyncio.Future[list[PGresult]] | None = None
        self._loop.add_reader(self._socket, self._readable)
        self._is_watched = True

    @property
    def is_quiet(self) -> bool:
        """Whether it is as the last statement left it: a server that ends an idle connection says so."""
        return is_quiet(self._connection)

    async def execute(self, statement: str, parameters: Sequence[bytes]) -> list[Row]:
        """The rows, once the transaction is committed; ``psycopg.Error`` when the server refuses it or is lost.

        Whoever stops waiting closes the connection with that: the statement may still be under way.
        """
        name = self._prepared.get(statement) or await self._prepare(statement)
        self._pgconn.send_query_prepared(name, parameters, [Format.BINARY] * len(parameters), Format.BINARY)
        return [row for result in await self._answered() for row in _rows(result)]

    async def close(self) -> None:
        self._unwatch()
        await self._connection.close()

    def _unwatch(self) -> None:
        # Only once: the number of a closed socket is soon another connection's.
        if self._is_watched:
            self._is_watched = False
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)

    async def _prepare(self, statement: str) -> bytes:
        name = b"statement %d" % len(self._prepared)
        self._pgconn.send_prepare(name, statement.encode())
        await self._answered()
        self._prepared[statement] = name
        return name

    async def _answered(self) -> list[PGresult]:
        self._answer = self._loop.create_future()
        try:
            if self._pgconn.flush():
                self._loop.add_writer(self._socket, self._writable)
            results = await self._answer
        except BaseException:
            await self.close()
            raise
        finally:
            self._answer = None
        for result in results:
            if result.status == ExecStatus.FATAL_ERROR:
                raise error_from_result(result)
        return results

    def _readable(self) -> None:
        if self._answer is None or self._answer.done():
            self._unwatch()  # an idle connection was ended, as `is_quiet` will see
            return
        try:
            self._pgconn.consume_input()
            while not self._pgconn.is_busy():
                result = self._pgconn.get_result()
                if result is None:
                    results, self._results = self._results, []
                    self._answer.set_result(results)
                    return
                self._results.append(result)
        except psycopg.Error as error:
            self._unwatch()
            self._answer.set_exception(error)

    def _writable(self) -> None:
        with contextlib.suppress(psycopg.Error):  # the reader is told of the same
            if self._pgconn.flush():
                return
        self._loop.remove_writer(self._socket)


def _rows(result: PGresult) -> list[Row]:
    columns = range(result.nfields)
    return [tuple(result.get_value(row, column) for column in columns) for row in range(result.ntuples)]
