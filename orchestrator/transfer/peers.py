"""The auth tables of other stores for Baileys, as their releases make them; only read, in one snapshot.

========================  ==========================================================================================
postgres-baileys 1.5.0    ``auth_data (session_key, data text)``; session_key is ``SESSION:NAME``, creds ``auth_creds``
@rodrigogs/baileys-store  ``keyv (key, value text)`` of @keyv/postgres 2.2.3; key is ``NAMESPACE:SESSION:NAME``, value
2.0.0                     ``{"value": "<JSON>", "expires"}``, creds ``creds``
WAHA, NOWEB engine        ``waha_auth (session_id, key, value jsonb)``, creds ``creds``
Evolution API 2           ``"Session" ("sessionId", creds text)``: creds as JSON inside a JSON string. The signal keys
                          are not in PostgreSQL: a folder ``instances/ID`` has them, or a Redis hash
========================  ==========================================================================================

NAME is ``TYPE-ID``, verbatim.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import psycopg
from psycopg import sql

from orchestrator.domain.errors import AuthStateRefused
from orchestrator.domain.portable_state import PortableState
from orchestrator.transfer.key_names import of_file, split_name
from orchestrator.transfer.multi_file import CREDS_FILE, read_files
from orchestrator.transfer.values import portable_state

_CONNECT_SECONDS = 10


class Source(NamedTuple):
    """Where a session is in another store's database; None for its usual table or namespace."""

    url: str
    session: str
    table: str | None = None
    namespace: str | None = None


def postgres_baileys(source: Source) -> PortableState:
    statement = "SELECT session_key, data FROM {} WHERE starts_with(session_key, %s)"
    rows = _rows(source, "auth_data", statement, f"{source.session}:")
    return _state(rows, creds="auth_creds")


def keyv(source: Source) -> PortableState:
    namespace = "keyv" if source.namespace is None else source.namespace
    prefix = f"{namespace}:{source.session}:" if namespace else f"{source.session}:"
    rows = _rows(source, "keyv", "SELECT key, value FROM {} WHERE starts_with(key, %s)", prefix)
    return _state({name: _inside(name, text, "value") for name, text in rows.items()}, creds="creds")


def waha(source: Source) -> PortableState:
    rows = _rows(source, "waha_auth", "SELECT key, value FROM {} WHERE session_id = %s", source.session, prefixed=False)
    # PostgreSQL's own text of jsonb has spaces that Baileys wouldn't write.
    return _state({name: msgspec.json.encode(value) for name, value in rows.items()}, creds="creds")


def evolution(keys: Path, source: Source | None) -> PortableState:
    """``keys`` is the instance's folder, or a file with the Redis hash as ``redis-cli --json HGETALL`` prints it.

    The hash has the creds too with CACHE_REDIS_SAVE_INSTANCES; otherwise they are in PostgreSQL.
    """
    if not keys.is_dir():
        fields = _redis_hash(keys)
        creds = fields.pop("creds", None) or _evolution_creds(source)
        return portable_state(creds, {split_name(name): text for name, text in fields.items()})
    # An instance that once ran without PostgreSQL has old creds in its folder.
    files = {name: text for name, text in read_files(keys).items() if name != CREDS_FILE}
    return portable_state(_evolution_creds(source), {of_file(name): text for name, text in files.items()})


def _evolution_creds(source: Source | None) -> bytes:
    if source is None:
        raise AuthStateRefused("Evolution has the creds in PostgreSQL; give --source-url-env and --instance.")
    statement = """
        SELECT 'creds', s.creds FROM {} s
        WHERE s."sessionId" = %s OR s."sessionId" IN (SELECT id FROM "Instance" WHERE name = %s)
    """
    rows = _rows(source, "Session", statement, source.session, source.session, prefixed=False)
    if not rows or rows["creds"] is None:
        raise AuthStateRefused(f"Evolution's database has no creds of an instance {source.session!r}.")
    return _inside("creds", rows["creds"])


#: Formats that are nothing but a database.
DATABASES: Mapping[str, Callable[[Source], PortableState]] = {
    "postgres-baileys": postgres_baileys,
    "keyv": keyv,
    "waha": waha,
}


def _state(rows: Mapping[str, str | bytes], creds: str) -> PortableState:
    texts = {name: text.encode() if isinstance(text, str) else text for name, text in rows.items()}
    if creds not in texts:
        raise AuthStateRefused("The source has no creds of this session; check its name, the table and the namespace.")
    found = texts.pop(creds)
    return portable_state(found, {split_name(name): text for name, text in texts.items()})


def _rows(source: Source, table: str, statement: str, *parameters: str, prefixed: bool = True) -> dict[str, Any]:
    """Name and value of every row; the first parameter is cut off the names if it is their prefix."""
    identifier = sql.Identifier(*(source.table or table).split("."))
    cut = len(parameters[0]) if prefixed else 0
    with _connected(source.url) as connection:
        rows = connection.execute(sql.SQL(statement).format(identifier), parameters).fetchall()
    return {name[cut:]: value for name, value in rows}


@contextmanager
def _connected(url: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    try:
        with psycopg.connect(url, connect_timeout=_CONNECT_SECONDS) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            yield connection
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
        raise AuthStateRefused("The source's database has no such table, or one of another layout.") from error
    except psycopg.Error as error:
        # Without the cause's text: it may repeat the address, which has a password.
        raise AuthStateRefused(f"The source's database can't be read: {type(error).__name__}.") from error


def _inside(name: str, text: str, field: str | None = None) -> bytes:
    """The JSON text that is a string inside another JSON text."""
    try:
        outer = msgspec.json.decode(text)
        inner = outer[field] if field is not None else outer
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise AuthStateRefused(f"The value of {name[:80]!r} is not what its store writes; it is damaged.") from error
    return inner.encode() if isinstance(inner, str) else msgspec.json.encode(inner)


def _redis_hash(file: Path) -> dict[str, bytes]:
    try:
        fields = msgspec.json.decode(file.read_bytes(), type=dict[str, str])
    except OSError as error:
        raise AuthStateRefused(f"{file} can't be read: {error.strerror}.") from error
    except msgspec.DecodeError as error:
        raise AuthStateRefused(f"{file} is not what `redis-cli --json HGETALL` prints.") from error
    return {name: text.encode() for name, text in fields.items()}
