"""Reasons come in English from the services and the sidecar, and are said in the visitor's language."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from orchestrator.domain.crash_suspects import ISOLATED
from orchestrator.domain.language import Language
from orchestrator.domain.pairing_failure import EXPLANATIONS, PairingFailure
from orchestrator.domain.reason import PORTUGUESE, reason_in
from orchestrator.domain.subscription import PAUSED_REASON
from tests.support.catalogue import placeholders

PROJECT = Path(__file__).resolve().parents[3]
SIDECAR = PROJECT / "baileys-server"
#: Not words of Portuguese.
ENGLISH_WORDS = re.compile(r"\b(the|was|is|it|this|again|too|of|and|with|its)\b", re.IGNORECASE)


def portuguese(sentence: str) -> str:
    return reason_in(Language.PT_BR, sentence)


def test_whatever_ends_a_connection_is_said_in_portuguese() -> None:
    script = SIDECAR / "test" / "support" / "every-reason.js"
    printed = subprocess.run(["node", script, json.dumps(list(PairingFailure))], check=True, capture_output=True)
    said = json.loads(printed.stdout)
    assert len(said) > 40
    assert all(ENGLISH_WORDS.search(one) for one in said)
    assert [one for one in said if ENGLISH_WORDS.search(portuguese(one))] == []


@pytest.mark.parametrize("sentence", [ISOLATED, PAUSED_REASON, *(map(str, EXPLANATIONS[Language.EN].values()))])
def test_what_the_services_say_is_said_in_portuguese(sentence: str) -> None:
    assert not ENGLISH_WORDS.search(portuguese(sentence))


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        (
            "The connection to WhatsApp was lost; reconnecting in 0.8 s.",
            "A conexão com o WhatsApp caiu; reconecta em 0.8 s.",
        ),
        (
            "WhatsApp ended the connection (no code); reconnecting in 1.0 s.",
            "O WhatsApp encerrou a conexão (sem código); reconecta em 1.0 s.",
        ),
        (
            "The proxy can't be reached (ECONNREFUSED); reconnecting in 1.0 s.",
            "O proxy não pôde ser alcançado (ECONNREFUSED); reconecta em 1.0 s.",
        ),
        (
            "The stored auth state could not be loaded: The stored creds are not readable. Nothing is paired meanwhile.",
            "O estado guardado não pôde ser carregado: As credenciais guardadas não podem ser lidas."
            " Nenhum celular é conectado enquanto isso.",
        ),
        ("A sentence of a later version {of} ours.", "A sentence of a later version {of} ours."),
    ],
)
def test_parts_are_said_in_portuguese_too_and_the_unknown_is_left_as_it_is(sentence: str, said: str) -> None:
    assert portuguese(sentence) == said
    assert reason_in(Language.EN, sentence) == sentence


def test_translations_fill_in_the_same() -> None:
    assert all(placeholders(text) == placeholders(sentence) for sentence, text in PORTUGUESE.items())


def test_what_is_translated_is_still_said() -> None:
    """A sentence that was reworded is English on a Portuguese page until it is reworded here too."""
    ours = (path for path in (PROJECT / "orchestrator").rglob("*.py") if path.name != "reason.py")
    files = [*(SIDECAR / "src").rglob("*.js"), *ours]
    source = "\n".join(path.read_text() for path in files).replace("${PROXY_FAILED}", "The proxy")
    pieces = {sentence: re.split(r"\{\w+\}", sentence) for sentence in PORTUGUESE}
    assert [sentence for sentence, parts in pieces.items() if not all(part in source for part in parts)] == []
