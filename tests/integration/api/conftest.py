from collections.abc import AsyncIterator

import pytest_asyncio

from tests.support.postgres import fresh_database
from tests.support.serving import Serving, serving
from tests.support.waiting import eventually


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def orchestrator(postgres_server: str) -> AsyncIterator[Serving]:
    """A running orchestrator that has reached its database; there is no sidecar. The module's tests share it."""
    with fresh_database(postgres_server) as database_url:
        async with serving(database_url) as served:

            async def started() -> bool:
                return (await served.call("GET", "/v1/sessions")).status == 200

            await eventually(started)
            yield served
