from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg.types.json import Jsonb

from orchestrator.domain.errors import DatabaseUnavailable
from orchestrator.store.database import SCHEMA_VERSION, Database, sqlalchemy_url
from orchestrator.store.migration import migrate
from orchestrator.store.tables import metadata
from tests.support.own_server import own_server
from tests.support.postgres import fresh_database


async def test_the_tables_are_what_the_migrations_make(database: Database, database_url: str) -> None:
    engine = sa.create_engine(sqlalchemy_url(database_url))
    with engine.connect() as connection:
        partitions = set(connection.scalars(sa.text("SELECT relname::text FROM pg_class WHERE relispartition")))
        options = {
            "compare_type": True,
            "compare_server_default": True,
            "include_name": lambda name, type_, parents: (
                parents.get("table_name") not in partitions and name not in partitions
            ),
        }
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_the_schema_version_is_the_newest_revision() -> None:
    assert ScriptDirectory("alembic").get_current_head() == SCHEMA_VERSION


async def test_a_second_migration_finds_nothing_to_do(database: Database, database_url: str) -> None:
    migrate(database_url)


async def test_a_first_start_is_no_error_in_the_log_of_the_server(short_path: Path) -> None:
    """Who starts it on a laptop for the first time reads it."""
    with own_server(short_path / "pg") as server:
        database = Database(server.url)
        await database.open()
        await database.migrate()
        await database.close()
    assert "ERROR" not in (short_path / "pg" / "log").read_text()


async def test_the_schema_of_a_newer_version_is_worked_with_and_left_alone_if_it_says_that_it_works(
    database: Database,
) -> None:
    async with database.begin() as connection:
        await connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    await database.migrate()
    async with database.begin() as connection:
        assert (await connection.execute(sa.text("SELECT version_num FROM alembic_version"))).scalar_one() == "9999"


async def test_the_schema_of_a_newer_version_is_refused_and_left_alone(database: Database) -> None:
    async with database.begin() as connection:
        await connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        await connection.execute(sa.text("UPDATE schema_compatibility SET works_since = '9999'"))
    with pytest.raises(DatabaseUnavailable, match="schema of a newer version"):
        await database.migrate()
    async with database.begin() as connection:
        assert (await connection.execute(sa.text("SELECT version_num FROM alembic_version"))).scalar_one() == "9999"


def test_what_the_bot_kept_to_itself_of_alerts_and_of_a_broadcast_is_there_for_all(postgres_server: str) -> None:
    with fresh_database(postgres_server) as url:
        migrate(url, "0016")
        broadcast = {"text": "Hello", "message_id": 7, "after": 5, "total": 9, "done": 4, "failed": 1}
        with psycopg.connect(url) as connection:
            insert = "INSERT INTO bot_documents (name, value) VALUES (%s, %s)"
            connection.execute(insert, ("operator", Jsonb({"muted": ["conflict", "memory"], "notices_after": 3})))
            connection.execute(insert, ("broadcast", Jsonb(broadcast)))
        migrate(url)
        with psycopg.connect(url) as connection:
            kinds = connection.execute("SELECT kind FROM muted_alerts ORDER BY kind").fetchall()
            kept = connection.execute("SELECT text, recipients, told, failed, after_chat, ended_at FROM broadcasts")
            assert kinds == [("conflict",), ("memory",)]
            assert kept.fetchall() == [("Hello", 9, 4, 1, 5, None)]


def test_a_bot_that_muted_nothing_and_tells_nothing_has_nothing_to_hand_over(postgres_server: str) -> None:
    with fresh_database(postgres_server) as url:
        migrate(url, "0016")
        with psycopg.connect(url) as connection:
            insert = "INSERT INTO bot_documents (name, value) VALUES ('operator', %s), ('broadcast', %s)"
            connection.execute(insert, (Jsonb({"dashboard": None}), Jsonb({"text": "", "after": None, "total": 0})))
        migrate(url)
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT FROM muted_alerts").fetchall() == []
            assert connection.execute("SELECT FROM broadcasts").fetchall() == []
