"""What is shown of a link in a text: its page's title, description and picture, under the limits of media addresses."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog

from orchestrator.domain.errors import AddressForbidden, AddressUnreachable, InvalidRequest, OrchestratorError
from orchestrator.domain.media import MediaKind
from orchestrator.domain.web_page import PageSummary, first_link, page_summary
from orchestrator.outbound.client import OutboundClient
from orchestrator.services.media import MediaFiles
from orchestrator.wire.messages import MediaSource

log = structlog.get_logger(__name__)

_FETCH_SECONDS = 10.0
_REDIRECTS = 5
#: A page says what it is at its beginning.
_PAGE_BYTES = 512 * 1024
_OK = 200


class LinkPreviews:
    def __init__(self, outbound: OutboundClient, media: MediaFiles) -> None:
        self._outbound = outbound
        self._media = media

    @asynccontextmanager
    async def of(self, text: str) -> AsyncIterator[dict[str, Any] | None]:
        """The preview of the first link in a text, as the control API takes it, for as long as the block runs.

        None when there is no link, or its page can't be had: a preview decorates a message and never keeps it back.
        """
        link = first_link(text)
        page = None if link is None else await self._page(link)
        if page is None:
            yield None
            return
        preview = {"url": link, "title": page.title} | ({"description": page.description} if page.description else {})
        opened = (
            None if page.image_url is None else self._media.staged(MediaKind.IMAGE, MediaSource(url=page.image_url))
        )
        try:
            picture = None if opened is None else await opened.__aenter__()
        except OrchestratorError:
            opened = picture = None
        try:
            yield preview if picture is None else {**preview, "thumbnail_file": picture.file}
        finally:
            if opened is not None:
                await opened.__aexit__(None, None, None)

    async def _page(self, link: str) -> PageSummary | None:
        try:
            async with self._outbound.request(
                "GET", link, total_seconds=_FETCH_SECONDS, redirects=_REDIRECTS, headers={"Accept": "text/html"}
            ) as response:
                if response.status != _OK or response.content_type != "text/html":
                    return None
                content = bytearray()
                async for chunk in response.content.iter_any():
                    content += chunk
                    if len(content) > _PAGE_BYTES:
                        break
                html = content.decode(_charset(response.charset), errors="replace")
                return page_summary(html, str(response.url))
        except (AddressForbidden, AddressUnreachable, InvalidRequest) as error:
            log.info("no link preview", reason=error.message)
            return None


def _charset(name: str | None) -> str:
    try:
        "".encode(name or "utf-8")
    except LookupError:
        return "utf-8"
    return name or "utf-8"
