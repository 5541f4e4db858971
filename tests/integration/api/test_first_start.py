"""The admin token that is made at the very first start is shown once in the log, and can be taken once, as the bot does."""

import re

from tests.support.serving import Serving, serving
from tests.support.waiting import eventually

TAKE = "/v1/bot/first-token"


async def test_the_first_admin_token_is_shown_and_taken_once(database_url: str) -> None:
    async with serving(database_url, ADMIN_TOKEN="") as served:

        async def shown() -> str | None:
            found = re.search(r"export ADMIN_TOKEN=(\S+)\n", served.child.output)
            return None if found is None else found[1]

        token = await eventually(shown) or ""
        await eventually(lambda: _accepted(served, token))
        assert (await served.call("POST", TAKE, token=None)).status == 401
        assert (await served.call("POST", TAKE, token=token)).json["admin_token"] == token
        assert (await served.call("POST", TAKE, token=token)).json["admin_token"] is None
    async with serving(database_url, ADMIN_TOKEN="") as again:
        await eventually(lambda: _accepted(again, token))
        assert (await again.call("POST", TAKE, token=token)).json["admin_token"] is None
        assert "export ADMIN_TOKEN=" not in again.child.output


async def _accepted(served: Serving, token: str) -> bool:
    return (await served.call("GET", "/v1/sessions", token=token)).status == 200
