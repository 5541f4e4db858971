"""What the pairing page shows."""

import dataclasses
import re
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.domain.language import Language
from orchestrator.domain.pairing_failure import PairingFailure
from orchestrator.pages.pairing import shown_state
from orchestrator.pages.texts import PAIRING
from orchestrator.services.connections import PairingCode, Qr
from orchestrator.services.pairing import Phase, Progress

#: Long after these tests, however slow the machine is.
LATER = datetime.now(UTC) + timedelta(hours=1)
QR = Qr("2@abc,def,ghi,jkl,1", LATER)
CODE = PairingCode("ABCD-EFGH", LATER)


def test_the_languages_have_the_same_places_to_fill_in() -> None:
    english = dataclasses.asdict(PAIRING[Language.EN])
    for texts in PAIRING.values():
        for name, text in dataclasses.asdict(texts).items():
            assert text, name
            assert re.findall(r"\{\w+\}", str(text)) == re.findall(r"\{\w+\}", str(english[name])), name


def test_a_qr_code_is_a_picture_with_a_clock() -> None:
    soon = dataclasses.replace(QR, expires_at=datetime.now(UTC) + timedelta(seconds=15))
    state = shown_state(Progress(Phase.SCAN, qr=soon), Language.EN)
    assert state.qr is not None
    assert state.qr.startswith("data:image/svg+xml")
    assert state.life_ms == 20_000
    assert state.remaining_ms is not None
    assert 0 <= state.remaining_ms <= 15_000
    assert (state.code, state.notice) == (None, None)


def test_a_code_takes_the_place_of_the_qr_code() -> None:
    state = shown_state(Progress(Phase.SCAN, qr=QR, code=CODE), Language.EN)
    assert (state.code, state.life_ms) == ("ABCD-EFGH", 200_000)


def test_the_version_changes_with_what_is_shown_and_not_with_the_clock() -> None:
    version = shown_state(Progress(Phase.SCAN, qr=QR), Language.EN).version
    later = dataclasses.replace(QR, expires_at=LATER - timedelta(seconds=3))
    other = dataclasses.replace(QR, qr="2@xyz,def,ghi,jkl,1")
    assert shown_state(Progress(Phase.SCAN, qr=later), Language.EN).version == version
    assert shown_state(Progress(Phase.SCAN, qr=other), Language.EN).version != version
    assert shown_state(Progress(Phase.LINKED), Language.EN).version != version


@pytest.mark.parametrize("language", Language)
def test_why_the_attempt_before_failed_is_said_beside_the_fresh_code(language: Language) -> None:
    rotated = shown_state(Progress(Phase.SCAN, qr=dataclasses.replace(QR, rotated=True)), language)
    assert rotated.notice == PAIRING[language].scan_rotated
    retried = shown_state(Progress(Phase.SCAN, qr=QR, failure=PairingFailure.CODE_NOT_SUPPORTED), language)
    assert retried.notice is not None
    assert "QR code" in retried.notice


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("failure", [*PairingFailure, "of a later version", None])
def test_every_end_is_explained(language: Language, failure: str | None) -> None:
    state = shown_state(Progress(Phase.FAILED, failure=failure), language)
    assert state.happened
    assert state.advice
