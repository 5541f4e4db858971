import pytest

from orchestrator.api.qr_codes import preferred_format
from orchestrator.domain.errors import NotAcceptable

FORMATS = ("application/json", "image/png", "image/svg+xml", "text/plain")


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("*/*", "application/json"),
        ("image/png", "image/png"),
        ("image/*", "image/png"),
        ("text/plain;charset=utf-8", "text/plain"),
        ("image/svg+xml, image/png;q=0.9", "image/svg+xml"),
        ("image/png;q=0.1, application/json", "application/json"),
        ("text/html,application/xhtml+xml,image/avif,image/webp,*/*;q=0.8", "application/json"),
        ("TEXT/PLAIN", "text/plain"),
    ],
)
def test_the_format_is_the_one_that_accept_prefers(accept: str, chosen: str) -> None:
    assert preferred_format(accept, FORMATS) == chosen


@pytest.mark.parametrize("accept", ["audio/ogg", "image/png;q=0", "", "image/png;q=much"])
def test_a_format_that_can_not_be_made_is_refused(accept: str) -> None:
    with pytest.raises(NotAcceptable):
        preferred_format(accept, FORMATS)
