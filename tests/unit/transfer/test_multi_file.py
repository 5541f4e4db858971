import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.domain.auth_state import Account
from orchestrator.domain.errors import AuthStateRefused
from orchestrator.domain.portable_state import PortableState
from orchestrator.transfer import multi_file
from tests.support.portable_states import BaileysState, read_folder


def test_a_folder_gives_the_names_and_values_that_baileys_put_there(paired: tuple[Path, BaileysState]) -> None:
    folder, made = paired
    state = multi_file.read(folder)
    assert state.creds == made.creds
    assert state.keys == made.keys
    assert state.account == Account("5511999990000:7@s.whatsapp.net", "100000000000001:7@lid")


def test_an_unchanged_baileys_reads_the_folder_that_was_written(
    paired: tuple[Path, BaileysState], state: PortableState, tmp_path: Path
) -> None:
    multi_file.write(state, tmp_path / "out")
    assert read_folder(tmp_path / "out", state.keys) == paired[1]
    assert multi_file.read(tmp_path / "out") == state


def test_what_is_written_is_for_its_owner_only(state: PortableState, tmp_path: Path) -> None:
    multi_file.write(state, tmp_path / "out")
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "out").iterdir()} == {0o600}
    with pytest.raises(AuthStateRefused, match="exists already"):
        multi_file.write(state, tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_what_baileys_does_not_know_stays_out_of_its_folder(state: PortableState) -> None:
    ours = PortableState(state.creds, state.account, {**state.keys, ("decrypted-message", "0"): b"{}"})
    assert multi_file.to_files(ours) == multi_file.to_files(state)


def test_a_key_that_has_no_file_of_its_own_is_refused_and_leaves_nothing_behind(
    state: PortableState, tmp_path: Path
) -> None:
    for key_ids, reason in ((["x" * 300], "File name too long"), (["a:b", "a-b"], "same file")):
        keys = {**state.keys, **{("session", key_id): b"{}" for key_id in key_ids}}
        with pytest.raises(AuthStateRefused, match=reason):
            multi_file.write(PortableState(state.creds, state.account, keys), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_other_files_in_a_folder_are_not_read(paired: tuple[Path, BaileysState], tmp_path: Path) -> None:
    """WAHA keeps its message store beside the keys."""
    folder = shutil.copytree(paired[0], tmp_path / "waha")
    (folder / "store.sqlite3").write_bytes(b"SQLite")
    (folder / "more").mkdir()
    assert multi_file.read(folder).keys == paired[1].keys


def edit(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes()))


def without(field: str) -> Callable[[bytes], bytes]:
    return lambda text: json.dumps({name: value for name, value in json.loads(text).items() if name != field}).encode()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: (folder / "creds.json").unlink(), r"no creds\.json"),
        (edit("creds.json", lambda _: b""), "'creds' is empty"),
        (edit("creds.json", lambda text: text[:-1]), "'creds' is not valid JSON"),
        (edit("creds.json", lambda _: b"\xff\xfe"), "'creds' is not valid JSON"),
        (edit("creds.json", lambda _: b"[1]"), "not those of a paired account"),
        (edit("creds.json", without("me")), "not those of a paired account: .*`me`"),
        (edit("creds.json", without("account")), "not those of a paired account: .*`account`"),
        (edit("creds.json", without("noiseKey")), "not those of a paired account: .*`noiseKey`"),
        (edit("creds.json", without("signedIdentityKey")), "`signedIdentityKey`"),
        (edit("creds.json", lambda text: text.replace(b"@s.whatsapp.net", b"")), r"me\.id is no address"),
        (edit("creds.json", lambda _: b"[" * 100_000), "'creds' is not valid JSON"),
        (edit("pre-key-2.json", lambda text: text[:-1]), "'pre-key-2' is not valid JSON"),
        (edit("pre-key-2.json", lambda _: b""), "'pre-key-2' is empty"),
        (lambda folder: (folder / "session-1.0.json").write_bytes(b" " * (4 * 1024**2 + 1)), "larger than 4 MiB"),
        (lambda folder: (folder / "a-key-of-no-type.json").write_bytes(b"{}"), "no key that Baileys 7 knows"),
        (lambda folder: (folder / ("session-" + "x" * 240 + ".json")).write_bytes(b"{"), "not valid JSON"),
        (
            lambda folder: [file.unlink() for file in folder.iterdir() if file.name != "creds.json"],
            "not one signal key",
        ),
        (shutil.rmtree, "is not a folder"),
        (lambda folder: os.mkfifo(folder / "session-1.0.json"), "is not a file"),
        (lambda folder: (folder / "session-1.0.json").symlink_to("nowhere"), "is not a file"),
        (lambda folder: (folder / "session-1.0.json").symlink_to("/dev/zero"), "is not a file"),
    ],
)
def test_a_damaged_folder_is_refused_whole_with_the_reason(
    paired: tuple[Path, BaileysState], tmp_path: Path, damage: Callable[[Path], object], reason: str
) -> None:
    folder = shutil.copytree(paired[0], tmp_path / "damaged")
    damage(folder)
    with pytest.raises(AuthStateRefused, match=reason):
        multi_file.read(folder)


@pytest.mark.parametrize(
    "name", ["../creds.json", "/etc/creds.json", "a/b.json", "a\\b.json", "session-\x00.json", ".session-1.json"]
)
def test_a_path_in_a_name_is_refused(state: PortableState, name: str) -> None:
    with pytest.raises(AuthStateRefused, match="is a path"):
        multi_file.from_files({**multi_file.to_files(state), name: b"{}"})
