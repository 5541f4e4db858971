"""The auth states, read: fenced and opened. They are written by store/auth_state_writer.py.

Each statement selects the lease's row by owner *and* epoch (store/write_batch.py tells why that is enough), so that
nobody reads a state that another owner may be changing.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from orchestrator.domain.auth_state import (
    Account,
    Found,
    LoadOutcome,
    Prefetched,
    ProvenAbsent,
    SignalKeyName,
    StateAddress,
)
from orchestrator.domain.errors import AuthStateCorrupt, LeaseLost
from orchestrator.store.database import Database
from orchestrator.store.sealing import Sealer, place_of

#: Bytes of signal keys that a prefetch brings at most.
PREFETCH_BYTES = 8 * 1024 * 1024

_LOAD_CREDS = """
    SELECT v.position, g.paired_at IS NOT NULL, c.value, g.account_jid, g.account_lid
    FROM unnest(%(refs)s::bigint[], %(generations)s::bigint[], %(owners)s::text[], %(epochs)s::bigint[]) WITH ORDINALITY
        AS v (session_ref, generation, owner, epoch, position)
    JOIN leases l ON l.session_ref = v.session_ref AND l.owner = v.owner AND l.epoch = v.epoch
    JOIN generations g
        ON g.session_ref = v.session_ref AND g.generation = v.generation AND g.set_aside_at IS NULL
    LEFT JOIN creds c ON c.session_ref = g.session_ref AND c.generation = g.generation
"""

# Pre-keys stay out: there are hundreds, and each is read once at most.
_PREFETCH = """
    SELECT k.key_type, k.key_id, k.value, k.number
    FROM leases l
    LEFT JOIN (
        SELECT key_type, key_id, value, count(*) OVER () AS number,
               sum(octet_length(value)) OVER (ORDER BY written_at DESC, key_type, key_id) AS running
        FROM signal_keys
        WHERE session_ref = %(session_ref)s AND generation = %(generation)s AND key_type <> 'pre-key'
    ) k ON k.running - octet_length(k.value) < %(budget)s
    WHERE l.session_ref = %(session_ref)s AND l.owner = %(owner)s AND l.epoch = %(epoch)s
    ORDER BY k.running
"""

# LIMIT 1: each key is looked up, where the planner might otherwise read all keys of the session.
_READ = """
    SELECT k.key_type, k.key_id, k.value
    FROM leases l
    LEFT JOIN unnest(%(types)s::text[], %(ids)s::text[]) AS wanted (key_type, key_id) ON true
    LEFT JOIN LATERAL (
        SELECT key_type, key_id, value FROM signal_keys
        WHERE session_ref = %(session_ref)s AND generation = %(generation)s
          AND key_type = wanted.key_type AND key_id = wanted.key_id
        LIMIT 1
    ) k ON true
    WHERE l.session_ref = %(session_ref)s AND l.owner = %(owner)s AND l.epoch = %(epoch)s
"""

_READ_SENT_MESSAGE = """
    SELECT m.message
    FROM leases l LEFT JOIN sent_messages m
        ON m.session_ref = l.session_ref AND m.generation = %(generation)s AND m.message_id = %(message_id)s
    WHERE l.session_ref = %(session_ref)s AND l.owner = %(owner)s AND l.epoch = %(epoch)s
"""

_FORGET_OLD_MESSAGES = "DELETE FROM sent_messages WHERE sent_at < now() - make_interval(days => %(days)s)"

# Only the sessions that have too many are ranked.
_FORGET_MANY_MESSAGES = """
    DELETE FROM sent_messages m
    USING (
        SELECT session_ref, message_id, row_number() OVER (PARTITION BY session_ref ORDER BY sent_at DESC) AS age
        FROM sent_messages
        WHERE session_ref IN (SELECT session_ref FROM sent_messages GROUP BY session_ref HAVING count(*) > %(most)s)
    ) ranked
    WHERE m.session_ref = ranked.session_ref AND m.message_id = ranked.message_id AND ranked.age > %(most)s
"""


class AuthStateStore:
    """Loads and reads auth states.

    Each method raises ``LeaseLost`` when the address is not the current lease's, ``DatabaseUnavailable`` when nothing
    is known, and ``AuthStateCorrupt`` when a stored value can't be opened.
    """

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def load(self, addresses: Sequence[StateAddress]) -> list[LoadOutcome | LeaseLost | AuthStateCorrupt]:
        """For each address its creds, or the proof that its generation was never paired, or what is wrong with it alone."""
        outcomes: list[LoadOutcome | LeaseLost | AuthStateCorrupt] = []
        for address, row in zip(addresses, await self._creds(addresses), strict=True):
            try:
                outcomes.append(LeaseLost() if row is None else self._loaded(address, *row))
            except AuthStateCorrupt as error:
                outcomes.append(error)
        return outcomes

    async def _creds(self, addresses: Sequence[StateAddress]) -> list[tuple[Any, ...] | None]:
        """Of each address: paired or not, sealed creds or None, jid and lid; None where the fence found no lease."""
        parameters = {
            "refs": [address.session_ref for address in addresses],
            "generations": [address.generation for address in addresses],
            "owners": [address.owner for address in addresses],
            "epochs": [address.epoch for address in addresses],
        }
        async with self._database.driver() as connection:
            rows = await (await connection.execute(_LOAD_CREDS, parameters, binary=True)).fetchall()
        found = {position: tuple(row) for position, *row in rows}
        return [found.get(position) for position in range(1, len(addresses) + 1)]

    def _loaded(
        self, address: StateAddress, paired: bool, value: bytes | None, jid: str, lid: str | None
    ) -> LoadOutcome:
        if value is not None:
            return Found(self._open(address, "creds", "", value), Account(jid, lid))
        if paired:
            raise AuthStateCorrupt(
                "The generation was paired and its creds are missing; restore the database from a backup."
            )
        return ProvenAbsent()

    async def prefetch(self, address: StateAddress) -> Prefetched:
        """Everything but pre-keys, the newest first, up to ``PREFETCH_BYTES``."""
        parameters = {**_fence(address), "budget": PREFETCH_BYTES}
        async with self._database.driver() as connection:
            rows = await (await connection.execute(_PREFETCH, parameters, binary=True)).fetchall()
        if not rows:
            raise LeaseLost
        keys: dict[SignalKeyName, str] = {}
        stored, left = 0, PREFETCH_BYTES
        for key_type, key_id, sealed, number in rows:
            if key_type is None:
                break  # the lease alone: there are no keys
            stored = number
            value = self._open(address, key_type, key_id, sealed)
            left -= len(value)
            if left < 0:
                break
            keys[key_type, key_id] = value
        return Prefetched(keys, complete=len(keys) == stored)

    async def read(self, address: StateAddress, names: Iterable[SignalKeyName]) -> dict[SignalKeyName, str]:
        """The values of these signal keys; one that is missing from the answer is proven absent."""
        wanted = list(names)
        parameters = {**_fence(address), **_names(wanted)}
        async with self._database.driver() as connection:
            rows = await (await connection.execute(_READ, parameters, binary=True)).fetchall()
        if not rows:
            raise LeaseLost
        return {
            (key_type, key_id): self._open(address, key_type, key_id, value)
            for key_type, key_id, value in rows
            if key_id is not None
        }

    async def differing(
        self, address: StateAddress, creds_digest: str, digests: Mapping[SignalKeyName, str | None]
    ) -> tuple[bool, list[SignalKeyName]]:
        """Compare SHA-256 digests (hex; None says absent) with what is stored: do the creds differ, and which keys do."""
        (row,) = await self._creds([address])
        if row is None:
            raise LeaseLost
        stored_creds = None if row[1] is None else self._open(address, "creds", "", row[1])
        stored = await self.read(address, digests) if digests else {}
        different = [name for name, digest in digests.items() if _digest(stored.get(name)) != digest]
        return _digest(stored_creds) != creds_digest, different

    async def read_sent_message(self, address: StateAddress, message_id: str) -> bytes | None:
        """The protobuf of a message that we sent, or None if it was never kept or is pruned."""
        async with self._database.driver() as connection:
            row = await (
                await connection.execute(_READ_SENT_MESSAGE, {**_fence(address), "message_id": message_id})
            ).fetchone()
        if row is None:
            raise LeaseLost
        return None if row[0] is None else self._sealer.open(bytes(row[0]), _place(address, "sent-message", message_id))

    async def prune_sent_messages(self, *, days: int, most: int) -> int:
        """Forget sent messages older than ``days`` and beyond the newest ``most`` of a session; the number forgotten."""
        async with self._database.driver() as connection:
            old = await connection.execute(_FORGET_OLD_MESSAGES, {"days": days})
            many = await connection.execute(_FORGET_MANY_MESSAGES, {"most": most})
            return old.rowcount + many.rowcount

    def _open(self, address: StateAddress, kind: str, name: str, sealed: bytes) -> str:
        try:
            return self._sealer.open(bytes(sealed), _place(address, kind, name)).decode()
        except UnicodeDecodeError as error:
            raise AuthStateCorrupt from error


def _place(address: StateAddress, kind: str, name: str) -> bytes:
    return place_of(address.tenant_id, address.session_ref, address.generation, kind, name)


def _fence(address: StateAddress) -> dict[str, object]:
    return {
        "session_ref": address.session_ref,
        "generation": address.generation,
        "owner": address.owner,
        "epoch": address.epoch,
    }


def _names(names: Sequence[SignalKeyName]) -> dict[str, list[str]]:
    return {"types": [key_type for key_type, _ in names], "ids": [key_id for _, key_id in names]}


def _digest(value: str | None) -> str | None:
    return None if value is None else hashlib.sha256(value.encode()).hexdigest()
