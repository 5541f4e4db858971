from collections.abc import AsyncIterator

import pytest

from tests.support.serving import Serving, serving
from tests.support.waiting import eventually


@pytest.fixture
async def orchestrator(database_url: str) -> AsyncIterator[Serving]:
    """A running orchestrator that has reached its database; there is no sidecar."""
    async with serving(database_url) as served:

        async def started() -> bool:
            return (await served.call("GET", "/v1/sessions")).status == 200

        await eventually(started)
        yield served
