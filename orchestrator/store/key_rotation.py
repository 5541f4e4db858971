"""Sealing anew under the first key: every stored value that another key sealed, or none, while sessions run.

A batch is read, sealed in this process, and written back where the old bytes still stand. It skips rows that a writer has
locked, so it never waits for one and no deadlock can arise; what a writer puts there is sealed with its own first key.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.domain.errors import AuthStateCorrupt
from orchestrator.store.database import Database
from orchestrator.store.sealing import KEY_ID_OF, Sealer, place_of

#: Rows whose locks a writer may have to wait for, for as long as one commit takes.
BATCH = 200
#: Bytes of their values; sender keys of large groups have hundreds of kilobytes each. A row that has more goes alone.
_BATCH_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class SealedTable:
    """A column of sealed values. ``key`` is its table's primary key with the types; the rest but ``whose`` is SQL for the place.

    ``whose`` joins what has the tenant.
    """

    name: str
    value: str
    key: tuple[tuple[str, str], ...]
    kind: str
    name_in_place: str
    generation: str = "t.generation"
    session: str = "t.session_ref"
    tenant: str = "s.tenant_id"
    whose: str = "JOIN sessions s USING (session_ref)"

    @property
    def columns(self) -> list[str]:
        return [column for column, _ in self.key]


_SESSION: Final = ("session_ref", "bigint")

_OUTBOX: Final = (_SESSION, ("message_id", "text"))

TABLES: Final = (
    SealedTable("creds", "value", (_SESSION, ("generation", "integer")), "'creds'", "''"),
    SealedTable(
        "signal_keys",
        "value",
        (_SESSION, ("generation", "integer"), ("key_type", "text"), ("key_id", "text")),
        "t.key_type",
        "t.key_id",
    ),
    SealedTable("sent_messages", "message", (_SESSION, ("message_id", "text")), "'sent-message'", "t.message_id"),
    SealedTable(
        "incoming_messages", "event", (_SESSION, ("message_key", "text")), "'incoming-message'", "t.message_key"
    ),
    SealedTable("outbox_messages", "recipient", _OUTBOX, "'outbox-recipient'", "t.message_id", generation="0"),
    SealedTable("outbox_messages", "body", _OUTBOX, "'outbox-body'", "t.message_id", generation="0"),
    SealedTable(
        "outbox_files",
        "content",
        (*_OUTBOX, ("part", "integer")),
        "'outbox-file'",
        "t.message_id || ' ' || t.part",
        generation="0",
    ),
    SealedTable("stored_events", "data", (("number", "bigint"),), "'event'", "t.event_id", generation="0"),
    SealedTable("webhook_deliveries", "payload", (("number", "bigint"),), "'event'", "t.event_id", generation="0"),
    SealedTable(
        "webhooks",
        "config",
        (("webhook_id", "text"),),
        "'webhook'",
        "t.webhook_id",
        generation="0",
        session="0",
        tenant="t.tenant_id",
        whose="",
    ),
    SealedTable("kept_messages", "event", (_SESSION, ("message_key", "text")), "'incoming-message'", "t.message_key"),
    SealedTable("session_settings", "settings", (_SESSION,), "'settings'", "''", generation="0"),
    SealedTable(
        "directory",
        "value",
        (_SESSION, ("generation", "integer"), ("kind", "text"), ("entry_id", "text")),
        "'directory-' || t.kind",
        "t.entry_id",
    ),
)


@dataclass(frozen=True, slots=True)
class Batch:
    """What was done with some rows; ``last`` is where the next batch goes on, None when there were none."""

    sealed: int
    unreadable: int
    last: tuple[Any, ...] | None


class KeyRotationStore:
    """Every method raises ``DatabaseUnavailable``; what was sealed anew until then stays so."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def count(self, table: SealedTable) -> dict[bytes | None, int]:
        """The number of values under each key, by its id; None is for plain ones."""
        key_id = KEY_ID_OF.format(value=table.value)
        async with self._database.whole_transaction(snapshot=True) as connection:
            statement = f"SELECT {key_id}, count(*) FROM {table.name} WHERE {table.value} IS NOT NULL GROUP BY 1"  # noqa: S608 (names of our own)
            rows = await (await connection.execute(statement.encode(), binary=True)).fetchall()
        return {None if key is None else bytes(key): number for key, number in rows}

    async def seal_batch(self, table: SealedTable, after: tuple[Any, ...] | None) -> Batch:
        """Seal the next values anew whose key isn't the first, beyond the primary key ``after``."""
        parameters: dict[str, Any] = {"first": self._sealer.key_ids[0]}
        if after:
            parameters |= dict(zip(table.columns, after, strict=True))
        async with self._database.driver() as connection:
            rows = await (await connection.execute(_get(table, bool(after)), parameters, binary=True)).fetchall()
            width = len(table.key)
            anew = []
            for row in rows:
                value, tenant_id, session_ref, generation, kind, name, _ = row[width:]
                place = place_of(tenant_id, session_ref, generation, kind, name)
                try:
                    anew.append((*row[:width], value, self._sealer.seal(self._sealer.open(value, place), place)))
                except AuthStateCorrupt:
                    continue
            written = await connection.execute(_put(table), _columns(anew, table)) if anew else None
        last = tuple(rows[-1][:width]) if rows else None
        return Batch(written.rowcount if written else 0, len(rows) - len(anew), last)


def _get(table: SealedTable, beyond: bool) -> bytes:
    columns = ", ".join(table.columns)
    key = ", ".join(f"t.{column}" for column in table.columns)
    last_key = ", ".join(f"%({column})s::{type_}" for column, type_ in table.key)
    # Not behind an OR that is for the beginning, too: the index would lead past all that is done, row for row, every time.
    only_beyond = f"AND ({key}) > ({last_key})" if beyond else ""
    return f"""
        SELECT * FROM (
            SELECT b.*, sum(octet_length(b.value)) OVER (ORDER BY {columns}) - octet_length(b.value) AS bytes_before
            FROM (
                SELECT {key}, t.{table.value} AS value,
                       {table.tenant} AS tenant_in_place, {table.session} AS session_in_place,
                       {table.generation} AS generation_in_place, {table.kind} AS kind_in_place, {table.name_in_place} AS name_in_place
                FROM {table.name} t {table.whose}
                WHERE t.{table.value} IS NOT NULL AND ({KEY_ID_OF.format(value="t." + table.value)}) IS DISTINCT FROM %(first)s {only_beyond}
                ORDER BY {key} LIMIT {BATCH}
            ) b
        ) r
        WHERE bytes_before < {_BATCH_BYTES} ORDER BY {columns}
    """.encode()  # noqa: S608 (names of our own)


def _put(table: SealedTable) -> bytes:
    arrays = ", ".join(f"%({column})s::{type_}[]" for column, type_ in table.key)
    same = " AND ".join(f"t.{column} = v.{column}" for column in table.columns)
    columns = ", ".join(table.columns)
    own = ", ".join(f"t.{column}" for column in table.columns)
    return f"""
        WITH free AS (
            SELECT {own}, v.sealed_anew
            FROM {table.name} t
            JOIN unnest({arrays}, %(old)b::bytea[], %(new)b::bytea[]) AS v ({columns}, old, sealed_anew) ON {same}
            WHERE t.{table.value} = v.old
            ORDER BY {own}
            FOR UPDATE OF t SKIP LOCKED
        )
        UPDATE {table.name} t SET {table.value} = v.sealed_anew FROM free v WHERE {same}
    """.encode()  # noqa: S608 (names of our own)


def _columns(rows: Collection[tuple[Any, ...]], table: SealedTable) -> dict[str, list[Any]]:
    names = [*table.columns, "old", "new"]
    return {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
