"""Contacts as CSV: what spreadsheets write is read, and what is written opens in a spreadsheet without running anything there."""

import csv
import io
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final, TypeVar

from orchestrator.domain import reminder
from orchestrator.domain.errors import FieldError, InvalidRequest
from orchestrator.domain.reminder import Contact, ContactState, Details, Recurrence

T = TypeVar("T")

MOST_LINES: Final = 5000
#: Of what is wrong, so much is told at once.
MOST_ERRORS: Final = 100

COLUMNS: Final = ("name", "phone", "amount", "due_date", "recurrence", "due_day", "note", "pix_code", "state")
REQUIRED: Final = ("name", "phone", "amount", "due_date")

#: Also as Brazilians call them; without accents, and in lower case.
_ALSO = {
    "nome": "name",
    "telefone": "phone",
    "celular": "phone",
    "whatsapp": "phone",
    "valor": "amount",
    "vencimento": "due_date",
    "recorrencia": "recurrence",
    "dia": "due_day",
    "observacao": "note",
    "pix": "pix_code",
    "situacao": "state",
}
_RECURRENCES: Mapping[str, Recurrence] = {
    **{str(one): one for one in Recurrence},
    "": Recurrence.NONE,
    "nenhuma": Recurrence.NONE,
    "semanal": Recurrence.WEEKLY,
    "mensal": Recurrence.MONTHLY,
    "anual": Recurrence.YEARLY,
}
_STATES: Mapping[str, str] = {
    "": "",
    "open": ContactState.OPEN,
    "aberto": ContactState.OPEN,
    "paid": ContactState.PAID,
    "pago": ContactState.PAID,
}

#: What a spreadsheet takes for the beginning of a formula (OWASP, CSV Injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

_AMOUNTS = (
    re.compile(r"(?P<whole>[0-9]{1,10})([.,](?P<rest>[0-9]{1,2}))?"),
    re.compile(r"(?P<whole>[0-9]{1,3}(\.[0-9]{3})+)(,(?P<rest>[0-9]{1,2}))?"),
    re.compile(r"(?P<whole>[0-9]{1,3}(,[0-9]{3})+)(\.(?P<rest>[0-9]{1,2}))?"),
)
_ISO_DATE = re.compile(r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})")
_OUR_DATE = re.compile(r"([0-9]{1,2})[/.]([0-9]{1,2})[/.]([0-9]{4})")


@dataclass(frozen=True, slots=True)
class Line:
    """One contact of a file. ``state`` None: as it is, and open if it is new."""

    number: int
    details: Details
    state: ContactState | None


def read(content: bytes) -> list[Line]:
    """All contacts of a file; ``InvalidRequest`` with everything that is wrong, by line and column.

    UTF-8; commas, semicolons or tabs between the fields; line 1 names the columns.
    """
    first, rows = _table(content)
    columns = _columns(first)
    lines: list[Line] = []
    errors: list[FieldError] = []
    first_with: dict[str, int] = {}
    for number, row in rows:
        try:
            line = _line(number, dict(zip(columns, (_unquoted(cell) for cell in row), strict=False)))
            before = first_with.setdefault(line.details.phone, number)
            if before != number:
                raise InvalidRequest(errors=[FieldError("phone", f"is in line {before} already")])
            if len(row) > len(columns):
                raise InvalidRequest(errors=[FieldError("columns", f"are {len(row)}, and line 1 names {len(columns)}")])
            lines.append(line)
        except InvalidRequest as error:
            errors += [FieldError(f"lines[{number}].{one.field}", one.message) for one in error.errors]
        if len(errors) >= MOST_ERRORS:
            break
    if errors:
        raise InvalidRequest("Nothing was imported; correct these lines.", errors=errors[:MOST_ERRORS])
    if not lines:
        raise InvalidRequest(errors=[FieldError("(body)", "has no contacts below its first line")])
    return lines


def header() -> str:
    """The first line of a file, which names the columns."""
    return _row(COLUMNS)


def written(contacts: Iterable[Contact]) -> Iterator[str]:
    """The lines of a file below its first."""
    for contact in contacts:
        details = contact.details
        whole, rest = divmod(details.amount_cents, 100)
        yield _row(
            (
                details.name,
                details.phone,
                f"{whole}.{rest:02d}",
                details.due_date.isoformat(),
                details.recurrence,
                str(details.due_day or ""),
                details.note,
                details.pix_code or "",
                contact.state,
            )
        )


def amount_cents(text: str) -> int | None:
    """Of reais: ``1234.56``, ``1.234,56``, ``R$ 50``; None if it is none."""
    bare = re.sub(r"^R\$|[\s\u00a0]", "", text.strip())
    for pattern in _AMOUNTS:
        found = pattern.fullmatch(bare)
        if found:
            return int(re.sub("[.,]", "", found["whole"])) * 100 + int((found["rest"] or "").ljust(2, "0"))
    return None


def due_date(text: str) -> date | None:
    """``2026-11-28`` or ``28/11/2026``; None if it is no day."""
    iso, ours = _ISO_DATE.fullmatch(text.strip()), _OUR_DATE.fullmatch(text.strip())
    try:
        if iso:
            return date(int(iso[1]), int(iso[2]), int(iso[3]))
        if ours:
            return date(int(ours[3]), int(ours[2]), int(ours[1]))
    except ValueError:
        return None
    return None


def _table(content: bytes) -> tuple[list[str], list[tuple[int, list[str]]]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = "must be UTF-8; in a spreadsheet, save it as CSV UTF-8"
        raise InvalidRequest(errors=[FieldError("(body)", message)]) from error
    if "\x00" in text:
        raise InvalidRequest(errors=[FieldError("(body)", "must not contain the character NUL")])
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[tuple[int, list[str]]] = []
    begins = 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append((begins, row))
            begins = reader.line_num + 1
            if len(rows) > MOST_LINES + 1:
                message = f"has more than {MOST_LINES} contacts; import it in parts"
                raise InvalidRequest(errors=[FieldError("(body)", message)])
    except csv.Error as error:
        message = "can't be read as CSV; is a quotation mark missing?"
        raise InvalidRequest(errors=[FieldError(f"lines[{begins}]", message)]) from error
    if not rows:
        raise InvalidRequest(errors=[FieldError("(body)", "is empty")])
    return rows[0][1], rows[1:]


def _columns(cells: list[str]) -> list[str]:
    names = [_ALSO.get(_plain(cell), _plain(cell)) for cell in cells]
    errors = [
        FieldError(
            "lines[1]", f"names the column {cell.strip()[:50]!r}, which there isn't; there are {', '.join(COLUMNS)}"
        )
        for cell, name in zip(cells, names, strict=True)
        if name not in COLUMNS
    ]
    errors += [FieldError("lines[1]", f"lacks the column {name}") for name in REQUIRED if name not in names]
    errors += [FieldError("lines[1]", f"names {name} twice") for name in COLUMNS if names.count(name) > 1]
    if errors:
        raise InvalidRequest("Nothing was imported; correct the first line.", errors=errors[:MOST_ERRORS])
    return names


def _line(number: int, cells: Mapping[str, str]) -> Line:
    errors: list[FieldError] = []

    def value(column: str, parse: Callable[[str], T | None], instead: T, message: str) -> T:
        found = parse(cells.get(column, ""))
        if found is None:
            errors.append(FieldError(column, message))
        return instead if found is None else found

    recurrences, states = ", ".join(Recurrence), ", ".join(ContactState)
    given = Details(
        name=cells.get("name", ""),
        phone=cells.get("phone", ""),
        amount_cents=value("amount", amount_cents, 1, "must be an amount such as 1234.56 or 1.234,56"),
        due_date=value("due_date", due_date, reminder.EARLIEST, "must be a day such as 2026-11-28 or 28/11/2026"),
        due_day=value("due_day", _day_of_month, 0, "must be a day of the month, 1 to 31") or None,
        recurrence=value("recurrence", _recurrence, Recurrence.NONE, f"must be one of {recurrences}"),
        note=cells.get("note", ""),
        pix_code=cells.get("pix_code") or None,
    )
    state = value("state", lambda text: _STATES.get(_plain(text)), "", f"must be one of {states}")
    try:
        given = reminder.checked(given)
    except InvalidRequest as error:
        for one in error.errors:
            field = "amount" if one.field == "amount_cents" else one.field
            if field not in {each.field for each in errors}:
                errors.append(FieldError(field, one.message))
    if errors:
        raise InvalidRequest(errors=errors)
    return Line(number, given, ContactState(state) if state else None)


def _recurrence(text: str) -> Recurrence | None:
    return _RECURRENCES.get(_plain(text))


def _day_of_month(text: str) -> int | None:
    """0: none is given."""
    if not text.strip():
        return 0
    return int(text) if re.fullmatch(r"\s*0?([1-9]|[12][0-9]|3[01])\s*", text) else None


def _plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.strip().casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c)).replace(" ", "_")


def _row(cells: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow([f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in cells])
    return line.getvalue()


def _unquoted(cell: str) -> str:
    """Without the mark that keeps a spreadsheet from taking it for a formula."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell
