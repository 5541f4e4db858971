"""Keeps linked WhatsApp accounts linked: scan once, then never again."""

from typing import Final

VERSION: Final = "0.1.0"
"""The same as in pyproject.toml."""
