"""The bot in the product as a user starts it: a phone is linked from a chat, and the operator works from another one."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from orchestrator.bot.texts import TEXTS
from orchestrator.domain.language import Language
from orchestrator.transfer import archive
from tests.support.browser import chromium
from tests.support.chat_picture import chat_picture
from tests.support.fake_telegram import TOKEN, FakeTelegram, Person, fake_telegram
from tests.support.fake_whatsapp import FakeWhatsApp, fake_whatsapp
from tests.support.postgres import short_folder
from tests.support.processes import as_root, running, stopped
from tests.support.tree import PROJECT, Tree, tree
from tests.support.waiting import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

EN, PT = TEXTS[Language.EN], TEXTS[Language.PT_BR]
OPERATOR = 900_001
PATIENCE = 60.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whatsapp() -> AsyncIterator[FakeWhatsApp]:
    async with fake_whatsapp() as server:
        yield server
        assert await server.violations() == {}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def telegram() -> AsyncIterator[FakeTelegram]:
    async with fake_telegram() as fake:
        yield fake


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def product(whatsapp: FakeWhatsApp, telegram: FakeTelegram) -> AsyncIterator[Tree]:
    settings = {"BOT_TOKEN": TOKEN, "ADMIN_CHAT_ID": str(OPERATOR), "TELEGRAM_API_URL": telegram.url}
    settings |= {"PUBLIC_URL": "https://wa.example.com"}
    with short_folder() as folder:
        async with tree(folder / "data", folder / "log", {**whatsapp.environ, **settings}) as started:
            await started.ready(180)
            yield started
            secrets = [TOKEN.partition(":")[2], started.token]
            assert not [secret for secret in secrets if secret in started.child.output]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


@pytest.fixture
def operator(telegram: FakeTelegram) -> Person:
    return telegram.person("Olga", "en", chat_id=OPERATOR, user_id=OPERATOR)


async def shown_qr(product: Tree, tenant_id: str, session_id: str) -> str:
    async def ready() -> str | None:
        answer = await product.call("GET", f"/v1/sessions/{session_id}/qr", **{"X-Tenant": tenant_id})
        return str(answer.json["qr"]) if answer.status == 200 else None

    return str(await eventually(ready, PATIENCE, "a QR code"))


async def open_since(product: Tree, tenant: str, since: str) -> None:
    async def open_again() -> bool:
        answer = await product.call("GET", "/v1/sessions/whatsapp", **{"X-Tenant": tenant})
        return (
            answer.status == 200 and answer.json["connection_state"] == "open" and answer.json["last_open_at"] > since
        )

    await eventually(open_again, PATIENCE, f"the session of {tenant} to be open again")


async def shows(person: Person, label: str) -> None:
    """Wait for a button on what answers the person's last message; news may stand below it."""
    last = max(message.message_id for message in person.messages if not message.by_bot)

    async def shown() -> bool:
        return any(message.button(label) for message in person.messages if message.message_id > last)

    await eventually(shown, PATIENCE, f"the button {label}")


def environ_of(pid: int) -> dict[str, str]:
    variables = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(variable.split("=", 1) for variable in variables if variable)


async def killed_bot(product: Tree) -> None:
    pid = await eventually(lambda: asyncio.to_thread(product.pid, "bot"), PATIENCE, "the bot to run")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


async def test_a_person_signs_up_and_links_a_phone_by_the_qr_code_in_the_chat(
    product: Tree, telegram: FakeTelegram, whatsapp: FakeWhatsApp, browser: Browser
) -> None:
    maria = telegram.person("Maria", "pt-br")
    await maria.types("/start")
    await maria.sees("Boas-vindas, Maria!", PATIENCE)
    await chat_picture(browser, "bot-1-welcome-pt", "Orchestrator", maria.messages)
    await maria.presses(PT.connect)
    await maria.presses(PT.by_qr)
    picture = await maria.sees("escaneie este código", PATIENCE)
    assert picture.photo is not None
    await chat_picture(browser, "bot-2-qr-pt", "Orchestrator", maria.messages[-2:])
    before = picture.photo
    await whatsapp.call("POST", "/refresh-qr", {"qr": await shown_qr(product, f"tg-{maria.chat_id}", "whatsapp")})
    rotated = await maria.sees(PT.qr_rotated, PATIENCE)
    assert rotated.message_id == picture.message_id
    assert rotated.photo != before
    await whatsapp.scan(await shown_qr(product, f"tg-{maria.chat_id}", "whatsapp"), "5511900002001")
    await maria.sees("está conectado: +5511900002001", PATIENCE)
    await maria.presses(PT.status)
    status = await maria.sees("🟢 conectado")
    assert status.button(PT.log_out)
    await chat_picture(browser, "bot-3-status-pt", "Orchestrator", maria.messages[-1:])


async def test_a_kill_in_the_middle_of_a_dialog_loses_nothing_and_the_operator_hears_of_it(
    product: Tree, telegram: FakeTelegram, whatsapp: FakeWhatsApp, operator: Person, browser: Browser
) -> None:
    paul = telegram.person("Paul", "en")
    await paul.types("/start")
    await paul.sees("Welcome, Paul!", PATIENCE)
    await chat_picture(browser, "bot-1-welcome-en", "Orchestrator", paul.messages)
    await paul.presses(EN.connect)
    await paul.presses(EN.by_qr)
    await paul.sees("scan this code", PATIENCE)
    await chat_picture(browser, "bot-2-qr-en", "Orchestrator", paul.messages[-2:])
    await paul.presses(EN.by_code)
    await paul.sees(EN.phone_ask)
    await killed_bot(product)
    await paul.types("+55 11 90000-2002")
    code = await paul.sees("<code>", PATIENCE)
    await operator.sees("The process bot fails (EXITED)", PATIENCE)  # by the listener, which is no part of the bot
    await operator.sees("runs again", PATIENCE)
    pairing_code = code.text.partition("<code>")[2].partition("</code>")[0]
    await whatsapp.call("POST", "/enter-code", {"code": pairing_code, "phone": "5511900002002"})
    await paul.sees("is connected: +5511900002002", PATIENCE)
    await paul.presses(EN.status)
    await paul.sees("🟢 connected")
    await chat_picture(browser, "bot-3-status-en", "Orchestrator", paul.messages[-1:])


async def test_the_operator_sees_the_service_and_restarts_a_process(
    product: Tree, operator: Person, browser: Browser
) -> None:
    await operator.types("/start")
    dashboard = await operator.sees("Baileys Orchestrator", PATIENCE)

    async def complete() -> bool:
        return (
            "Sessions: 2" in dashboard.text
            and "Processes: all" in dashboard.text
            and "🟢 connected: 2" in dashboard.text
        )

    await eventually(complete, PATIENCE, "the dashboard to show both sessions")
    await chat_picture(browser, "bot-4-dashboard-en", "Orchestrator", [dashboard])
    await operator.presses(EN.processes)
    await operator.presses("baileys")
    await operator.presses(EN.log_tail)
    await operator.sees("<pre>", PATIENCE)
    await operator.presses(EN.back)
    since = (await product.call("GET", "/v1/overview")).json["at"]
    await operator.presses(EN.process_restart)
    await operator.presses(EN.yes)
    await operator.sees("is being restarted")
    for tenant in ("tg-7001", "tg-7002"):
        await open_since(product, tenant, since)


async def test_a_pairing_that_whatsapp_took_away_is_brought_back_by_a_button(
    product: Tree, telegram: FakeTelegram, whatsapp: FakeWhatsApp
) -> None:
    maria = telegram.person("Maria", "pt-br", chat_id=7001, user_id=7001)
    phone, tenant = "5511900002001", {"X-Tenant": "tg-7001"}

    async def state() -> str:
        answer = await product.call("GET", "/v1/sessions/whatsapp", **tenant)
        return str(answer.json["connection_state"]) if answer.status == 200 else ""

    async def quarantined() -> bool:
        return await state() == "quarantined"

    await whatsapp.call("POST", "/failures", {"phone": phone, "kind": "refuse_login", "reason": 401, "times": 2})
    await whatsapp.call("POST", "/kick", {"phone": phone, "kind": "tcp_drop"})
    await eventually(quarantined, PATIENCE, "the pairing to be set aside")
    since = (await product.call("GET", "/v1/overview")).json["at"]
    await maria.types("/start")
    await maria.presses("🔴 whatsapp")
    shown = await maria.sees("🔴 desconectado pelo WhatsApp", PATIENCE)
    assert shown.button(PT.new_pairing)
    await maria.presses(PT.pairings)
    await maria.presses(PT.restore.format(number=1))
    await maria.presses(PT.yes)
    await maria.sees("usa de novo a conexão 1", PATIENCE)
    await open_since(product, "tg-7001", since)  # and nobody scanned anything
    audit = (await product.call("GET", "/v1/sessions/whatsapp/audit", **tenant)).json["audit"]
    assert audit[0]["action"] == "restored"


async def test_a_customer_is_welcomed_thanked_and_shown(
    product: Tree, telegram: FakeTelegram, whatsapp: FakeWhatsApp, browser: Browser
) -> None:
    """Through the real outbox to a phone."""
    customer = await whatsapp.contact()
    for chat_id, language, texts in ((7001, "pt", PT), (7002, "en", EN)):
        person = telegram.person("João" if language == "pt" else "Paul", language, chat_id=chat_id, user_id=chat_id)
        await person.types("/start")
        await shows(person, texts.customers)
        await person.presses(texts.customers)
        await person.presses(texts.schedules, PATIENCE)
        await person.presses(texts.schedule_new.format(session="whatsapp"), PATIENCE)
        await person.sees(texts.done, PATIENCE)
        await person.presses(f"○ {texts.schedule_fields['welcome']}")
        await shows(person, f"● {texts.schedule_fields['welcome']}")
        await chat_picture(browser, f"bot-7-schedule-{language}", "Orchestrator", person.messages[-1:])
        await person.types("/start")
        await shows(person, texts.customers)
        await person.presses(texts.customers)
        await person.presses(texts.contact_new, PATIENCE)
        await person.sees(texts.contact_ask["name"], PATIENCE)
        for answer, question in (("João Souza", "phone"), (customer.partition("@")[0], "amount"), ("150", "due_date")):
            await person.types(answer)
            await person.sees(texts.contact_ask[question], PATIENCE)
        await person.types("2099-12-10")
        made = await person.sees("<b>João Souza</b>", PATIENCE)
        assert made.button(texts.contact_pay)
        await chat_picture(browser, f"bot-6-customer-{language}", "Orchestrator", person.messages[-8:])
        await person.presses(texts.contact_pay)
        await person.sees(texts.contact_was_paid, PATIENCE)
        tenant = {"X-Tenant": f"tg-{chat_id}"}
        (contact,) = (await product.call("GET", "/v1/contacts", **tenant)).json["contacts"]

        async def told(contact: str = contact["contact_id"], tenant: dict[str, str] = tenant) -> dict[str, str] | None:
            answer = await product.call("GET", f"/v1/contacts/{contact}/reminders", **tenant)
            found = {one["kind"]: one["message_id"] for one in answer.json["reminders"]}
            return found if len(found) == 2 and all(found.values()) else None

        reminders = await eventually(told, PATIENCE, "both reminders to be in the outbox")
        assert reminders is not None
        for kind, beginning in (("welcome", ("Olá, João", "Hello, João")), ("paid", ("Obrigado", "Thank you"))):
            read = await whatsapp.read_by(customer, reminders[kind], PATIENCE)
            assert any(word in str(read["content"]) for word in beginning), read


@as_root
async def test_of_two_processes_that_could_be_the_bot_one_polls_and_the_other_takes_over(
    product: Tree, telegram: FakeTelegram, tmp_path: Path
) -> None:
    """As while a deploy overlaps: the new container is up before the old one is gone."""
    person = telegram.person("Petra", "en")
    first = await eventually(lambda: asyncio.to_thread(product.pid, "bot"), PATIENCE, "the bot to run")
    environ = environ_of(first or 0)
    conflicts = telegram.conflicts
    with running([sys.executable, "-m", "orchestrator", "bot"], tmp_path / "log", env=environ, cwd=PROJECT) as second:
        await asyncio.to_thread(second.wait_for_output, "waiting: another process is the bot", PATIENCE)
        await person.types("/start")
        await person.sees("Welcome, Petra!", PATIENCE)
        assert "this process is the bot" not in second.output
        with stopped([product.child.pid]):  # supervisord starts no other bot meanwhile
            await killed_bot(product)
            await person.types("typed meanwhile")
            await person.sees(EN.press_a_button, PATIENCE)
            assert "this process is the bot" in second.output
        await eventually(lambda: asyncio.to_thread(product.pid, "bot"), PATIENCE, "the first to run again")
        second.process.terminate()
        assert await asyncio.to_thread(second.wait, PATIENCE) == 0
        await person.presses(EN.help)
        await person.sees("What this bot does", PATIENCE)
    assert telegram.conflicts == conflicts
    assert len([message for message in person.messages if EN.press_a_button in message.text]) == 1


async def test_the_operator_finds_a_session_takes_a_backup_restarts_it_and_logs_it_out(
    product: Tree, operator: Person, browser: Browser
) -> None:
    await operator.types("/start")
    await operator.presses(EN.search)
    await operator.types("5511900002002")
    await operator.presses("tg-7002 / whatsapp")
    session = await operator.sees("<b>tg-7002 / whatsapp</b>\n🟢 connected", PATIENCE)
    await chat_picture(browser, "bot-5-session-en", "Orchestrator", [session])
    await operator.presses(EN.export)
    await operator.types("too short")
    await operator.sees(EN.export_short)
    await operator.types("correct horse battery")
    file = await operator.sees("Sealed backup of", PATIENCE)
    assert file.document is not None
    assert archive.unpack(file.document[1], "correct horse battery").account.jid
    assert not [message for message in operator.messages if "correct horse battery" in message.text]
    await operator.presses(EN.back)
    since = (await product.call("GET", "/v1/overview")).json["at"]
    await operator.presses(EN.restart)
    await operator.sees(EN.done, PATIENCE)
    await open_since(product, "tg-7002", since)
    await operator.presses(EN.refresh)
    await operator.presses(EN.log_out, PATIENCE)
    await operator.presses(EN.yes)
    await operator.sees("was logged out", PATIENCE)
    await operator.presses(EN.language)
    await operator.presses("Português")
    await operator.types("/start")
    dashboard = await operator.sees("Sessões: 2", PATIENCE)
    await chat_picture(browser, "bot-4-dashboard-pt", "Orchestrator", [dashboard])
    await operator.presses(PT.sessions)
    await operator.presses("tg-7001 / whatsapp")
    session = await operator.sees("<b>tg-7001 / whatsapp</b>\n🟢 conectado", PATIENCE)
    await chat_picture(browser, "bot-5-session-pt", "Orchestrator", [session])
