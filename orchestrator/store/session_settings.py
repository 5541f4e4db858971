"""Settings of sessions: one row for each session whose settings aren't the usual ones; sealed, because a proxy has credentials."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from orchestrator.domain.errors import AuthStateCorrupt, SessionNotFound
from orchestrator.domain.session_settings import DEFAULT_SETTINGS, SessionSettings
from orchestrator.store.database import Database
from orchestrator.store.sealing import Sealer, place_of
from orchestrator.store.tables import session_settings, sessions

#: They belong to the session, whatever pairing it has.
_NO_GENERATION = 0

_SELECT = sa.select(sessions.c.session_ref, sessions.c.tenant_id, session_settings.c.settings).outerjoin(
    session_settings, session_settings.c.session_ref == sessions.c.session_ref
)


class SessionSettingsStore:
    """Every method raises ``DatabaseUnavailable`` when it can't know."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def get(self, tenant_id: str, session_id: str) -> SessionSettings:
        """The session's settings; ``SessionNotFound``, or ``AuthStateCorrupt`` if they can't be opened."""
        async with self._database.begin() as connection:
            row = (await connection.execute(_SELECT.where(_named(tenant_id, session_id)))).one_or_none()
        if row is None:
            raise SessionNotFound
        return self._opened(row)

    async def of(self, session_refs: Collection[int]) -> Mapping[int, SessionSettings | AuthStateCorrupt]:
        """The settings of each of these sessions, or why they can't be opened."""
        if not session_refs:
            return {}
        async with self._database.begin() as connection:
            rows = (await connection.execute(_SELECT.where(sessions.c.session_ref.in_(session_refs)))).all()
        found: dict[int, SessionSettings | AuthStateCorrupt] = {}
        for row in rows:
            try:
                found[row.session_ref] = self._opened(row)
            except AuthStateCorrupt as error:
                found[row.session_ref] = error
        return found

    async def change(
        self, tenant_id: str, session_id: str, change: Callable[[SessionSettings], SessionSettings]
    ) -> tuple[SessionSettings, SessionSettings]:
        """Put what ``change`` makes of the settings in their place; both of them, as they were and as they are."""
        async with self._database.begin() as connection:
            # Two changes at once come one after the other, also where there is no row yet.
            locked = _SELECT.where(_named(tenant_id, session_id)).with_for_update(of=sessions)
            row = (await connection.execute(locked)).one_or_none()
            if row is None:
                raise SessionNotFound
            before = self._opened(row)
            after = change(before)
            text = msgspec.json.encode(after.differing())
            values = {
                "settings": self._sealer.seal(text, _place(row.tenant_id, row.session_ref)),
                "retention_days": after.retention_days,
                "own_webhooks_only": after.own_webhooks_only,
            }
            insert = postgresql.insert(session_settings).values(session_ref=row.session_ref, **values)
            await connection.execute(
                insert.on_conflict_do_update(
                    index_elements=["session_ref"], set_={**values, "changed_at": sa.func.now()}
                )
            )
            return before, after

    def _opened(self, row: Any) -> SessionSettings:
        if row.settings is None:
            return DEFAULT_SETTINGS
        text = self._sealer.open(bytes(row.settings), _place(row.tenant_id, row.session_ref))
        try:
            return msgspec.json.decode(text, type=SessionSettings)
        except msgspec.MsgspecError as error:
            raise AuthStateCorrupt("The settings of a session can't be read.") from error


def _named(tenant_id: str, session_id: str) -> sa.ColumnElement[bool]:
    return (
        (sessions.c.tenant_id == tenant_id) & (sessions.c.session_id == session_id) & (sessions.c.deleted_at.is_(None))
    )


def _place(tenant_id: str, session_ref: int) -> bytes:
    return place_of(tenant_id, session_ref, _NO_GENERATION, "settings")
