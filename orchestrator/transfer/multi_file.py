"""The folder of Baileys' ``useMultiFileAuthState``: creds.json, and one file for each signal key."""

from collections.abc import Mapping
from pathlib import Path

from orchestrator.domain.errors import AuthStateRefused
from orchestrator.domain.portable_state import PortableState
from orchestrator.transfer import private_files
from orchestrator.transfer.key_names import file_name, is_baileys_own, of_file
from orchestrator.transfer.values import VALUE_LIMIT, portable_state

CREDS_FILE = "creds.json"


def from_files(files: Mapping[str, bytes]) -> PortableState:
    """The auth state out of a folder's files, by name; ``AuthStateRefused`` unless all of it is sound."""
    for name in files:
        if name.startswith(".") or not name.isprintable() or "/" in name or "\\" in name:
            raise AuthStateRefused(f"{name[:80]!r} is a path and not the name of a file in the folder.")
        if not name.endswith(".json"):
            raise AuthStateRefused(f"{name[:80]!r} is no file of Baileys, whose names end in .json; leave it out.")
    if CREDS_FILE not in files:
        raise AuthStateRefused(f"There is no {CREDS_FILE}; without it nothing can be taken.")
    keys = {of_file(name): text for name, text in files.items() if name != CREDS_FILE}
    return portable_state(files[CREDS_FILE], keys)


def to_files(state: PortableState) -> dict[str, bytes]:
    """The files of a folder with which an unchanged Baileys goes on; ``AuthStateRefused`` if two keys are of one name."""
    names = [name for name in state.keys if is_baileys_own(name)]
    keys = {file_name(name): state.keys[name] for name in names}
    if len(keys) < len(names):
        raise AuthStateRefused("Two keys would be in the same file, as Baileys names files; export an archive instead.")
    return {CREDS_FILE: state.creds, **keys}


def read(folder: Path) -> PortableState:
    """The auth state in a folder. What doesn't end in .json is not Baileys' (WAHA keeps its message store there)."""
    return from_files(read_files(folder))


def read_files(folder: Path) -> dict[str, bytes]:
    """Every .json file of a folder, by name."""
    if not folder.is_dir():
        raise AuthStateRefused(f"{folder} is not a folder.")
    try:
        return {file.name: _content(file) for file in sorted(folder.iterdir()) if file.suffix == ".json"}
    except OSError as error:
        raise AuthStateRefused(f"{error.filename or folder} can't be read: {error.strerror}.") from error


def _content(file: Path) -> bytes:
    if not file.is_file():  # a pipe or a device would never end, and a link to nowhere is a key that is missing
        raise AuthStateRefused(f"{file.name[:80]!r} is not a file; the folder is damaged.")
    if file.stat().st_size > VALUE_LIMIT:
        raise AuthStateRefused(f"{file.name!r} is larger than {VALUE_LIMIT // 1024**2} MiB.")
    return file.read_bytes()


def write(state: PortableState, folder: Path) -> None:
    """Make ``folder``, which must not be there yet."""
    private_files.write_folder(folder, to_files(state))
