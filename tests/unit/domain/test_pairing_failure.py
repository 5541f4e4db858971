import re
from pathlib import Path

from orchestrator.domain.language import Language
from orchestrator.domain.pairing_failure import EXPLANATIONS, PairingFailure, pairing_failure

TYPES = Path("baileys-server/src/connections/pairing-failure.js")


def test_every_failure_is_explained_in_every_language_and_says_what_to_do() -> None:
    for language in Language:
        assert EXPLANATIONS[language].keys() == set(PairingFailure)
        for explanation in EXPLANATIONS[language].values():
            assert re.fullmatch(r"[A-ZÀ-Ú].*\.", explanation.happened)
            assert re.fullmatch(r"[A-ZÀ-Ú].*\.", explanation.advice)


def test_the_sidecar_names_the_same_failures() -> None:
    typedef = re.search(r"@typedef \{(.*?)\} PairingFailureCode", TYPES.read_text(), re.DOTALL)
    assert typedef is not None
    assert set(re.findall(r"'(\w+)'", typedef.group(1))) == set(PairingFailure)


def test_a_failure_that_only_a_later_sidecar_knows_is_none_of_ours() -> None:
    assert pairing_failure("timed_out") is PairingFailure.TIMED_OUT
    assert pairing_failure("abducted") is None
