"""A tenant's customers in the bot: real aiogram, the real API on a real database, and Telegram faked at the wire."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from orchestrator.bot.texts import TEXTS
from orchestrator.domain.language import Language
from orchestrator.domain.reminder import Recurrence, ReminderKind, Weekday
from tests.support.bot import bot
from tests.support.fake_telegram import FakeTelegram, Person, fake_telegram
from tests.support.pix import pix_code
from tests.support.postgres import migrated_database
from tests.support.public_api import PublicApi, public_api
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

EN, PT = TEXTS[Language.EN], TEXTS[Language.PT_BR]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(postgres_server: str) -> AsyncIterator[PublicApi]:
    with migrated_database(postgres_server) as database_url:
        async with public_api(database_url, requests_per_minute=1_000_000) as started:
            yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def telegram(api: PublicApi) -> AsyncIterator[FakeTelegram]:
    async with fake_telegram() as fake, bot(api, fake):
        yield fake


async def signed_up(telegram: FakeTelegram, name: str, language: str) -> Person:
    person = telegram.person(name, language)
    await person.types("/start")
    texts = PT if language == "pt" else EN
    await person.sees(texts.welcome.partition(",")[0])
    await person.presses(texts.customers)
    await person.sees(texts.contacts_title.partition("{")[0])
    return person


async def asked(api: PublicApi, person: Person, path: str) -> Any:
    return (await api.call("GET", path, headers={"X-Tenant": f"tg-{person.chat_id}"})).json


async def shows(person: Person, label: str) -> None:
    """Wait for a button, and don't press it: what is drawn anew in its place has other ones."""

    async def shown() -> bool:
        return person.messages[-1].button(label) is not None

    await eventually(shown, 30, f"the button {label}")


async def test_a_customer_is_added_question_by_question_changed_and_marked_as_paid(
    api: PublicApi, telegram: FakeTelegram
) -> None:
    ana = await signed_up(telegram, "Ana", "pt")
    await ana.presses(PT.contact_new)
    await ana.sees(PT.contact_ask["name"])
    await ana.types("João <Souza>")
    await ana.sees(PT.contact_ask["phone"])
    await ana.sends_voice()
    await ana.sees(PT.not_text)
    await ana.types("muitos")
    await ana.sees(PT.contact_wrong["phone"])
    await ana.types("+55 (11) 98888-7777")
    await ana.sees(PT.contact_ask["amount"])
    await ana.types("de graça")
    await ana.sees(PT.contact_wrong["amount"])
    await ana.types("R$ 1.234,5")
    await ana.sees(PT.contact_ask["due_date"])
    await ana.types("31/02/2099")
    await ana.sees(PT.contact_wrong["due_date"])
    await ana.types("31/01/2099")
    made = await ana.sees("<b>João &lt;Souza&gt;</b> foi adicionado.")
    assert "R$ 1.234,50" in made.text
    assert "31/01/2099" in made.text
    await ana.presses(PT.contact_edit)
    await ana.presses(PT.recurrences[Recurrence.MONTHLY])
    await ana.sees(f"31/01/2099 ({PT.recurrences[Recurrence.MONTHLY]})")
    await ana.presses(PT.contact_edit)
    await ana.presses(PT.contact_fields["pix_code"])
    await ana.types(pix_code()[:-1] + "Z")
    await ana.sees(PT.contact_wrong["pix_code"])
    await ana.types(pix_code())
    await ana.sees("Código PIX: ✅")
    await ana.presses(PT.contact_edit)
    await ana.presses(PT.contact_fields["pix_code"])
    await ana.presses(PT.remove)
    await ana.sees("Código PIX: –")
    pay = await ana.presses(PT.contact_pay)
    await ana.sees(PT.contact_was_paid)
    paid = await ana.sees("28/02/2099")
    assert "31/01/2099" in paid.text
    data = pay.button(PT.contact_pay)
    assert data is not None
    (contact,) = (await asked(api, ana, "/v1/contacts"))["contacts"]
    assert (contact["due_date"], contact["paid_due_date"]) == ("2099-02-28", "2099-01-31")
    await ana.presses(PT.contact_delete)
    await ana.presses(PT.yes)
    await ana.sees(PT.nothing_here)


async def test_a_number_that_is_there_already_is_said_so(api: PublicApi, telegram: FakeTelegram) -> None:
    person = await signed_up(telegram, "Dora", "en")
    there = {"name": "Bia", "phone": "5511988880001", "amount_cents": 1000, "due_date": "2099-12-10"}
    tenant = {"X-Tenant": f"tg-{person.chat_id}"}
    assert (await api.call("POST", "/v1/contacts", there, headers=tenant)).status == 201
    await person.presses(EN.contact_new)
    for answer, next_question in (("Bia", "phone"), ("+55 11 98888-0001", "amount"), ("10", "due_date")):
        await person.types(answer)
        await person.sees(EN.contact_ask[next_question])
    await person.types("2099-12-10")
    await person.sees(EN.errors["contact_exists"])


async def test_customers_come_by_a_file_are_found_and_go_out_as_a_file(api: PublicApi, telegram: FakeTelegram) -> None:
    person = await signed_up(telegram, "Caio", "pt")
    await person.presses(PT.contacts_in)
    await person.sees("Envie-me um arquivo CSV")
    await person.types("nome;telefone")
    await person.sees(PT.not_file)
    lines = "".join(f"Cliente {n};55119888800{n:02d};10,00;10/12/2099\n" for n in range(12))
    wrong = f"nome;telefone;valor;vencimento\n{lines}Ruim;0800;muito;10/12/2099\n"
    await person.sends_file("clientes.csv", wrong.encode())
    told = await person.sees(PT.contacts_in_wrong)
    assert f"Linha 14: {PT.contact_wrong['phone']}" in told.text
    assert f"Linha 14: {PT.contact_wrong['amount']}" in told.text
    assert (await asked(api, person, "/v1/contacts"))["contacts"] == []
    telegram.will_answer("file", 502, "Bad Gateway")
    await person.sends_file("clientes.csv", f"nome;telefone;valor;vencimento\n{lines}".encode())
    await person.sees("Importados: 12 novos, 0 alterados, 0 como estavam.")
    await person.presses(PT.back)
    await person.presses(PT.next_page)
    await shows(person, PT.first_page)
    await person.presses(PT.search)
    await person.sees(PT.contact_search_ask)
    await person.types("cliente 7")
    await person.presses("Cliente 7")
    await person.sees("<b>Cliente 7</b>")
    await person.presses(PT.back)
    await person.presses(PT.contacts_out)
    file = await person.sees(PT.contacts_out_done)
    assert file.document is not None
    assert file.document[1].decode("utf-8-sig").splitlines()[1].startswith("Cliente 0,551198888000")
    await person.presses(PT.back)
    await person.presses(PT.contacts_in)
    await person.sends_file("x.csv", b"x" * (2 * 1024 * 1024 + 1))
    await person.sees(PT.file_too_large)


async def test_a_tenant_writes_a_text_of_its_own_and_goes_back(api: PublicApi, telegram: FakeTelegram) -> None:
    person = await signed_up(telegram, "Edu", "en")
    await person.presses(EN.reminder_texts)
    await person.presses(EN.reminder_kinds[ReminderKind.DUE])
    await person.sees("is due today")
    await person.presses(EN.reminder_text_change)
    await person.types("Hi {{nmae}}")
    await person.sees(EN.reminder_text_wrong)
    await person.types("Hi {{name}} <3")
    await person.sees("<pre>Hi {{name}} &lt;3</pre>")
    assert (await asked(api, person, "/v1/templates/due.en"))["text"] == "Hi {{name}} <3"
    await person.presses(EN.reminder_text_change)
    await person.sees("Type the new text")
    await person.types("<" * 4000)
    await person.sees("&lt;…</pre>")
    await person.presses(EN.reminder_text_reset)
    await person.sees("is due today")
    await person.presses(EN.back)
    await person.sees(EN.reminder_texts_title.format(language="English"))
    await person.presses("Português")
    await person.sees(EN.reminder_texts_title.format(language="Português"))
    await person.presses(EN.reminder_kinds[ReminderKind.WELCOME])
    await person.sees("Por aqui você recebe")


async def test_a_schedule_is_made_and_set(api: PublicApi, telegram: FakeTelegram) -> None:
    person = await signed_up(telegram, "Flavia", "en")
    await person.presses(EN.schedules)
    await person.sees(EN.schedules_connect_first)
    tenant = {"X-Tenant": f"tg-{person.chat_id}"}
    assert (await api.call("POST", "/v1/sessions", {"session_id": "shop"}, headers=tenant)).status == 201
    await person.presses(EN.back)
    await person.presses(EN.schedules)
    await person.sees(EN.schedules_title)
    await person.presses("Remind by shop")
    await person.sees("Reminders by shop")
    await person.presses(EN.schedule_fields["time_of_day"])
    await person.types("noon")
    await person.sees(EN.not_understood)
    await person.types("8h")
    await person.sees("At 08:00, America/Sao_Paulo")
    await person.presses(EN.schedule_fields["time_zone"])
    await person.types("Mars")
    await person.sees(EN.not_understood)
    await person.types("America/Manaus")
    await person.sees("At 08:00, America/Manaus")
    await person.presses(EN.schedule_fields["days_before"])
    await person.types("7, 2")
    await person.sees("Days before: 7, 2")
    await person.presses(EN.schedule_fields["days_after"])
    await person.sees(EN.schedule_ask["days_after"])
    await person.presses(EN.none)
    await person.sees("Days after: –")
    await person.presses(EN.schedule_fields["welcome"])
    await shows(person, f"● {EN.schedule_fields['welcome']}")
    await person.presses(EN.schedule_fields["quiet_weekdays"])
    await person.presses(f"🔔 {EN.weekdays[Weekday.SUNDAY]}")
    await person.presses(f"🔕 {EN.weekdays[Weekday.SUNDAY]}")
    await person.presses(f"🔔 {EN.weekdays[Weekday.SATURDAY]}")
    await person.presses(EN.back)
    await person.sees("Nothing on: Saturday")
    await person.presses("Português")
    await person.sees("Language: Português")
    (plan,) = (await asked(api, person, "/v1/schedules"))["schedules"]
    assert (plan["welcome"], plan["quiet_weekdays"], plan["language"]) == (True, ["saturday"], "pt-BR")
    await person.presses(EN.schedule_delete)
    await person.presses(EN.yes)
    await person.sees(EN.schedules_title)
    assert (await asked(api, person, "/v1/schedules"))["schedules"] == []
