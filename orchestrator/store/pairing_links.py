"""Links to the pairing page. Of a link's token, and of the browser that opened it, only digests are kept."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from orchestrator.domain.errors import SessionNotFound
from orchestrator.domain.pairing_link import PairingLink
from orchestrator.store.api_tokens import digest
from orchestrator.store.database import Database
from orchestrator.store.tables import pairing_links, sessions

_l = pairing_links.c

_SELECT = sa.select(
    _l.link_id,
    sessions.c.tenant_id,
    sessions.c.session_id,
    _l.requested_by,
    _l.created_at,
    _l.expires_at,
    _l.opened_at,
    _l.used_at,
    _l.revoked_at,
).join(sessions, sessions.c.session_ref == _l.session_ref)

_OPEN = _l.revoked_at.is_(None) & (_l.expires_at > sa.func.now()) & sessions.c.deleted_at.is_(None)


def _from_row(row: Any) -> PairingLink:
    return PairingLink(*row)


class PairingLinkStore:
    """Every method raises ``DatabaseUnavailable`` when it can't know."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self, tenant_id: str, session_id: str, token: str, requested_by: str, lives: timedelta
    ) -> PairingLink:
        """A link with this token; ``SessionNotFound``."""
        session = sa.select(
            sa.literal(digest(token), sa.LargeBinary),
            sessions.c.session_ref,
            sa.literal(requested_by, sa.Text),
            sa.func.now() + lives,
        ).where(sessions.c.tenant_id == tenant_id, sessions.c.session_id == session_id, sessions.c.deleted_at.is_(None))
        insert = sa.insert(pairing_links).from_select(
            ["token_digest", "session_ref", "requested_by", "expires_at"], session
        )
        async with self._database.begin() as connection:
            link_id = (await connection.execute(insert.returning(_l.link_id))).scalar_one_or_none()
            if link_id is None:
                raise SessionNotFound
            return _from_row((await connection.execute(_SELECT.where(_l.link_id == link_id))).one())

    async def page(self, tenant_id: str, session_id: str, *, before: int | None, most: int) -> Sequence[PairingLink]:
        """Those of a session that are kept, newest first, before the one of that number."""
        of_session = (sessions.c.tenant_id == tenant_id) & (sessions.c.session_id == session_id)
        statement = _SELECT.where(of_session & sessions.c.deleted_at.is_(None)).order_by(_l.link_id.desc()).limit(most)
        if before is not None:
            statement = statement.where(_l.link_id < before)
        async with self._database.begin() as connection:
            return [_from_row(row) for row in await connection.execute(statement)]

    async def revoke(self, tenant_id: str, session_id: str, link_id: int) -> bool:
        """False when the session has no such link."""
        of_session = sa.select(sessions.c.session_ref).where(
            sessions.c.tenant_id == tenant_id, sessions.c.session_id == session_id, sessions.c.deleted_at.is_(None)
        )
        statement = (
            sa.update(pairing_links)
            .where(_l.link_id == link_id, _l.session_ref == of_session.scalar_subquery())
            .values(revoked_at=sa.func.coalesce(_l.revoked_at, sa.func.now()))
            .returning(_l.link_id)
        )
        async with self._database.begin() as connection:
            return (await connection.execute(statement)).scalar_one_or_none() is not None

    async def find(self, token: str, browser: str | None) -> PairingLink | None:
        """The link of this token for this browser: one that nobody opened yet, or that this browser opened.

        None for one that is expired, revoked, another browser's, or that linked its session without this browser.
        """
        mine = sa.false() if browser is None else _l.browser_digest == digest(browser)
        free = _l.browser_digest.is_(None) & _l.used_at.is_(None)
        async with self._database.begin() as connection:
            row = (
                await connection.execute(_SELECT.where((_l.token_digest == digest(token)) & _OPEN & (mine | free)))
            ).one_or_none()
            return None if row is None else _from_row(row)

    async def open(self, token: str, browser: str) -> bool:
        """Bind the link to this browser; False when it is another's already, or not valid any more."""
        is_open = sa.select(_l.link_id).join(sessions, sessions.c.session_ref == _l.session_ref).where(_OPEN)
        statement = (
            sa.update(pairing_links)
            .where(
                _l.token_digest == digest(token),
                _l.link_id.in_(is_open),
                _l.used_at.is_(None),
                _l.browser_digest.is_(None),
            )
            .values(browser_digest=digest(browser), opened_at=sa.func.now())
            .returning(_l.link_id)
        )
        async with self._database.begin() as connection:
            return (await connection.execute(statement)).scalar_one_or_none() is not None

    async def use(self, link_id: int) -> None:
        """It has done what it was for."""
        statement = sa.update(pairing_links).where(_l.link_id == link_id, _l.used_at.is_(None))
        async with self._database.begin() as connection:
            await connection.execute(statement.values(used_at=sa.func.now()))

    async def forget(self, *, days: float) -> int:
        """Remove those that ended that long ago; how many there were."""
        ended = _l.expires_at < sa.func.now() - timedelta(days=days)
        async with self._database.begin() as connection:
            removed = await connection.execute(sa.delete(pairing_links).where(ended).returning(_l.link_id))
            return len(removed.all())
