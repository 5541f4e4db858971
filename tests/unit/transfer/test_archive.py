from pathlib import Path

import msgspec
import pytest

from orchestrator.domain.errors import AuthStateRefused
from orchestrator.domain.portable_state import PortableState
from orchestrator.transfer import archive

PASSPHRASES = pytest.mark.parametrize("passphrase", [None, "pão de queijo"], ids=["open", "sealed"])


def larger(state: PortableState) -> PortableState:
    """More than one chunk."""
    return PortableState(
        state.creds, state.account, {**state.keys, ("decrypted-message", "0"): b'"' + b"x" * 200_000 + b'"'}
    )


@PASSPHRASES
def test_an_archive_gives_back_what_was_put_in(state: PortableState, passphrase: str | None, tmp_path: Path) -> None:
    file = tmp_path / "archive"
    archive.write(larger(state), file, passphrase)
    assert archive.read(file, passphrase) == larger(state)
    assert archive.is_sealed(file) is (passphrase is not None)
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(AuthStateRefused, match="exists already"):
        archive.write(state, file, passphrase)
    assert [entry.name for entry in tmp_path.iterdir()] == ["archive"]


def test_only_the_passphrase_opens_a_sealed_archive(state: PortableState) -> None:
    packed = archive.pack(state, "right")
    assert b"noiseKey" in archive.pack(state, None)
    assert b"noiseKey" not in packed
    with pytest.raises(AuthStateRefused, match="passphrase is wrong"):
        archive.unpack(packed, "wrong")
    with pytest.raises(AuthStateRefused, match="give its passphrase"):
        archive.unpack(packed, None)


@PASSPHRASES
def test_an_archive_that_is_cut_off_anywhere_is_refused(state: PortableState, passphrase: str | None) -> None:
    packed = archive.pack(larger(state), passphrase)
    chunks = range(53, len(packed), 64 * 1024 + 16)  # where a sealed archive's chunks begin
    for length in (0, 5, 28, 29, 30, 40, 53, 60, *chunks, len(packed) - 1):
        with pytest.raises(AuthStateRefused):
            archive.unpack(packed[:length], passphrase)


@PASSPHRASES
def test_a_changed_byte_anywhere_is_noticed(state: PortableState, passphrase: str | None) -> None:
    packed = archive.pack(larger(state), passphrase)
    for position in (0, 28, 29, 30, 45, 52, 53, 70_000, len(packed) - 1):
        damaged = bytearray(packed)
        damaged[position] ^= 1
        with pytest.raises(AuthStateRefused):
            archive.unpack(bytes(damaged), passphrase)


def test_chunks_that_changed_places_are_noticed(state: PortableState) -> None:
    packed = archive.pack(larger(state), "x")
    start, size = 28 + 2 + 16 + 7, 64 * 1024 + 16
    swapped = packed[:start] + packed[start + size : start + 2 * size] + packed[start : start + size]
    with pytest.raises(AuthStateRefused):
        archive.unpack(swapped + packed[start + 2 * size :], "x")


def test_an_archive_of_an_unknown_version_is_refused(state: PortableState) -> None:
    packed = bytearray(archive.pack(state, None))
    packed[28] = 2
    with pytest.raises(AuthStateRefused, match=r"version 2\.0, which this release can't read"):
        archive.unpack(bytes(packed), None)
    with pytest.raises(AuthStateRefused, match="no archive"):
        archive.unpack(b"PK\x03\x04" + bytes(100), None)


def repacked(state: PortableState, *more: tuple[str, str, bytes]) -> bytes:
    """An archive as somebody else could write it."""
    import hashlib

    keys = [(key_type, key_id, text) for (key_type, key_id), text in state.keys.items()]
    packed = archive.pack(state, None)[:30] + msgspec.msgpack.encode({"creds": state.creds, "keys": [*keys, *more]})
    return packed + hashlib.sha256(packed).digest()


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (("session", "../../etc/passwd", b"{}"), "a path"),
        (("session", "/etc/passwd", b"{}"), "a path"),
        (("session", "..\\x", b"{}"), "a path"),
        (("session", "a\x00b", b"{}"), "a control character"),
        (("app-state-sync-key", "../../x", b"{}"), "a path"),
        (("../session", "1", b"{}"), "impossible type"),
        (("x" * 65, "1", b"{}"), "impossible type"),
        (("session", "", b"{}"), "1 to 512 long"),
        (("session", "x" * 513, b"{}"), "1 to 512 long"),
        (("session", "1", b" " * (4 * 1024**2 + 1)), "larger than 4 MiB"),
        (("session", "1", b"{"), "not valid JSON"),
        (("pre-key", "1", b"{}"), "two values for one key"),
    ],
)
def test_an_archive_with_an_impossible_key_is_refused_whole(
    state: PortableState, key: tuple[str, str, bytes], reason: str
) -> None:
    assert archive.unpack(repacked(state), None) == state
    with pytest.raises(AuthStateRefused, match=reason):
        archive.unpack(repacked(state, key), None)
