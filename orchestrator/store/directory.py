"""What sessions know of contacts, chats and labels: a row each, sealed, of the pairing that learned it.

It is a copy of what the phone has, so it is written beside the auth state and not with it: no write waits for it, no
epoch fences it, and it is bounded.
"""

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
import structlog

from orchestrator.domain.directory import Change, Entry, Kind, merged, sort_at
from orchestrator.domain.errors import AuthStateCorrupt, SessionNotFound
from orchestrator.store.database import Database
from orchestrator.store.sealing import Sealer, place_of

log = structlog.get_logger(__name__)

#: Entries of one kind that a session may have: more than WhatsApp lets an account have contacts in its phone.
MOST_ENTRIES = 50_000

_KEYS = """
    unnest(CAST(:refs AS bigint[]), CAST(:generations AS integer[]), CAST(:kinds AS text[]), CAST(:ids AS text[]))
        AS v (session_ref, generation, kind, entry_id)
"""

# In one order, so that two writers can't wait for one another.
_KNOWN = sa.text(
    f"""
    SELECT d.session_ref, d.generation, d.kind, d.entry_id, d.value FROM {_KEYS}
    JOIN directory d USING (session_ref, generation, kind, entry_id)
    ORDER BY d.session_ref, d.generation, d.kind, d.entry_id
    FOR UPDATE OF d
    """  # noqa: S608 (a constant)
)

_TENANTS = sa.text(
    """
    SELECT DISTINCT s.session_ref, g.generation, s.tenant_id
    FROM unnest(CAST(:refs AS bigint[]), CAST(:generations AS integer[])) AS v (session_ref, generation)
    JOIN generations g USING (session_ref, generation) JOIN sessions s USING (session_ref)
    """
)

_COUNT = sa.text(
    """
    SELECT d.session_ref, d.generation, d.kind, count(*) AS number FROM directory d
    WHERE d.session_ref = ANY(CAST(:refs AS bigint[])) GROUP BY 1, 2, 3
    """
)

_PUT = sa.text(
    """
    INSERT INTO directory (session_ref, generation, kind, entry_id, value, sort_at)
    SELECT * FROM unnest(
        CAST(:refs AS bigint[]), CAST(:generations AS integer[]), CAST(:kinds AS text[]), CAST(:ids AS text[]),
        CAST(:contents AS bytea[]), CAST(:sorts AS bigint[])
    )
    ON CONFLICT (session_ref, generation, kind, entry_id)
    DO UPDATE SET value = excluded.value, sort_at = excluded.sort_at, changed_at = now()
    """
)

_DELETE = sa.text(
    f"""
    DELETE FROM directory d USING {_KEYS}
    WHERE (d.session_ref, d.generation, d.kind, d.entry_id) = (v.session_ref, v.generation, v.kind, v.entry_id)
    """  # noqa: S608 (a constant)
)

_SESSION = """
    SELECT s.session_ref, s.generation, s.tenant_id FROM sessions s
    WHERE s.tenant_id = :tenant_id AND s.session_id = :session_id AND s.deleted_at IS NULL
"""

# The session comes along even if it has no entry, to tell it from one that isn't there.
_PAGE = sa.text(
    f"""
    SELECT s.session_ref, s.generation, s.tenant_id, d.entry_id, d.value, d.sort_at
    FROM ({_SESSION}) s
    LEFT JOIN LATERAL (
        SELECT * FROM directory d
        WHERE d.session_ref = s.session_ref AND d.generation = s.generation AND d.kind = :kind
          AND (-d.sort_at, d.entry_id) > (:minus_sort_at, :entry_id)
        ORDER BY d.sort_at DESC, d.entry_id LIMIT :most
    ) d ON true
    ORDER BY d.sort_at DESC, d.entry_id
    """  # noqa: S608 (a constant)
).bindparams(sa.bindparam("minus_sort_at", type_=sa.BigInteger), sa.bindparam("entry_id", type_=sa.Text))

_SOME = sa.text(
    f"""
    SELECT s.session_ref, s.generation, s.tenant_id, d.entry_id, d.value, d.sort_at
    FROM ({_SESSION}) s
    LEFT JOIN directory d
      ON d.session_ref = s.session_ref AND d.generation = s.generation AND d.kind = :kind
     AND d.entry_id = ANY(CAST(:ids AS text[]))
    """  # noqa: S608 (a constant)
)

#: Before every entry.
_BEGINNING = -(2**63)


class DirectoryStore:
    """Every method raises ``DatabaseUnavailable`` when it can't know."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def write(self, changes: Sequence[Change]) -> None:
        """Put these changes to what is known, all of them in one transaction; those of generations that are gone are dropped."""
        newest = {_key(change): change for change in changes}
        async with self._database.begin() as connection:
            refs, generations = _columns(newest)[:2]
            owners = {
                (row.session_ref, row.generation): row.tenant_id
                for row in await connection.execute(_TENANTS, {"refs": refs, "generations": generations})
            }
            rows = await connection.execute(_KNOWN, _named(newest))
            known = {(row.session_ref, row.generation, row.kind, row.entry_id): bytes(row.value) for row in rows}
            room = await self._room(connection, newest, known)
            gone, put = [], []
            for key, change in newest.items():
                tenant_id = owners.get(key[:2])
                if tenant_id is None or (key not in known and not _takes(room, key)):
                    continue
                if change.fields is None:
                    gone.append(key)
                    continue
                place = _place(tenant_id, key)
                fields = merged(self._opened(known.get(key), place), change.fields)
                put.append((*key, self._sealer.seal(msgspec.json.encode(fields), place), sort_at(fields)))
            if gone:
                await connection.execute(_DELETE, _named(gone))
            if put:
                names = ("refs", "generations", "kinds", "ids", "contents", "sorts")
                await connection.execute(
                    _PUT, {n: list(column) for n, column in zip(names, zip(*put, strict=True), strict=True)}
                )

    async def page(
        self, tenant_id: str, session_id: str, kind: Kind, *, after: tuple[int, str] | None, most: int
    ) -> list[Entry]:
        """The next entries of the session's current pairing beyond (``sort_at``, id): the newest first, then by id."""
        minus_sort_at, entry_id = (_BEGINNING, "") if after is None else (-after[0], after[1])
        beyond = {"minus_sort_at": minus_sort_at, "entry_id": entry_id, "most": most}
        return await self._entries(_PAGE, tenant_id, session_id, kind, beyond)

    async def some(self, tenant_id: str, session_id: str, kind: Kind, entry_ids: Collection[str]) -> dict[str, Entry]:
        """Those of these entries that are known, by id."""
        found = await self._entries(_SOME, tenant_id, session_id, kind, {"ids": list(entry_ids)})
        return {entry.entry_id: entry for entry in found}

    async def _entries(
        self, statement: sa.TextClause, tenant_id: str, session_id: str, kind: Kind, parameters: dict[str, Any]
    ) -> list[Entry]:
        named = {"tenant_id": tenant_id, "session_id": session_id, "kind": kind.value}
        async with self._database.begin() as connection:
            rows = (await connection.execute(statement, named | parameters)).all()
        if not rows:
            raise SessionNotFound
        return [
            Entry(row.entry_id, self._opened(bytes(row.value), _place(row.tenant_id, key)), row.sort_at)
            for row in rows
            if row.entry_id is not None
            for key in [(row.session_ref, row.generation, kind.value, row.entry_id)]
        ]

    async def _room(
        self, connection: Any, newest: Collection[tuple[int, int, str, str]], known: Collection[Any]
    ) -> dict[tuple[int, int, str], int]:
        """How many entries each session may still get; only counted when there are new ones."""
        refs = sorted({key[0] for key in newest if key not in known})
        counted = await connection.execute(_COUNT, {"refs": refs}) if refs else ()
        room = dict.fromkeys({key[:3] for key in newest}, MOST_ENTRIES)
        for row in counted:
            room[row.session_ref, row.generation, row.kind] = MOST_ENTRIES - row.number
        return room

    def _opened(self, value: bytes | None, place: bytes) -> dict[str, Any]:
        """What is known; nothing where it can't be opened: it is a copy, and the next sync tells it again."""
        if value is None:
            return {}
        try:
            return msgspec.json.decode(self._sealer.open(value, place), type=dict[str, Any])
        except (AuthStateCorrupt, msgspec.MsgspecError):
            log.warning("an entry of the directory can't be opened; it is learned anew")
            return {}


def _key(change: Change) -> tuple[int, int, str, str]:
    return change.session_ref, change.generation, change.kind.value, change.entry_id


def _takes(room: dict[tuple[int, int, str], int], key: tuple[int, int, str, str]) -> bool:
    room[key[:3]] -= 1
    if room[key[:3]] == -1:
        log.warning("a session knows too many of a kind; new ones are left out", session_ref=key[0], kind=key[2])
    return room[key[:3]] >= 0


def _named(keys: Collection[tuple[int, int, str, str]]) -> dict[str, list[Any]]:
    return dict(zip(("refs", "generations", "kinds", "ids"), _columns(keys), strict=True))


def _columns(keys: Collection[tuple[int, int, str, str]]) -> list[list[Any]]:
    return [list(column) for column in zip(*keys, strict=True)]


def _place(tenant_id: str, key: tuple[int, int, str, str]) -> bytes:
    session_ref, generation, kind, entry_id = key
    return place_of(tenant_id, session_ref, generation, f"directory-{kind}", entry_id)
