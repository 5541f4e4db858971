"""Where backups of the database are kept: a folder, or storage that speaks S3."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import aiohttp

from orchestrator.config import S3Access
from orchestrator.domain.errors import BackupRefused
from orchestrator.transfer import private_files
from orchestrator.transfer.s3 import S3

#: Named by the time, so that the order of the names is theirs.
NAME = re.compile(r"baileys-orchestrator-\d{8}T\d{6}Z\.backup")

_PIECE = 1024 * 1024


class Place(Protocol):
    """Every method raises ``BackupRefused`` if the place can't be used."""

    async def write(self, name: str, pieces: AsyncIterator[bytes]) -> int:
        """Keep a new backup, whole or not at all; its bytes."""
        ...

    def read(self, name: str) -> AsyncIterator[bytes]: ...

    async def names(self) -> list[str]:
        """The backups that are there, oldest first; other files are not told of."""
        ...

    async def remove(self, name: str) -> None: ...


def place(target: str, access: S3Access | None, http: aiohttp.ClientSession) -> Place:
    """``s3://bucket/prefix``, or the path of a folder."""
    if not target.startswith("s3://"):
        return Folder(Path(target))
    if access is None:
        raise BackupRefused("For s3:// set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.")
    bucket, _, prefix = target.removeprefix("s3://").partition("/")
    return S3Bucket(S3(http, access, bucket), f"{prefix.strip('/')}/".lstrip("/"))


class Folder:
    def __init__(self, path: Path) -> None:
        self._path = path

    async def write(self, name: str, pieces: AsyncIterator[bytes]) -> int:
        path = self._path / name
        private_files.require_free(path)
        unfinished = path.with_name(f".{name}.{uuid4().hex}")
        size = 0
        try:
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    async for piece in pieces:
                        size += await asyncio.to_thread(file.write, piece)
                    file.flush()
                    await asyncio.to_thread(os.fsync, file.fileno())
                path.hardlink_to(unfinished)
            finally:
                unfinished.unlink(missing_ok=True)
            private_files.sync_folder(self._path)
        except OSError as error:
            raise BackupRefused(f"{path} can't be written: {error.strerror}.") from error
        return size

    async def read(self, name: str) -> AsyncIterator[bytes]:
        path = self._path / name
        try:
            with path.open("rb") as file:
                while piece := await asyncio.to_thread(file.read, _PIECE):
                    yield piece
        except OSError as error:
            raise BackupRefused(f"{path} can't be read: {error.strerror}.") from error

    async def names(self) -> list[str]:
        try:
            return sorted(entry.name for entry in self._path.iterdir() if NAME.fullmatch(entry.name))
        except OSError as error:
            raise BackupRefused(f"{self._path} can't be read: {error.strerror}.") from error

    async def remove(self, name: str) -> None:
        (self._path / name).unlink(missing_ok=True)


class S3Bucket:
    def __init__(self, storage: S3, prefix: str) -> None:
        self._storage = storage
        self._prefix = prefix

    async def write(self, name: str, pieces: AsyncIterator[bytes]) -> int:
        return await self._storage.put(self._prefix + name, pieces)

    def read(self, name: str) -> AsyncIterator[bytes]:
        return self._storage.get(self._prefix + name)

    async def names(self) -> list[str]:
        found = [key.removeprefix(self._prefix) for key in await self._storage.keys(self._prefix)]
        return sorted(name for name in found if NAME.fullmatch(name))

    async def remove(self, name: str) -> None:
        await self._storage.delete(self._prefix + name)
