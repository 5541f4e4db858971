"""The bot's own process in this one: real aiogram, the real API on a real database, and Telegram faked at the wire."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import sqlalchemy as sa

from orchestrator.bot import process as bot_process
from orchestrator.bot.dialogs import pairing
from orchestrator.bot.memory import Pairing
from orchestrator.bot.texts import TEXTS
from orchestrator.client import Client
from orchestrator.config import webhook_secret
from orchestrator.domain import alert
from orchestrator.domain.errors import AlreadyPaired
from orchestrator.domain.language import Language
from orchestrator.wire.sessions import Session
from tests.support.bot import OPERATOR, bot
from tests.support.dashboard import visitor
from tests.support.fake_telegram import TOKEN, FakeTelegram, Person, Shown, fake_telegram
from tests.support.postgres import migrated_database
from tests.support.processes import PATIENCE
from tests.support.public_api import PublicApi, public_api
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

EN, PT = TEXTS[Language.EN], TEXTS[Language.PT_BR]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(postgres_server: str) -> AsyncIterator[PublicApi]:
    with migrated_database(postgres_server) as database_url:
        async with public_api(database_url, bot_token=TOKEN, telegram_mode="webhook") as started:
            yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def telegram() -> AsyncIterator[FakeTelegram]:
    async with fake_telegram() as fake:
        yield fake


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(api: PublicApi, telegram: FakeTelegram) -> AsyncIterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setattr(bot_process, "_WATCH_SECONDS", 0.2)
    patch.setattr(alert, "INTERVAL_SECONDS", 1.0)
    patch.setattr(alert, "OVER_SECONDS", 0.5)
    async with bot(api, telegram):
        yield
    patch.undo()


@pytest.fixture
def operator(telegram: FakeTelegram, running: None) -> Person:
    return telegram.person("Olga", "en", chat_id=OPERATOR, user_id=OPERATOR)


async def test_a_person_signs_up_in_the_language_of_their_telegram_and_can_change_it(
    api: PublicApi, telegram: FakeTelegram, running: None
) -> None:
    maria = telegram.person("Maria <&>", "pt-br")
    await maria.types("/start")
    welcome = await maria.sees("Boas-vindas, Maria &lt;&amp;&gt;!")
    assert welcome.button(PT.connect)
    assert welcome.button(PT.subscription) is None  # nobody pays here
    tenant = await api.call("GET", f"/v1/tenants/tg-{maria.chat_id}")
    assert tenant.json["name"] == "Maria <&>"
    await maria.presses(PT.language)
    await maria.presses("English")
    await maria.sees(EN.language_chosen)
    await maria.presses(EN.back)
    await maria.sees("Your WhatsApp")
    assert {command["command"] for command in telegram.commands["pt"]} == {"start", "help", "language"}


async def test_who_types_instead_of_pressing_gets_one_plain_sentence_and_the_menu(
    telegram: FakeTelegram, running: None
) -> None:
    person = telegram.person("Tina", "en")
    await person.types("/start")
    await person.sees("Welcome, Tina!")
    await person.types("hello?")
    await person.sees(EN.press_a_button)


async def test_a_number_is_asked_for_until_it_is_one(telegram: FakeTelegram, running: None) -> None:
    person = telegram.person("Nico", "en")
    await person.types("/start")
    await person.presses(EN.connect)
    await person.presses(EN.by_code)
    await person.sees(EN.phone_ask)
    await person.sends_voice()
    await person.sees(EN.not_text)
    await person.types("eleven")
    await person.sees(EN.phone_wrong)
    await person.types("+55 (11) 90000-0001")
    # No sidecar runs in this test, so there is nobody to give a code.
    await person.sees(EN.errors["not_pairing"])


async def test_an_old_button_shows_where_things_are_now(telegram: FakeTelegram, running: None) -> None:
    person = telegram.person("Otto", "en")
    await person.types("/start")
    message = await person.sees("Welcome, Otto!")
    before = message.button(EN.help)
    assert before is not None
    await person.presses(EN.help)
    await person.sees("What this bot does")
    person.presses_data(message, before)
    await person.sees(EN.old_button)
    person.presses_data(message, "no number")
    await person.sees("Your WhatsApp")


async def test_what_telegram_refuses_for_a_while_is_sent_in_the_end(telegram: FakeTelegram, running: None) -> None:
    person = telegram.person("Rita", "en")
    telegram.will_answer("sendMessage", 429, "Too Many Requests: retry after 1", retry_after=1)
    telegram.will_answer("sendMessage", 502, "Bad Gateway")
    telegram.will_answer("getUpdates", 500, "Internal Server Error")
    await person.types("/start")
    await person.sees("Welcome, Rita!")
    assert len([m for m in person.messages if "Welcome" in m.text]) == 1


async def test_who_blocks_the_bot_is_known_to_be_gone_until_they_come_back(
    api: PublicApi, telegram: FakeTelegram, running: None
) -> None:
    person = telegram.person("Bruno", "en")
    await person.types("/start")
    await person.sees("Welcome, Bruno!")

    async def is_kept_as(*, blocked: bool) -> None:
        async def known() -> bool:
            found = (await api.call("GET", f"/v1/bot/documents?prefix=chat:{person.chat_id}")).json["documents"]
            return bool(found) and found[0]["value"]["blocked"] is blocked

        await eventually(known, 30)

    await person.blocks_the_bot()
    await is_kept_as(blocked=True)
    telegram.blocked.discard(person.chat_id)
    await person.types("/help")
    await person.sees("What this bot does")
    await is_kept_as(blocked=False)


async def test_the_operator_s_help_is_of_what_the_operator_can_do(operator: Person) -> None:
    await operator.types("/help")
    shown = await operator.sees("What you can do here")
    for word in ("Sessions", "Tenants", "Processes", "Alerts", "Broadcast"):
        assert f"<b>{word}</b>" in shown.text
    await operator.presses(EN.back)
    await operator.sees("Baileys Orchestrator")


async def test_nobody_but_the_operator_finds_the_operator_s_dialogs(telegram: FakeTelegram, running: None) -> None:
    stranger = telegram.person("Sam", "en")
    await stranger.types("/start")
    await stranger.sees("Welcome, Sam!")
    labels = {b["text"] for m in stranger.messages for row in m.buttons for b in row}
    assert not labels & {EN.sessions, EN.tenants, EN.processes, EN.broadcast}


async def test_the_dashboard_s_link_opens_what_its_person_may_see(
    api: PublicApi, telegram: FakeTelegram, operator: Person
) -> None:
    person = telegram.person("Wanda", "en")
    await person.types("/start")
    await operator.types("/start")
    for who, title in ((person, "Sessions"), (operator, "Audit log")):
        await who.presses(EN.web)
        text = (await who.sees("Your dashboard.")).text
        path = text.rpartition("/login/")[1] + text.rpartition("/login/")[2].split()[0]
        async with visitor(api.url) as browser:
            assert (await browser.post(path, {})).title == "Sessions"
            opened = await browser.get("/audit")
            assert (opened.status, opened.title) == ((200, title) if who is operator else (403, "That did not work"))


async def test_the_operator_finds_sessions_by_search_and_page_by_page(api: PublicApi, operator: Person) -> None:
    token = await api.tenant("padaria")
    for number in range(10):
        await api.call("POST", "/v1/sessions", {"session_id": f"forno-{number}"}, token=token)
    await operator.types("/start")
    await operator.sees("Baileys Orchestrator")
    await operator.presses(EN.search)
    await operator.types("forno")
    first = await operator.sees("Sessions</b>: forno")
    assert first.button("padaria / forno-7")
    await operator.presses(EN.next_page)
    await operator.presses("padaria / forno-9")
    await operator.sees("padaria / forno-9")
    await operator.presses(EN.stop)
    stopped = await operator.sees(EN.states["stopped"])  # type: ignore[index] # a state is its word
    assert stopped.button(EN.start)
    await operator.presses(EN.pairings)
    await operator.sees("Pairings of forno-9")
    await operator.presses(EN.back)
    await operator.presses(EN.last_errors)
    await operator.sees("Stopped by request.")


async def test_the_dashboard_edits_itself(api: PublicApi, operator: Person) -> None:
    before = max((message.message_id for message in operator.messages), default=0)
    await operator.types("/start")

    async def dashboard() -> Shown | None:
        shown = [one for one in operator.messages if "Baileys Orchestrator" in one.text and one.message_id > before]
        return shown[-1] if shown else None

    await eventually(dashboard, 30)
    token = await api.tenant("quitanda")
    await api.call("POST", "/v1/sessions", {"session_id": "balcao"}, token=token)

    async def edited() -> bool:
        shown = await dashboard()
        number = (await api.call("GET", "/v1/overview")).json["states"]
        total = sum(state["sessions"] for state in number)
        return shown is not None and f"Sessions: {total}" in shown.text and shown.edits > 0

    await eventually(edited, 30)


async def test_a_pairing_whose_account_is_stored_is_not_over_before_it_is_open(api: PublicApi) -> None:
    """The store has the account before the sidecar says that it connects."""
    tenant = "sapataria"
    await api.call("POST", "/v1/sessions", {"session_id": "whatsapp"}, token=await api.tenant(tenant))
    async with api.database.begin() as connection:
        own = {"tenant": tenant, "state": "pairing"}
        where = "FROM sessions s WHERE s.tenant_id = :tenant"
        owner = f"UPDATE leases SET owner = 'runs', epoch = 1 WHERE session_ref IN (SELECT session_ref {where})"
        alive = "INSERT INTO replicas (replica_id, ttl_seconds) VALUES ('runs', 3600)"
        linked = f"UPDATE generations SET paired_at = now() WHERE session_ref IN (SELECT session_ref {where})"
        shown = "UPDATE sessions SET connection_state = :state WHERE tenant_id = :tenant"
        for statement in (alive, owner, linked, shown):
            await connection.execute(sa.text(statement), own)
    followed = Pairing(1, tenant, "whatsapp")
    async with Client(api.url, api.token) as client:
        with pytest.raises(AlreadyPaired):
            await client.of(tenant).sessions.qr("whatsapp")
        assert await pairing.look(client, followed) is None
        async with api.database.begin() as connection:
            await connection.execute(sa.text(shown), own | {"state": "stopped"})
        assert isinstance(await pairing.look(client, followed), Session)


async def test_the_operator_makes_a_tenant_and_blocks_it(api: PublicApi, operator: Person) -> None:
    await operator.types("/start")
    await operator.presses(EN.tenants)
    await operator.presses(EN.tenant_new)
    await operator.types("Loja do João")
    await operator.sees("The tenant <b>Loja do João</b> was made.")
    await operator.presses(EN.make_token)
    shown = await operator.sees("shown only this once")
    token = shown.text.partition("<code>")[2].partition("</code>")[0]
    assert (await api.call("GET", "/v1/sessions", token=token)).status == 200
    await operator.presses(EN.back)
    await operator.presses(EN.block)
    await operator.presses(EN.yes)
    await operator.sees("Blocked since")
    refused = await api.call("GET", "/v1/sessions", token=token)
    assert (refused.status, refused.code) == (403, "tenant_blocked")
    await operator.presses(EN.unblock)

    async def opened() -> bool:
        return (await api.call("GET", "/v1/sessions", token=token)).status == 200

    await eventually(opened)


async def test_a_broadcast_reaches_everybody_but_those_who_blocked_the_bot(
    api: PublicApi, telegram: FakeTelegram, operator: Person
) -> None:
    gone, there = telegram.person("Gil", "pt"), telegram.person("Theo", "pt")
    for person in (gone, there):
        await person.types("/start")
        await person.sees(f"Boas-vindas, {person.name}!")
    telegram.blocked.add(gone.chat_id)  # silently: the bot finds out by itself
    await operator.types("/start")
    await operator.presses(EN.broadcast)
    await operator.types("Maintenance <tonight>")
    await operator.sees("Send this to")
    await operator.presses(EN.broadcast_go)
    done = await operator.sees("Sent to")
    assert "1 could not be reached" in done.text
    await there.sees("Maintenance &lt;tonight&gt;")
    kept = (await api.call("GET", "/v1/broadcasts")).json["broadcasts"][0]
    assert (kept["text"], kept["state"], kept["failed"]) == ("Maintenance <tonight>", "done", 1)
    assert kept["told"] + kept["failed"] == kept["recipients"]


async def test_a_broadcast_of_the_dashboard_is_told_by_the_bot_and_seen_by_the_operator(
    api: PublicApi, telegram: FakeTelegram, operator: Person
) -> None:
    person = telegram.person("Davi", "pt")
    await person.types("/start")
    await person.sees("Boas-vindas, Davi!")
    await operator.types("/start")
    await operator.sees("Baileys Orchestrator")
    assert (await api.call("POST", "/v1/broadcasts", {"text": "We move to new premises"})).status == 201
    await person.sees("We move to new premises")

    async def done() -> bool:
        newest = (await api.call("GET", "/v1/broadcasts?limit=1")).json["broadcasts"][0]
        shown = f"Sent to {newest['told']} of {newest['recipients']} tenants"
        return newest["state"] == "done" and any(shown in one.text for one in operator.messages[-3:])

    await eventually(done)


async def test_a_broadcast_that_is_stopped_is_told_nobody_else(
    api: PublicApi, telegram: FakeTelegram, operator: Person
) -> None:
    # The first who is told takes long: Telegram asks to wait.
    people = [telegram.person(f"Person {number}", "en") for number in range(3)]
    for person in people:
        await person.types("/start")
        await person.sees("Welcome")
    telegram.will_answer("sendMessage", 429, "Too Many Requests: retry after 2", retry_after=int(2 * PATIENCE))
    made = (await api.call("POST", "/v1/broadcasts", {"text": "Never mind"})).json
    await eventually(lambda: _called(telegram, "Never mind"))
    cancelled = (await api.call("POST", f"/v1/broadcasts/{made['broadcast_id']}/cancel")).json
    assert cancelled["state"] == "cancelled"
    shown = await operator.sees("Cancelled:")
    assert shown.button(EN.home)
    told = len([one for one in telegram.called("sendMessage") if one.get("text") == "Never mind"])
    assert told <= 2  # the one that was under way, asked twice
    again = (await api.call("POST", f"/v1/broadcasts/{made['broadcast_id']}/cancel")).json
    assert (again["state"], again["ended_at"]) == ("cancelled", cancelled["ended_at"])


async def _called(telegram: FakeTelegram, text: str) -> bool:
    return any(one.get("text") == text for one in telegram.called("sendMessage"))


async def test_a_session_that_whatsapp_logged_out_is_told_to_the_operator_and_to_its_tenant_with_buttons(
    api: PublicApi, telegram: FakeTelegram, operator: Person
) -> None:
    person, tenant_id = await _linked(telegram, "Alba")
    await _set_aside(api, tenant_id)
    told = await operator.sees(EN.alert_begun["quarantined"])  # type: ignore[index]
    assert f"{tenant_id}/whatsapp" in told.text
    mine = await person.sees(PT.alert_begun["quarantined"])  # type: ignore[index]
    assert mine.button(PT.new_pairing)
    await _set_aside(api, tenant_id, back=True)
    await person.sees(PT.alert_over["quarantined"], 60)  # type: ignore[index]


async def test_a_muted_kind_is_told_to_tenants_alone_until_it_is_heard_again(
    api: PublicApi, telegram: FakeTelegram, operator: Person
) -> None:
    person, tenant_id = await _linked(telegram, "Bia")
    await operator.types("/start")
    await operator.presses(EN.alerts)
    await operator.presses("🔔 " + EN.alert_kinds["quarantined"])  # type: ignore[index]

    async def muted() -> list[str]:
        return [one["kind"] for one in (await api.call("GET", "/v1/alerts")).json["alerts"] if one["muted"]]

    await eventually(muted)
    assert await muted() == ["quarantined"]
    await _set_aside(api, tenant_id)
    await person.sees(PT.alert_begun["quarantined"])  # type: ignore[index] # the operator comes before the tenants
    assert not [one for one in operator.messages if f"{tenant_id}/whatsapp" in one.text]
    assert (await api.call("DELETE", "/v1/alerts/quarantined/mute")).status == 204  # as the dashboard does
    await operator.sees(f"{tenant_id}/whatsapp")
    await _set_aside(api, tenant_id, back=True)
    await person.sees(PT.alert_over["quarantined"], 60)  # type: ignore[index]


async def _linked(telegram: FakeTelegram, name: str) -> tuple[Person, str]:
    """Somebody with a session; and the tenant's id."""
    person = telegram.person(name, "pt")
    await person.types("/start")
    await person.presses(PT.connect)
    await person.presses(PT.back)
    return person, f"tg-{person.chat_id}"


async def _set_aside(api: PublicApi, tenant_id: str, *, back: bool = False) -> None:
    """As when WhatsApp logs the tenant's session out."""
    at, by = ("NULL", "NULL") if back else ("now()", "'whatsapp'")
    statement = f"""
        UPDATE generations SET set_aside_at = {at}, set_aside_by = {by}, set_aside_reason = 'The device was removed.'
        WHERE session_ref = (SELECT session_ref FROM sessions WHERE tenant_id = :tenant_id)
    """
    async with api.database.begin() as connection:
        await connection.execute(sa.text(statement), {"tenant_id": tenant_id})


async def test_in_a_group_only_the_operators_are_answered(api: PublicApi) -> None:
    async with fake_telegram() as fake, bot(api, fake, admin_chat_id=-100, admin_user_ids=(42,)):
        pass  # the other bot has the lease; this one waits and leaves


async def test_a_restart_in_the_middle_of_a_dialog_loses_nothing_and_two_never_poll_at_once(
    postgres_server: str,
) -> None:
    with migrated_database(postgres_server) as database_url:
        async with public_api(database_url) as api, fake_telegram() as fake:
            members = {"admin_chat_id": -100, "admin_user_ids": (42,)}
            operator = fake.person("Olga", "en", chat_id=-100, user_id=42)
            visitor = fake.person("Vera", "en", chat_id=-100, user_id=43)
            person = fake.person("Paul", "en")
            async with bot(api, fake, **members) as first:
                await person.types("/start")
                await person.sees("Welcome, Paul!")
                await operator.types("chatter among people")
                await visitor.types("/start")
                await visitor.sees(EN.operator_only)
                await operator.types("/start@orchestrator_bot")
                await operator.sees("Baileys Orchestrator")
                await operator.presses(EN.tenants)
                await operator.presses(EN.tenant_new)
                await operator.sees(EN.tenant_new_ask)
                async with bot(api, fake, **members) as second:
                    first.set()
                    await operator.types("Mercado & Filhos")
                    await operator.sees("The tenant <b>Mercado &amp; Filhos</b> was made.")
                    await person.types("typed")
                    await person.sees(EN.press_a_button)

                    async def confirmed() -> bool:
                        return fake.unconfirmed == 0

                    await eventually(confirmed)
                    names = [t["name"] for t in (await api.call("GET", "/v1/tenants")).json["tenants"]]
                    assert names.count("Mercado & Filhos") == 1
                    assert len([m for m in person.messages if EN.press_a_button in m.text]) == 1
                    second.set()
            assert fake.conflicts == 0


async def test_the_operator_is_told_that_the_database_is_away_without_it(
    postgres_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bot_process, "_OUTAGE_AT_START_SECONDS", 0.1)
    with migrated_database(postgres_server) as database_url:
        async with public_api(database_url) as api, fake_telegram() as fake:
            operator = fake.person("Olga", "en", chat_id=OPERATOR, user_id=OPERATOR)
            api.services.readiness.started = False  # as long as the database was not reached
            async with bot(api, fake):
                told = await operator.sees(EN.alert_begun["database"])  # type: ignore[index]
                assert PT.alert_begun["database"] in told.text  # type: ignore[index]
                api.services.readiness.started = True
                await operator.sees(EN.alert_over["database"])  # type: ignore[index]
                await operator.types("/start")
                await operator.sees("Baileys Orchestrator")


async def test_updates_that_telegram_delivers_are_dealt_with_once(postgres_server: str) -> None:
    with migrated_database(postgres_server) as database_url:
        settings: dict[str, Any] = {"bot_token": TOKEN, "telegram_mode": "webhook"}
        settings["public_url"] = "https://wa.example.com"
        async with public_api(database_url, **settings) as api, fake_telegram() as fake:
            person = fake.person("Wanda", "en")
            async with bot(api, fake, telegram_mode="webhook", public_url=settings["public_url"]):

                async def set_up() -> bool:
                    return fake.webhook is not None

                await eventually(set_up)
                assert fake.webhook is not None
                assert fake.webhook["url"] == "https://wa.example.com/telegram/webhook"
                await person.types("/start")
                (update,) = fake._updates
                headers = {"X-Telegram-Bot-Api-Secret-Token": str(fake.webhook["secret_token"])}
                assert headers["X-Telegram-Bot-Api-Secret-Token"] == webhook_secret(TOKEN)
                for _ in range(2):
                    async with aiohttp.ClientSession() as http:
                        url = f"{api.url}/telegram/webhook"
                        async with http.post(url, json=update, headers=headers) as response:
                            assert response.status == 204
                await person.sees("Welcome, Wanda!")

                async def forgotten() -> bool:
                    return not (await api.call("GET", "/v1/bot/updates")).json["updates"]

                await eventually(forgotten)
                assert len(fake.called("sendMessage")) == 1
