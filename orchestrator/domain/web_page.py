"""What a web page says of itself in its head: https://ogp.me, and the older tags."""

import re
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import urljoin

_LINK = re.compile(r"https?://[^\s<>\"']+", re.IGNORECASE)
_AFTER_A_LINK = ".,;:!?)]}'\"”"
_LONGEST_TITLE = 300
_LONGEST_DESCRIPTION = 1000


@dataclass(frozen=True, slots=True)
class PageSummary:
    title: str
    description: str | None
    image_url: str | None


def first_link(text: str) -> str | None:
    """The first web address in a text, without the punctuation of the sentence around it."""
    found = _LINK.search(text)
    return found.group().rstrip(_AFTER_A_LINK) if found else None


def page_summary(html: str, address: str) -> PageSummary | None:
    """None for a page without a title."""
    head = _Head()
    head.feed(html)
    said = head.said
    title = said.get("og:title") or said.get("twitter:title") or said.get("title")
    if not title:
        return None
    description = said.get("og:description") or said.get("description")
    image = said.get("og:image") or said.get("twitter:image")
    return PageSummary(
        title[:_LONGEST_TITLE],
        description[:_LONGEST_DESCRIPTION] if description else None,
        _joined(address, image) if image else None,
    )


def _joined(address: str, image: str) -> str | None:
    try:
        return urljoin(address, image)
    except ValueError:
        return None


class _Head(HTMLParser):
    """The first of each meta tag, and the title."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.said: dict[str, str] = {}
        self._in_title = False
        self._over = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "body":
            self._over = True
        self._in_title = tag == "title"
        if tag != "meta" or self._over:
            return
        given = {name: value or "" for name, value in attrs}
        name = (given.get("property") or given.get("name") or "").lower()
        self._say(name, given.get("content", ""))

    def handle_endtag(self, tag: str) -> None:
        self._in_title = False

    def handle_data(self, data: str) -> None:
        if self._in_title and not self._over:
            self._say("title", data)

    def _say(self, name: str, value: str) -> None:
        text = " ".join(value.split())
        if name and text:
            self.said.setdefault(name, text)
