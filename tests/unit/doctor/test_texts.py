"""The doctor speaks both languages, about the same things."""

import string

import pytest

from orchestrator.commands.doctor import language_of
from orchestrator.doctor.texts import TEXTS
from orchestrator.domain.language import Language


def places(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


def test_each_sentence_is_there_in_each_language_with_the_same_places() -> None:
    english, portuguese = TEXTS[Language.EN], TEXTS[Language.PT_BR]
    assert english.keys() == portuguese.keys()
    for code, sentence in english.items():
        assert places(sentence) == places(portuguese[code]), code
        assert code == "setting_refused" or sentence != portuguese[code]
        assert sentence.endswith((".", "?", "}"))


@pytest.mark.parametrize(
    ("environ", "language"),
    [
        ({}, Language.EN),
        ({"LANG": "C.UTF-8"}, Language.EN),
        ({"LANG": "pt_BR.UTF-8"}, Language.PT_BR),
        ({"LANG": "pt_BR.UTF-8", "LC_ALL": "en_US.UTF-8"}, Language.EN),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "pt_PT"}, Language.PT_BR),
    ],
)
def test_the_language_is_the_terminals(environ: dict[str, str], language: Language) -> None:
    assert language_of(environ) is language
