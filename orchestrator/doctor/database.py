"""PostgreSQL: is it there, is it fast, may we, and does anything in between break what we need?"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import psycopg

from orchestrator.doctor.finding import Finding, fail, ok, warn
from orchestrator.store.database import SCHEMA_VERSION, schema_version, works_since

_OLDEST = 15
_ROUNDS = 15
_SLOW_QUERY_MS = 10.0
_SLOW_COMMIT_MS = 25.0
_SKEW_SECONDS = 2.0
_NOTIFY_SECONDS = 3.0
_CONNECT_SECONDS = 8
#: docs/scale.md: two pools, one of which may grow, two writers, the heartbeat.
_CONNECTIONS = 13

_Connection = psycopg.AsyncConnection[tuple[Any, ...]]


async def examine(url: str) -> list[Finding]:
    try:
        first = await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=_CONNECT_SECONDS)
    except (psycopg.Error, OSError) as error:
        return [fail("database", "database_unreachable", reason=_reason(error))]
    async with first:
        findings = [await _version(first)]
        for name, check in _CHECKS:
            try:
                findings.append(await check(first, url))
            except (psycopg.Error, OSError, TimeoutError) as error:
                findings.append(fail(f"database.{name}", "check_failed", reason=_reason(error)))
        return findings


async def wanted_sessions(url: str) -> int:
    """How many sessions should run; 0 if that can't be known."""
    try:
        async with await psycopg.AsyncConnection.connect(url, connect_timeout=_CONNECT_SECONDS) as connection:
            number: int = await _value(
                connection, "SELECT count(*) FROM sessions WHERE desired_state = 'running' AND deleted_at IS NULL"
            )
            return number
    except (psycopg.Error, OSError):
        return 0


async def _version(connection: _Connection) -> Finding:
    shown = str(await _value(connection, "SHOW server_version")).partition(" ")[0]
    if connection.info.server_version < _OLDEST * 10_000:
        return fail("database", "database_old", version=shown)
    if await _value(connection, "SHOW transaction_read_only") == "on":
        return fail("database", "database_read_only")
    return ok("database", "database_reached", version=shown)


async def _latency(connection: _Connection, _url: str) -> Finding:
    milliseconds = await _median(lambda: connection.execute("SELECT 1"))
    good = milliseconds < _SLOW_QUERY_MS
    finding, text = (ok, "database_fast") if good else (warn, "database_slow")
    return finding("database.latency", text, milliseconds=milliseconds)


async def _commit(connection: _Connection, _url: str) -> Finding:
    """A transaction that writes to the log and to no table."""
    milliseconds = await _median(
        lambda: connection.execute("SELECT pg_logical_emit_message(true, 'doctor', 'how long does a commit take?')")
    )
    good = milliseconds < _SLOW_COMMIT_MS
    finding, text = (ok, "commit_fast") if good else (warn, "commit_slow")
    return finding("database.commit", text, milliseconds=milliseconds)


async def _rights(connection: _Connection, _url: str) -> Finding:
    row = await (
        await connection.execute(
            "SELECT current_user, coalesce(current_schema(), 'public'),"
            " current_schema() IS NOT NULL AND has_schema_privilege(current_schema(), 'CREATE'),"
            " current_schema() IS NOT NULL AND has_schema_privilege(current_schema(), 'USAGE'),"
            " coalesce((SELECT bool_and(pg_has_role(c.relowner, 'USAGE')) FROM pg_class c"
            "  WHERE c.relnamespace = to_regnamespace(current_schema()) AND c.relkind IN ('r', 'p')), true),"
            " to_regnamespace('procrastinate') IS NOT NULL OR has_database_privilege(current_database(), 'CREATE')"
        )
    ).fetchone()
    assert row is not None
    role, schema, may_create, may_use, owns, jobs = row
    named = (
        (may_use, f"use the schema {schema} (USAGE)"),
        (may_create, f"make tables in the schema {schema} (CREATE)"),
        (jobs, "make the schema procrastinate for its jobs (CREATE on the database)"),
        (owns, f"change the tables that are in the schema {schema}, because another role owns them"),
    )
    missing = [what for allowed, what in named if not allowed]
    if missing:
        return fail("database.rights", "rights_missing", role=role, missing="; ".join(missing))
    return ok("database.rights", "rights_enough", role=role, schema=schema)


async def _session(connection: _Connection, url: str) -> Finding:
    """A pooler in transaction mode gives whoever asks next the session that another has just used."""
    async with await psycopg.AsyncConnection.connect(url, connect_timeout=_CONNECT_SECONDS) as other:
        before = await _value(connection, "SELECT pg_backend_pid()")
        held = await _value(other, "SELECT pg_backend_pid()")  # in a transaction that stays open meanwhile
        after = await _value(connection, "SELECT pg_backend_pid()")
        await other.rollback()
    if before != after or held in (before, after):
        return fail("database.session", "pooler_transaction")
    return await _listening(connection, url)


async def _listening(connection: _Connection, url: str) -> Finding:
    await connection.execute("LISTEN baileys_orchestrator_doctor")
    try:
        async with await psycopg.AsyncConnection.connect(
            url, autocommit=True, connect_timeout=_CONNECT_SECONDS
        ) as other:
            await other.execute("NOTIFY baileys_orchestrator_doctor")
        async for _ in connection.notifies(timeout=_NOTIFY_SECONDS, stop_after=1):
            return ok("database.session", "pooler_none")
    finally:
        await connection.execute("UNLISTEN baileys_orchestrator_doctor")
    return fail("database.session", "listen_deaf", seconds=_NOTIFY_SECONDS)


async def _clock(connection: _Connection, _url: str) -> Finding:
    before = datetime.now(UTC)
    there: datetime = await _value(connection, "SELECT clock_timestamp()")
    after = datetime.now(UTC)
    seconds = abs((there - before - (after - before) / 2).total_seconds())
    if seconds > _SKEW_SECONDS:
        return warn("database.clock", "clock_wrong", seconds=seconds)
    return ok("database.clock", "clock_right", seconds=seconds)


async def _schema(connection: _Connection, _url: str) -> Finding:
    version = await schema_version(connection)
    if version is None:
        return ok("database.schema", "schema_absent")
    if version > SCHEMA_VERSION:
        if await works_since(connection) <= SCHEMA_VERSION:
            return ok("database.schema", "schema_newer_works", version=version)
        return fail("database.schema", "schema_newer", version=version)
    if version < SCHEMA_VERSION:
        return ok("database.schema", "schema_older", version=version, newest=SCHEMA_VERSION)
    return ok("database.schema", "schema_current", version=version)


async def _connections(connection: _Connection, _url: str) -> Finding:
    most = int(await _value(connection, "SHOW max_connections"))
    reserved = int(await _value(connection, "SHOW superuser_reserved_connections"))
    used = int(
        await _value(
            connection,
            "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            " AND application_name NOT LIKE 'orchestrator%' AND application_name NOT LIKE 'writer %'",
        )
    )
    free = most - reserved - used
    finding, text = (warn, "connections_few") if free < _CONNECTIONS else (ok, "connections_enough")
    return finding("database.connections", text, free=free, most=most, needed=_CONNECTIONS)


_CHECKS: tuple[tuple[str, Callable[[_Connection, str], Awaitable[Finding]]], ...] = (
    ("session", _session),
    ("rights", _rights),
    ("schema", _schema),
    ("latency", _latency),
    ("commit", _commit),
    ("clock", _clock),
    ("connections", _connections),
)


async def _value(connection: _Connection, query: str) -> Any:
    row = await (await connection.execute(query)).fetchone()
    return None if row is None else row[0]


async def _median(query: Callable[[], Awaitable[object]]) -> float:
    """Milliseconds."""
    taken = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        async with asyncio.timeout(_CONNECT_SECONDS):
            await query()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


def _reason(error: BaseException) -> str:
    """The first line, without the address: libpq names the host, and never a password."""
    return (str(error).strip().partition("\n")[0] or type(error).__name__).rstrip(".")
