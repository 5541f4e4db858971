"""``backup create``, ``backup verify`` and ``backup restore``: the whole database in one sealed file."""

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import aiohttp

from orchestrator import bootstrap
from orchestrator.commands import passphrases
from orchestrator.commands.database import service_database_url
from orchestrator.config import Settings, SettingsError
from orchestrator.services import database_backups
from orchestrator.services.database_backups import Contents
from orchestrator.transfer.backup_places import NAME, Place, place

_RATCHETS: Final = """\
This copy is {age} old, and what was sent and received since then is not in it:
  - Messages in both directions since then may arrive once more, late, or only after the other phone was asked to send again.
  - Who wrote first after the copy was made may see "waiting for this message" for a moment.
  - Accounts that were linked, or unlinked on the phone, since then must be linked again. No other needs a new QR code.
Never let the old database run beside this one: two owners of one account evict each other and spoil its keys."""


def create(arguments: argparse.Namespace) -> int:
    settings = Settings.from_environment(os.environ)
    target, name = _new(arguments.to or settings.backup_target)
    passphrase = _passphrase(arguments, settings, twice=True)
    url = service_database_url(settings)

    async def run() -> tuple[int, Contents]:
        async with aiohttp.ClientSession() as http:
            where = place(target, settings.s3_access, http)
            size = await database_backups.create(url, where, name, passphrase)
            return size, await database_backups.verify(where.read(name), passphrase)

    size, contents = asyncio.run(run())
    print(f"Made {target.rstrip('/')}/{name}: {_described(contents)}, {size:,} bytes; read back and whole.")
    if not settings.session_encryption_keys:
        print("SESSION_ENCRYPTION_KEYS is not set: whoever has the passphrase has every account.", file=sys.stderr)
    else:
        print("To use it, SESSION_ENCRYPTION_KEYS is needed too; keep it in another place than the file.")
    return 0


def verify(arguments: argparse.Namespace) -> int:
    settings = Settings.from_environment(os.environ)
    passphrase = _passphrase(arguments, settings, twice=False)
    target, wanted = _named(arguments.source or settings.backup_target)

    async def run() -> tuple[str, Contents]:
        async with aiohttp.ClientSession() as http:
            name, pieces = await _existing(place(target, settings.s3_access, http), wanted)
            return name, await database_backups.verify(pieces, passphrase)

    name, contents = asyncio.run(run())
    print(f"{name} is whole: {_described(contents)}.")
    return 0


def restore(arguments: argparse.Namespace) -> int:
    settings = Settings.from_environment(os.environ)
    if settings.database_url is None:
        raise SettingsError("DATABASE_URL is not set; set it to the empty PostgreSQL database to restore into.")
    url = settings.database_url
    passphrase = _passphrase(arguments, settings, twice=False)
    target, wanted = _named(arguments.source or settings.backup_target)

    async def run() -> tuple[str, Contents]:
        async with aiohttp.ClientSession() as http:
            name, pieces = await _existing(place(target, settings.s3_access, http), wanted)
            restored = await bootstrap.restore(url, pieces, passphrase, stopped=arguments.stopped)
            return name, restored

    name, contents = asyncio.run(run())
    print(f"Restored {name}: {_described(contents)}.")
    print(_RATCHETS.format(age=_age(contents.beginning.made_at)), file=sys.stderr)
    if arguments.stopped:
        print("All sessions are stopped; start each with POST /v1/sessions/{id}/start.")
    else:
        print("Start the service on this database and the sessions come back by themselves.")
    return 0


def _new(target: str | None) -> tuple[str, str]:
    """Where a backup is to go: a place, and its name there."""
    if target is None:
        raise SettingsError("Say where to: --to FOLDER or --to s3://bucket/prefix, or set BACKUP_TARGET.")
    if target.startswith("s3://"):
        return target, database_backups.name_at(datetime.now(UTC))
    path = Path(target).absolute()
    if path.is_dir():
        return str(path), database_backups.name_at(datetime.now(UTC))
    return str(path.parent), path.name


def _named(source: str | None) -> tuple[str, str | None]:
    """The place of a backup, and its name there; None: the newest is meant."""
    if source is None:
        raise SettingsError("Name the backup, or the place whose newest is meant, or set BACKUP_TARGET.")
    above, _, last = source.rpartition("/")
    if source.startswith("s3://"):
        return (above, last) if NAME.fullmatch(last) else (source, None)
    path = Path(source).absolute()
    return (str(path), None) if path.is_dir() else (str(path.parent), path.name)


async def _existing(where: Place, name: str | None) -> tuple[str, AsyncIterator[bytes]]:
    names = [name] if name is not None else await where.names()
    if not names:
        raise SettingsError("There is no backup at that place.")
    return names[-1], where.read(names[-1])


def _passphrase(arguments: argparse.Namespace, settings: Settings, *, twice: bool) -> str:
    given = passphrases.passphrase(arguments, twice=twice) or settings.backup_passphrase
    if given is None:
        raise SettingsError(
            "A backup is sealed: set BACKUP_PASSPHRASE, or use --passphrase, --passphrase-file or --passphrase-env."
        )
    return given


def _described(contents: Contents) -> str:
    rows = sum(contents.ending.rows.values())
    made = contents.beginning.made_at.astimezone(UTC)
    return f"{contents.sessions:,} sessions, {rows:,} rows, made {made:%Y-%m-%d %H:%M:%S} UTC by {contents.beginning.software_version}"


def _age(made_at: datetime) -> str:
    minutes = max(0, round((datetime.now(UTC) - made_at).total_seconds() / 60))
    if minutes < 120:
        return f"{minutes} minutes"
    return f"{minutes // 60} hours" if minutes < 48 * 60 else f"{minutes // 1440} days"
