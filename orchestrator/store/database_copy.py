"""The whole database, copied out in one snapshot and into an empty one in one transaction.

Nothing here names the tables: what a later version adds is in the copy as well. Left out is what is worth nothing
elsewhere: which replicas live, and the jobs that only wake whoever looks at the tables.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql

from orchestrator import VERSION
from orchestrator.domain.database_copy import Beginning, CopiedTable, Ending, Part, Rows
from orchestrator.domain.errors import BackupRefused, DatabaseUnavailable

_Connection = psycopg.AsyncConnection[tuple[Any, ...]]

_TABLES = """
    SELECT c.oid, c.relname, array_agg(a.attname::text ORDER BY a.attnum)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
    WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND NOT c.relispartition
      AND c.relname NOT IN ('alembic_version', 'schema_compatibility', 'replicas') AND c.relname NOT LIKE 'procrastinate%%'
    GROUP BY c.oid, c.relname
    ORDER BY c.relname
"""

_REFERENCES = "SELECT DISTINCT conrelid, confrelid FROM pg_constraint WHERE contype = 'f' AND conrelid <> confrelid"

_SEQUENCES = """
    SELECT sequencename, last_value FROM pg_sequences
    WHERE schemaname = current_schema() AND last_value IS NOT NULL AND sequencename NOT LIKE 'procrastinate%%'
"""

_NO_LIMITS = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET lock_timeout = '10s'"

_ALIVE = "SELECT count(*) FROM replicas WHERE renewed_at > now() - make_interval(secs => ttl_seconds)"

# Nobody runs anything here yet, and whoever will has a higher epoch than anybody had when the copy was made.
_FREE_LEASES = "UPDATE leases SET owner = NULL, expires_at = NULL, recovered_epoch = NULL, epoch = epoch + 1"

# What has been sent to groups since the copy was made went out under later numbers of these keys: to use the copied ones
# would be to use numbers twice. Without them Baileys makes new ones and hands them out before it sends.
_FORGET_OWN_SENDER_KEYS = """
    DELETE FROM signal_keys k USING generations g
    WHERE k.session_ref = g.session_ref AND k.generation = g.generation
      AND (k.key_type = 'sender-key-memory' OR (k.key_type = 'sender-key' AND
           regexp_replace(split_part(k.key_id, '::', 2), '_[0-9]+$', '') IN (
               split_part(split_part(g.account_jid, '@', 1), ':', 1), split_part(split_part(g.account_lid, '@', 1), ':', 1))))
"""


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[_Connection]:
    """A connection for as long as it takes: a large database is copied for minutes."""
    try:
        async with await psycopg.AsyncConnection.connect(url, application_name="orchestrator backup") as connection:
            await connection.execute(_NO_LIMITS)
            await connection.commit()
            yield connection
    except (psycopg.OperationalError, psycopg.InterfaceError, OSError) as error:
        raise DatabaseUnavailable from error


async def copied_out(url: str) -> AsyncIterator[Part]:
    """The parts of a copy, all of them as the database was at one moment; it is only read."""
    async with _connected(url) as connection:
        await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        await connection.set_read_only(True)
        version = await (await connection.execute("SELECT version_num FROM alembic_version")).fetchone()
        tables = await _tables(connection)
        yield Beginning(str(version[0]) if version else "", VERSION, datetime.now(UTC), tuple(tables))
        rows: dict[str, int] = {}
        for table in tables:
            rows[table.name] = 0
            async with connection.cursor() as cursor, cursor.copy(_copy_out(table)) as copy:
                async for text in copy:
                    part = Rows(table.name, bytes(text))
                    rows[table.name] += part.number
                    yield part
        found = await (await connection.execute(_SEQUENCES)).fetchall()
        yield Ending(rows, {str(name): int(value) for name, value in found})


async def require_empty(url: str) -> None:
    """``BackupRefused`` if there are sessions or tenants' tokens in the database, or if somebody works on it."""
    async with _connected(url) as connection:
        names = {table.name for table in await _tables(connection)}
        if "sessions" not in names:
            if names:
                raise BackupRefused("The database has other tables in it; give an empty one.")
            return
        row = await (await connection.execute("SELECT count(*) FROM sessions")).fetchone()
        if row is not None and row[0]:
            raise BackupRefused(
                f"There are {row[0]} sessions in the database; nothing is overwritten, give an empty one."
            )
        row = await (await connection.execute(_ALIVE)).fetchone()
        if row is not None and row[0]:
            raise BackupRefused("The service runs on this database; stop it first.")


async def copy_in(url: str, beginning: Beginning, parts: AsyncIterator[Part], *, stopped: bool) -> Ending:
    """Write everything after ``beginning`` in one transaction; the schema must have its version already.

    ``stopped``: no session is wanted running. Raises ``BackupRefused`` if anything is missing, and nothing was written.
    """
    async with _connected(url) as connection:
        await connection.execute(
            sql.SQL("TRUNCATE {}").format(sql.SQL(", ").join(sql.Identifier(t.name) for t in beginning.tables))
        )
        ending, written = await _rows_written(connection, {t.name: t for t in beginning.tables}, parts)
        if ending is None or dict(ending.rows) != written:
            raise BackupRefused("The backup doesn't have the rows that it should have; it is damaged.")
        for name, value in ending.sequences.items():
            await connection.execute("SELECT setval(quote_ident(%s)::regclass, %s)", (name, value))
        await connection.execute(_FREE_LEASES)
        await connection.execute(_FORGET_OWN_SENDER_KEYS)
        if stopped:
            await connection.execute("UPDATE sessions SET desired_state = 'stopped', connection_state = 'stopped'")
        await connection.commit()
        await connection.execute("ANALYZE")
        return ending


async def _rows_written(
    connection: _Connection, tables: Mapping[str, CopiedTable], parts: AsyncIterator[Part]
) -> tuple[Ending | None, dict[str, int]]:
    written = dict.fromkeys(tables, 0)
    part: Part | None = await anext(parts, None)
    while isinstance(part, Rows):
        table = tables.get(part.table)
        if table is None:
            raise BackupRefused("The backup has rows of a table that it doesn't name; it is damaged.")
        name = sql.Identifier(table.name)
        await connection.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER USER").format(name))
        try:
            async with connection.cursor() as cursor, cursor.copy(_copy_in(table)) as copy:
                while isinstance(part, Rows) and part.table == table.name:
                    await copy.write(part.text)
                    written[table.name] += part.number
                    part = await anext(parts, None)
        except (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError) as error:
            raise BackupRefused(f"PostgreSQL refuses rows of {table.name}: {error.diag.message_primary}") from error
        await connection.execute(sql.SQL("ALTER TABLE {} ENABLE TRIGGER USER").format(name))
    ending = part if isinstance(part, Ending) else None
    if ending is not None and await anext(parts, None) is not None:
        raise BackupRefused("The backup goes on behind its end; it is damaged.")
    return ending, written


async def _tables(connection: _Connection) -> list[CopiedTable]:
    """All tables, each after those that it refers to."""
    found = {
        oid: CopiedTable(name, tuple(columns))
        for oid, name, columns in await (await connection.execute(_TABLES)).fetchall()
    }
    needs: dict[int, set[int]] = {oid: set() for oid in found}
    for table, referred in await (await connection.execute(_REFERENCES)).fetchall():
        if table in needs and referred in needs:
            needs[table].add(referred)
    ordered: list[CopiedTable] = []
    while needs:
        free = [oid for oid, needed in needs.items() if not needed & needs.keys()]
        if not free:
            names = ", ".join(found[oid].name for oid in needs)
            raise BackupRefused(f"These tables refer to one another in a circle, which a copy can't follow: {names}")
        for oid in free:
            ordered.append(found[oid])
            del needs[oid]
    return ordered


def _copy_out(table: CopiedTable) -> sql.Composed:
    return sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT").format(_columns(table), sql.Identifier(table.name))


def _copy_in(table: CopiedTable) -> sql.Composed:
    return sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table.name), _columns(table))


def _columns(table: CopiedTable) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, table.columns))
