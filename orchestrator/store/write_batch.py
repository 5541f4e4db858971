"""One statement for the writes of many sessions: merged, fenced and sealed.

The fence. The statement first selects the lease's row of each address by owner *and* epoch, and locks it FOR KEY SHARE
until it commits. A take-over changes the epoch, which is a key column, so the two wait for each other: a write that came
first is committed before the new owner loads, and one that comes later finds no row and writes nothing. A renewal changes
no key column and disturbs no write. Everything else in the statement goes through the rows that the fence found, so a
stale write among good ones writes nothing and harms nobody.
"""

import functools
from collections.abc import Iterable, Sequence

from orchestrator.domain.auth_state import Account, AuthStateWrite, SignalKeyName, StateAddress
from orchestrator.store.array_parameters import bigint, bigint_array, bigints, bytea_array, text_array
from orchestrator.store.sealing import Sealer, place_of
from orchestrator.store.statement_connection import Row

#: An address and what is to be written there.
AddressedWrite = tuple[StateAddress, AuthStateWrite]

#: The numbers of the incoming messages that a write brought and that were not there before, by message key.
NewMessages = dict[str, int]

# The parts of the merged statement; {0}, {1} ... are the columns of each. Leases are locked in one order by all writers.
_FENCE = """
    fence AS MATERIALIZED (
        SELECT v.number, l.session_ref, v.generation::integer AS generation
        FROM unnest({0}::bigint[], {1}::bigint[], {2}::bigint[], {3}::text[]) WITH ORDINALITY
            AS v (session_ref, generation, epoch, owner, number)
        JOIN leases l ON l.session_ref = v.session_ref AND l.epoch = v.epoch AND l.owner = v.owner
        ORDER BY v.session_ref
        FOR KEY SHARE OF l
    )
"""

_PUT_KEYS = """
    put_keys AS (
        INSERT INTO signal_keys (session_ref, generation, key_type, key_id, value)
        SELECT f.session_ref, f.generation, v.key_type, v.key_id, v.value
        FROM fence f
        JOIN unnest({0}::bigint[], {1}::text[], {2}::text[], {3}::bytea[]) AS v (number, key_type, key_id, value)
            USING (number)
        ON CONFLICT (session_ref, generation, key_type, key_id) DO UPDATE SET value = excluded.value, written_at = now()
    )
"""

# The names first, in a part of their own: together, the planner would rather read all keys of a session than look each up.
_DROP_KEYS = """
    gone AS MATERIALIZED (
        SELECT f.session_ref, f.generation, v.key_type, v.key_id
        FROM fence f JOIN unnest({0}::bigint[], {1}::text[], {2}::text[]) AS v (number, key_type, key_id) USING (number)
    ), drop_keys AS (
        DELETE FROM signal_keys k USING gone
        WHERE k.session_ref = gone.session_ref AND k.generation = gone.generation
          AND k.key_type = gone.key_type AND k.key_id = gone.key_id
    )
"""

_PUT_CREDS = """
    put_creds AS (
        INSERT INTO creds (session_ref, generation, value)
        SELECT f.session_ref, f.generation, v.value
        FROM fence f JOIN unnest({0}::bigint[], {1}::bytea[]) AS v (number, value) USING (number)
        ON CONFLICT (session_ref, generation) DO UPDATE SET value = excluded.value, written_at = now()
    ), put_accounts AS (
        UPDATE generations g
        SET paired_at = coalesce(g.paired_at, now()), account_jid = v.jid, account_lid = coalesce(v.lid, g.account_lid)
        FROM fence f JOIN unnest({0}::bigint[], {2}::text[], {3}::text[]) AS v (number, jid, lid) USING (number)
        WHERE g.session_ref = f.session_ref AND g.generation = f.generation
          AND (g.paired_at IS NULL OR g.account_jid IS DISTINCT FROM v.jid
               OR g.account_lid IS DISTINCT FROM coalesce(v.lid, g.account_lid))
    )
"""

_PUT_SENT = """
    put_sent AS (
        INSERT INTO sent_messages (session_ref, generation, message_id, message)
        SELECT f.session_ref, f.generation, v.message_id, v.message
        FROM fence f
        JOIN unnest({0}::bigint[], {1}::text[], {2}::bytea[]) AS v (number, message_id, message) USING (number)
        ON CONFLICT (session_ref, message_id) DO UPDATE SET message = excluded.message, generation = excluded.generation
    )
"""

# ORDER BY: the sequence numbers them as they came.
_PUT_INCOMING = """
    put_incoming AS (
        INSERT INTO incoming_messages (session_ref, generation, message_key, event)
        SELECT f.session_ref, f.generation, v.message_key, v.event
        FROM fence f
        JOIN unnest({0}::bigint[], {1}::text[], {2}::bytea[]) WITH ORDINALITY
            AS v (number, message_key, event, position) USING (number)
        ORDER BY v.position
        ON CONFLICT (session_ref, message_key) DO NOTHING
        RETURNING session_ref, message_key, number
    )
"""

# One row tells the numbers of all held addresses, each other one of a new message by its session.
_HELD = "SELECT array_agg(number), NULL::bigint, NULL::text, NULL::bigint FROM fence"

_NEW_MESSAGES = """
    UNION ALL
    SELECT NULL::bigint[], session_ref, message_key, number FROM put_incoming
"""

# Most writes at light load are one key of one session. This form of the same statement costs the server half as much.
_ONE_KEY = """
    WITH fence AS MATERIALIZED (
        SELECT session_ref FROM leases WHERE session_ref = $1::bigint AND owner = $2::text AND epoch = $3::bigint FOR KEY SHARE
    )
    INSERT INTO signal_keys (session_ref, generation, key_type, key_id, value)
    SELECT session_ref, $4::bigint::integer, $5::text, $6::text, $7::bytea FROM fence
    ON CONFLICT (session_ref, generation, key_type, key_id) DO UPDATE SET value = excluded.value, written_at = now()
    RETURNING ARRAY[1::bigint], NULL::bigint, NULL::text, NULL::bigint
"""


class WriteBatch:
    """What one transaction writes. Of several values for a key the last one counts, and so it is with a deletion.

    ``statement`` and ``parameters`` are for one execution; its rows are for ``outcomes``. Two batches never write the same
    rows at a time, because a session's writes all go through one lane of its owner: they can't block each other.
    """

    def __init__(self, writes: Sequence[AddressedWrite], sealer: Sealer) -> None:
        self._writes = writes
        self._sealer = sealer
        self._numbers: dict[tuple[int, int, int], int] = {}
        self._addresses: list[StateAddress] = []
        self.statement, self.parameters = self._one_key() if _is_one_key(writes) else self._merged()

    def outcomes(self, rows: Iterable[Row]) -> list[NewMessages | None]:
        """What became of each write: its new incoming messages, or None if the fence refused it."""
        held: set[int] = set()
        new: dict[tuple[int, str], int] = {}
        for numbers, session_ref, message_key, number in rows:
            if message_key is not None:
                new[int.from_bytes(session_ref), message_key.decode()] = int.from_bytes(number)
            elif numbers is not None:
                held.update(bigints(numbers))
        return [
            self._new_messages(address, write, new) if self._numbers[_key(address)] in held else None
            for address, write in self._writes
        ]

    @staticmethod
    def _new_messages(address: StateAddress, write: AuthStateWrite, new: dict[tuple[int, str], int]) -> NewMessages:
        """Taken out of ``new``: a message that two of the writes brought is new in the first."""
        if not write.incoming_messages:
            return {}
        places = ((key, (address.session_ref, key)) for key in write.incoming_messages)
        return {key: new.pop(place) for key, place in places if place in new}

    def _one_key(self) -> tuple[str, list[bytes]]:
        ((address, write),) = self._writes
        ((name, value),) = write.set_keys.items()
        self._number_of(address)
        parameters = [
            bigint(address.session_ref),
            address.owner.encode(),
            bigint(address.epoch),
            bigint(address.generation),
            *(part.encode() for part in name),
            self._seal(address, *name, value),
        ]
        return _ONE_KEY, parameters

    def _merged(self) -> tuple[str, list[bytes]]:
        keys: dict[tuple[int, SignalKeyName], bytes | None] = {}
        creds: dict[int, tuple[bytes, Account]] = {}
        sent: dict[tuple[int, str], bytes] = {}
        incoming: dict[tuple[int, str], bytes] = {}
        for address, write in self._writes:
            number = self._number_of(address)
            for name, value in write.set_keys.items():
                keys[number, name] = value
            for name in write.delete_keys:
                keys[number, name] = None
            if write.creds is not None and write.account is not None:
                lid = write.account.lid or (creds[number][1].lid if number in creds else None)
                creds[number] = write.creds, Account(write.account.jid, lid)
            for message_id, message in write.sent_messages.items():
                sent[number, message_id] = message
            for message_key, event in write.incoming_messages.items():
                incoming.setdefault((number, message_key), event)
        parameters = self._fence_columns()
        put = [(number, name, value) for (number, name), value in keys.items() if value is not None]
        gone = [(number, name) for (number, name), value in keys.items() if value is None]
        if put:
            parameters += self._put_columns(put)
        if gone:
            parameters += _name_columns(gone)
        if creds:
            parameters += self._creds_columns(creds)
        for kind, messages in (("sent-message", sent), ("incoming-message", incoming)):
            if messages:
                parameters += self._message_columns(kind, messages)
        return _merged_statement(bool(put), bool(gone), bool(creds), bool(sent), bool(incoming)), parameters

    def _number_of(self, address: StateAddress) -> int:
        """An address's place in the fence, from 1."""
        number = self._numbers.setdefault(_key(address), len(self._numbers) + 1)
        if number > len(self._addresses):
            self._addresses.append(address)
        return number

    def _fence_columns(self) -> list[bytes]:
        return [
            bigint_array([address.session_ref for address in self._addresses]),
            bigint_array([address.generation for address in self._addresses]),
            bigint_array([address.epoch for address in self._addresses]),
            text_array([address.owner for address in self._addresses]),
        ]

    def _put_columns(self, put: Sequence[tuple[int, SignalKeyName, bytes]]) -> list[bytes]:
        sealed = [self._seal(self._addresses[number - 1], *name, value) for number, name, value in put]
        return [*_name_columns([(number, name) for number, name, _ in put]), bytea_array(sealed)]

    def _creds_columns(self, creds: dict[int, tuple[bytes, Account]]) -> list[bytes]:
        sealed = [self._seal(self._addresses[number - 1], "creds", "", value) for number, (value, _) in creds.items()]
        return [
            bigint_array(list(creds)),
            bytea_array(sealed),
            text_array([account.jid for _, account in creds.values()]),
            text_array([account.lid for _, account in creds.values()]),
        ]

    def _message_columns(self, kind: str, messages: dict[tuple[int, str], bytes]) -> list[bytes]:
        sealed = [
            self._seal(self._addresses[number - 1], kind, name, value) for (number, name), value in messages.items()
        ]
        numbers, names = [number for number, _ in messages], [name for _, name in messages]
        return [bigint_array(numbers), text_array(names), bytea_array(sealed)]

    def _seal(self, address: StateAddress, kind: str, name: str, value: bytes) -> bytes:
        place = place_of(address.tenant_id, address.session_ref, address.generation, kind, name)
        return self._sealer.seal(value, place)


def _key(address: StateAddress) -> tuple[int, int, int]:
    """What tells addresses of one owner apart, hashed faster than the whole."""
    return address.session_ref, address.generation, address.epoch


def _is_one_key(writes: Sequence[AddressedWrite]) -> bool:
    if len(writes) != 1:
        return False
    write = writes[0][1]
    others = write.delete_keys or write.sent_messages or write.incoming_messages
    return len(write.set_keys) == 1 and write.creds is None and not others


def _name_columns(names: Sequence[tuple[int, SignalKeyName]]) -> list[bytes]:
    return [
        bigint_array([number for number, _ in names]),
        text_array([key_type for _, (key_type, _) in names]),
        text_array([key_id for _, (_, key_id) in names]),
    ]


@functools.cache
def _merged_statement(put: bool, gone: bool, creds: bool, sent: bool, incoming: bool) -> str:
    """Only the parts that are needed: each one that touches a partitioned table costs locks on all of its partitions.

    The parameters come in the order of the parts, as ``WriteBatch`` lines them up.
    """
    optional = (
        (put, _PUT_KEYS, 4),
        (gone, _DROP_KEYS, 3),
        (creds, _PUT_CREDS, 4),
        (sent, _PUT_SENT, 3),
        (incoming, _PUT_INCOMING, 3),
    )
    parts, first = [], 1
    for part, columns in [(_FENCE, 4)] + [(part, columns) for wanted, part, columns in optional if wanted]:
        parts.append(part.format(*(f"${number}" for number in range(first, first + columns))))
        first += columns
    return f"WITH {', '.join(parts)} {_HELD}{_NEW_MESSAGES if incoming else ''}"
