"""What all structs of the public API have in common."""

from typing import Annotated

import msgspec


class Request(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """A body or a query. A field that isn't known is refused, because it is most often a misspelt one."""


class Answer(msgspec.Struct, kw_only=True, frozen=True):
    """A body that we give. A client ignores fields that it doesn't know: they may become more."""


class NoFields(Request, frozen=True):
    """An empty object, or no body at all."""


def text(description: str, *, example: str | None = None, **schema: object) -> msgspec.Meta:
    """For ``Annotated[str, text(...)]``: how the documentation describes a text that a handler checks."""
    examples = None if example is None else [example]
    return msgspec.Meta(description=description, examples=examples, extra_json_schema=schema or None)


Timestamp = Annotated[str, text("ISO 8601 in UTC.", example="2026-11-27T01:02:03.456Z", format="date-time")]

SessionId = Annotated[
    str,
    text(
        'Your name for the session: 1 to 64 of a-z A-Z 0-9 . _ -, and not "." or "..".',
        example="loja-1",
        pattern=r"^(?!\.\.?$)[A-Za-z0-9._\-]{1,64}$",
    ),
]
