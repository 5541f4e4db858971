"""A process of its own: the admin token of the very first start, and programs that come all at once."""

import asyncio
import contextlib
import os
import re
import signal

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


async def test_programs_that_come_all_at_once_wait_in_line_while_the_process_is_busy(database_url: str) -> None:
    """Whoever finds the line full is turned away without a word, and tries again after 1, 3 and 7 s."""
    async with serving(database_url) as served, contextlib.AsyncExitStack() as stack:
        await served.started()
        os.kill(served.child.pid, signal.SIGSTOP)
        try:
            async with asyncio.timeout(15):
                for _ in range(500):
                    _, writer = await asyncio.open_connection("127.0.0.1", served.port)
                    stack.callback(writer.close)
        finally:
            os.kill(served.child.pid, signal.SIGCONT)


async def _accepted(served: Serving, token: str) -> bool:
    return (await served.call("GET", "/v1/sessions", token=token)).status == 200
