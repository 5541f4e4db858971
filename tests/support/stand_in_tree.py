"""The real launcher with stand-ins for orchestrator and sidecar: `python -m tests.support.stand_in_tree [PROGRAM=COMMAND ...]`.

Each stand-in writes a line when it starts and when it is stopped. An argument replaces the command of a program;
`--retries=N` shortens how long one that fails is tried.
"""

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from orchestrator.cli import reporting
from orchestrator.config import Settings
from orchestrator.launcher.embedded_postgres import EmbeddedPostgres
from orchestrator.launcher.programs import Program, ShardPlace, programs
from orchestrator.launcher.up import launch

REPLACED = {
    "orchestrator": len(["python", "-m", "orchestrator", "serve"]),
    "baileys": len(["node", "main.js"]),
    "bot": len(["python", "-m", "orchestrator", "bot"]),
}
STAND_IN = Path(__file__).with_name("stand_in.py")


def main(arguments: Sequence[str]) -> int:
    retries = [int(argument.removeprefix("--retries=")) for argument in arguments if argument.startswith("--retries=")]
    commands = {name: shlex.split(command) for name, _, command in (argument.partition("=") for argument in arguments)}

    def stand_ins(postgres: EmbeddedPostgres | None, shards: Sequence[ShardPlace], **which: bool) -> list[Program]:
        chosen = programs(postgres, shards, **which)
        parts = [_stand_in(program, commands.get(program.name)) for program in chosen]
        return [replace(part, start_retries=retries[0]) for part in parts] if retries else parts

    return reporting(lambda: launch(Settings.from_environment(os.environ), os.environ, stand_ins))


def _stand_in(program: Program, command: list[str] | None) -> Program:
    if command is not None:
        return replace(program, command=command)
    if program.name in REPLACED:
        before = program.command[: -REPLACED[program.name]]
        return replace(program, command=[*before, sys.executable, str(STAND_IN), program.name])
    return program


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
