"""Under which account PostgreSQL runs: it refuses root, so root lends it an existing account, never a new one.

When that account can't reach the files (say, a checkout below a private /root), it gets one capability with it instead of
changed permissions.
"""

import os
import pwd
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypedDict

from orchestrator.launcher import LaunchError

_ACCOUNTS_FOR_ROOT: Final = ("postgres", "nobody")
# Either lets a process enter folders that aren't its own; the first can't write there, but containers rarely have it.
_CAPABILITIES: Final = (("dac_read_search", 2), ("dac_override", 1))


class PopenAccount(TypedDict, total=False):
    """Arguments of `subprocess.Popen`."""

    user: int
    group: int
    extra_groups: list[str | int]


@dataclass(frozen=True, slots=True)
class ServerAccount:
    """The account of the server; `entry` is None when it is the caller's own."""

    entry: pwd.struct_passwd | None
    capability: str | None = None
    """What it needs to reach the files; then `wrap` changes to the account, and the caller stays what it is."""

    @property
    def user(self) -> str | None:
        """The account that the starter has to change to; None when it must not."""
        return None if self.entry is None or self.capability is not None else self.entry.pw_name

    @property
    def popen(self) -> PopenAccount:
        if self.entry is None or self.capability is not None:
            return {}
        return {"user": self.entry.pw_uid, "group": self.entry.pw_gid, "extra_groups": []}

    def wrap(self, command: list[str]) -> list[str]:
        """The command, through setpriv when a capability has to go with the account."""
        if self.entry is None or self.capability is None:
            return command
        account = [f"--reuid={self.entry.pw_uid}", f"--regid={self.entry.pw_gid}", "--clear-groups"]
        gift = [f"--inh-caps=+{self.capability}", f"--ambient-caps=+{self.capability}"]
        return [shutil.which("setpriv") or "setpriv", *account, *gift, "--", *command]

    def give(self, path: Path) -> None:
        """Make the account the owner of a file or folder of ours."""
        if self.entry is not None:
            os.chown(path, self.entry.pw_uid, self.entry.pw_gid)


def choose_account(data: Path, postgres: Path) -> ServerAccount:
    """The account for `data` (which need not exist yet) and the program `postgres`; raises `LaunchError` when there is none."""
    owner = data.stat().st_uid if data.exists() else None
    if os.geteuid() != 0:
        if owner not in (None, os.geteuid()):
            raise LaunchError(
                f"{data} belongs to another account; start as that one or as root, or set DATA_DIR to another folder."
            )
        return ServerAccount(None)
    account = ServerAccount(_account_for_root(data, owner))
    if _reaches(account, data.parent, postgres):
        return account
    return ServerAccount(account.entry, _capability(account, data.parent, postgres))


def _account_for_root(data: Path, owner: int | None) -> pwd.struct_passwd:
    if owner:
        try:
            return pwd.getpwuid(owner)
        except KeyError as error:
            raise LaunchError(
                f"{data} belongs to the account number {owner}, which has no name on this machine; give the folder to `postgres`."
            ) from error
    for name in _ACCOUNTS_FOR_ROOT:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise LaunchError(
        "PostgreSQL doesn't run as root and there is no account `postgres` or `nobody` to run it as; "
        "start as a normal user, or set DATABASE_URL."
    )


def _reaches(account: ServerAccount, folder: Path, postgres: Path) -> bool:
    """Tried instead of computed: access lists and mounts have a say too."""
    for probe in (["test", "-x", str(folder)], [str(postgres), "--version"]):
        try:
            if subprocess.run(probe, capture_output=True, check=False, **account.popen).returncode != 0:
                return False
        except PermissionError:
            return False
    return True


def _capability(account: ServerAccount, folder: Path, postgres: Path) -> str:
    found = re.search(r"CapEff:\s*([0-9a-f]+)", Path("/proc/self/status").read_text())
    held = int(found[1], 16) if found else 0
    capability = next((name for name, bit in _CAPABILITIES if held >> bit & 1), None)
    if capability is not None and shutil.which("setpriv") is not None:
        return capability
    name = account.entry.pw_name if account.entry else "another account"
    raise LaunchError(
        f"PostgreSQL has to run as {name}, which can't reach {folder} or {postgres.parent}; install setpriv (package util-linux), "
        "or move them to where that account can read."
    )
