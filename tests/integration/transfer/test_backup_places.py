"""Where backups go: a folder, and S3 on the wire with its signatures checked."""

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from orchestrator.config import S3Access, Settings
from orchestrator.domain.errors import BackupRefused, InvalidRequest
from orchestrator.transfer import s3
from orchestrator.transfer.backup_places import Place, place
from tests.support.s3 import FakeS3, fake_s3

NAMES = [f"baileys-orchestrator-202611{day:02}T010203Z.backup" for day in range(1, 6)]


async def pieces(*given: bytes) -> AsyncIterator[bytes]:
    for piece in given:
        yield piece


async def whole(where: Place, name: str) -> bytes:
    return b"".join([piece async for piece in where.read(name)])


async def broken() -> AsyncIterator[bytes]:
    yield os.urandom(s3.PART + 1)
    raise RuntimeError


async def keeps_backups(where: Place) -> None:
    assert await where.names() == []
    for name in reversed(NAMES):
        assert await where.write(name, pieces(b"a" * 10, name.encode())) == 10 + len(name)
    assert await where.names() == NAMES
    assert await whole(where, NAMES[3]) == b"a" * 10 + NAMES[3].encode()
    large = [os.urandom(s3.PART // 2 + 7) for _ in range(5)]
    await where.remove(NAMES[0])
    assert await where.write(NAMES[0], pieces(*large)) == sum(map(len, large))
    assert await whole(where, NAMES[0]) == b"".join(large)
    await where.remove(NAMES[0])
    assert await where.names() == NAMES[1:]
    with pytest.raises(BackupRefused):
        await whole(where, NAMES[0])
    with pytest.raises(RuntimeError):  # nothing half is left behind
        await where.write(NAMES[0], broken())
    assert await where.names() == NAMES[1:]


def modes(folder: Path) -> dict[str, int]:
    return {entry.name: entry.stat().st_mode & 0o777 for entry in folder.iterdir()}


async def test_a_folder_keeps_backups(tmp_path: Path) -> None:
    async with aiohttp.ClientSession() as http:
        where = place(str(tmp_path), None, http)
        await keeps_backups(where)
        assert modes(tmp_path) == dict.fromkeys(NAMES[1:], 0o600)
        with pytest.raises(InvalidRequest, match="nothing is overwritten"):
            await where.write(NAMES[1], pieces(b"x"))
        with pytest.raises(BackupRefused):
            await place(str(tmp_path / "absent"), None, http).names()


async def test_storage_that_speaks_s3_keeps_backups() -> None:
    async with fake_s3() as storage, aiohttp.ClientSession() as http:
        access = Settings.from_environment(storage.environ).s3_access
        assert access is not None
        where = place(f"s3://{storage.bucket}/of the shop/ção", access, http)
        storage.objects["of the shop/ção/readme.txt"] = b"not ours"
        await keeps_backups(where)
        assert storage.uploads == {}
        await says_why_not(storage, access, http)


async def says_why_not(storage: FakeS3, access: S3Access, http: aiohttp.ClientSession) -> None:
    with pytest.raises(BackupRefused, match="403 SignatureDoesNotMatch"):
        await place("s3://copies", replace(access, secret_key="wrong"), http).names()
    with pytest.raises(BackupRefused, match="404 NoSuchBucket"):
        await place("s3://others", access, http).names()
    storage.failing = True
    with pytest.raises(BackupRefused, match="500 InternalError"):
        await place("s3://copies", access, http).write(NAMES[0], pieces(b"x"))
    with pytest.raises(BackupRefused, match="doesn't answer"):
        await place("s3://copies", replace(access, endpoint="http://127.0.0.1:1"), http).names()
    assert "wrong" not in repr(replace(access, secret_key="wrong"))


def test_signatures_are_those_of_amazons_own_example() -> None:
    """The GET of a list in "Signature Calculations for the Authorization Header", but for the headers that we sign."""
    access = S3Access(endpoint="https://examplebucket.s3.amazonaws.com", region="us-east-1", key_id="AKIAIOSFODNN7EXAMPLE", secret_key="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")  # fmt: skip
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    moment = datetime(2013, 5, 24, tzinfo=UTC)
    headers = s3.signed_headers(access, "GET", "/", "max-keys=2&prefix=J", empty, moment)
    assert headers["Authorization"].endswith("34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7")
