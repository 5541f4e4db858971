import os

import pytest

from orchestrator.domain.errors import AuthStateCorrupt
from orchestrator.store.sealing import Sealer, place_of

SHORT = b"secret"
LONG = b'{"private":{"type":"Buffer","data":"="},"public":{"type":"Buffer","data":"secret"}}' * 2

PLACE = place_of("operator", 1, 1, "session", "5511.0")
ELSEWHERE = place_of("operator", 2, 1, "session", "5511.0")


@pytest.mark.parametrize("value", [SHORT, LONG], ids=["short", "compressed"])
@pytest.mark.parametrize("keys", [[], [os.urandom(32)]], ids=["plain", "sealed"])
def test_a_value_comes_back_from_its_own_place_only(keys: list[bytes], value: bytes) -> None:
    sealer = Sealer(keys)
    sealed = sealer.seal(value, PLACE)
    assert sealer.open(sealed, PLACE) == value
    with pytest.raises(AuthStateCorrupt):
        sealer.open(sealed, ELSEWHERE)


@pytest.mark.parametrize("value", [SHORT, LONG], ids=["short", "compressed"])
@pytest.mark.parametrize("keys", [[], [os.urandom(32)]], ids=["plain", "sealed"])
def test_a_flipped_bit_anywhere_is_noticed(keys: list[bytes], value: bytes) -> None:
    sealer = Sealer(keys)
    sealed = sealer.seal(value, PLACE)
    for position in range(len(sealed)):
        for bit in (1, 2):
            damaged = bytearray(sealed)
            damaged[position] ^= bit
            with pytest.raises(AuthStateCorrupt):
                sealer.open(bytes(damaged), PLACE)


@pytest.mark.parametrize("keys", [[], [os.urandom(32)]], ids=["plain", "sealed"])
def test_a_long_value_is_stored_in_fewer_bytes(keys: list[bytes]) -> None:
    assert len(Sealer(keys).seal(LONG, PLACE)) < len(LONG) / 2


def test_values_of_the_first_version_open() -> None:
    """Stored before there was compression, at PLACE: plain, and sealed with 32 zero bytes."""
    plain = bytes.fromhex("0082618d7abb67c6f466697273742076657273696f6e")
    sealed = bytes.fromhex(
        "01ec90c2fb000102030405060708090a0beea2412174ddf99cb00b3b8a938eabeabdde391c5cb8c96805cf98b3e9"
    )
    assert Sealer([]).open(plain, PLACE) == b"first version"
    assert Sealer([bytes(32)]).open(sealed, PLACE) == b"first version"


def test_a_sealed_value_does_not_show_what_it_holds() -> None:
    sealer = Sealer([os.urandom(32)])
    assert b"secret" not in sealer.seal(b"secret", PLACE)
    assert sealer.seal(b"secret", PLACE) != sealer.seal(b"secret", PLACE)


def test_the_first_key_seals_and_every_key_opens() -> None:
    old, new = os.urandom(32), os.urandom(32)
    sealed = Sealer([old]).seal(b"secret", PLACE)
    assert Sealer([new, old]).open(sealed, PLACE) == b"secret"
    assert Sealer([new]).open(Sealer([new, old]).seal(b"secret", PLACE), PLACE) == b"secret"
    with pytest.raises(AuthStateCorrupt, match="SESSION_ENCRYPTION_KEYS"):
        Sealer([new]).open(sealed, PLACE)


def test_values_stored_before_there_was_a_key_stay_readable() -> None:
    plain = Sealer([]).seal(b"secret", PLACE)
    assert Sealer([os.urandom(32)]).open(plain, PLACE) == b"secret"


def test_no_two_places_read_the_same() -> None:
    assert place_of("a", 1, 1, "bc", "d") != place_of("a", 1, 1, "b", "cd")
