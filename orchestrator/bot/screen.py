"""What a chat is shown: a text, or a picture with a text, and buttons. What a button does is kept by us; Telegram carries a number."""

from dataclasses import dataclass

#: The name of what is done, and its arguments.
Action = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Button:
    label: str
    action: Action


Rows = tuple[tuple[Button, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    text: str
    rows: Rows = ()
    photo: bytes | None = None
    """PNG; the text is its caption then."""
    document: tuple[str, bytes] | None = None
    """A file by its name; the text is its caption then."""
    asks: Action | None = None
    """What is done with the next text that is typed, as its last argument."""
    asks_file: Action | None = None
    """What is done with the next file that is sent."""
    stays: bool = False
    """It is not overwritten by what its buttons lead to: news, and the dashboard."""
    fresh: bool = False
    """A message of its own, also when a button of another one led here."""


def rows(*given: Button | tuple[Button, ...] | None) -> Rows:
    """Each in a row of its own, but for those that come together; None is left out."""
    return tuple((one,) if isinstance(one, Button) else one for one in given if one)
