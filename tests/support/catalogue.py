"""What a catalogue of texts says, by name, and what is filled in."""

import string
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any


def said(texts: Any) -> Iterator[tuple[str, str]]:
    """Each text of a dataclass of texts and of mappings of texts."""
    for field in fields(texts):
        value = getattr(texts, field.name)
        if isinstance(value, Mapping):
            yield from ((f"{field.name}.{key}", text) for key, text in value.items())
        else:
            yield field.name, value


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
