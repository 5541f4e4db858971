"""No language of the dashboard lacks a text, or fills in other things than the others."""

from orchestrator.domain.language import Language
from orchestrator.pages.dashboard.routes import PAGES
from orchestrator.pages.dashboard.texts import DASHBOARD
from tests.support.catalogue import placeholders, said

#: Means the same in every language, or is the same word.
SAME = {"backups", "webhooks", "tokens", "login_token", "id", "email", "proxy", "token_made"}


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
