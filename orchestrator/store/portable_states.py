"""Whole auth states: brought in from outside, compared with what is posted again, handed out in one snapshot.

No lease is held here, so the fence is another one than in store/auth_state.py: the session's row is locked, the session
must not be wanted running, and its lease must be nobody's. While the row is locked no replica can claim it, and one whose
lease ran out finds it gone.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg

from orchestrator.domain.auth_state import Account, SignalKeyName
from orchestrator.domain.errors import (
    AuthStateCorrupt,
    NotFound,
    SessionExists,
    SessionNotFound,
    SessionQuarantined,
    SessionRunning,
    TenantNotFound,
)
from orchestrator.domain.generation import Action
from orchestrator.domain.portable_state import PortableState
from orchestrator.domain.session import ConnectionState, DesiredState, SetAsideBy
from orchestrator.store.audit import RECORD
from orchestrator.store.database import Database
from orchestrator.store.sealing import Sealer, place_of
from orchestrator.store.tenants import COUNT_SESSIONS, LOCK_TENANT, require_room

_Connection = psycopg.AsyncConnection[tuple[Any, ...]]

#: The epoch of a lease that is made here; that of its first owner is 1.
_NEVER_CLAIMED = 0

_NEW_SESSION = """
    INSERT INTO sessions (tenant_id, session_id, desired_state, connection_state, generation)
    VALUES (%(tenant_id)s, %(session_id)s, 'stopped', 'stopped', 1)
    ON CONFLICT DO NOTHING
    RETURNING session_ref
"""

_SESSION = """
    SELECT s.session_ref, s.generation, s.desired_state, g.paired_at IS NOT NULL, g.set_aside_at IS NOT NULL
    FROM sessions s JOIN generations g USING (session_ref, generation)
    WHERE s.tenant_id = %(tenant_id)s AND s.session_id = %(session_id)s AND s.deleted_at IS NULL
"""

# The epoch grows with each change of owner, so an owner whose lease ran out can't write any more.
_TAKE_FREE_LEASE = """
    INSERT INTO leases AS l (session_ref, epoch, last_backup_at)
    VALUES (%(session_ref)s, 0, now())
    ON CONFLICT (session_ref) DO UPDATE
        SET owner = NULL, epoch = l.epoch + CASE WHEN l.owner IS NULL THEN 0 ELSE 1 END,
            expires_at = NULL, last_backup_at = now()
        WHERE l.owner IS NULL OR (coalesce(l.expires_at, now()) <= now() AND NOT EXISTS (
            SELECT FROM replicas r
            WHERE r.replica_id = l.owner AND r.renewed_at > now() - make_interval(secs => r.ttl_seconds)
        ))
    RETURNING epoch
"""

_NEW_GENERATION = """
    INSERT INTO generations (session_ref, generation, paired_at, account_jid, account_lid)
    VALUES (%(session_ref)s, %(generation)s, now(), %(jid)s, %(lid)s)
"""

_SET_ACCOUNT = """
    UPDATE generations SET account_jid = %(jid)s, account_lid = %(lid)s
    WHERE session_ref = %(session_ref)s AND generation = %(generation)s
"""

_SET_ASIDE = """
    UPDATE generations
    SET set_aside_at = now(), set_aside_by = %(actor)s, set_aside_reason = %(reason)s
    WHERE session_ref = %(session_ref)s AND generation = %(generation)s AND set_aside_at IS NULL
"""

_PUT_CREDS = """
    INSERT INTO creds (session_ref, generation, value) VALUES (%(session_ref)s, %(generation)s, %(value)b)
    ON CONFLICT (session_ref, generation) DO UPDATE SET value = excluded.value, written_at = now()
"""

_PUT_KEYS = """
    INSERT INTO signal_keys (session_ref, generation, key_type, key_id, value)
    SELECT %(session_ref)s, %(generation)s, v.* FROM unnest(%(types)s::text[], %(ids)s::text[], %(values)b::bytea[]) AS v
    ON CONFLICT (session_ref, generation, key_type, key_id) DO UPDATE SET value = excluded.value, written_at = now()
"""

_DROP_KEYS = """
    DELETE FROM signal_keys k USING unnest(%(types)s::text[], %(ids)s::text[]) AS v (key_type, key_id)
    WHERE k.session_ref = %(session_ref)s AND k.generation = %(generation)s
      AND k.key_type = v.key_type AND k.key_id = v.key_id
"""

_CREDS = """
    SELECT c.value, g.account_jid, g.account_lid FROM creds c JOIN generations g USING (session_ref, generation)
    WHERE c.session_ref = %(session_ref)s AND c.generation = %(generation)s
"""

_KEYS = """
    SELECT key_type, key_id, value FROM signal_keys
    WHERE session_ref = %(session_ref)s AND generation = %(generation)s
"""

_NEWEST_CREDS = """
    SELECT s.tenant_id, c.session_ref, c.generation, c.value FROM creds c JOIN sessions s USING (session_ref)
    ORDER BY c.written_at DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Changes:
    """What a posted auth state changed: whether the creds did, and the numbers of keys that were written and removed."""

    creds: bool
    written: int
    removed: int


@dataclass(frozen=True, slots=True)
class _Place:
    """A generation that is locked, or was read in one snapshot."""

    tenant_id: str
    session_ref: int
    generation: int
    usable: bool
    """It is paired and not set aside."""
    run_here: bool = False
    """This service held the session's lease at some time."""

    def of(self, kind: str, name: str = "") -> bytes:
        return place_of(self.tenant_id, self.session_ref, self.generation, kind, name)

    @property
    def row(self) -> dict[str, Any]:
        return {"session_ref": self.session_ref, "generation": self.generation}


class PortableStateStore:
    """Every method raises ``DatabaseUnavailable`` when nothing is known, and changes all it says or nothing."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def add(self, tenant_id: str, session_id: str, state: PortableState, desired: DesiredState) -> None:
        """Bring a session in, in one transaction. A pairing that is set aside, or was never made, may be there already.

        Raises ``SessionExists`` when the session is paired and ``SessionRunning`` when it is just being paired.
        """
        async with self._database.whole_transaction() as connection:
            place = await self._locked(connection, tenant_id, session_id)
            if place.usable:
                raise SessionExists(
                    f"The session {session_id} exists and is paired; choose another id, nothing is overwritten."
                )
            await self._write_anew(connection, place, state, desired)

    async def post(
        self,
        tenant_id: str,
        session_id: str,
        state: PortableState,
        same_pairing: Callable[[bytes, bytes], bool],
    ) -> Changes:
        """Make the stored state equal to this one, in one transaction that writes only what differs.

        ``same_pairing`` compares two creds: those of another pairing begin a new generation. ``SessionRunning`` when the
        session runs here, or did: its own keys are newer than whatever another place still has.
        """
        async with self._database.whole_transaction() as connection:
            place = await self._locked(connection, tenant_id, session_id)
            if place.usable and place.run_here:
                raise SessionRunning(
                    "This service has run the session itself, so its keys here are the newer ones; "
                    "delete it here if another place is to have it again."
                )
            stored = await self._read(connection, place) if place.usable else None
            if stored is None or not same_pairing(stored.creds, state.creds):
                await self._write_anew(connection, place, state, DesiredState.STOPPED)
                return Changes(creds=True, written=len(state.keys), removed=0)
            gone = stored.keys.keys() - state.keys.keys()
            changed = {name: text for name, text in state.keys.items() if stored.keys.get(name) != text}
            await connection.execute(_DROP_KEYS, {**place.row, **_names(gone)})
            await self._put_keys(connection, place, changed)
            if stored.creds != state.creds:
                await connection.execute(
                    _SET_ACCOUNT, {**place.row, "jid": state.account.jid, "lid": state.account.lid}
                )
                await self._put_creds(connection, place, state.creds)
            return Changes(stored.creds != state.creds, len(changed), len(gone))

    async def snapshot(self, tenant_id: str, session_id: str) -> PortableState:
        """The whole auth state as it was at one moment, also while the session runs."""
        async with self._database.whole_transaction(snapshot=True) as connection:
            parameters = {"tenant_id": tenant_id, "session_id": session_id}
            row = await (await connection.execute(_SESSION, parameters)).fetchone()
            if row is None:
                raise SessionNotFound
            session_ref, generation, _, paired, set_aside = row
            if set_aside:
                raise SessionQuarantined(f"The pairing of {session_id} is set aside; it is not handed out.")
            if not paired:
                raise NotFound(f"The session {session_id} was never paired; there is nothing to hand out.")
            return await self._read(connection, _Place(tenant_id, session_ref, generation, usable=True))

    async def require_same_keys(self) -> None:
        """``EncryptionKeyMissing`` if the newest stored creds can't be opened with the keys that this process was given."""
        async with self._database.whole_transaction(snapshot=True) as connection:
            row = await (await connection.execute(_NEWEST_CREDS, binary=True)).fetchone()
        if row is not None:
            tenant_id, session_ref, generation, value = row
            self._sealer.open(value, place_of(tenant_id, session_ref, generation, "creds"))

    async def _locked(self, connection: _Connection, tenant_id: str, session_id: str) -> _Place:
        """The session's current generation, made if there is no such session, locked and run by nobody."""
        parameters = {"tenant_id": tenant_id, "session_id": session_id}
        limits = await (await connection.execute(LOCK_TENANT, parameters)).fetchone()
        if limits is None:
            raise TenantNotFound
        new = await (await connection.execute(_NEW_SESSION, parameters)).fetchone()
        if new is not None:
            number = await (await connection.execute(COUNT_SESSIONS, parameters)).fetchone()
            assert number is not None
            require_room(limits, number[0])
            await connection.execute(_TAKE_FREE_LEASE, {"session_ref": new[0]})
            return _Place(tenant_id, new[0], generation=0, usable=False)
        row = await (await connection.execute(_SESSION + "FOR UPDATE OF s", parameters)).fetchone()
        if row is None:
            raise SessionNotFound  # deleted in this very moment
        session_ref, generation, desired, paired, set_aside = row
        if desired != DesiredState.STOPPED:
            raise SessionRunning  # before its lease is touched, which its owner may have locked first
        lease = await (await connection.execute(_TAKE_FREE_LEASE, {"session_ref": session_ref})).fetchone()
        if lease is None:
            raise SessionRunning
        run_here = lease[0] > _NEVER_CLAIMED
        return _Place(tenant_id, session_ref, generation, usable=paired and not set_aside, run_here=run_here)

    async def _write_anew(
        self, connection: _Connection, place: _Place, state: PortableState, desired: DesiredState
    ) -> None:
        """The state as a new generation; the one before is set aside."""
        newest = "SELECT coalesce(max(generation), 0) FROM generations WHERE session_ref = %(session_ref)s"
        row = await (await connection.execute(newest, place.row)).fetchone()
        assert row is not None
        new = _Place(place.tenant_id, place.session_ref, row[0] + 1, usable=True)
        running = desired is DesiredState.RUNNING
        connection_state = ConnectionState.STARTING if running else ConnectionState.STOPPED
        why = {"actor": SetAsideBy.REPLACED, "reason": "A pairing from outside took its place."}
        await connection.execute(_SET_ASIDE, {**place.row, **why})
        await connection.execute(RECORD, {**place.row, **why, "action": Action.SET_ASIDE})
        await connection.execute(
            "UPDATE sessions SET generation = %(generation)s, desired_state = %(desired)s, connection_state = %(state)s,"
            " reason = NULL WHERE session_ref = %(session_ref)s",
            {**new.row, "desired": desired, "state": connection_state},
        )
        await connection.execute(_NEW_GENERATION, {**new.row, "jid": state.account.jid, "lid": state.account.lid})
        await self._put_creds(connection, new, state.creds)
        await self._put_keys(connection, new, state.keys)

    async def _put_creds(self, connection: _Connection, place: _Place, creds: bytes) -> None:
        await connection.execute(_PUT_CREDS, {**place.row, "value": self._sealer.seal(creds, place.of("creds"))})

    async def _put_keys(self, connection: _Connection, place: _Place, keys: Mapping[SignalKeyName, bytes]) -> None:
        def sealed() -> list[bytes]:
            return [self._sealer.seal(text, place.of(*name)) for name, text in keys.items()]

        values = await asyncio.to_thread(sealed)
        await connection.execute(_PUT_KEYS, {**place.row, **_names(keys), "values": values})

    async def _read(self, connection: _Connection, place: _Place) -> PortableState:
        creds = await (await connection.execute(_CREDS, place.row, binary=True)).fetchone()
        if creds is None:
            raise AuthStateCorrupt(
                "The session was paired and its creds are missing; restore the database from a backup."
            )
        rows = await (await connection.execute(_KEYS, place.row, binary=True)).fetchall()

        def opened() -> dict[SignalKeyName, bytes]:
            return {
                (key_type, key_id): self._sealer.open(value, place.of(key_type, key_id))
                for key_type, key_id, value in rows
            }

        value, jid, lid = creds
        text = self._sealer.open(value, place.of("creds"))
        return PortableState(text, Account(jid, lid), await asyncio.to_thread(opened))


def _names(names: Iterable[SignalKeyName]) -> dict[str, list[str]]:
    listed = list(names)
    return {"types": [key_type for key_type, _ in listed], "ids": [key_id for _, key_id in listed]}
