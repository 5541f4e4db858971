"""A real PostgreSQL for the tests: one server for the whole run, an empty database for each test."""

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from orchestrator.launcher.embedded_postgres import EmbeddedPostgres
from orchestrator.store.migration import migrate


@contextlib.contextmanager
def short_folder(prefix: str = "bo") -> Iterator[Path]:
    """A temporary folder whose name leaves room for sockets (pytest's own don't); other accounts may pass through."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def server_url() -> Iterator[str]:
    """The URL of a server whose user may make databases: TEST_DATABASE_URL, else an embedded PostgreSQL of our own."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield given
        if given in _templates:
            _drop(given, _templates.pop(given))
        return
    with short_folder("pg") as folder:
        server = EmbeddedPostgres(folder)
        server.prepare()
        with server.running(log=folder / "log"):
            yield server.url


#: By server: the database of which migrated ones are copies.
_templates: dict[str, str] = {}


@contextlib.contextmanager
def fresh_database(server: str, template: str = "template1") -> Iterator[str]:
    """The URL of an empty database on the server, for as long as it is needed."""
    name = f"test_{uuid.uuid4().hex}"
    _create(server, name, template)
    try:
        yield _url(server, name)
    finally:
        _drop(server, name)


def migrated_database(server: str) -> contextlib.AbstractContextManager[str]:
    """The same with this version's tables in it: a copy of one that was migrated, which takes a second."""
    if server not in _templates:
        name = f"test_template_{uuid.uuid4().hex}"
        _create(server, name, "template1")
        migrate(_url(server, name))
        _templates[server] = name
    return fresh_database(server, _templates[server])


def _create(server: str, name: str, template: str) -> None:
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement)


def _drop(server: str, name: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _url(server: str, name: str) -> str:
    return urlunsplit(urlsplit(server)._replace(path=f"/{name}"))


@contextlib.contextmanager
def out_of_reach(server: str, database_url: str) -> Iterator[None]:
    """An outage of one database: its connections end, and it takes no new ones."""
    name = urlsplit(database_url).path.removeprefix("/")
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(allow(sql.Identifier(name), sql.Literal(False)))
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        try:
            yield
        finally:
            connection.execute(allow(sql.Identifier(name), sql.Literal(True)))
