"""What a page says of itself, and where a text links to."""

import pytest

from orchestrator.domain.web_page import PageSummary, first_link, page_summary


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("see https://example.org/a?b=c#d.", "https://example.org/a?b=c#d"),
        ("(http://example.org)", "http://example.org"),
        ("two: HTTPS://A.example, https://b.example", "HTTPS://A.example"),
        ("example.org has none", None),
        ("ftp://example.org", None),
    ],
)
def test_the_first_link_of_a_text(text: str, link: str | None) -> None:
    assert first_link(text) == link


def test_open_graph_counts_more_than_the_older_tags() -> None:
    html = """<head><title> Old </title><meta name=description content="old"><meta property="og:title" content="New &amp; shiny">
        <meta property="og:description" content="what  it\nis"><meta property="og:image" content="../p.png"></head>"""
    summary = page_summary(html, "https://example.org/a/b")
    assert summary == PageSummary("New & shiny", "what it is", "https://example.org/p.png")


def test_only_a_title_is_needed_and_what_is_in_the_body_doesn_t_count() -> None:
    assert page_summary("<title>A", "http://a") == PageSummary("A", None, None)
    assert page_summary("<body><title>x</title><meta name=description content=y>", "http://a") is None
    assert page_summary("", "http://a") is None
    assert page_summary("<meta property=og:title content='" + "x" * 900, "http://a") is None  # never closed
