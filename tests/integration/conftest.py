from collections.abc import AsyncIterator, Iterator

import pytest

from orchestrator.store.database import Database
from tests.support.postgres import fresh_database, migrated_database
from tests.support.tenants import add_tenants


@pytest.fixture
def database_url(postgres_server: str) -> Iterator[str]:
    """URL of a database of the test's own, with this version's tables."""
    with migrated_database(postgres_server) as url:
        yield url


@pytest.fixture
def empty_database_url(postgres_server: str) -> Iterator[str]:
    """URL of a database that no migration has seen."""
    with fresh_database(postgres_server) as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A migrated database of the test's own, with the tenants t, another, and "other tenant" beside the operator's."""
    database = Database(database_url)
    await database.open()
    await add_tenants(database, "t", "another", "other tenant")
    yield database
    await database.close()
