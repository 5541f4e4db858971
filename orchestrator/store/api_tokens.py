"""Tokens of the public API, kept as digests."""

import hashlib
from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from orchestrator.store.database import Database
from orchestrator.store.tables import api_tokens


def digest(token: str) -> bytes:
    """What is stored of a token. Tokens are random or long, so a plain hash is enough; passwords would need more."""
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()


class ApiTokenStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, name: str, token: str, show: Callable[[str], None]) -> bool:
        """Keep the token under this name unless there is one already; True if it was added.

        ``show`` is called before the commit: a token that nobody saw must not become the only valid one.
        """
        async with self._database.begin() as connection:
            insert = postgresql.insert(api_tokens).values(digest=digest(token), name=name).on_conflict_do_nothing()
            added = (await connection.execute(insert.returning(api_tokens.c.name))).scalar_one_or_none() is not None
            if added:
                show(token)
            return added

    async def get(self, name: str) -> bytes | None:
        """The digest kept under this name."""
        async with self._database.begin() as connection:
            return (
                await connection.execute(sa.select(api_tokens.c.digest).where(api_tokens.c.name == name))
            ).scalar_one_or_none()
