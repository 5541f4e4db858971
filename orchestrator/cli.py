"""The commands. Each row of `COMMANDS` is one; a name of two words puts it in a group.

What a command needs is imported when it runs, so that none waits for another's.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from orchestrator.config import BotProcessSettings, ProcessSettings, Settings, SettingsError
from orchestrator.domain.errors import OrchestratorError
from orchestrator.domain.tenant import OPERATOR_TENANT
from orchestrator.launcher import LaunchError

EXIT_FAILED: Final = 1
EXIT_BAD_SETTINGS: Final = 2
EXIT_INTERRUPTED: Final = 128 + signal.SIGINT

IMPORT_FORMATS: Final = ("archive", "multi-file", "postgres-baileys", "keyv", "waha", "evolution")


def up(_arguments: argparse.Namespace) -> int:
    from orchestrator.launcher.up import launch

    return launch(Settings.from_environment(os.environ), os.environ)


def serve(_arguments: argparse.Namespace) -> int:
    parent = os.getppid()  # before the second that imports take: it may be gone after it
    settings, process = Settings.from_environment(os.environ), ProcessSettings.from_environment(os.environ)
    from orchestrator import bootstrap

    return bootstrap.serve(settings, process, parent)


def migrate(_arguments: argparse.Namespace) -> int:
    settings = Settings.from_environment(os.environ)
    if settings.database_url is None:
        raise SettingsError(
            "DATABASE_URL is not set; `up` migrates the embedded PostgreSQL itself, so there is nothing to do."
        )
    from orchestrator import bootstrap

    return bootstrap.migrate_database(settings)


def bot(_arguments: argparse.Namespace) -> int:
    parent = os.getppid()
    settings, process = Settings.from_environment(os.environ), BotProcessSettings.from_environment(os.environ)
    from orchestrator.bot.start import run

    return run(settings, process, parent)


def listen_for_alerts(_arguments: argparse.Namespace) -> int:
    settings = Settings.from_environment(os.environ)
    from orchestrator.bot.alert_listener import listen

    return listen(settings)


def watch_processes(_arguments: argparse.Namespace) -> int:
    from orchestrator.launcher.process_watcher import watch

    return watch(os.environ)


def import_session(arguments: argparse.Namespace) -> int:
    from orchestrator.commands import moving

    return moving.import_session(arguments)


def export_session(arguments: argparse.Namespace) -> int:
    from orchestrator.commands import moving

    return moving.export_session(arguments)


def rotate_keys(arguments: argparse.Namespace) -> int:
    from orchestrator.commands import key_rotation

    return key_rotation.rotate_keys(arguments)


def create_backup(arguments: argparse.Namespace) -> int:
    from orchestrator.commands import backup

    return backup.create(arguments)


def verify_backup(arguments: argparse.Namespace) -> int:
    from orchestrator.commands import backup

    return backup.verify(arguments)


def restore_backup(arguments: argparse.Namespace) -> int:
    from orchestrator.commands import backup

    return backup.restore(arguments)


def doctor(arguments: argparse.Namespace) -> int:
    from orchestrator.commands import doctor

    return doctor.examine(arguments)


def declare_import(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--from", dest="form", required=True, choices=IMPORT_FORMATS, help="what SOURCE is; see docs/moving.md")
    add("source", metavar="SOURCE", help="a folder or file, or the session's name in another store's database")
    add("--session-id", required=True, metavar="NAME", help="its name here")
    add("--start", action="store_true", help="run it at once; otherwise it stays stopped")
    add("--source-url-env", metavar="VARIABLE", help="the variable that holds the address of the other database")
    add("--source-table", metavar="TABLE", help="if it isn't the usual one")
    add("--source-namespace", metavar="NAME", help="of keyv, if it isn't `keyv`")
    add("--instance", metavar="NAME", help="of Evolution, by name or id; SOURCE has its keys then")
    _declare_common(parser)


def declare_export(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("session_id", metavar="SESSION_ID")
    add("--to", required=True, type=Path, metavar="PATH", help="a file or folder that isn't there yet")
    add("--format", choices=("archive", "multi-file"), default="archive", help="a file, or a folder for plain Baileys")
    add("--stop", action="store_true", help="stop the session first")
    _declare_common(parser)


def declare_create_backup(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--to", metavar="PLACE", help="a folder, a new file, or s3://bucket/prefix; else BACKUP_TARGET")
    _declare_passphrase(parser)


def declare_verify_backup(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", nargs="?", metavar="BACKUP", help="a file, or a place whose newest is meant")
    _declare_passphrase(parser)


def declare_restore_backup(parser: argparse.ArgumentParser) -> None:
    declare_verify_backup(parser)
    parser.add_argument("--stopped", action="store_true", help="have no session start by itself")


def declare_doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="findings as one JSON document")
    parser.add_argument("--sessions", type=int, default=0, metavar="NUMBER", help="how many sessions it is to carry")


def _declare_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tenant", default=OPERATOR_TENANT, help="whose session it is")
    _declare_passphrase(parser)


def _declare_passphrase(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--passphrase", action="store_true", help="ask for the archive's passphrase")
    source.add_argument("--passphrase-file", type=Path, metavar="FILE", help="read it from a file")
    source.add_argument("--passphrase-env", metavar="VARIABLE", help="read it from a variable")


class Command(NamedTuple):
    name: str
    run: Callable[[argparse.Namespace], int]
    summary: str
    declare: Callable[[argparse.ArgumentParser], object] | None = None
    """Adds the command's own arguments."""


COMMANDS: Final = (
    Command("up", up, "start everything: PostgreSQL if DATABASE_URL is unset, the orchestrator and the sidecar"),
    Command("serve", serve, "run the orchestrator alone (started by `up`)"),
    Command("bot", bot, "run the Telegram bot alone (started by `up`)"),
    Command("alert-listener", listen_for_alerts, "tell the operator of processes that fail (started by `up`)"),
    Command("migrate", migrate, "bring the database at DATABASE_URL to this version's schema"),
    Command("sessions import", import_session, "bring a session in from another place", declare_import),
    Command("sessions export", export_session, "hand a session out to another place", declare_export),
    Command("keys rotate", rotate_keys, "seal all that is stored under the first of SESSION_ENCRYPTION_KEYS"),
    Command("backup create", create_backup, "copy the whole database into one sealed file", declare_create_backup),
    Command("backup verify", verify_backup, "read all of a backup, and say what is in it", declare_verify_backup),
    Command("backup restore", restore_backup, "write a backup into an empty database", declare_restore_backup),
    Command("doctor", doctor, "check everything that the service needs, and say what to do", declare_doctor),
    Command("watch-processes", watch_processes, "stop everything when a process can't be kept alive (started by `up`)"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m orchestrator", description=__doc__.splitlines()[0] if __doc__ else None
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    groups = {"": commands}
    for command in COMMANDS:
        group, _, name = command.name.rpartition(" ")
        if group not in groups:
            words = ", ".join(c.name.split()[-1] for c in COMMANDS if c.name.startswith(f"{group} "))
            groups[group] = commands.add_parser(group, help=words).add_subparsers(metavar="COMMAND", required=True)
        subparser = groups[group].add_parser(name, help=command.summary, description=command.summary)
        subparser.set_defaults(run=command.run)
        if command.declare is not None:
            command.declare(subparser)
    parsed = parser.parse_args(arguments)
    return reporting(lambda: parsed.run(parsed))


def reporting(command: Callable[[], int]) -> int:
    """The exit code of a command; what the user can mend is told in plain sentences, without a traceback."""
    try:
        return command()
    except SettingsError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return EXIT_BAD_SETTINGS
    except (LaunchError, OrchestratorError) as error:
        print(error, file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
