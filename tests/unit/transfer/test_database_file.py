"""The file of a backup: what was written comes back, and nothing that was changed does."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime

import pytest

from orchestrator.domain.database_copy import Beginning, CopiedTable, Ending, Part, Rows
from orchestrator.domain.errors import BackupRefused
from orchestrator.transfer import database_file

PASSPHRASE = "a passphrase for the test"
TABLES = (CopiedTable("sessions", ("session_ref", "session_id")), CopiedTable("creds", ("value",)))
PARTS: tuple[Part, ...] = (
    Beginning("0012", "0.1.0", datetime(2026, 11, 27, tzinfo=UTC), TABLES),
    Rows("sessions", b"1\tloja-1\n2\tloja-2\n"),
    *(Rows("creds", secrets.token_hex(40_000).encode() + b"\n") for _ in range(4)),
    Ending({"sessions": 2, "creds": 4}, {"sessions_session_ref_seq": 2}),
)


async def each(items: Iterable[bytes]) -> AsyncIterator[bytes]:
    for item in items:
        yield item


async def parts() -> AsyncIterator[Part]:
    for part in PARTS:
        yield part


async def file() -> bytes:
    return b"".join([piece async for piece in database_file.written(parts(), PASSPHRASE)])


async def opened(content: bytes, passphrase: str = PASSPHRASE, size: int = 10_000) -> list[Part]:
    pieces = [content[start : start + size] for start in range(0, len(content), size)]
    return [part async for part in database_file.read(each(pieces), passphrase)]


@pytest.mark.parametrize("size", [1000, 65_536 + 16, 10_000_000])
async def test_a_backup_is_read_as_it_was_written_in_pieces_of_any_size(size: int) -> None:
    assert tuple(await opened(await file(), size=size)) == PARTS


async def test_no_two_backups_are_alike_and_neither_shows_what_is_in_it() -> None:
    first, second = await asyncio.gather(file(), file())
    assert first != second
    assert b"loja-1" not in first


async def test_a_backup_that_was_changed_or_cut_off_anywhere_is_refused() -> None:
    whole = await file()
    for place in (0, 5, len(whole) // 2, len(whole) - 1, *(secrets.randbelow(len(whole)) for _ in range(20))):
        changed = bytearray(whole)
        changed[place] ^= 1
        with pytest.raises(BackupRefused):
            await opened(bytes(changed))
    for length in (0, 10, 50, 52, 100, len(whole) // 2, len(whole) - 1):
        with pytest.raises(BackupRefused):
            await opened(whole[:length])
    with pytest.raises(BackupRefused):
        await opened(whole + b"x")


async def test_a_wrong_passphrase_and_a_strange_file_are_told_apart_from_damage() -> None:
    with pytest.raises(BackupRefused, match="passphrase is wrong"):
        await opened(await file(), "another passphrase")
    with pytest.raises(BackupRefused, match="no backup"):
        await opened(b"PGDMP" + bytes(1000))
