import hashlib
import os

import pytest
import zstandard

from orchestrator.domain.errors import AuthStateCorrupt
from orchestrator.store import compression
from orchestrator.store.compression import DICTIONARY, compressed, decompressed

SIGNAL_SESSION = (
    b'{"_sessions":{"BYcroAy9Op+bUFxl5Ra0RhNbrXh/gpS2PqQtQmHZtSYk":{"registrationId":175,"currentRatchet":'
    b'{"ephemeralKeyPair":{"pubKey":"BYf7U336vrY1tWC+clOeaIEyAOCUW1HNbtGSyOR0fOR4","privKey":'
    b'"4BowO4e4acRcO+7ZhzgcM7PWqYrS9wG34nCD2AeqOXQ="},"lastRemoteEphemeralKey":'
    b'"BSNQR9Pcsl/FtdWQ+koXL/NJgwzNaoFWFeUChx2hNEUn","previousCounter":2,"rootKey":'
    b'"gwst4gefzdClopi9n1oHJ1DgI2fooJenb3JwMI0NF3w="},"_chains":{}}},"version":"v1"}'
)


def test_the_dictionary_is_the_one_that_stored_values_were_compressed_with() -> None:
    """Changing it makes every compressed value unreadable."""
    assert hashlib.sha256(DICTIONARY).hexdigest() == "3f53b90cba252bff74dfd8a2d1c77ad447c74949afba7264dd2a26589d11f4ef"


def test_a_signal_session_shrinks_to_its_keys_and_comes_back() -> None:
    small = compressed(SIGNAL_SESSION)
    assert small is not None
    assert len(small) < len(SIGNAL_SESSION) * 0.65
    assert decompressed(small) == SIGNAL_SESSION


@pytest.mark.parametrize("value", [b"", b"x" * 63, os.urandom(500)], ids=["empty", "short", "random"])
def test_what_would_not_shrink_stays_as_it_is(value: bytes) -> None:
    assert compressed(value) is None


def test_the_largest_value_of_the_backup_api_comes_back() -> None:
    value = b"x" * 4 * 1024 * 1024
    small = compressed(value)
    assert small is not None
    assert decompressed(small) == value


@pytest.mark.parametrize(
    "damaged",
    [b"", b"\xff" * 20, (compressed(SIGNAL_SESSION) or b"")[:-1], (compressed(SIGNAL_SESSION) or b"") + b"x"],
    ids=["empty", "not Zstandard", "cut off", "longer"],
)
def test_anything_else_is_corrupt(damaged: bytes) -> None:
    with pytest.raises(AuthStateCorrupt):
        decompressed(damaged)


def test_a_value_that_unfolds_without_end_is_corrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "MOST_BYTES", 1000)
    with pytest.raises(AuthStateCorrupt):
        decompressed(zstandard.compress(b"x" * 1001))
