from collections.abc import AsyncIterator

import pytest

from orchestrator.store.database import Database


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A migrated database of the test's own."""
    database = Database(database_url)
    await database.open()
    await database.migrate()
    yield database
    await database.close()
