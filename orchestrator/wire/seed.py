"""The API of the system before this one: docs/moving.md."""

from typing import Annotated, Literal

from msgspec import Meta, Raw

from orchestrator.domain.session import ConnectionState
from orchestrator.wire.shape import Answer, Request, SessionId, Timestamp


class PostedFolder(Request, frozen=True, forbid_unknown_fields=False):
    """``session_data`` has the content of each file by name: its text, or the object that the text is JSON of."""

    session_id: SessionId
    session_data: dict[str, Raw]


class NamedFolder(Request, frozen=True, forbid_unknown_fields=False):
    session_id: SessionId | None = None


class LookedFor(Request, frozen=True, forbid_unknown_fields=False):
    session_id: Annotated[str | None, Meta(description="The list is empty if there is none of this id.")] = None


class KeptFolder(Answer, frozen=True, kw_only=True):
    success: Literal[True] = True
    session_id: SessionId
    written: int
    removed: int


class GivenFolder(Answer, frozen=True, kw_only=True):
    success: Literal[True] = True
    session_id: SessionId
    session_data: Annotated[dict[str, Raw], Meta(description="Exactly the files of the last post, in its form.")]


class FolderSetAside(Answer, frozen=True, kw_only=True):
    success: Literal[True] = True
    session_id: SessionId


class KnownFolder(Answer, frozen=True, kw_only=True):
    session_id: SessionId
    connection_state: ConnectionState
    paired: bool
    jid: str | None
    last_backup_at: Timestamp | None


class KnownFolders(Answer, frozen=True, kw_only=True):
    success: Literal[True] = True
    sessions: list[KnownFolder]


class Failure(Answer, frozen=True, kw_only=True):
    """How the old API tells an error."""

    success: Literal[False] = False
    error: str
