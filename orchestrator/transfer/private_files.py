"""Files with secrets: readable by nobody else at any moment, and either whole or not there."""

import os
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

from orchestrator.domain.errors import AuthStateRefused


def write_file(path: Path, content: bytes) -> None:
    """Write a new file of mode 0600; ``AuthStateRefused`` if there is one already."""
    _require_free(path)
    unfinished = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        _write(unfinished, content)
        # A hard link fails when the name is taken meanwhile; a rename would replace what is there.
        path.hardlink_to(unfinished)
    finally:
        unfinished.unlink(missing_ok=True)
    _sync(path.parent)


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Write a new folder of mode 0700 with these files in it; ``AuthStateRefused`` if there is something already."""
    _require_free(path)
    unfinished = path.with_name(f".{path.name}.{uuid4().hex}")
    unfinished.mkdir(mode=0o700)
    try:
        for name, content in files.items():
            _write(unfinished / name, content)
        _sync(unfinished)
        unfinished.rename(path)
    except BaseException:
        for file in unfinished.iterdir():
            file.unlink()
        unfinished.rmdir()
        raise
    _sync(path.parent)


def _require_free(path: Path) -> None:
    if path.exists():
        raise AuthStateRefused(f"{path} exists already; choose another name, nothing is overwritten.")
    if not path.parent.is_dir():
        raise AuthStateRefused(f"{path.parent} is not a folder; make it first.")


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
