"""Each store's tables are made as its package makes them; what Baileys had in it comes out again."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from orchestrator.domain.errors import AuthStateRefused
from orchestrator.domain.portable_state import PortableState
from orchestrator.transfer import peers
from orchestrator.transfer.peers import DATABASES, Source
from tests.support import peer_tables
from tests.support.portable_states import BaileysState

FILL = {
    "postgres-baileys": peer_tables.fill_postgres_baileys,
    "keyv": peer_tables.fill_keyv,
    "waha": peer_tables.fill_waha,
}
EVERY_STORE = pytest.mark.parametrize("store", list(FILL))


def values(state: PortableState | BaileysState) -> tuple[object, dict[object, object]]:
    return json.loads(state.creds), {name: json.loads(text) for name, text in state.keys.items()}


@EVERY_STORE
def test_what_another_store_kept_is_read_as_baileys_wrote_it(
    store: str, database_url: str, paired: tuple[Path, BaileysState]
) -> None:
    FILL[store](database_url, "loja", paired[1])
    FILL[store](database_url, "loja%", BaileysState(b"{}", {("session", "1.0"): b"{}"}))
    state = DATABASES[store](Source(database_url, "loja"))
    assert values(state) == values(paired[1])
    assert state.account.jid == "5511999990000:7@s.whatsapp.net"


@EVERY_STORE
def test_a_session_that_is_not_there_is_refused(
    store: str, database_url: str, paired: tuple[Path, BaileysState]
) -> None:
    FILL[store](database_url, "loja", paired[1])
    with pytest.raises(AuthStateRefused, match="no creds of this session"):
        DATABASES[store](Source(database_url, "loj"))
    with pytest.raises(AuthStateRefused, match="no such table"):
        DATABASES[store](Source(database_url, "loja", table="public.other"))


@EVERY_STORE
def test_a_table_of_another_layout_is_refused(store: str, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE other (a text)")
    with pytest.raises(AuthStateRefused, match="another layout"):
        DATABASES[store](Source(database_url, "loja", table="other"))


@EVERY_STORE
def test_a_source_out_of_reach_is_refused_without_its_password(store: str) -> None:
    with pytest.raises(AuthStateRefused) as refused:
        DATABASES[store](Source("postgresql://someone:SECRET@127.0.0.1:1/x", "loja"))
    assert "SECRET" not in refused.value.message


@pytest.mark.parametrize(
    ("table", "damage"),
    [
        ("auth_data", "UPDATE auth_data SET data = left(data, 20) WHERE session_key = 'loja:session-5511988887777.0'"),
        ("keyv", "UPDATE keyv SET value = left(value, 20) WHERE key = 'keyv:loja:session-5511988887777.0'"),
        ("keyv", "UPDATE keyv SET value = '{}' WHERE key = 'keyv:loja:creds'"),
        ("waha_auth", "UPDATE waha_auth SET value = '{}' WHERE key = 'creds'"),
        ("waha_auth", "UPDATE waha_auth SET key = 'of-no-type' WHERE key = 'pre-key-1'"),
        ("waha_auth", "DELETE FROM waha_auth WHERE key <> 'creds'"),
    ],
)
def test_a_damaged_row_refuses_the_whole_session(
    table: str, damage: str, database_url: str, paired: tuple[Path, BaileysState]
) -> None:
    store = {"auth_data": "postgres-baileys", "keyv": "keyv", "waha_auth": "waha"}[table]
    FILL[store](database_url, "loja", paired[1])
    with psycopg.connect(database_url) as connection:
        assert connection.execute(damage.encode()).rowcount > 0
    with pytest.raises(AuthStateRefused):
        DATABASES[store](Source(database_url, "loja"))


@pytest.mark.parametrize("namespace", ["", "mine"])
def test_keyv_is_read_in_any_namespace(namespace: str, database_url: str, paired: tuple[Path, BaileysState]) -> None:
    peer_tables.fill_keyv(database_url, "loja", paired[1], namespace=namespace or "loja")
    session = "loja" if namespace else "loja:loja"
    state = peers.keyv(Source(database_url, session, namespace=namespace))
    assert values(state) == values(paired[1])


def from_folder(folder: Path, made: BaileysState, target: Path) -> Path:
    """Evolution's own folder has the keys and, at most, creds of an earlier life."""
    shutil.copytree(folder, target)
    (target / "creds.json").write_bytes(b'{"old": true}')
    return target


def from_redis(folder: Path, made: BaileysState, target: Path) -> Path:
    target.write_bytes(peer_tables.redis_hash(made.keys))
    return target


@pytest.mark.parametrize("keys_from", [from_folder, from_redis], ids=["folder", "redis"])
@pytest.mark.parametrize("session", ["minha-loja", "id-1"], ids=["by name", "by id"])
def test_evolution_keeps_creds_in_its_database_and_keys_elsewhere(
    keys_from: Callable[[Path, BaileysState, Path], Path],
    session: str,
    database_url: str,
    paired: tuple[Path, BaileysState],
    tmp_path: Path,
) -> None:
    peer_tables.fill_evolution(database_url, "minha-loja", "id-1", paired[1].creds)
    keys = keys_from(*paired, tmp_path / "keys")
    assert values(peers.evolution(keys, Source(database_url, session))) == values(paired[1])
    with pytest.raises(AuthStateRefused, match="no creds of an instance"):
        peers.evolution(keys, Source(database_url, "other"))


def test_evolution_without_its_keys_is_refused(
    database_url: str, paired: tuple[Path, BaileysState], tmp_path: Path
) -> None:
    peer_tables.fill_evolution(database_url, "minha-loja", "id-1", paired[1].creds)
    with pytest.raises(AuthStateRefused, match="not one signal key"):
        peers.evolution(tmp_path, Source(database_url, "id-1"))
    with pytest.raises(AuthStateRefused, match="can't be read"):
        peers.evolution(tmp_path / "missing", Source(database_url, "id-1"))
    (tmp_path / "text").write_text("not JSON")
    with pytest.raises(AuthStateRefused, match="redis-cli"):
        peers.evolution(tmp_path / "text", Source(database_url, "id-1"))


def test_evolution_may_keep_everything_in_redis(paired: tuple[Path, BaileysState], tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    hashed = json.loads(peer_tables.redis_hash(paired[1].keys))
    file.write_text(json.dumps({**hashed, "creds": paired[1].creds.decode()}))
    assert values(peers.evolution(file, None)) == values(paired[1])
    file.write_text(json.dumps(hashed))
    with pytest.raises(AuthStateRefused, match="creds in PostgreSQL"):
        peers.evolution(file, None)
