"""What only the operator sees, and what the bot asks for itself."""

import pytest
import pytest_asyncio
import sqlalchemy as sa

from orchestrator.domain.alert import AlertKind
from orchestrator.store.bot import BotStore
from tests.support.postgres import migrated_database
from tests.support.public_api import PublicApi, public_api

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


async def test_alerts_are_muted_and_heard_again(shared_api: PublicApi) -> None:
    async def muted() -> set[str]:
        listed = (await shared_api.call("GET", "/v1/alerts")).json["alerts"]
        assert [one["kind"] for one in listed] == list(AlertKind)
        assert all(one["muted"] == (one["muted_at"] is not None) for one in listed)
        return {one["kind"] for one in listed if one["muted"]}

    assert await muted() == set()
    for _ in range(2):  # twice is once
        assert (await shared_api.call("PUT", "/v1/alerts/memory/mute")).status == 204
        assert await muted() == {"memory"}
    for _ in range(2):
        assert (await shared_api.call("DELETE", "/v1/alerts/memory/mute")).status == 204
        assert await muted() == set()
    unknown = await shared_api.call("PUT", "/v1/alerts/happiness/mute")
    assert (unknown.status, unknown.code) == (404, "alert_not_found")


async def test_a_kind_of_a_later_version_stays_muted_and_unseen(shared_api: PublicApi) -> None:
    async with shared_api.database.begin() as connection:
        await connection.execute(sa.text("INSERT INTO muted_alerts (kind) VALUES ('of_a_later_version')"))
    listed = (await shared_api.call("GET", "/v1/alerts")).json["alerts"]
    assert [one for one in listed if one["muted"]] == []


async def test_without_a_bot_nobody_can_be_told(shared_api: PublicApi) -> None:
    refused = await shared_api.call("POST", "/v1/broadcasts", {"text": "Hello"})
    assert (refused.status, refused.code) == (409, "bot_off")
    assert (await shared_api.call("GET", "/v1/broadcasts")).json["broadcasts"] == []


@pytest.mark.parametrize("text", ["", " ", "\n", "x" * 3501, "a\x00b"])
async def test_a_broadcast_has_a_text(shared_api: PublicApi, text: str) -> None:
    refused = await shared_api.call("POST", "/v1/broadcasts", {"text": text})
    assert (refused.status, refused.json["errors"][0]["field"]) == (422, "text")


async def test_one_broadcast_at_a_time_is_told_by_the_bot_that_has_the_lease(postgres_server: str) -> None:
    with migrated_database(postgres_server) as database_url:
        async with public_api(database_url, bot_token="1:for-a-test") as api:
            first = await api.call("POST", "/v1/broadcasts", {"text": "One\ntwo"})
            assert (first.status, first.json["state"], first.json["recipients"]) == (201, "waiting", None)
            address = first.headers["Location"]
            refused = await api.call("POST", "/v1/broadcasts", {"text": "Another"})
            assert (refused.status, refused.code) == (409, "broadcast_under_way")

            epoch = (await api.call("POST", "/v1/bot/lease", {"holder": "first"})).json["epoch"]
            report = {"epoch": epoch, "recipients": 3, "told": 1, "failed": 0, "after_chat": -5}
            own = f"/v1/bot/broadcasts/{first.json['broadcast_id']}"
            assert (await api.call("PUT", own, report)).json["state"] == "running"
            late = await api.call("PUT", own, {**report, "epoch": epoch - 1, "told": 3})
            assert (late.status, late.code) == (409, "bot_lease_lost")
            assert (await api.call("GET", address)).json["told"] == 1
            done = (await api.call("PUT", own, {**report, "told": 2, "failed": 1, "after_chat": 9, "done": True})).json
            assert (done["state"], done["told"], done["failed"], done["after_chat"]) == ("done", 2, 1, 9)
            assert (await api.call("POST", f"{address}/cancel")).json == done  # it has ended as it has ended

            second = await api.call("POST", "/v1/broadcasts", {"text": "Another"})
            cancelled = (await api.call("POST", f"{second.headers['Location']}/cancel")).json
            assert (cancelled["state"], cancelled["recipients"]) == ("cancelled", None)
            own = f"/v1/bot/broadcasts/{second.json['broadcast_id']}"
            assert (await api.call("PUT", own, {**report, "done": True})).json["state"] == "cancelled"

            page = (await api.call("GET", "/v1/broadcasts?limit=1")).json
            assert [one["text"] for one in page["broadcasts"]] == ["Another"]
            page = (await api.call("GET", f"/v1/broadcasts?limit=1&cursor={page['next_cursor']}")).json
            assert ([one["text"] for one in page["broadcasts"]], page["next_cursor"]) == (["One\ntwo"], None)
            for number in ("0", "99", "x", "9" * 30):
                unknown = await api.call("GET", f"/v1/broadcasts/{number}")
                assert (unknown.status, unknown.code) == (404, "broadcast_not_found")
