"""Reminders on a real PostgreSQL and with the real outbox, under a clock that the test sets."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
import pytest_asyncio
import sqlalchemy as sa

from orchestrator.domain.outbox import MessageState
from orchestrator.domain.reminder import Contact, Details, Recurrence, Schedule
from orchestrator.services.reminder_contacts import ReminderContacts
from orchestrator.services.reminder_schedules import ReminderSchedules
from orchestrator.services.reminders import Reminders
from orchestrator.store.reminder_contacts import ReminderContactStore
from orchestrator.store.reminder_schedules import ReminderScheduleStore
from orchestrator.store.reminders import HandedOver, ReminderStore, Waiting
from orchestrator.store.sessions import SessionStore
from tests.support.postgres import migrated_database
from tests.support.public_api import PublicApi, public_api

pytestmark = pytest.mark.asyncio(loop_scope="module")

ZONE = ZoneInfo("America/Sao_Paulo")
#: Behind now: the outbox has a clock of its own, and what is past there is late.
DUE = datetime.now(ZONE).date() + timedelta(days=30)


@dataclass
class World:
    """A tenant with contacts, and services that live by ``now``."""

    api: PublicApi
    tenant_id: str
    token: str
    now: datetime
    contacts: ReminderContacts = field(init=False)
    schedules: ReminderSchedules = field(init=False)
    reminders: Reminders = field(init=False)

    def __post_init__(self) -> None:
        database, outbox = self.api.database, self.api.services.outbox
        self.contacts = ReminderContacts(ReminderContactStore(database), outbox, self.clock)
        self.schedules = ReminderSchedules(ReminderScheduleStore(database), SessionStore(database), self.clock)
        self.reminders = Reminders(ReminderStore(database), outbox, self.clock)

    def clock(self) -> datetime:
        return self.now

    async def at(self, day: date, hour: int, minute: int = 0) -> list[str]:
        """Go on to this moment, there, and do what is due; the texts that wait in the outbox by then."""
        self.now = datetime.combine(day, time(hour, minute), ZONE).astimezone(UTC)
        await self.do_what_is_due()
        return await self.texts()

    async def do_what_is_due(self) -> None:
        while await self.reminders.round():
            pass

    async def texts(self) -> list[str]:
        messages = await self.messages()
        return [str(message["text"]) for message in messages]

    async def messages(self) -> list[dict[str, Any]]:
        """What waits in the outbox of the tenant, oldest first."""
        statement = """
            SELECT m.session_ref, m.message_id, m.body, m.paced FROM outbox_messages m JOIN sessions s USING (session_ref)
            WHERE s.tenant_id = :tenant AND m.state = 'queued' ORDER BY m.number
        """
        async with self.api.database.begin() as connection:
            rows = (await connection.execute(sa.text(statement), {"tenant": self.tenant_id})).all()
        store = self.api.services.outbox._store
        bodies = [store._body(self.tenant_id, row) for row in rows]
        return [
            {**msgspec.json.decode(body or b""), "paced": row.paced} for body, row in zip(bodies, rows, strict=True)
        ]

    async def contact(self, phone: str = "5511988880001", **details: Any) -> Contact:
        given = {"name": "Maria Silva", "amount_cents": 15000, "due_date": DUE, **details}
        return await self.contacts.add(self.tenant_id, Details(phone=phone, **given))

    async def schedule(self, **changes: Any) -> Schedule:
        return await self.schedules.add(self.tenant_id, replace(self.schedules.new("loja"), **changes))

    async def told(self, contact: Contact) -> list[tuple[str, int, str | None]]:
        found = await self.reminders.of_contact(self.tenant_id, contact.contact_id, before=None, most=50)
        return [(one.kind, one.offset_days, one.error) for one in reversed(found)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(postgres_server: str) -> AsyncIterator[PublicApi]:
    with migrated_database(postgres_server) as database_url:
        async with public_api(database_url) as started:
            yield started


@pytest_asyncio.fixture(loop_scope="module")
async def world(api: PublicApi, request: pytest.FixtureRequest) -> World:
    tenant_id = f"t{abs(hash(request.node.name)) % 10**9}"
    token = await api.tenant(tenant_id)
    assert (await api.call("POST", "/v1/sessions", {"session_id": "loja"}, token=token)).status == 201
    return World(api, tenant_id, token, datetime.combine(DUE - timedelta(days=20), time(12), ZONE).astimezone(UTC))


def day(offset: int) -> date:
    return DUE + timedelta(days=offset)


def shown(when: date) -> str:
    return f"{when:%d/%m/%Y}"


async def test_a_contact_hears_before_on_and_after_the_due_date_each_once(world: World) -> None:
    await world.schedule()
    contact = await world.contact()
    assert await world.at(day(-3), 8, 59) == []
    first = [f"Olá, Maria! Passando para lembrar: R$ 150,00 vence em 3 dias, {shown(DUE)}."]
    assert await world.at(day(-3), 9) == first
    assert await world.at(day(-3), 9, 1) == first
    second = [*first, f"Olá, Maria! Passando para lembrar: R$ 150,00 vence amanhã, {shown(DUE)}."]
    assert await world.at(day(-1), 9) == second
    third = [*second, f"Olá, Maria! R$ 150,00 vence hoje, {shown(DUE)}."]
    assert await world.at(day(0), 9) == third
    assert len(await world.at(day(1), 9)) == 4
    assert len(await world.at(day(3), 9)) == 5
    assert len(await world.at(day(30), 9)) == 5
    assert [offset for _, offset, _ in await world.told(contact)] == [-3, -1, 0, 1, 3]
    assert all(message["paced"] for message in await world.messages())  # as messages of a bulk are


async def test_what_was_missed_is_made_up_for_the_same_day_and_not_days_later(world: World) -> None:
    await world.schedule()
    contact = await world.contact()
    assert len(await world.at(day(-3), 20)) == 1  # eleven hours late
    assert len(await world.at(day(0), 9)) == 2  # that it is due tomorrow was never said, and isn't any more
    assert len(await world.at(day(2), 10)) == 2  # a day and an hour late
    assert len(await world.at(day(3), 9)) == 3
    assert [offset for _, offset, _ in await world.told(contact)] == [-3, 0, 3]


async def test_over_midnight_it_is_told_once_and_speaks_of_the_new_day(world: World) -> None:
    await world.schedule(time_of_day=time(23, 50), days_before=(), days_after=())
    contact = await world.contact()
    assert await world.at(day(0), 23, 49) == []
    (late,) = await world.at(day(1), 0, 10)
    assert late.startswith(f"Olá, Maria! R$ 150,00 venceu ontem, {shown(DUE)}.")
    assert await world.at(day(1), 23, 50) == [late]
    assert await world.told(contact) == [("due", 0, None)]


async def test_many_replicas_tell_each_contact_once(world: World) -> None:
    await world.schedule(days_before=(), days_after=())
    for number in range(30):
        await world.contact(phone=f"55119888810{number:02d}")
    world.now = datetime.combine(DUE, time(9), ZONE).astimezone(UTC)
    replicas = [Reminders(ReminderStore(world.api.database), world.api.services.outbox, world.clock) for _ in range(4)]
    while any(await asyncio.gather(*(replica.round() for replica in replicas))):
        pass
    messages = await world.messages()
    assert len(messages) == 30
    assert len({message["to"] for message in messages}) == 30


async def test_a_process_that_dies_before_or_after_the_outbox_has_it_sends_it_once(world: World) -> None:
    await world.schedule(days_before=(), days_after=())
    await world.contact()
    world.now = datetime.combine(DUE, time(9), ZONE).astimezone(UTC)
    store = ReminderStore(world.api.database)
    assert await store.look(world.now) is False  # decided, and dead
    (waiting,) = await store.take(world.now)
    assert await world.reminders._handed_over(waiting)  # the outbox has it, and dead
    assert await store.take(world.now) == []  # whoever took it may be at it still
    assert len(await world.at(DUE, 9, 2)) == 1
    assert await store.take(world.now + timedelta(hours=1)) == []


async def test_a_payment_takes_back_what_waits_is_thanked_for_and_moves_the_due_date_on(world: World) -> None:
    await world.schedule()
    contact = await world.contact(recurrence=Recurrence.MONTHLY)
    assert len(await world.at(day(0), 9)) == 1
    paid = await world.contacts.pay(world.tenant_id, contact.contact_id, DUE)
    assert paid.details.due_date > DUE
    await world.do_what_is_due()
    thanks = f"Obrigado, Maria! Recebemos R$ 150,00, com vencimento em {shown(DUE)}."
    expected = [f"{thanks}\nO próximo vencimento é {shown(paid.details.due_date)}."]
    assert await world.texts() == expected
    await world.contacts.pay(world.tenant_id, contact.contact_id, DUE)  # said twice
    assert await world.at(day(1), 9) == expected
    outbox = world.api.services.outbox
    states = [one.state for one in await outbox.page(world.tenant_id, "loja", before=None, most=9)]
    assert states == [MessageState.QUEUED, MessageState.CANCELLED]
    assert len(await world.at(paid.details.due_date, 9)) == 2  # the next period has reminders of its own


async def test_what_was_decided_and_not_handed_over_is_withdrawn_by_a_payment(world: World) -> None:
    await world.schedule(thank=False)
    contact = await world.contact()
    world.now = datetime.combine(DUE, time(9), ZONE).astimezone(UTC)
    await ReminderStore(world.api.database).look(world.now)
    await world.contacts.pay(world.tenant_id, contact.contact_id, DUE)
    assert await world.told(contact) == [("due", 0, "withdrawn")]
    assert await world.at(DUE, 10) == []


async def test_what_is_paid_while_it_is_handed_over_is_taken_back(world: World) -> None:
    await world.schedule(thank=False)
    contact = await world.contact()

    class PaidMeanwhile(Reminders):
        async def _handed_over(self, waiting: Waiting) -> HandedOver | None:
            outcome = await super()._handed_over(waiting)
            await world.contacts.pay(world.tenant_id, contact.contact_id, DUE)
            return outcome

    world.now = datetime.combine(DUE, time(9), ZONE).astimezone(UTC)
    await PaidMeanwhile(ReminderStore(world.api.database), world.api.services.outbox, world.clock).round()
    assert await world.told(contact) == [("due", 0, "withdrawn")]
    assert await world.texts() == []


async def test_another_due_date_and_a_deletion_take_back_what_waits(world: World) -> None:
    await world.schedule()
    moved, gone = await world.contact(), await world.contact(phone="5511988880002")
    assert len(await world.at(day(0), 9)) == 2
    later = day(10)
    await world.contacts.change(
        world.tenant_id, moved.contact_id, lambda details: replace(details, due_date=later, due_day=None)
    )
    await world.contacts.delete(world.tenant_id, gone.contact_id)
    assert await world.texts() == []
    assert len(await world.at(day(7), 9)) == 1


async def test_who_is_new_is_welcomed_once_and_an_own_text_is_used(world: World) -> None:
    await world.schedule(welcome=True)
    await world.schedules.set_template(world.tenant_id, "welcome.pt-BR", "Oi, {{name}}: {{amount}} em {{due_date}}")
    await world.contact()
    for _ in range(3):
        await world.do_what_is_due()
        assert await world.texts() == [f"Oi, Maria Silva: R$ 150,00 em {shown(DUE)}"]
        world.now += timedelta(minutes=1)


async def test_two_schedules_tell_a_contact_once_and_one_that_is_changed_begins_anew(world: World) -> None:
    first = await world.schedule(days_before=(), days_after=())
    await world.schedule(days_before=(), days_after=(), time_of_day=time(10))
    await world.contact()
    assert len(await world.at(day(0), 9)) == 1
    assert len(await world.at(day(0), 10)) == 1
    other = await world.contact(phone="5511988880002", due_date=day(5))
    await world.schedules.change(world.tenant_id, first.schedule_id, lambda one: replace(one, enabled=False))
    assert len(await world.at(day(5), 9)) == 1
    assert len(await world.at(day(5), 10)) == 2
    assert [kind for kind, _, _ in await world.told(other)] == ["due"]


@pytest.mark.parametrize("column", ["blocked_at", "paused_at"])
async def test_a_tenant_that_may_send_nothing_reminds_nobody_until_it_may(world: World, column: str) -> None:
    await world.schedule(days_before=(), days_after=())
    await world.contact()

    async def put(value: str) -> None:
        statement = f"UPDATE tenants SET {column} = {value} WHERE tenant_id = :tenant"
        async with world.api.database.begin() as connection:
            await connection.execute(sa.text(statement), {"tenant": world.tenant_id})

    await put("now()")
    assert await world.at(day(0), 9) == []
    await put("NULL")
    assert len(await world.at(day(0), 9, 10)) == 1


async def test_a_session_that_is_gone_reminds_nobody_and_one_made_again_goes_on(world: World) -> None:
    await world.schedule(days_before=(), days_after=(1,))
    await world.contact()
    call = world.api.call
    assert (await call("DELETE", "/v1/sessions/loja?confirm=loja", token=world.token)).status in (200, 204)
    assert await world.at(day(0), 9) == []
    assert (await call("POST", "/v1/sessions", {"session_id": "loja"}, token=world.token)).status == 201
    assert len(await world.at(day(0), 9, 20)) == 1
    assert len(await world.at(day(1), 9)) == 2


async def test_what_is_decided_for_a_session_that_goes_is_on_record_as_failed(world: World) -> None:
    await world.schedule(days_before=(), days_after=())
    contact = await world.contact()
    world.now = datetime.combine(DUE, time(9), ZONE).astimezone(UTC)
    await ReminderStore(world.api.database).look(world.now)
    await world.api.call("DELETE", "/v1/sessions/loja?confirm=loja", token=world.token)
    await world.do_what_is_due()
    assert await world.told(contact) == [("due", 0, "session_not_found")]


async def test_what_belonged_to_a_deleted_tenant_goes_when_its_retention_ends(world: World) -> None:
    await world.schedule()
    await world.contact()
    await world.schedules.set_template(world.tenant_id, "due.en", "x")
    await world.at(day(0), 9)
    call = world.api.call
    await call("DELETE", "/v1/sessions/loja?confirm=loja", token=world.token)
    assert (await call("DELETE", f"/v1/tenants/{world.tenant_id}")).status == 204
    await world.reminders.purge(retention_days=1)
    assert await _rows(world) == [1, 1, 1, 1]
    aged = "UPDATE tenants SET deleted_at = now() - interval '25 hours' WHERE tenant_id = :tenant"
    async with world.api.database.begin() as connection:
        await connection.execute(sa.text(aged), {"tenant": world.tenant_id})
    await world.reminders.purge(retention_days=1)
    assert await _rows(world) == [0, 0, 0, 0]


async def _rows(world: World) -> list[int]:
    tables = ("reminders", "reminder_contacts", "reminder_schedules", "reminder_templates")
    async with world.api.database.begin() as connection:
        return [
            (
                await connection.execute(
                    sa.text(f"SELECT count(*) FROM {table} WHERE tenant_id = :tenant"),
                    {"tenant": world.tenant_id},
                )
            ).scalar_one()
            for table in tables
        ]
