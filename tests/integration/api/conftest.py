import ipaddress
from collections.abc import AsyncIterator

import pytest_asyncio

from tests.support.postgres import migrated_database
from tests.support.public_api import PublicApi, public_api
from tests.support.serving import Serving, serving
from tests.support.waiting import eventually


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def orchestrator(postgres_server: str) -> AsyncIterator[Serving]:
    """A running orchestrator that has reached its database; there is no sidecar. The module's tests share it."""
    with migrated_database(postgres_server) as database_url:
        async with serving(database_url, FAILED_LOGINS_PER_MINUTE="1000000") as served:

            async def started() -> bool:
                return (await served.call("GET", "/v1/sessions")).status == 200

            await eventually(started)
            yield served


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_api(postgres_server: str) -> AsyncIterator[PublicApi]:
    """The public API on a database of the module's own, in this process. Rates are beyond what tests reach by themselves."""
    with migrated_database(postgres_server) as database_url:
        plenty = 1_000_000
        async with public_api(
            database_url,
            requests_per_minute=plenty,
            failed_logins_per_minute=plenty,
            outbound_allowed_networks=(ipaddress.ip_network("127.0.0.0/8"),),
        ) as api:
            yield api
