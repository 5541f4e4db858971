"""``sessions import`` and ``sessions export``."""

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import Final

from orchestrator import bootstrap
from orchestrator.commands import passphrases
from orchestrator.commands.database import service_database_url
from orchestrator.config import Settings, SettingsError, database_url_in
from orchestrator.domain.errors import AuthStateRefused, InvalidRequest
from orchestrator.domain.portable_state import PortableState
from orchestrator.domain.session import SESSION_ID
from orchestrator.transfer import archive, multi_file, peers, private_files

_STOP_SECONDS: Final = 30.0


def import_session(arguments: argparse.Namespace) -> int:
    """Bring a session in from a folder, an archive or another store's tables."""
    settings = Settings.from_environment(os.environ)
    if not SESSION_ID.fullmatch(arguments.session_id):
        raise InvalidRequest("A session id is 1 to 64 characters out of a-z A-Z 0-9 . _ -")
    url = service_database_url(settings)
    state = _read(arguments)
    asyncio.run(_move_in(settings, url, arguments, state))
    print(f"Imported {arguments.session_id}: {state.account.jid}, {len(state.keys)} signal keys.")
    if arguments.start:
        print(
            "It starts within a second or two, with the creds that it brought. Never let it run elsewhere at the same time."
        )
    else:
        print(
            f"It is stopped. Stop it where it ran, then start it here: POST /v1/sessions/{arguments.session_id}/start"
        )
    return 0


def export_session(arguments: argparse.Namespace) -> int:
    """Hand a session out as an archive or as a folder for an unchanged Baileys."""
    settings = Settings.from_environment(os.environ)
    folder = arguments.format == "multi-file"
    if folder and passphrases.is_wanted(arguments):
        raise AuthStateRefused("A folder can't be sealed; leave the passphrase out, or export an archive.")
    private_files.require_free(arguments.to)  # before the session is stopped for nothing
    passphrase = None if folder else passphrases.passphrase(arguments, twice=True)
    state, running = asyncio.run(_move_out(settings, service_database_url(settings), arguments))
    if folder:
        multi_file.write(state, arguments.to)
    else:
        archive.write(state, arguments.to, passphrase)
    print(f"Exported {arguments.session_id}: {state.account.jid}, {len(state.keys)} signal keys, to {arguments.to}")
    if running:
        _warn("The session still runs here; it must not run in two places, so stop it before you start it elsewhere.")
    if passphrase is None:
        _warn("Whoever reads the export can use the account; it is not sealed with a passphrase.")
    return 0


async def _move_in(settings: Settings, url: str, arguments: argparse.Namespace, state: PortableState) -> None:
    async with bootstrap.moving(settings, url) as moving:
        await moving.move_in(arguments.tenant, arguments.session_id, state, start=arguments.start)


async def _move_out(settings: Settings, url: str, arguments: argparse.Namespace) -> tuple[PortableState, bool]:
    async with bootstrap.moving(settings, url) as moving:
        return await moving.move_out(
            arguments.tenant, arguments.session_id, stop_seconds=_STOP_SECONDS if arguments.stop else None
        )


def _read(arguments: argparse.Namespace) -> PortableState:
    form, source = arguments.form, Path(arguments.source)
    if form == "archive":
        sealed = archive.is_sealed(source)
        state = archive.read(source, passphrases.passphrase(arguments, twice=False) if sealed else None)
        if not sealed and passphrases.is_wanted(arguments):
            # Whoever could put an open archive in its place would otherwise choose the account and its keys.
            raise AuthStateRefused(f"{source} is not sealed; leave the passphrase out if you trust it all the same.")
        return state
    if form == "multi-file" or (form == "waha" and arguments.source_url_env is None):
        return multi_file.read(source)
    url = None if arguments.source_url_env is None else database_url_in(os.environ, arguments.source_url_env)
    if form == "evolution":
        if url is not None and arguments.instance is None:
            raise SettingsError("Name Evolution's instance: --instance NAME")
        place = None if url is None else peers.Source(url, arguments.instance, arguments.source_table)
        return peers.evolution(source, place)
    if url is None:
        raise SettingsError(f"Name the variable with the address of the {form} database: --source-url-env VARIABLE")
    return peers.DATABASES[form](
        peers.Source(url, arguments.source, arguments.source_table, arguments.source_namespace)
    )


def _warn(sentence: str) -> None:
    print(sentence, file=sys.stderr)
