"""How long the tests last that show more the longer they run."""

import os
from typing import TypeVar

T = TypeVar("T", int, float)


def longer(short: T, long: T) -> T:
    """``short`` in `make test`, ``long`` in `make long-tests`."""
    return long if os.environ.get("CHAOS") == "1" else short
