"""The commands. Each row of `COMMANDS` is one; what a command needs is imported when it runs, so that none waits for another's."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from orchestrator.config import ProcessSettings, Settings, SettingsError
from orchestrator.launcher import LaunchError

EXIT_CANNOT_START: Final = 1
EXIT_BAD_SETTINGS: Final = 2
EXIT_INTERRUPTED: Final = 128 + signal.SIGINT


def up(_arguments: argparse.Namespace) -> int:
    from orchestrator.launcher.up import launch

    return launch(Settings.from_environment(os.environ), os.environ)


def serve(_arguments: argparse.Namespace) -> int:
    settings, process = Settings.from_environment(os.environ), ProcessSettings.from_environment(os.environ)
    from orchestrator import bootstrap

    return bootstrap.serve(settings, process)


def migrate(_arguments: argparse.Namespace) -> int:
    settings = Settings.from_environment(os.environ)
    if settings.database_url is None:
        raise SettingsError(
            "DATABASE_URL is not set; `up` migrates the embedded PostgreSQL itself, so there is nothing to do."
        )
    from orchestrator import bootstrap

    return bootstrap.migrate_database(settings)


def watch_processes(_arguments: argparse.Namespace) -> int:
    from orchestrator.launcher.process_watcher import watch

    return watch(os.environ)


class Command(NamedTuple):
    name: str
    run: Callable[[argparse.Namespace], int]
    summary: str
    declare: Callable[[argparse.ArgumentParser], object] | None = None
    """Adds the command's own arguments."""


COMMANDS: Final = (
    Command("up", up, "start everything: PostgreSQL if DATABASE_URL is unset, the orchestrator and the sidecar"),
    Command("serve", serve, "run the orchestrator alone (started by `up`)"),
    Command("migrate", migrate, "bring the database at DATABASE_URL to this version's schema"),
    Command("watch-processes", watch_processes, "stop everything when a process can't be kept alive (started by `up`)"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m orchestrator", description=__doc__.splitlines()[0] if __doc__ else None
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        subparser = commands.add_parser(command.name, help=command.summary, description=command.summary)
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
    except LaunchError as error:
        print(error, file=sys.stderr)
        return EXIT_CANNOT_START
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
