"""No language lacks a text, says other things than the others, or fills in other things."""

import pytest

from orchestrator.bot.texts import TEXTS, fill
from orchestrator.domain.language import Language
from tests.support.catalogue import placeholders, said

#: Means the same in every language, or is the same word.
SAME = {"command_language", "home", "by_qr", "pairing_line", "errors_line", "tenant_line", "payment_line"}
SAME |= {"process", "alert_on", "alert_muted", "charge_code", "sessions_title", "reminder_text"}


ENGLISH = dict(said(TEXTS[Language.EN]))


@pytest.mark.parametrize("language", [language for language in Language if language is not Language.EN])
def test_every_text_is_there_in_every_language_with_the_same_placeholders(language: Language) -> None:
    others = dict(said(TEXTS[language]))
    assert others.keys() == ENGLISH.keys()
    assert {key: placeholders(text) for key, text in others.items()} == {
        key: placeholders(text) for key, text in ENGLISH.items()
    }
    assert all(others.values())
    untranslated = {key for key, text in others.items() if text == ENGLISH[key] and any(map(str.isalpha, text))}
    assert {key for key in untranslated if key not in SAME} == set()


@pytest.mark.parametrize("language", Language)
def test_markup_is_balanced(language: Language) -> None:
    for key, text in said(TEXTS[language]):
        for tag in ("b", "code", "pre"):
            assert text.count(f"<{tag}>") == text.count(f"</{tag}>"), key


def test_what_is_filled_in_is_no_markup() -> None:
    assert fill("<b>{name}</b>", name="<i>&") == "<b>&lt;i&gt;&amp;</b>"
