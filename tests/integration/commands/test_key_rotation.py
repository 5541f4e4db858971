"""``keys rotate``, as a person runs it."""

import os
import signal
import sys
from pathlib import Path

import sqlalchemy as sa

from orchestrator.domain.portable_state import PortableState
from orchestrator.domain.session import DesiredState
from orchestrator.domain.tenant import OPERATOR_TENANT
from orchestrator.store.database import Database
from orchestrator.store.portable_states import PortableStateStore
from orchestrator.store.sealing import Sealer
from tests.support.command import PROJECT, run, stored
from tests.support.processes import running
from tests.support.waiting import eventually

OLD, NEW, LOST = (os.urandom(32) for _ in range(3))


def setting(*keys: bytes) -> str:
    return ",".join(key.hex() for key in keys)


async def add(database: Database, state: PortableState, *keys: bytes) -> None:
    store = PortableStateStore(database, Sealer(keys))
    await store.add(OPERATOR_TENANT, "loja-1", state, DesiredState.STOPPED)


async def test_a_rotation_ends_with_which_keys_can_go(
    database: Database, database_url: str, state: PortableState
) -> None:
    await add(database, state, OLD)
    ran = await run("keys", "rotate", DATABASE_URL=database_url, SESSION_ENCRYPTION_KEYS=setting(NEW, OLD))
    number = len(state.keys) + 1
    assert (ran.code, ran.complaints) == (0, "")
    assert ran.output.splitlines() == [
        f"Sealed anew: {number} values.",
        f"  under key 1: {number}",
        "Once every replica runs with key 1 as its first, SESSION_ENCRYPTION_KEYS can do without: key 2.",
    ]
    assert await stored(database, "loja-1", NEW) == state


async def test_values_that_cannot_be_opened_are_told_by_the_exit_code(
    database: Database, database_url: str, state: PortableState
) -> None:
    await add(database, state, LOST)
    ran = await run("keys", "rotate", DATABASE_URL=database_url, SESSION_ENCRYPTION_KEYS=setting(NEW, OLD))
    number = len(state.keys) + 1
    assert ran.code == 1
    assert f"under keys that were not given: {number}" in ran.output
    assert f"{number} values can't be opened" in ran.output
    assert await stored(database, "loja-1", LOST) == state


async def test_a_rotation_without_a_key_is_refused(database: Database, database_url: str, state: PortableState) -> None:
    await add(database, state)
    ran = await run("keys", "rotate", DATABASE_URL=database_url)
    assert ran.code == 2
    assert "SESSION_ENCRYPTION_KEYS is not set" in ran.complaints
    async with database.begin() as connection:
        assert (await connection.execute(sa.text("SELECT count(*) FROM creds"))).scalar_one() == 1


async def test_an_interrupted_rotation_ends_quietly_and_can_be_run_again(
    database: Database, database_url: str, state: PortableState, tmp_path: Path
) -> None:
    await add(database, state, OLD)
    environ = {"DATABASE_URL": database_url, "SESSION_ENCRYPTION_KEYS": setting(NEW, OLD)}
    command = [sys.executable, "-m", "orchestrator", "keys", "rotate"]
    async with database.whole_transaction() as elsewhere:
        await elsewhere.execute("LOCK TABLE signal_keys IN ACCESS EXCLUSIVE MODE")
        with running(command, tmp_path / "log", env={**os.environ, **environ}, cwd=PROJECT) as child:

            async def waits_for_the_table() -> bool:
                async with database.begin() as connection:
                    waiting = sa.text(
                        "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'signal_keys'::regclass"
                    )
                    return bool((await connection.execute(waiting)).scalar_one())

            await eventually(waits_for_the_table)
            child.process.send_signal(signal.SIGINT)
            assert child.wait() == 130
            assert child.output == ""
    assert (await run("keys", "rotate", **environ)).code == 0
    assert await stored(database, "loja-1", NEW) == state
