"""A copy of the whole database: what it says of itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class CopiedTable:
    """``columns`` in the order in which the rows have them."""

    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Beginning:
    """The first part of a copy. ``tables`` in an order in which none needs a later one."""

    schema_version: str
    software_version: str
    made_at: datetime
    tables: tuple[CopiedTable, ...]


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of a table, in the text format of PostgreSQL's COPY."""

    table: str
    text: bytes

    @property
    def number(self) -> int:
        """Rows that end in it; a line break within a value is written as two characters."""
        return self.text.count(b"\n")


@dataclass(frozen=True, slots=True)
class Ending:
    """The last part: what the parts before it must add up to, and where the sequences were."""

    rows: Mapping[str, int]
    sequences: Mapping[str, int]


Part = Beginning | Rows | Ending
