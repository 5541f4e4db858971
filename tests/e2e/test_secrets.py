"""Private keys are in no table, when a key is set, and in no log line, ever; and nobody else reaches the processes that hold them."""

import base64
import binascii
import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from orchestrator.store.sealing import Sealer, place_of
from tests.support.fake_whatsapp import FakeWhatsApp
from tests.support.processes import as_root, descendants
from tests.support.tree import tree

PHONE = "5511999990001"

#: In /proc/net/tcp: a socket that listens; 127.0.0.1 and ::1.
_LISTENS, _OWN_ADDRESSES = "0A", ("0100007F", "00000000000000000000000001000000")


def private_keys(value: Any, name: str = "") -> Iterator[bytes]:
    """Every private key, shared secret and chain key in a document of Baileys'."""
    if isinstance(value, dict):
        if value.get("type") == "Buffer" and re.search("priv|secret|chain|root|key", name, re.IGNORECASE):
            data = value["data"]
            yield base64.b64decode(data) if isinstance(data, str) else bytes(data)
        for key, child in value.items():
            yield from private_keys(child, name if key in ("type", "data") else key)
    elif isinstance(value, list):
        for child in value:
            yield from private_keys(child, name)
    elif isinstance(value, str) and re.search("^(privKey|rootKey|key|advSecretKey)$", name):
        yield base64.b64decode(value)


@as_root
async def test_no_private_key_is_in_a_table_or_in_the_log(
    short_path: Path, database_url: str, whatsapp: FakeWhatsApp
) -> None:
    key = os.urandom(32)
    environ = {
        **whatsapp.environ,
        "DATABASE_URL": database_url,
        "SESSION_ENCRYPTION_KEYS": key.hex(),
        "LOG_LEVEL": "debug",
    }
    async with tree(short_path / "data", short_path / "log", environ) as product:
        await product.ready()
        await product.pair("loja-1", PHONE, whatsapp)
        contact = await whatsapp.contact()
        for number in range(3):  # a restart makes libsignal close sessions, and print them
            assert (await product.send("loja-1", contact, f"out {number}")).status == 201
            await whatsapp.send(contact, PHONE, f"in {number}")
            assert (await whatsapp.idle(10))["idle"]
            opened = (await product.session("loja-1"))["last_open_at"]
            await product.kill("baileys")
            await product.open("loja-1", after=opened)
        with psycopg.connect(database_url) as connection:
            secrets = set(stored_secrets(connection, Sealer([key])))
            tables = dump(connection)
        log = product.child.output
        assert product.token not in log
        assert ports_open_to_others(product.child.pid) == {product.port}
    assert key.hex() not in log
    assert len(secrets) > 800  # the identity, 800 pre-keys, the ratchets
    for secret in secrets:
        for written in (base64.b64encode(secret).decode().rstrip("="), binascii.hexlify(secret).decode()):
            assert written not in tables
            assert written not in log


def ports_open_to_others(root: int) -> set[int]:
    """TCP ports on which a process of the tree listens at another address than this machine's own."""
    inodes = set()
    for pid in [root, *descendants(root)]:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                inodes.add(str(link.readlink()))
    ports = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{root}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            address, _, port = fields[1].partition(":")
            if fields[3] == _LISTENS and f"socket:[{fields[9]}]" in inodes and address not in _OWN_ADDRESSES:
                ports.add(int(port, 16))
    return ports


def stored_secrets(connection: psycopg.Connection[Any], sealer: Sealer) -> Iterator[bytes]:
    rows = connection.execute(
        "SELECT session_ref, generation, 'creds', '', value FROM creds"
        " UNION ALL SELECT session_ref, generation, key_type, key_id, value FROM signal_keys"
    ).fetchall()
    for session_ref, generation, kind, name, value in rows:
        text = sealer.open(value, place_of("operator", session_ref, generation, kind, name))
        for secret in private_keys(json.loads(text)):
            if len(secret) >= 32:
                yield secret


def dump(connection: psycopg.Connection[Any]) -> str:
    """Every row of every table, as psql prints it, and what its bytes read as text."""
    names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    texts = []
    for (name,) in names:
        rows = connection.execute(f'SELECT t::text FROM "{name}" t').fetchall()
        texts += [row[0] for row in rows]
        texts += [bytes.fromhex(run).decode("latin-1") for row in rows for run in re.findall(r"\\x([0-9a-f]+)", row[0])]
    return "\n".join(texts)
