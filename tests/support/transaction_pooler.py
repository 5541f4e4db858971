"""A pooler in transaction mode on the wire, as PgBouncer is with `pool_mode = transaction`, between a client and PostgreSQL.

Each client makes a session of its own when it connects; between transactions its session lies in a pool, and whoever asks
next takes the one that was used last.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class TransactionPooler:
    server_socket: str
    port: int = 0
    idle: list[_Streams] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def url(self, direct: str) -> str:
        """The same database through here."""
        return f"{direct.partition('?')[0]}?host=127.0.0.1&port={self.port}&sslmode=disable&gssencmode=disable"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self.tasks.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = await asyncio.open_unix_connection(self.server_socket)
        length = await reader.readexactly(4)
        server[1].write(length + await reader.readexactly(int.from_bytes(length, "big") - 4))
        while True:  # who it is: between the client and its first session
            kind, message = await _message(server[0])
            writer.write(message)
            if kind == b"Z":
                break
            if kind == b"R" and int.from_bytes(message[5:9], "big") in (3, 5, 10, 11):
                server[1].write((await _message(reader))[1])
        self.idle.append(server)
        asking: asyncio.Future[tuple[bytes, bytes]] = asyncio.ensure_future(_message(reader))
        try:
            while True:
                kind, message = await asking
                if kind == b"X":
                    return
                server = self.idle.pop()
                asking = asyncio.ensure_future(_message(reader))
                try:
                    asking = await self._transaction(asking, reader, writer, server, message)
                finally:
                    self.idle.append(server)
        finally:
            await _cancelled(asking)

    async def _transaction(
        self,
        asking: "asyncio.Future[tuple[bytes, bytes]]",
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        server: _Streams,
        message: bytes,
    ) -> "asyncio.Future[tuple[bytes, bytes]]":
        """Until the server says that no transaction is open; what the client says next. Some of that may have been read."""
        server[1].write(message)
        answering = asyncio.ensure_future(_message(server[0]))
        try:
            while True:
                done, _ = await asyncio.wait((asking, answering), return_when=asyncio.FIRST_COMPLETED)
                if answering in done:
                    kind, answer = answering.result()
                    writer.write(answer)
                    if kind == b"Z" and answer[5:6] == b"I" and not asking.done():
                        return asking
                    answering = asyncio.ensure_future(_message(server[0]))
                if asking in done:
                    server[1].write(asking.result()[1])
                    asking = asyncio.ensure_future(_message(reader))
        finally:
            await _cancelled(answering)


async def _cancelled(waiting: "asyncio.Future[tuple[bytes, bytes]]") -> None:
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError, asyncio.IncompleteReadError, ConnectionError):
        await waiting


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Its kind and all of it."""
    head = await reader.readexactly(5)
    return head[:1], head + await reader.readexactly(int.from_bytes(head[1:], "big") - 4)


@contextlib.asynccontextmanager
async def transaction_pooler(server_socket: str) -> AsyncIterator[TransactionPooler]:
    pooler = TransactionPooler(server_socket)
    server = await asyncio.start_server(pooler.handle, "127.0.0.1", 0)
    pooler.port = server.sockets[0].getsockname()[1]
    try:
        yield pooler
    finally:
        server.close()
        for task in list(pooler.tasks):
            task.cancel()
        await asyncio.gather(*pooler.tasks, return_exceptions=True)
        for _, writer in pooler.idle:
            writer.close()
