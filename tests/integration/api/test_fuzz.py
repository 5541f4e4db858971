"""A bounded run of schemathesis over the whole OpenAPI document; `make fuzz` is a long one."""

from collections.abc import AsyncIterator

import pytest

from tests.fuzz.run import WAITING, fuzz, target
from tests.support.serving import Serving


@pytest.fixture
async def served(database_url: str) -> AsyncIterator[Serving]:
    async with target(database_url) as served:
        yield served


@pytest.mark.timeout(300)
async def test_no_request_leads_to_a_fault_or_to_an_answer_that_is_not_documented(served: Serving) -> None:
    outcome = await fuzz(served, examples=3, phases="fuzzing", seed=1, without=WAITING)
    assert outcome.code == 0, outcome.output[-20_000:]
    assert "request failed" not in served.child.output
