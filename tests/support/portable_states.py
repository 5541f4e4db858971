"""Auth states of paired accounts, made and read by Baileys' own file store."""

import json
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.domain.auth_state import SignalKeyName

_BAILEYS = Path(__file__).resolve().parents[2] / "baileys-server"
_SCRIPT = _BAILEYS / "test" / "support" / "multi-file-folder.js"


@dataclass(frozen=True)
class BaileysState:
    """What Baileys holds: texts as it writes them, names as it asks for them."""

    creds: bytes
    keys: dict[SignalKeyName, bytes]


def make_folder(folder: Path) -> BaileysState:
    """A new folder of useMultiFileAuthState with a paired account and a key of every type."""
    return _run(["make", str(folder)], "")


def read_folder(folder: Path, names: Iterable[SignalKeyName]) -> BaileysState:
    """What an unchanged Baileys finds in the folder under these names."""
    return _run(["read", str(folder)], json.dumps(list(names)))


def _run(arguments: list[str], standard_input: str) -> BaileysState:
    command = [shutil.which("node") or "node", str(_SCRIPT), *arguments]
    printed = subprocess.run(
        command, input=standard_input, capture_output=True, text=True, check=True, cwd=_BAILEYS
    ).stdout
    state = json.loads(printed)
    keys = {(key_type, key_id): text.encode() for key_type, key_id, text in state["keys"]}
    return BaileysState(state["creds"].encode(), keys)
