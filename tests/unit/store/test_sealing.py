import os

import pytest

from orchestrator.domain.errors import AuthStateCorrupt
from orchestrator.store.sealing import Sealer, place_of

PLACE = place_of("operator", 1, 1, "session", "5511.0")
ELSEWHERE = place_of("operator", 2, 1, "session", "5511.0")


@pytest.mark.parametrize("keys", [[], [os.urandom(32)]], ids=["plain", "sealed"])
def test_a_value_comes_back_from_its_own_place_only(keys: list[bytes]) -> None:
    sealer = Sealer(keys)
    sealed = sealer.seal(b"secret", PLACE)
    assert sealer.open(sealed, PLACE) == b"secret"
    with pytest.raises(AuthStateCorrupt):
        sealer.open(sealed, ELSEWHERE)


@pytest.mark.parametrize("keys", [[], [os.urandom(32)]], ids=["plain", "sealed"])
def test_a_flipped_bit_anywhere_is_noticed(keys: list[bytes]) -> None:
    sealer = Sealer(keys)
    sealed = sealer.seal(b"secret", PLACE)
    for position in range(len(sealed)):
        damaged = bytearray(sealed)
        damaged[position] ^= 1
        with pytest.raises(AuthStateCorrupt):
            sealer.open(bytes(damaged), PLACE)


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
