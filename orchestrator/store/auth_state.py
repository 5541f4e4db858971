"""The auth states: durable, fenced and sealed. Contracts 4.1 to 4.3, 4.9 and 5 of the architecture live here.

The fence. Each statement that touches an auth state first selects the lease's row by owner *and* epoch. A write locks
that row FOR KEY SHARE until it commits. A take-over changes the epoch, which is a key column, so the two wait for each
other: a write that came first is committed before the new owner loads, and one that comes later finds no row and
writes nothing. A renewal changes no key column and disturbs no write.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from orchestrator.domain.auth_state import AuthStateWrite, Found, LoadOutcome, ProvenAbsent, SignalKeyName, StateAddress
from orchestrator.domain.errors import AuthStateCorrupt, LeaseLost
from orchestrator.store.database import Database
from orchestrator.store.sealing import Sealer, place_of

#: Bytes of signal keys that a load brings along at most.
PREFETCH_BYTES = 8 * 1024 * 1024

_LOAD_CREDS = """
    SELECT g.paired_at IS NOT NULL, c.value
    FROM leases l
    JOIN generations g
        ON g.session_ref = l.session_ref AND g.generation = %(generation)s AND g.set_aside_at IS NULL
    LEFT JOIN creds c ON c.session_ref = l.session_ref AND c.generation = g.generation
    WHERE l.session_ref = %(session_ref)s AND l.owner = %(owner)s AND l.epoch = %(epoch)s
"""

# Pre-keys stay out: there are hundreds, and each is read once at most.
_LOAD_KEYS = """
    SELECT key_type, key_id, value, total <= %(budget)s
    FROM (
        SELECT key_type, key_id, value,
               sum(octet_length(value)) OVER (ORDER BY written_at DESC, key_type, key_id) AS running,
               sum(octet_length(value)) OVER () AS total
        FROM signal_keys
        WHERE session_ref = %(session_ref)s AND generation = %(generation)s AND key_type <> 'pre-key'
    ) newest
    WHERE running <= %(budget)s
"""

_READ = """
    SELECT k.key_type, k.key_id, k.value
    FROM leases l
    LEFT JOIN unnest(%(types)s::text[], %(ids)s::text[]) AS wanted (key_type, key_id) ON true
    LEFT JOIN signal_keys k
        ON k.session_ref = l.session_ref AND k.generation = %(generation)s
        AND k.key_type = wanted.key_type AND k.key_id = wanted.key_id
    WHERE l.session_ref = %(session_ref)s AND l.owner = %(owner)s AND l.epoch = %(epoch)s
"""

_READ_SENT_MESSAGE = """
    SELECT m.message
    FROM leases l LEFT JOIN sent_messages m
        ON m.session_ref = l.session_ref AND m.generation = %(generation)s AND m.message_id = %(message_id)s
    WHERE l.session_ref = %(session_ref)s AND l.owner = %(owner)s AND l.epoch = %(epoch)s
"""

_WRITE = """
    WITH fence AS MATERIALIZED (
        SELECT session_ref FROM leases
        WHERE session_ref = %(session_ref)s AND owner = %(owner)s AND epoch = %(epoch)s
        FOR KEY SHARE
    ), put_keys AS (
        INSERT INTO signal_keys AS k (session_ref, generation, key_type, key_id, value)
        SELECT f.session_ref, %(generation)s, v.key_type, v.key_id, v.value
        FROM fence f, unnest(%(types)s::text[], %(ids)s::text[], %(values)b::bytea[]) AS v (key_type, key_id, value)
        ON CONFLICT (session_ref, generation, key_type, key_id) DO UPDATE SET value = excluded.value, written_at = now()
    ), drop_keys AS (
        DELETE FROM signal_keys k
        USING fence f, unnest(%(gone_types)s::text[], %(gone_ids)s::text[]) AS v (key_type, key_id)
        WHERE k.session_ref = f.session_ref AND k.generation = %(generation)s
          AND k.key_type = v.key_type AND k.key_id = v.key_id
    ), put_creds AS (
        INSERT INTO creds (session_ref, generation, value)
        SELECT f.session_ref, %(generation)s, %(creds)b FROM fence f WHERE %(creds)b::bytea IS NOT NULL
        ON CONFLICT (session_ref, generation) DO UPDATE SET value = excluded.value, written_at = now()
    ), put_account AS (
        UPDATE generations g
        SET paired_at = coalesce(g.paired_at, now()), account_jid = %(jid)s::text, account_lid = coalesce(%(lid)s::text, g.account_lid)
        FROM fence f
        WHERE g.session_ref = f.session_ref AND g.generation = %(generation)s AND %(jid)s::text IS NOT NULL
          AND (g.paired_at IS NULL OR g.account_jid IS DISTINCT FROM %(jid)s::text
               OR g.account_lid IS DISTINCT FROM coalesce(%(lid)s::text, g.account_lid))
    ), put_sent AS (
        INSERT INTO sent_messages (session_ref, generation, message_id, message)
        SELECT f.session_ref, %(generation)s, v.message_id, v.message
        FROM fence f, unnest(%(message_ids)s::text[], %(messages)b::bytea[]) AS v (message_id, message)
        ON CONFLICT (session_ref, message_id) DO UPDATE SET message = excluded.message, generation = excluded.generation
    )
    SELECT count(*) FROM fence
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
    """Loads, reads and writes auth states.

    Each method raises ``LeaseLost`` when the address is not the current lease's, ``DatabaseUnavailable`` when nothing
    is known, and ``AuthStateCorrupt`` when a stored value can't be opened.
    """

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def load(self, address: StateAddress) -> LoadOutcome:
        """Creds and prefetched keys, or the proof that this generation was never paired."""
        parameters = {**_fence(address), "budget": PREFETCH_BYTES}
        async with self._database.driver() as connection:
            row = await (await connection.execute(_LOAD_CREDS, parameters)).fetchone()
            if row is None:
                raise LeaseLost
            paired, value = row
            if value is None:
                if paired:
                    raise AuthStateCorrupt(
                        "The generation was paired and its creds are missing; restore the database from a backup."
                    )
                return ProvenAbsent()
            rows = await (await connection.execute(_LOAD_KEYS, parameters, binary=True)).fetchall()
        return Found(
            creds=self._open(address, "creds", "", value),
            keys={
                (key_type, key_id): self._open(address, key_type, key_id, sealed)
                for key_type, key_id, sealed, _ in rows
            },
            complete=all(complete for *_, complete in rows),
        )

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

    async def write(self, address: StateAddress, write: AuthStateWrite) -> None:
        """Make all of ``write`` durable in one transaction; when this returns, PostgreSQL has committed it."""
        names = sorted(write.set_keys)  # one order for all writers: no deadlock between two transactions
        gone = sorted(write.delete_keys)
        parameters = {
            **_fence(address),
            **_names(names),
            "values": [self._seal(address, *name, write.set_keys[name].encode()) for name in names],
            "gone_types": [key_type for key_type, _ in gone],
            "gone_ids": [key_id for _, key_id in gone],
            "creds": None if write.creds is None else self._seal(address, "creds", "", write.creds.encode()),
            "jid": write.account.jid if write.account else None,
            "lid": write.account.lid if write.account else None,
            "message_ids": list(write.sent_messages),
            "messages": [self._seal(address, "sent-message", key, value) for key, value in write.sent_messages.items()],
        }
        async with self._database.driver() as connection:
            row = await (await connection.execute(_WRITE, parameters)).fetchone()
        if row is None or row[0] == 0:
            raise LeaseLost

    async def differing(
        self, address: StateAddress, creds_digest: str, digests: Mapping[SignalKeyName, str | None]
    ) -> tuple[bool, list[SignalKeyName]]:
        """Compare SHA-256 digests (hex; None says absent) with what is stored: do the creds differ, and which keys do."""
        async with self._database.driver() as connection:
            row = await (await connection.execute(_LOAD_CREDS, _fence(address))).fetchone()
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

    def _seal(self, address: StateAddress, kind: str, name: str, value: bytes) -> bytes:
        return self._sealer.seal(value, _place(address, kind, name))

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
