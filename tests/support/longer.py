"""How long the tests last that show more the longer they run."""

import os
from typing import TypeVar

import pytest

T = TypeVar("T", int, float)


#: For a test that has a shorter relative in `make test`.
only_longer = pytest.mark.skipif(
    os.environ.get("CHAOS") != "1",
    reason="test_chaos.py plays these kills and more; `make long-tests` has this one too",
)


def longer(short: T, long: T) -> T:
    """``short`` in `make test`, ``long`` in `make long-tests`."""
    return long if os.environ.get("CHAOS") == "1" else short
