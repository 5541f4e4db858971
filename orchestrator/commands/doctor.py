"""``doctor``: everything that the service needs, one sentence each."""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Mapping

from orchestrator.commands.database import service_database_url
from orchestrator.config import Settings, SettingsError
from orchestrator.doctor import database, machine, outside
from orchestrator.doctor.finding import Finding, Verdict, fail, ok, warn
from orchestrator.domain.language import Language
from orchestrator.launcher import LaunchError

_MARKS = {Verdict.OK: "✓", Verdict.WARN: "!", Verdict.FAIL: "✗"}
_COLOURS = {Verdict.OK: "32", Verdict.WARN: "33", Verdict.FAIL: "31"}


def examine(arguments: argparse.Namespace) -> int:
    """0, or 1 if something fails."""
    language = language_of(os.environ)
    try:
        settings = Settings.from_environment(os.environ)
    except SettingsError as error:
        findings = [fail("settings", "setting_refused", problem=problem) for problem in error.problems]
    else:
        findings = asyncio.run(_findings(settings, arguments.sessions))
    if arguments.json:
        print(json.dumps([_as_json(finding, language) for finding in findings], ensure_ascii=False, indent=2))
    else:
        for finding in findings:
            print(_line(finding, language, coloured=sys.stdout.isatty()))
    return 1 if any(finding.verdict is Verdict.FAIL for finding in findings) else 0


async def _findings(settings: Settings, sessions: int) -> list[Finding]:
    findings = _kept(settings, os.environ)
    url = settings.database_url
    if url is None:
        try:
            url = service_database_url(settings)
        except LaunchError:
            url = None  # it runs only while the service does
    if url is not None:
        findings += await database.examine(url)
        sessions = sessions or await database.wanted_sessions(url)
    findings += await asyncio.to_thread(machine.examine, settings, sessions)
    return findings + await outside.examine(settings)


def _kept(settings: Settings, environ: Mapping[str, str]) -> list[Finding]:
    """Where what must not be lost is, and whether it is sealed and copied."""
    findings = []
    if settings.database_url is None:
        volume = environ.get("RAILWAY_VOLUME_MOUNT_PATH")
        on_volume = volume is not None and settings.data_dir.is_relative_to(volume)
        lost = "RAILWAY_ENVIRONMENT_NAME" in environ and not on_volume
        findings.append((fail if lost else ok)("database", "database_embedded_lost" if lost else "database_embedded", folder=settings.data_dir))  # fmt: skip
    keys = len(settings.session_encryption_keys)
    findings.append(ok("encryption", "keys_set", number=keys) if keys else warn("encryption", "keys_unset"))
    return findings


def language_of(environ: Mapping[str, str]) -> Language:
    """That of the terminal, as POSIX has it."""
    named = next((value for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := environ.get(name))), "")
    return Language.PT_BR if named.lower().startswith("pt") else Language.EN


def _as_json(finding: Finding, language: Language) -> dict[str, str]:
    return {
        "check": finding.check,
        "verdict": finding.verdict,
        "code": finding.text,
        "message": finding.sentence(language),
    }


def _line(finding: Finding, language: Language, *, coloured: bool) -> str:
    mark = _MARKS[finding.verdict]
    if coloured:
        mark = f"\x1b[{_COLOURS[finding.verdict]}m{mark}\x1b[0m"
    return f"{mark} {finding.verdict:<4}  {finding.check:<21} {finding.sentence(language)}"
