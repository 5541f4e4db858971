"""The admin token that is made at the very first start is shown once in the log, and can be taken once by who hands it over."""

from tests.support.serving import Serving, serving
from tests.support.waiting import eventually

TAKE = "/internal/v1/first-start/admin-token"


async def test_the_first_admin_token_is_shown_and_taken_once(database_url: str) -> None:
    async with serving(database_url, ADMIN_TOKEN="") as served:

        async def ready() -> bool:
            return (
                await served.internal("POST", TAKE, {}, token="0" * 64)
            ).status == 401 and "ADMIN_TOKEN=" in served.child.output

        await eventually(ready)

        async def answers() -> bool:
            return (await served.internal("POST", "/internal/v1/sidecar/hello", {"instance": "i"})).status == 200

        await eventually(answers)
        token = (await served.internal("POST", TAKE, {})).json["admin_token"]
        assert f"export ADMIN_TOKEN={token}\n" in served.child.output
        assert (await served.call("GET", "/v1/sessions", token=token)).status == 200
        assert (await served.internal("POST", TAKE, {})).json["admin_token"] is None
    async with serving(database_url, ADMIN_TOKEN="") as again:
        await eventually(lambda: _accepted(again, token))
        assert (await again.internal("POST", TAKE, {})).json["admin_token"] is None
        assert "export ADMIN_TOKEN=" not in again.child.output


async def _accepted(served: Serving, token: str) -> bool:
    return (await served.call("GET", "/v1/sessions", token=token)).status == 200
