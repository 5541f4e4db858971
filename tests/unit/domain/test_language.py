import pytest

from orchestrator.domain.language import Language, preferred_language


@pytest.mark.parametrize(
    ("accept", "language"),
    [
        ("", Language.EN),
        ("pt-BR,pt;q=0.9,en;q=0.8", Language.PT_BR),
        ("en-US,en;q=0.9,pt;q=0.8", Language.EN),
        ("pt-PT", Language.PT_BR),
        ("fr, pt;q=0.1", Language.PT_BR),
        ("pt;q=0, en;q=0.1", Language.EN),
        ("es-AR, *;q=0.5", Language.EN),
        ("pt;q=much", Language.EN),
    ],
)
def test_the_preferred_of_our_languages_is_spoken(accept: str, language: Language) -> None:
    assert preferred_language(accept) is language
