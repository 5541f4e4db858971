"""An auth state outside of the store: what an import brings in and an export hands out."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.domain.auth_state import Account, SignalKeyName


@dataclass(frozen=True, slots=True)
class PortableState:
    """The creds of a paired account and all of its signal keys; every value is Baileys' JSON text in UTF-8."""

    creds: bytes = field(repr=False)
    account: Account
    keys: Mapping[SignalKeyName, bytes] = field(repr=False)
