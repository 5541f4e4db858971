"""Asking for what seals a file, in one of the ways that an argument says."""

import argparse
import getpass
import os
import warnings

from orchestrator.config import SettingsError, text_in


def is_wanted(arguments: argparse.Namespace) -> bool:
    return bool(arguments.passphrase or arguments.passphrase_file or arguments.passphrase_env)


def passphrase(arguments: argparse.Namespace, *, twice: bool) -> str | None:
    """The passphrase from wherever the arguments say; None if they say nothing."""
    text: str
    if arguments.passphrase_file is not None:
        try:
            text = arguments.passphrase_file.read_text().rstrip("\r\n")
        except (OSError, UnicodeError) as error:
            raise SettingsError(f"{arguments.passphrase_file} can't be read as text.") from error
    elif arguments.passphrase_env is not None:
        text = text_in(os.environ, arguments.passphrase_env)
    elif arguments.passphrase:
        text = _asked("Passphrase: ")
        if twice and text != _asked("Again: "):
            raise SettingsError("The two passphrases differ; try again.")
    else:
        return None
    if not text:
        raise SettingsError("The passphrase is empty; choose another.")
    return text


def _asked(prompt: str) -> str:
    try:
        with warnings.catch_warnings(category=getpass.GetPassWarning, action="error"):  # it would show what is typed
            return getpass.getpass(prompt)
    except (EOFError, getpass.GetPassWarning) as error:
        raise SettingsError("There is nobody to ask; use --passphrase-file or --passphrase-env.") from error
