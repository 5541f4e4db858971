"""How every error is answered (RFC 9457)."""

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from orchestrator.wire.shape import Answer


class FieldProblem(Answer, frozen=True):
    """What is wrong with one field; ``field`` is a path such as ``text`` or ``set[3]``."""

    field: str
    message: str


class Problem(Answer, frozen=True):
    """A problem document. Decide by ``code``; ``detail`` says what to do."""

    type: str
    title: str
    status: int
    code: Annotated[str, Meta(description="Stable; one of those that are listed for the operation.")]
    detail: str
    request_id: Annotated[str | UnsetType, Meta(description="Names this request in the log.")] = UNSET
    whatsapp_code: Annotated[int | UnsetType, Meta(description="For what WhatsApp refused: its own code.")] = UNSET
    errors: Annotated[list[FieldProblem] | UnsetType, Meta(description="For bad input: the fields.")] = UNSET
    connection_state: Annotated[
        str | UnsetType, Meta(description="With session_not_open: what the session's connection is.")
    ] = UNSET
