"""Names of signal keys: as Baileys writes them into one string, and as it mangles that string into a file name.

``useMultiFileAuthState`` (7.0.0-rc14) names the file of a key ``TYPE-ID.json``, with ``/`` replaced by ``__`` and ``:`` by
``-``. That loses something in general, but not for the ids that Baileys makes: only the ids of app state sync keys are
base64, which has a slash and no underscore, and only the ids of sender keys have colons, in two fixed places.
"""

import re

from orchestrator.domain.auth_state import SignalKeyName
from orchestrator.domain.errors import AuthStateRefused

#: Baileys' own (src/Types/Auth.ts).
_BAILEYS_TYPES = frozenset(
    """
    app-state-sync-key app-state-sync-version device-list identity-key lid-mapping pre-key sender-key sender-key-memory
    session tctoken
    """.split()
)
#: Longest first: a sender-key-memory is no sender-key with the id "memory-...".
_TYPES = sorted(_BAILEYS_TYPES, key=len, reverse=True)

_TYPE = re.compile(r"[a-z][a-z0-9-]{0,63}")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_SENDER_KEY = re.compile(r"(.+)--(.+)--([0-9]+)")
_ID_LIMIT = 512


def split_name(name: str) -> SignalKeyName:
    """(type, id) of ``TYPE-ID``; ``AuthStateRefused`` for a type that Baileys 7 doesn't have."""
    for key_type in _TYPES:
        if name.startswith(f"{key_type}-"):
            return key_type, name[len(key_type) + 1 :]
    raise AuthStateRefused(f"{name[:80]!r} is the name of no key that Baileys 7 knows; take it out and try again.")


def file_name(name: SignalKeyName) -> str:
    """The file in which Baileys keeps this key."""
    return f"{'-'.join(name)}.json".replace("/", "__").replace(":", "-")


def of_file(file: str) -> SignalKeyName:
    """The key that Baileys keeps in this file."""
    key_type, key_id = split_name(file.removesuffix(".json"))
    if key_type == "app-state-sync-key":
        return key_type, key_id.replace("__", "/")
    if key_type == "sender-key" and (parts := _SENDER_KEY.fullmatch(key_id)):
        return key_type, "::".join(parts.groups())
    return key_type, key_id


def is_baileys_own(name: SignalKeyName) -> bool:
    """Whether a plain Baileys knows keys of this type; what we keep beside them is of no use to it."""
    return name[0] in _BAILEYS_TYPES


def require_possible(name: SignalKeyName) -> None:
    """``AuthStateRefused`` for a name that is none, is too long, or would be a path in a file name."""
    key_type, key_id = name
    if not _TYPE.fullmatch(key_type) or not 1 <= len(key_id) <= _ID_LIMIT:
        raise AuthStateRefused(
            f"The key {_shown(name)} has an impossible type or an id that is not 1 to {_ID_LIMIT} long."
        )
    is_path = "/" in key_id if key_type != "app-state-sync-key" else not _BASE64.fullmatch(key_id)
    if is_path or "\\" in key_id or not key_id.isprintable():
        raise AuthStateRefused(f"The key {_shown(name)} has a path or a control character in its id.")


def _shown(name: SignalKeyName) -> str:
    return repr("-".join(name)[:80])
