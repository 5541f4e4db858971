"""Templates of bulk messages: ``{{name}}`` in any text of a message stands for a variable of each recipient."""

import re
from collections.abc import Mapping
from typing import Any

_PLACE = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_.-]{0,63})\s*\}\}")


class UnknownVariable(LookupError):
    """A place in the template has no value; the argument is its name."""


def places(text: str) -> list[str]:
    """The variables that a text names, in their order."""
    return _PLACE.findall(text)


def filled(template: Any, variables: Mapping[str, str | int | float]) -> Any:
    """The template, any JSON value, with every place filled in its texts; ``UnknownVariable`` for one without a value."""
    match template:
        case str():
            return _PLACE.sub(lambda place: _value(place[1], variables), template)
        case Mapping():
            return {name: filled(value, variables) for name, value in template.items()}
        case list():
            return [filled(value, variables) for value in template]
        case _:
            return template


def _value(name: str, variables: Mapping[str, str | int | float]) -> str:
    if name not in variables:
        raise UnknownVariable(name)
    return str(variables[name])
