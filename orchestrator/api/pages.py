"""Cursors: where a page ended, as a text that only we read."""

import base64
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec

from orchestrator.domain.errors import FieldError, InvalidRequest
from orchestrator.wire.pages import Page

T = TypeVar("T")

# What a cursor can hold: somebody else's must not become an error of the database.
Number = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
Name = Annotated[str, msgspec.Meta(pattern="^[^\x00]*$", max_length=512)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]


def begins_after(page: Page, type_: Any) -> Any:
    """The key of the last thing on the page before; None for the first page. ``InvalidRequest`` for what isn't a cursor of ours."""
    if page.cursor is None:
        return None
    try:
        text = base64.urlsafe_b64decode(page.cursor + "=" * (-len(page.cursor) % 4))
        return msgspec.json.decode(text, type=type_)
    except (ValueError, msgspec.MsgspecError) as error:
        raise InvalidRequest(errors=[FieldError("cursor", "must be next_cursor of an earlier page")]) from error


def cut(found: Sequence[T], page: Page, key: Callable[[T], object]) -> tuple[Sequence[T], str | None]:
    """What is on the page, and the cursor of the next; ``found`` has one more than fits if there is a next one."""
    if len(found) <= page.limit:
        return found, None
    shown = found[: page.limit]
    text = msgspec.json.encode(key(shown[-1]))
    return shown, base64.urlsafe_b64encode(text).decode().rstrip("=")
