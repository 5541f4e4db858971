from collections.abc import AsyncIterator

import pytest

from orchestrator.store.database import Database
from tests.support.tenants import add_tenants


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A migrated database of the test's own, with the tenants t, another, and "other tenant" beside the operator's."""
    database = Database(database_url)
    await database.open()
    await database.migrate()
    await add_tenants(database, "t", "another", "other tenant")
    yield database
    await database.close()
