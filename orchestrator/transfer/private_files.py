"""Files with secrets: readable by nobody else at any moment, and either whole or not there."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from orchestrator.domain.errors import AuthStateRefused


def require_free(path: Path) -> None:
    """``AuthStateRefused`` unless something can be made under this name."""
    if os.path.lexists(path):
        raise AuthStateRefused(f"{path} exists already; choose another name, nothing is overwritten.")
    if not path.parent.is_dir():
        raise AuthStateRefused(f"{path.parent} is not a folder; make it first.")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise AuthStateRefused(f"{path.parent} can't be written to; choose another folder.")


def write_file(path: Path, content: bytes) -> None:
    """Write a new file of mode 0600; ``AuthStateRefused`` if there is one already, or if it can't be written."""
    require_free(path)
    unfinished = path.with_name(f".{path.name}.{uuid4().hex}")
    with _failures_told(path):
        try:
            _write(unfinished, content)
            # A hard link fails when the name is taken meanwhile; a rename would replace what is there.
            path.hardlink_to(unfinished)
        finally:
            unfinished.unlink(missing_ok=True)
        sync_folder(path.parent)


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Write a new folder of mode 0700 with these files in it; ``AuthStateRefused`` as for a file."""
    require_free(path)
    unfinished = path.with_name(f".{path.name}.{uuid4().hex}")
    with _failures_told(path):
        unfinished.mkdir(mode=0o700)
        try:
            for name, content in files.items():
                _write(unfinished / name, content)
            sync_folder(unfinished)
            unfinished.rename(path)
        except BaseException:
            for file in unfinished.iterdir():
                file.unlink()
            unfinished.rmdir()
            raise
        sync_folder(path.parent)


@contextmanager
def _failures_told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise AuthStateRefused(f"{path} can't be written: {error.strerror}.") from error


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Have the names in it survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
