import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from orchestrator.store.database import Database, migrate, sqlalchemy_url
from orchestrator.store.tables import metadata


async def test_the_tables_are_what_the_migrations_make(database: Database, database_url: str) -> None:
    engine = sa.create_engine(sqlalchemy_url(database_url))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


async def test_a_second_migration_finds_nothing_to_do(database: Database, database_url: str) -> None:
    migrate(database_url)
