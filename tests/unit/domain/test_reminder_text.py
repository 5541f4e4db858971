from dataclasses import replace
from datetime import date

import pytest

from orchestrator.domain.errors import InvalidRequest
from orchestrator.domain.language import Language
from orchestrator.domain.reminder import Details, ReminderKind
from orchestrator.domain.reminder_text import (
    DEFAULTS,
    checked,
    rendered,
    shown_amount,
    shown_date,
    shown_distance,
)
from tests.support.pix import pix_code

MARIA = Details(name="Maria Silva", phone="5511988887777", amount_cents=123_456, due_date=date(2026, 12, 10))
DUE = date(2026, 12, 10)
EN, PT = Language.EN, Language.PT_BR


def test_amounts_and_days_are_written_as_people_read_them() -> None:
    assert [shown_amount(cents, PT) for cents in (1, 12_345, 123_456_789)] == [
        "R$ 0,01",
        "R$ 123,45",
        "R$ 1.234.567,89",
    ]
    assert shown_amount(123_456, EN) == "R$ 1,234.56"
    assert (shown_date(DUE, PT), shown_date(DUE, EN)) == ("10/12/2026", "Dec 10, 2026")
    assert [shown_distance(days, PT) for days in (3, 1, 0, -1, -3)] == [
        "em 3 dias",
        "amanhã",
        "hoje",
        "ontem",
        "há 3 dias",
    ]
    assert [shown_distance(days, EN) for days in (3, 1, 0, -1, -3)] == [
        "in 3 days",
        "tomorrow",
        "today",
        "yesterday",
        "3 days ago",
    ]


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("kind", ReminderKind)
def test_there_is_a_default_for_every_occasion_in_every_language(kind: ReminderKind, language: Language) -> None:
    assert checked(DEFAULTS[language][kind]) == DEFAULTS[language][kind]
    text = rendered(None, kind, language, MARIA, due_date=DUE, today=date(2026, 12, 7))
    assert "Maria" in text
    assert "{{" not in text
    assert shown_amount(MARIA.amount_cents, language) in text


def test_a_line_whose_variables_are_all_empty_is_left_out() -> None:
    today = date(2026, 12, 7)
    bare = rendered(None, ReminderKind.BEFORE_DUE, PT, MARIA, due_date=DUE, today=today)
    assert bare == "Olá, Maria! Passando para lembrar: R$ 1.234,56 vence em 3 dias, 10/12/2026."
    full = rendered(
        None, ReminderKind.BEFORE_DUE, PT, replace(MARIA, note="Aula", pix_code=pix_code()), due_date=DUE, today=today
    )
    assert full == f"{bare}\nAula\nPIX copia e cola: {pix_code()}"
    thanks = rendered(None, ReminderKind.PAID, PT, MARIA, due_date=DUE, today=DUE, next_due_date=date(2027, 1, 10))
    assert thanks.endswith("O próximo vencimento é 10/01/2027.")
    assert "próximo" not in rendered(None, ReminderKind.PAID, PT, MARIA, due_date=DUE, today=DUE)


def test_an_own_text_is_filled_and_one_of_which_nothing_is_left_is_the_default() -> None:
    own = rendered(
        "{{name}}: {{days}} ({{ when }})", ReminderKind.OVERDUE, EN, MARIA, due_date=DUE, today=date(2026, 12, 13)
    )
    assert own == "Maria Silva: 3 (3 days ago)"
    assert rendered("{{note}}", ReminderKind.DUE, EN, MARIA, due_date=DUE, today=DUE).startswith("Hello, Maria!")
    injected = replace(MARIA, name="{{amount}}")
    assert rendered("{{name}}!", ReminderKind.DUE, EN, injected, due_date=DUE, today=DUE) == "{{amount}}!"


def test_a_variable_that_there_is_not_is_named() -> None:
    with pytest.raises(InvalidRequest) as caught:
        checked("Hello, {{nmae}}")
    assert "{{nmae}}" in caught.value.errors[0].message
    for wrong in ("", " \n ", "x" * 4001):
        with pytest.raises(InvalidRequest):
            checked(wrong)
