"""What only the operator sees, and what the bot asks for itself."""

import pytest
import pytest_asyncio

from orchestrator.store.bot import BotStore
from tests.support.public_api import PublicApi

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def tenants(shared_api: PublicApi) -> None:
    for tenant in ("acme", "zeta"):
        token = await shared_api.tenant(tenant)
        for session in ("loja-1", "loja_2"):
            made = await shared_api.call("POST", "/v1/sessions", {"session_id": session}, token=token)
            assert made.status == 201


async def test_the_operator_sees_all_sessions_page_by_page(shared_api: PublicApi) -> None:
    first = (await shared_api.call("GET", "/v1/overview/sessions?limit=3")).json
    second = (await shared_api.call("GET", f"/v1/overview/sessions?limit=3&cursor={first['next_cursor']}")).json
    found = [(s["tenant_id"], s["session_id"]) for s in first["sessions"] + second["sessions"]]
    assert found == [("acme", "loja-1"), ("acme", "loja_2"), ("zeta", "loja-1"), ("zeta", "loja_2")]


@pytest.mark.parametrize(
    ("query", "number"),
    [("search=ACM", 2), ("search=a_2", 2), ("search=%25", 0), ("states=starting", 4), ("states=open,conflict", 0)],
)
async def test_sessions_are_found_by_a_part_of_their_name_or_by_state(
    shared_api: PublicApi, query: str, number: int
) -> None:
    assert len((await shared_api.call("GET", f"/v1/overview/sessions?{query}")).json["sessions"]) == number


async def test_an_unknown_state_is_named(shared_api: PublicApi) -> None:
    answer = await shared_api.call("GET", "/v1/overview/sessions?states=happy")
    assert (answer.status, answer.json["errors"][0]["field"]) == (422, "states")


async def test_the_overview_counts_what_there_is(shared_api: PublicApi) -> None:
    overview = (await shared_api.call("GET", "/v1/overview")).json
    assert overview["states"] == [{"connection_state": "starting", "sessions": 4}]
    assert overview["tenants"] == 3  # the operator's own too


async def test_one_process_is_the_bot_and_late_writers_are_refused(shared_api: PublicApi) -> None:
    async def hold(holder: str) -> int | None:
        epoch: int | None = (await shared_api.call("POST", "/v1/bot/lease", {"holder": holder})).json["epoch"]
        return epoch

    async def put(epoch: int, text: str) -> int:
        body = {"epoch": epoch, "value": {"text": text}}
        return (await shared_api.call("PUT", "/v1/bot/documents/chat:-1", body)).status

    first = await hold("first")
    assert first is not None
    assert await hold("first") == first
    assert await hold("second") is None
    assert await put(first, "by the first") == 204
    await shared_api.call("POST", "/v1/bot/lease/release", {"holder": "second"})  # isn't its to release
    assert await hold("second") is None
    await shared_api.call("POST", "/v1/bot/lease/release", {"holder": "first"})
    second = await hold("second")
    assert second == first + 1
    late = await shared_api.call("PUT", "/v1/bot/documents/chat:-1", {"epoch": first, "value": {}})
    assert (late.status, late.code) == (409, "bot_lease_lost")
    kept = (await shared_api.call("GET", "/v1/bot/documents?prefix=chat:")).json["documents"]
    assert kept == [{"name": "chat:-1", "value": {"text": "by the first"}}]


async def test_a_bot_that_died_is_followed_when_its_time_is_over(shared_api: PublicApi) -> None:
    store = BotStore(shared_api.database)
    await store.release("second")
    epoch = await store.hold("dies", -1.0)
    assert epoch is not None
    assert await store.hold("follows", 6.0) == epoch + 1
    await store.release("follows")


async def test_what_telegram_delivers_is_kept_once_until_it_was_dealt_with(shared_api: PublicApi) -> None:
    store = BotStore(shared_api.database)
    for number in (8, 7, 8):
        await store.add_update(number, {"update_id": number})
    listed = (await shared_api.call("GET", "/v1/bot/updates")).json["updates"]
    assert [update["update_id"] for update in listed] == [7, 8]
    await shared_api.call("POST", "/v1/bot/updates/forget", {"update_ids": [7]})
    assert [update["update_id"] for update in await store.updates(10)] == [8]


async def test_nobody_but_telegram_finds_the_webhook(shared_api: PublicApi) -> None:
    for headers in ({}, {"X-Telegram-Bot-Api-Secret-Token": "wrong"}):
        answer = await shared_api.call("POST", "/telegram/webhook", {"update_id": 1}, token=None, headers=headers)
        assert answer.status == 404
