"""No language of the dashboard lacks a text, or fills in other things than the others."""

import string
from collections.abc import Iterator, Mapping
from dataclasses import fields

from orchestrator.domain.language import Language
from orchestrator.pages.dashboard.routes import PAGES
from orchestrator.pages.dashboard.texts import DASHBOARD, Texts

#: Means the same in every language, or is the same word.
SAME = {"backups", "webhooks", "tokens", "login_token", "id", "email", "proxy", "token_made"}


def said(texts: Texts) -> Iterator[tuple[str, str]]:
    for field in fields(texts):
        value = getattr(texts, field.name)
        if isinstance(value, Mapping):
            yield from ((f"{field.name}.{key}", text) for key, text in value.items())
        else:
            yield field.name, value


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_every_text_is_there_in_both_languages_with_the_same_placeholders() -> None:
    english, portuguese = dict(said(DASHBOARD[Language.EN])), dict(said(DASHBOARD[Language.PT_BR]))
    assert english.keys() == portuguese.keys()
    assert {key: placeholders(text) for key, text in english.items()} == {
        key: placeholders(text) for key, text in portuguese.items()
    }
    assert all(english.values())
    assert all(portuguese.values())
    assert {key for key in english if english[key] == portuguese[key]} == SAME


def test_every_question_is_asked_and_every_one_that_is_asked_is_there() -> None:
    asked = {action.question for _, _, actions in PAGES for action in actions if action.question is not None}
    assert asked == DASHBOARD[Language.EN].questions.keys()
