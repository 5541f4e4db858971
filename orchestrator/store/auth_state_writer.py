"""The writer of auth states: everything that waits becomes one transaction, and each write learns its own outcome."""

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
import structlog

from orchestrator.domain.auth_state import AuthStateWrite, StateAddress
from orchestrator.domain.errors import DatabaseUnavailable, InvalidRequest, LeaseLost, Overloaded
from orchestrator.domain.meter import WriteMeter
from orchestrator.store.database import connected, outages_translated
from orchestrator.store.sealing import Sealer
from orchestrator.store.statement_connection import StatementConnection
from orchestrator.store.write_batch import AddressedWrite, NewMessages, WriteBatch

log = structlog.get_logger(__name__)

#: A session's writes all go through the lane session_ref modulo LANES, one transaction after the other.
LANES = 2

#: What one transaction takes at most, unless a single write is larger.
BATCH_ROWS = 2_000
BATCH_BYTES = 8 * 1024 * 1024

#: What may wait in a lane before more is refused.
WAITING_WRITES = 20_000
WAITING_BYTES = 64 * 1024 * 1024

#: What became of a write: its new incoming messages once it is committed, or why it isn't or may not be.
Outcome = NewMessages | Exception

# A statement that somebody stopped waiting for, or that a killed orchestrator of the same owner left, could otherwise
# commit after a newer write of the same keys.
_END_PREDECESSORS = """
    SELECT coalesce(bool_and(pg_terminate_backend(pid, 5000)), true) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = %s AND pid <> pg_backend_pid()
"""

_NOT_ENDED = "An earlier statement of this writer can't be ended; it might still commit."

# A plan is made once, when the tables may be empty. It is used for ever, so it is made as if they were large.
_STEADY_PLANS = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off"


class AuthStateWriter:
    """Writes auth states in two lanes, each with one connection of its own. Reads are the ``AuthStateStore``'s."""

    def __init__(self, url: str, owner: str, sealer: Sealer) -> None:
        self.meter = WriteMeter()
        self._lanes = [_Lane(url, f"writer {owner} {number}", sealer, self.meter) for number in range(LANES)]

    async def write(self, address: StateAddress, write: AuthStateWrite) -> NewMessages:
        """Returns when PostgreSQL has committed all of ``write``; raises what ``write_all`` tells of."""
        (outcome,) = await self.write_all([(address, write)])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def write_all(self, writes: Sequence[AddressedWrite]) -> list[Outcome]:
        """Returns when all of it is settled; ``Overloaded`` at once, and none lined up, when too much waits.

        An outcome is the write's new incoming messages after PostgreSQL committed all of it, or ``LeaseLost`` or
        ``InvalidRequest`` when nothing of it was written, or ``DatabaseUnavailable`` when that is unknown. Writes of one
        session take effect in their order; after an unknown one those that waited behind it are unknown too.
        """
        places: dict[int, list[int]] = {}
        for place, (address, _) in enumerate(writes):
            places.setdefault(address.session_ref % LANES, []).append(place)
        if any(self._lanes[number].full for number in places):
            raise Overloaded
        groups = {
            number: self._lanes[number].append([writes[place] for place in mine]) for number, mine in places.items()
        }
        # An idle lane works within this call: a task of its own would begin a turn of the event loop later.
        for number in places:
            await self._lanes[number].commit_next()
        outcomes: dict[int, Outcome] = {}
        for number, mine in places.items():
            of_lane = [outcome for group in groups[number] for outcome in await group]
            outcomes.update(zip(mine, of_lane, strict=True))
        return [outcomes[place] for place in range(len(writes))]

    async def close(self) -> None:
        """Stop writing; what still waits is unknown to whoever waits for it."""
        for lane in self._lanes:
            await lane.close()


@dataclass(slots=True, eq=False)
class _Group:
    """Writes that arrived together and go into one transaction, the same or a later one than those before them."""

    writes: list[AddressedWrite]
    rows: int
    size: int
    outcomes: "asyncio.Future[list[Outcome]]"


class _Lane:
    def __init__(self, url: str, name: str, sealer: Sealer, meter: WriteMeter) -> None:
        self._url = url
        self._name = name
        self._sealer = sealer
        self._meter = meter
        self._waiting: deque[_Group] = deque()
        self._writes = 0
        self._bytes = 0
        self._busy = False
        self._working: asyncio.Task[None] | None = None
        self._connection: StatementConnection | None = None
        self._lost = False

    @property
    def full(self) -> bool:
        return self._writes >= WAITING_WRITES or self._bytes >= WAITING_BYTES

    def append(self, writes: Sequence[AddressedWrite]) -> "list[asyncio.Future[list[Outcome]]]":
        """Line the writes up; the outcomes of each group of them, in their order."""
        groups = list(_groups(writes))
        self._waiting.extend(groups)
        self._writes += len(writes)
        self._bytes += sum(group.size for group in groups)
        return [group.outcomes for group in groups]

    async def commit_next(self) -> None:
        """Commit the next transaction here and leave the rest to a task, unless somebody is at work already."""
        if self._busy or not self._waiting:
            return
        self._busy = True
        try:
            await self._commit(self._take())
        finally:
            self._busy = False
            self._commit_soon()

    async def close(self) -> None:
        if self._working is not None:
            self._working.cancel()
            await asyncio.wait([self._working])
        self._fail(self._take_all())
        await self._disconnect()

    def _commit_soon(self) -> None:
        """Have a task commit what waits."""
        if self._waiting:
            self._busy = True
            self._working = asyncio.get_running_loop().create_task(self._work(), name=self._name)

    async def _work(self) -> None:
        try:
            while self._waiting:
                await self._commit(self._take())
        finally:
            self._busy = False

    def _take(self) -> list[_Group]:
        """What the next transaction writes: the oldest, and as much behind it as fits."""
        taken = [self._waiting.popleft()]
        rows, size = taken[0].rows, taken[0].size
        while self._waiting:
            rows += self._waiting[0].rows
            size += self._waiting[0].size
            if rows > BATCH_ROWS or size > BATCH_BYTES:
                break
            taken.append(self._waiting.popleft())
        self._writes -= sum(len(group.writes) for group in taken)
        self._bytes -= sum(group.size for group in taken)
        return taken

    def _take_all(self) -> list[_Group]:
        taken = list(self._waiting)
        self._waiting.clear()
        self._writes = self._bytes = 0
        return taken

    async def _commit(self, taken: Sequence[_Group]) -> None:
        try:
            outcomes = iter(await self._outcomes([write for group in taken for write in group.writes]))
        except asyncio.CancelledError:
            self._fail(taken)
            raise
        for group in taken:
            _settle(group, [next(outcomes) for _ in group.writes])

    async def _outcomes(self, writes: Sequence[AddressedWrite]) -> list[Outcome]:
        began = time.perf_counter()
        try:
            outcomes = await self._committed(writes)
        except DatabaseUnavailable as error:
            self._meter.failures += 1
            await self._note_lost(error)
            # Those behind too: a session's older write that is repeated later must not come after its newer one.
            self._fail(self._take_all())
            return [DatabaseUnavailable() for _ in writes]
        except Exception as error:  # noqa: BLE001 (whatever it was, somebody waits for the outcome)
            return await self._outcomes_apart(writes, error)
        self._meter.seconds.observe(time.perf_counter() - began)
        self._meter.batch.observe(len(writes))
        self._meter.refused += outcomes.count(None)
        self._note_reached()
        return [LeaseLost() if new_messages is None else new_messages for new_messages in outcomes]

    async def _outcomes_apart(self, writes: Sequence[AddressedWrite], error: Exception) -> list[Outcome]:
        """Try each write alone after a transaction that failed for what was in it: only the bad one shall fail."""
        if len(writes) == 1:
            refused = InvalidRequest("PostgreSQL refuses a value of this write.")
            return [refused if isinstance(error, psycopg.DataError) else error]
        outcomes: list[Outcome] = []
        for write in writes:
            if outcomes and isinstance(outcomes[-1], DatabaseUnavailable):
                outcomes.append(DatabaseUnavailable())
            else:
                outcomes += await self._outcomes([write])
        return outcomes

    async def _committed(self, writes: Sequence[AddressedWrite]) -> list[NewMessages | None]:
        batch = WriteBatch(writes, self._sealer)
        async with outages_translated():
            connection = await self._connected()
            return batch.outcomes(await connection.execute(batch.statement, batch.parameters))

    async def _connected(self) -> StatementConnection:
        # Better known before a write than by losing one.
        if self._connection is not None and not self._connection.is_quiet:
            await self._disconnect()
        if self._connection is None:
            self._connection = await self._prepared(await connected(self._url, self._name))
        return self._connection

    async def _prepared(self, connection: psycopg.AsyncConnection[Any]) -> StatementConnection:
        try:
            await connection.execute(_STEADY_PLANS)
            await self._end_predecessors(connection)
        except BaseException:
            await connection.close()
            raise
        return StatementConnection(connection)

    async def _end_predecessors(self, connection: psycopg.AsyncConnection[Any]) -> None:
        try:
            ended = await (await connection.execute(_END_PREDECESSORS, (self._name,))).fetchone()
        except psycopg.errors.InsufficientPrivilege as error:
            raise DatabaseUnavailable(_NOT_ENDED) from error
        if ended != (True,):
            raise DatabaseUnavailable(_NOT_ENDED)

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    def _fail(self, failed: Iterable[_Group]) -> None:
        for group in failed:
            _settle(group, [DatabaseUnavailable() for _ in group.writes])

    async def _note_lost(self, error: DatabaseUnavailable) -> None:
        """A new connection for the next write, whatever it was: after a failover the server that takes writes is another."""
        await self._disconnect()
        if not self._lost:
            cause = str(error.__cause__ or error).partition("\n")[0]
            log.warning(
                "the writer lost the database; writes are unknown until it is back", lane=self._name, cause=cause
            )
        self._lost = True

    def _note_reached(self) -> None:
        if self._lost:
            log.info("the writer has the database again", lane=self._name)
        self._lost = False


def _settle(group: _Group, outcomes: list[Outcome]) -> None:
    if not group.outcomes.done():  # else whoever waited for it has left
        group.outcomes.set_result(outcomes)


def _groups(writes: Sequence[AddressedWrite]) -> Iterator[_Group]:
    """The writes in their order, as few groups as fit into one transaction each."""
    new_future = asyncio.get_running_loop().create_future
    group = _Group([], 0, 0, new_future())
    for addressed in writes:
        rows, size = _measured(addressed[1])
        if group.writes and (group.rows + rows > BATCH_ROWS or group.size + size > BATCH_BYTES):
            yield group
            group = _Group([], 0, 0, new_future())
        group.writes.append(addressed)
        group.rows += rows
        group.size += size
    yield group


def _measured(write: AuthStateWrite) -> tuple[int, int]:
    """The rows that it writes and the bytes of their values."""
    rows = 1 + len(write.set_keys) + len(write.delete_keys)
    size = 0 if write.creds is None else len(write.creds)
    for value in write.set_keys.values():
        size += len(value)
    for messages in (write.sent_messages, write.incoming_messages):
        rows += len(messages)
        for value in messages.values():
            size += len(value)
    return rows, size
