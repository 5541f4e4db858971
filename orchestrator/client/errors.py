"""Problem documents, back into the errors that they were made from."""

from collections.abc import Iterator
from functools import cache

import msgspec

from orchestrator.domain.errors import (
    FieldError,
    InvalidRequest,
    OrchestratorError,
    Overloaded,
    RateLimited,
    SidecarGone,
    UnexpectedAnswer,
)
from orchestrator.wire.problem import Problem

#: What says that nothing was done, so that the same may be asked again whatever it was.
NOTHING_DONE = (RateLimited, Overloaded, SidecarGone)


def error_of(status: int, body: bytes, retry_after_seconds: float | None) -> OrchestratorError:
    """The error that an answer of 400 or more tells."""
    try:
        problem = msgspec.json.decode(body, type=Problem)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return UnexpectedAnswer(
            f"The answer was {status} without a problem document; is it the orchestrator that answers?"
        )
    kind = _by_code().get(problem.code)
    if kind is None:
        return UnexpectedAnswer(f"{problem.code}: {problem.detail}")
    if issubclass(kind, RateLimited):
        return kind(problem.detail, retry_after_seconds=retry_after_seconds or 1.0)
    if issubclass(kind, InvalidRequest):
        fields = problem.errors if problem.errors is not msgspec.UNSET else []
        return kind(problem.detail, [FieldError(one.field, one.message) for one in fields])
    return kind(problem.detail)


@cache
def _by_code() -> dict[str, type[OrchestratorError]]:
    return {kind.code: kind for kind in _kinds(OrchestratorError)}


def _kinds(kind: type[OrchestratorError]) -> Iterator[type[OrchestratorError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _kinds(below)
