"""Contacts, templates and schedules over HTTP, on a real PostgreSQL."""

from datetime import date, timedelta
from typing import Any

import pytest

from orchestrator.client import Client
from orchestrator.domain import reminder
from orchestrator.domain.errors import ContactExists, InvalidRequest
from orchestrator.store import reminder_contacts, reminder_schedules
from orchestrator.wire import reminders as wire
from tests.support.pix import pix_code
from tests.support.public_api import PublicApi

pytestmark = pytest.mark.asyncio(loop_scope="module")

MARIA: dict[str, Any] = {
    "name": "Maria Silva",
    "phone": "+55 (11) 98888-0001",
    "amount_cents": 15000,
    "due_date": "2099-01-31",
    "recurrence": "monthly",
}


async def fields_of(api: PublicApi, token: str, path: str, body: Any, method: str = "POST") -> list[str]:
    answer = await api.call(method, path, body, token=token)
    assert answer.status == 422, answer.body
    return [error["field"] for error in answer.json["errors"]]


async def test_a_contact_is_made_found_changed_and_deleted(shared_api: PublicApi) -> None:
    api, token = shared_api, await shared_api.tenant("crud")
    made = await api.call("POST", "/v1/contacts", {**MARIA, "pix_code": pix_code()}, token=token)
    assert made.status == 201
    contact = made.json
    assert (contact["phone"], contact["due_day"], contact["state"]) == ("5511988880001", 31, "open")
    path = made.headers["Location"]
    assert (await api.call("GET", path, token=token)).json == contact
    assert (await api.call("POST", "/v1/contacts", MARIA, token=token)).code == "contact_exists"
    changed = await api.call("PATCH", path, {"due_date": "2099-03-05", "pix_code": None}, token=token)
    assert (changed.json["due_date"], changed.json["due_day"], changed.json["pix_code"]) == ("2099-03-05", 5, None)
    other = await api.call("POST", "/v1/contacts", {**MARIA, "phone": "5511988880002"}, token=token)
    clash = await api.call("PATCH", other.headers["Location"], {"phone": "5511988880001"}, token=token)
    assert (clash.status, clash.code) == (409, "contact_exists")
    assert (await api.call("DELETE", path, token=token)).status == 204
    for method, body in (("GET", None), ("PATCH", {}), ("DELETE", None)):
        assert (await api.call(method, path, body, token=token)).code == "contact_not_found"
    assert (await api.call("GET", "/v1/contacts/nobody", token=token)).code == "contact_not_found"


async def test_what_is_wrong_with_a_contact_is_named(shared_api: PublicApi) -> None:
    api, token = shared_api, await shared_api.tenant("wrong")
    damaged = pix_code()[:-1] + "\u00e9"
    wrong: dict[str, Any] = {
        "name": "a\u0007b",
        "phone": "0800",
        "amount_cents": 0,
        "due_date": "2099-02-30",
        "recurrence": "daily",
        "note": "x" * 501,
        "pix_code": damaged,
        "due_day": 7,
    }
    for field, value in wrong.items():
        assert await fields_of(api, token, "/v1/contacts", {**MARIA, field: value}) == [field]
    assert (await api.call("GET", "/v1/contacts", token=token)).json["contacts"] == []


async def test_contacts_are_listed_by_due_date_searched_and_paged(shared_api: PublicApi) -> None:
    api, token = shared_api, await shared_api.tenant("pages")
    for number in range(5):
        body = {**MARIA, "name": f"C{number} 100%_x", "phone": f"551198888100{number}"}
        due_date = (date(2099, 1, 9) - timedelta(days=number % 3)).isoformat()
        assert (await api.call("POST", "/v1/contacts", {**body, "due_date": due_date}, token=token)).status == 201
    seen, cursor = list[str](), ""
    while True:
        page = (await api.call("GET", f"/v1/contacts?limit=2{cursor}", token=token)).json
        seen += [one["due_date"] for one in page["contacts"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert len(seen) == 5
    assert seen == sorted(seen)
    for search, number in (
        ("c3", 1),
        ("8881004", 1),
        ("%2B55+(11)+98888-1004", 1),
        ("-", 0),
        ("100%25_X", 5),
        ("%25%25", 0),
        ("nobody", 0),
    ):
        found = await api.call("GET", f"/v1/contacts?search={search}", token=token)
        assert len(found.json["contacts"]) == number, search
    assert len((await api.call("GET", "/v1/contacts?state=paid", token=token)).json["contacts"]) == 0
    assert (await api.call("GET", "/v1/contacts?cursor=abc", token=token)).status == 422


async def test_what_is_paid_moves_on_once_however_often_it_is_said(shared_api: PublicApi) -> None:
    api, token = shared_api, await shared_api.tenant("paying")
    path = (await api.call("POST", "/v1/contacts", MARIA, token=token)).headers["Location"]
    for _ in range(2):
        paid = await api.call("POST", f"{path}/paid", {"due_date": "2099-01-31"}, token=token)
        assert (paid.json["due_date"], paid.json["paid_due_date"]) == ("2099-02-28", "2099-01-31")
    assert (await api.call("POST", f"{path}/paid", {"due_date": "2099-05-01"}, token=token)).code == "due_date_moved"
    assert (await api.call("POST", f"{path}/paid", token=token)).json["due_date"] == "2099-03-31"
    once = {**MARIA, "phone": "5511988880002", "recurrence": "none"}
    path = (await api.call("POST", "/v1/contacts", once, token=token)).headers["Location"]
    for _ in range(2):
        paid = await api.call("POST", f"{path}/paid", {}, token=token)
        assert (paid.json["state"], paid.json["due_date"]) == ("paid", "2099-01-31")
    opened = await api.call("PATCH", path, {"due_date": "2099-02-28"}, token=token)
    assert opened.json["state"] == "open"


async def test_a_file_is_taken_whole_or_not_at_all(shared_api: PublicApi) -> None:
    api, token = shared_api, await shared_api.tenant("sheets")

    async def sheet(text: str, query: str = "") -> tuple[int, Any]:
        headers = {"Content-Type": "text/csv"}
        answer = await api.call("POST", f"/v1/contacts.csv{query}", raw=text.encode(), token=token, headers=headers)
        return answer.status, answer.json

    header = "name,phone,amount,due_date\n"
    good = f"{header}Maria,5511988880001,10.50,2099-12-10\nJosé,5511988880002,20,11/12/2099\n"
    status, problem = await sheet(good + "Bad,0800,much,soon\n")
    assert status == 422
    assert [error["field"] for error in problem["errors"]] == ["lines[4].amount", "lines[4].due_date", "lines[4].phone"]
    assert await sheet(good, "?dry_run=true") == (200, {"created": 2, "updated": 0, "unchanged": 0, "dry_run": True})
    assert (await api.call("GET", "/v1/contacts", token=token)).json["contacts"] == []
    assert await sheet(good) == (200, {"created": 2, "updated": 0, "unchanged": 0, "dry_run": False})
    changed = f"{header}Maria S.,+55 11 98888-0001,10.50,2099-12-10\nJosé,5511988880002,20,11/12/2099\n"
    assert await sheet(changed) == (200, {"created": 0, "updated": 1, "unchanged": 1, "dry_run": False})
    exported = await api.call("GET", "/v1/contacts.csv", token=token)
    assert exported.headers["Content-Type"] == "text/csv; charset=utf-8"
    lines = exported.body.decode("utf-8-sig").splitlines()
    assert lines[1:] == [
        "Maria S.,5511988880001,10.50,2099-12-10,none,10,,,open",
        "José,5511988880002,20.00,2099-12-11,none,11,,,open",
    ]
    assert await sheet(exported.body.decode()) == (
        200,
        {"created": 0, "updated": 0, "unchanged": 2, "dry_run": False},
    )


async def test_a_tenant_has_so_many_contacts_and_schedules_at_most(
    shared_api: PublicApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reminder_contacts, "MOST_CONTACTS", 2)
    monkeypatch.setattr(reminder_schedules, "MOST_SCHEDULES", 1)
    api, token = shared_api, await shared_api.tenant("limits")
    text = "name,phone,amount,due_date\n" + "".join(f"M,551198888000{n},1,2099-12-10\n" for n in range(3))
    refused = await api.call("POST", "/v1/contacts.csv", raw=text.encode(), token=token)
    assert (refused.status, refused.code) == (409, "contact_limit")
    for number, status in ((0, 201), (1, 201), (2, 409)):
        body = {**MARIA, "phone": f"551198888000{number}"}
        assert (await api.call("POST", "/v1/contacts", body, token=token)).status == status
    await api.call("POST", "/v1/sessions", {"session_id": "s"}, token=token)
    assert (await api.call("POST", "/v1/schedules", {"session_id": "s"}, token=token)).status == 201
    assert (await api.call("POST", "/v1/schedules", {"session_id": "s"}, token=token)).code == "schedule_limit"


async def test_a_schedule_is_made_changed_and_deleted(shared_api: PublicApi) -> None:
    api, token = shared_api, await shared_api.tenant("schedules")
    assert (await api.call("POST", "/v1/schedules", {"session_id": "loja"}, token=token)).code == "session_not_found"
    await api.call("POST", "/v1/sessions", {"session_id": "loja"}, token=token)
    made = await api.call("POST", "/v1/schedules", {"session_id": "loja"}, token=token)
    assert made.status == 201
    plan = made.json
    assert (plan["time_of_day"], plan["time_zone"], plan["language"]) == ("09:00", "America/Sao_Paulo", "pt-BR")
    assert (plan["days_before"], plan["on_due_date"], plan["days_after"]) == ([3, 1], True, [1, 3])
    path = made.headers["Location"]
    changes = {"time_of_day": "18:30", "days_before": [1, 7, 7], "quiet_weekdays": ["sunday"], "language": "en"}
    changed = await api.call("PATCH", path, changes, token=token)
    assert changed.json == {**plan, **changes, "days_before": [7, 1]}
    wrong: dict[str, Any] = {
        "time_of_day": "24:00",
        "time_zone": "Mars/Olympus",
        "days_after": [0],
        "quiet_weekdays": ["someday"],
        "catch_up_hours": 0,
        "language": "fr",
    }
    for field, value in wrong.items():
        found = await fields_of(api, token, path, {field: value}, "PATCH")
        assert [one.partition("[")[0] for one in found] == [field]
    assert (await api.call("PATCH", path, {"session_id": "other"}, token=token)).code == "session_not_found"
    listed = await api.call("GET", "/v1/schedules?search=loja", token=token)
    assert listed.json == {"schedules": [changed.json], "next_cursor": None}
    assert (await api.call("GET", "/v1/schedules?search=x", token=token)).json["schedules"] == []
    assert (await api.call("DELETE", path, token=token)).status == 204
    assert (await api.call("GET", path, token=token)).code == "schedule_not_found"


async def test_texts_are_the_defaults_until_a_tenant_writes_its_own(shared_api: PublicApi) -> None:
    api, token = shared_api, await shared_api.tenant("texts")
    listed = (await api.call("GET", "/v1/templates", token=token)).json["templates"]
    ids = [one["template_id"] for one in listed]
    assert ids == sorted(ids)
    assert len(ids) == 10
    assert not any(one["own"] for one in listed)
    first = (await api.call("GET", "/v1/templates?limit=7", token=token)).json
    rest = (await api.call("GET", f"/v1/templates?limit=7&cursor={first['next_cursor']}", token=token)).json
    assert first["templates"] + rest["templates"] == listed
    path = "/v1/templates/due.pt-BR"
    own = await api.call("PUT", path, {"text": " Oi {{first_name}}! "}, token=token)
    assert (own.json["text"], own.json["own"], own.json["kind"]) == ("Oi {{first_name}}!", True, "due")
    searched = await api.call("GET", "/v1/templates?search=oi%20%7B", token=token)
    assert [one["template_id"] for one in searched.json["templates"]] == ["due.pt-BR"]
    refused = await api.call("PUT", path, {"text": "Oi {{nmae}}"}, token=token)
    assert (refused.status, refused.json["errors"][0]["field"]) == (422, "text")
    assert "first_name" in refused.json["errors"][0]["message"]
    assert (await api.call("PUT", "/v1/templates/due.fr", {"text": "x"}, token=token)).code == "template_not_found"
    assert (await api.call("DELETE", path, token=token)).status == 204
    assert (await api.call("GET", path, token=token)).json["own"] is False


async def test_a_token_that_sends_may_keep_contacts_and_say_that_they_paid_but_not_when_they_hear(
    shared_api: PublicApi,
) -> None:
    api = shared_api
    await api.tenant("scopes")
    sender = await api.tenant_token("scopes", "send", "read")
    path = (await api.call("POST", "/v1/contacts", MARIA, token=sender)).headers["Location"]
    assert (await api.call("POST", f"{path}/paid", token=sender)).status == 200
    assert (await api.call("POST", "/v1/schedules", {"session_id": "s"}, token=sender)).code == "scope_missing"
    assert (await api.call("PUT", "/v1/templates/due.en", {"text": "x"}, token=sender)).code == "scope_missing"


async def test_what_the_admin_does_with_a_tenant_s_contacts_is_on_record(shared_api: PublicApi) -> None:
    api = shared_api
    await api.tenant("recorded")
    assert (await api.call("POST", "/v1/contacts", MARIA, headers={"X-Tenant": "recorded"})).status == 201
    acts = (await api.call("GET", "/v1/audit?tenant_id=recorded")).json["audit"]
    assert "reminder_contacts_create" in {act["action"] for act in acts}


async def test_the_client_speaks_of_them(shared_api: PublicApi) -> None:
    token = await shared_api.tenant("client")
    async with Client(shared_api.url, token) as client:
        await shared_api.call("POST", "/v1/sessions", {"session_id": "loja"}, token=token)
        new = wire.CreateReminderContact(
            name="Ana", phone="5511988880001", amount_cents=100, due_date=date(2099, 12, 10)
        )
        ana = await client.reminder_contacts.create(new)
        with pytest.raises(ContactExists):
            await client.reminder_contacts.create(new)
        assert await client.reminder_contacts.get(ana.contact_id) == ana
        changed = await client.reminder_contacts.change(ana.contact_id, wire.ChangeReminderContact(note="x"))
        assert changed.note == "x"
        assert [one async for one in client.reminder_contacts.list(search="an")] == [changed]
        assert (await client.reminder_contacts.page(limit=1)).contacts == [changed]
        paid = await client.reminder_contacts.pay(ana.contact_id, date(2099, 12, 10))
        assert paid.state is reminder.ContactState.PAID
        assert [one async for one in client.reminder_contacts.reminders(ana.contact_id)] == []
        imported = await client.reminder_contacts.write_in(await client.reminder_contacts.write_out(), dry_run=True)
        assert (imported.unchanged, imported.dry_run) == (1, True)
        with pytest.raises(InvalidRequest) as refused:
            await client.reminder_contacts.write_in(b"name\nAna\n")
        assert refused.value.errors[0].field == "lines[1]"
        plan = await client.schedules.create(wire.CreateReminderSchedule(session_id="loja"))
        assert await client.schedules.get(plan.schedule_id) == plan
        off = await client.schedules.change(plan.schedule_id, wire.ChangeReminderSchedule(enabled=False))
        assert [one async for one in client.schedules.list()] == [off]
        await client.schedules.delete(plan.schedule_id)
        assert (await client.templates.put("paid.en", "Thanks, {{name}}!")).own
        assert (await client.templates.get("paid.en")).text == "Thanks, {{name}}!"
        await client.templates.delete("paid.en")
        assert len([one async for one in client.templates.list() if one.own]) == 0
        await client.reminder_contacts.delete(ana.contact_id)
        assert [one async for one in client.reminder_contacts.list()] == []
