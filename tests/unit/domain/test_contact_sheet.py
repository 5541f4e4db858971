import csv
import io
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as some

from orchestrator.domain import contact_sheet
from orchestrator.domain.errors import InvalidRequest
from orchestrator.domain.reminder import MOST_CENTS, Contact, ContactState, Details, Recurrence, checked
from tests.support.pix import pix_code

HEADER = "name,phone,amount,due_date"


def errors(content: str | bytes) -> list[tuple[str, str]]:
    with pytest.raises(InvalidRequest) as caught:
        contact_sheet.read(content if isinstance(content, bytes) else content.encode())
    return [(one.field, one.message) for one in caught.value.errors]


def test_a_file_as_brazilian_spreadsheets_write_it_is_read() -> None:
    text = (
        "\ufeffNome;Telefone;Valor;Vencimento;Recorrência;Dia;Observação;PIX;Situação\r\n"
        '"Maria; a dona";+55 (11) 98888-7777;R$ 1.234,56;28/02/2027;Mensal;31;"Aula de\r\nviolão";;pago\r\n'
        "\r\n"
        f"José;5511988887776;50;2026-12-01;;;;{pix_code()};\r\n"
    )
    maria, jose = contact_sheet.read(text.encode())
    assert (maria.number, maria.state) == (2, ContactState.PAID)
    assert maria.details == Details(
        name="Maria; a dona",
        phone="5511988887777",
        amount_cents=123_456,
        due_date=date(2027, 2, 28),
        due_day=31,
        recurrence=Recurrence.MONTHLY,
        note="Aula de\r\nviolão",
    )
    assert (jose.number, jose.state, jose.details.pix_code) == (5, None, pix_code())
    assert (jose.details.amount_cents, jose.details.recurrence) == (5000, Recurrence.NONE)


@pytest.mark.parametrize(
    ("text", "cents"),
    [
        ("0,5", 50),
        ("1.5", 150),
        ("12,34", 1234),
        ("1.234", 123_400),
        ("1,234.5", 123_450),
        ("R$ 10", 1000),
        ("1.234.567,89", 123_456_789),
        ("1.23.4", None),
        ("-5", None),
        ("", None),
        ("1e3", None),
        ("1,2345", None),
        ("١٢", None),
    ],
)
def test_amounts_are_read_as_people_write_them(text: str, cents: int | None) -> None:
    assert contact_sheet.amount_cents(text) == cents


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-11-28", date(2026, 11, 28)),
        ("28/11/2026", date(2026, 11, 28)),
        (" 1/2/2026 ", date(2026, 2, 1)),
        ("29/02/2027", None),
        ("11/28/2026", None),
        ("28/11/26", None),
        ("tomorrow", None),
        ("", None),
    ],
)
def test_days_are_read_as_people_write_them(text: str, day: date | None) -> None:
    assert contact_sheet.due_date(text) == day


def test_everything_wrong_is_named_by_its_line_and_column() -> None:
    text = (
        f"{HEADER},recurrence,state\n"
        "Maria,5511988887777,10,2026-12-01,,\n"
        ",0800,much,soon,sometimes,perhaps\n"
        "Again,+55 11 98888-7777,10,2026-12-01,,\n"
        "More,5511988887775,10,2026-12-01,,,too,many\n"
        "Zero,5511988887774,0,2026-12-01,,\n"
    )
    found = errors(text)
    assert [field for field, _ in found] == [
        *(f"lines[3].{name}" for name in ("amount", "due_date", "recurrence", "state", "name", "phone")),
        "lines[4].phone",
        "lines[5].columns",
        "lines[6].amount",
    ]
    assert "is in line 2 already" in dict(found)["lines[4].phone"]


@pytest.mark.parametrize(
    ("content", "field", "message"),
    [
        (b"", "(body)", "is empty"),
        (b"\n\n", "(body)", "is empty"),
        (f"{HEADER}\n", "(body)", "no contacts"),
        ("name,phone\nMaria,5511988887777\n", "lines[1]", "lacks the column amount"),
        (f"{HEADER},e-mail\n", "lines[1]", "'e-mail'"),
        (f"{HEADER},nome\n", "lines[1]", "names name twice"),
        ("Jos\xe9".encode("latin-1"), "(body)", "UTF-8"),
        (f"{HEADER}\nMa\x00ria,5511988887777,10,2026-12-01\n", "(body)", "NUL"),
        (f'{HEADER}\n"Maria,5511988887777,10,2026-12-01\n', "lines[2]", "quotation mark"),
    ],
)
def test_a_file_that_is_none_is_refused(content: str | bytes, field: str, message: str) -> None:
    found = errors(content)
    assert found[0][0] == field
    assert message in found[0][1]


def test_a_file_that_is_too_long_is_refused_and_not_all_errors_are_told() -> None:
    assert "more than 5000" in errors(f"{HEADER}\n" + "x\n" * 5001)[0][1]
    assert len(errors(f"{HEADER}\n" + "x\n" * 200)) == contact_sheet.MOST_ERRORS


def contact(details: Details) -> Contact:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Contact(
        contact_id="ct_1",
        details=checked(details),
        state=ContactState.OPEN,
        due_since=now,
        paid_due_date=None,
        paid_at=None,
        created_at=now,
    )


def written(*contacts: Contact) -> str:
    return contact_sheet.header() + "".join(contact_sheet.written(contacts))


@given(
    some.text(some.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=100).filter(str.strip),
    some.text(some.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=500),
    some.integers(1, MOST_CENTS),
    some.dates(date(2000, 1, 1), date(2199, 12, 31)),
    some.sampled_from(Recurrence),
)
def test_what_is_written_is_read_again(
    name: str, note: str, amount: int, due_date: date, recurrence: Recurrence
) -> None:
    made = Details(
        name=name, phone="5511988887777", amount_cents=amount, due_date=due_date, note=note, recurrence=recurrence
    )
    there = contact(made)
    (line,) = contact_sheet.read(written(there).encode())
    assert line.details == there.details


def test_nothing_that_is_written_is_a_formula() -> None:
    details = Details(
        name='=HYPERLINK("x")', phone="5511988887777", amount_cents=100, due_date=date(2026, 12, 1), note="@SUM(1)"
    )
    text = written(contact(details))
    for row in csv.reader(io.StringIO(text)):
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)
    assert contact_sheet.read(text.encode())[0].details == checked(details)
