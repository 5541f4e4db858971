"""The tables of other stores for Baileys, made and filled as their packages do (see orchestrator/transfer/peers.py)."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from orchestrator.domain.auth_state import SignalKeyName
from tests.support.portable_states import BaileysState


def fill_postgres_baileys(url: str, session: str, state: BaileysState) -> None:
    """usePostgreSQLAuthState: a Buffer becomes an array of numbers, a Uint8Array an object of them."""
    with psycopg.connect(url) as connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS auth_data (session_key VARCHAR(255) PRIMARY KEY, data TEXT NOT NULL)"
        )
        for name, text in _named(state, "auth_creds").items():
            as_arrays = json.dumps(_numbers(json.loads(text), as_object=name.startswith("identity-key")))
            connection.execute("INSERT INTO auth_data VALUES (%s, %s)", (f"{session}:{name}", as_arrays))


def fill_keyv(url: str, session: str, state: BaileysState, *, namespace: str = "keyv") -> None:
    """makeKeyvAuthState over @keyv/postgres: JSON text inside Keyv's envelope; creds expire in two years."""
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS public.keyv (key VARCHAR(255) PRIMARY KEY, value TEXT)")
        for name, text in _named(state, "creds").items():
            envelope: dict[str, Any] = {"value": text.decode()}
            if name == "creds":
                envelope["expires"] = 1_900_000_000_000
            connection.execute(
                "INSERT INTO keyv VALUES (%s, %s)", (f"{namespace}:{session}:{name}", json.dumps(envelope))
            )


def fill_waha(url: str, session: str, state: BaileysState) -> None:
    """usePostgresAuthState of WAHA: jsonb, in its early form with arrays of numbers."""
    with psycopg.connect(url) as connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS waha_auth (session_id TEXT, key TEXT, value JSONB, PRIMARY KEY (session_id, key))"
        )
        for name, text in _named(state, "creds").items():
            value = Jsonb(_numbers(json.loads(text), as_object=False))
            connection.execute("INSERT INTO waha_auth VALUES (%s, %s, %s)", (session, name, value))


def fill_evolution(url: str, instance: str, instance_id: str, creds: bytes) -> None:
    """useMultiFileAuthStatePrisma: the creds alone, as JSON in a JSON string."""
    with psycopg.connect(url) as connection:
        connection.execute('CREATE TABLE IF NOT EXISTS "Instance" (id TEXT PRIMARY KEY, name VARCHAR(255) NOT NULL)')
        connection.execute(
            'CREATE TABLE IF NOT EXISTS "Session" (id TEXT PRIMARY KEY, "sessionId" TEXT NOT NULL, creds TEXT)'
        )
        connection.execute('INSERT INTO "Instance" VALUES (%s, %s)', (instance_id, instance))
        row = (f"row-{instance_id}", instance_id, json.dumps(creds.decode()))
        connection.execute('INSERT INTO "Session" VALUES (%s, %s, %s)', row)


def redis_hash(keys: Mapping[SignalKeyName, bytes]) -> bytes:
    """What `redis-cli --json HGETALL` prints of the hash in which Evolution keeps the signal keys."""
    return json.dumps({"-".join(name): text.decode() for name, text in keys.items()}).encode()


def _named(state: BaileysState, creds: str) -> dict[str, bytes]:
    return {creds: state.creds, **{"-".join(name): text for name, text in state.keys.items()}}


def _numbers(value: Any, *, as_object: bool) -> Any:
    """The value with its bytes as numbers."""
    if isinstance(value, list):
        return [_numbers(item, as_object=as_object) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("type") == "Buffer":
        numbers = list(base64.b64decode(value["data"]))
        if as_object:
            return {str(position): number for position, number in enumerate(numbers)}
        return {"type": "Buffer", "data": numbers}
    return {key: _numbers(item, as_object=as_object) for key, item in value.items()}
