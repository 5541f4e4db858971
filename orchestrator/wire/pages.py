"""Lists come in pages: every list takes a limit and a cursor and tells where the next page begins."""

from typing import Annotated, TypeAlias

from msgspec import Meta

from orchestrator.wire.shape import Request

#: What lists that are longer than one page end with.
NextCursor: TypeAlias = Annotated[
    str | None, Meta(description="Where the next page begins, for the parameter cursor; null on the last page.")
]


class Page(Request, frozen=True):
    limit: Annotated[int, Meta(ge=1, le=200, description="How many at most.")] = 50
    cursor: Annotated[str, Meta(description="next_cursor of the page before.", max_length=1024)] | None = None
