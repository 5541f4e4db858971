"""Tenants are kept apart in the store too, not only in the handlers."""

import importlib
import inspect
import pkgutil
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from orchestrator import store
from orchestrator.domain.errors import NotFound
from orchestrator.store.api_tokens import ApiTokenStore
from orchestrator.store.audit import AuditStore
from orchestrator.store.database import Database
from orchestrator.store.generations import GenerationStore
from orchestrator.store.incoming_messages import IncomingMessageStore
from orchestrator.store.pairing_links import PairingLinkStore
from orchestrator.store.portable_states import PortableStateStore
from orchestrator.store.sealing import Sealer
from orchestrator.store.sessions import SessionStore


def methods() -> Iterator[tuple[str, inspect.Signature]]:
    for module in pkgutil.iter_modules(store.__path__, f"{store.__name__}."):
        for _, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if kind.__module__ == module.name:
                for name, function in inspect.getmembers(kind, inspect.isfunction):
                    if name.startswith("_"):
                        continue
                    yield f"{kind.__name__}.{name}", inspect.signature(function)


def test_whatever_looks_for_a_session_by_its_name_is_told_whose() -> None:
    by_name = {name: signature for name, signature in methods() if "session_id" in signature.parameters}
    assert len(by_name) > 10
    assert [name for name, signature in by_name.items() if "tenant_id" not in signature.parameters] == []


Ask = Callable[[Database], Awaitable[Any]]

LOOKS: dict[str, Ask] = {
    "a session": lambda database: SessionStore(database).get("another", "s"),
    "generations": lambda database: GenerationStore(database).page("another", "s", before=None, most=9),
    "a restore": lambda database: GenerationStore(database).restore("another", "s", 1, replace=True, actor="owner"),
    "an auth state": lambda database: PortableStateStore(database, Sealer([])).snapshot("another", "s"),
    "a link": lambda database: PairingLinkStore(database).add("another", "s", "token", "me", timedelta(hours=1)),
    "a token": lambda database: ApiTokenStore(database).revoke("another", "tok-1"),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
async def test_what_is_another_tenant_s_is_not_found(database: Database, look: Ask) -> None:
    await SessionStore(database).create("t", "s")
    with pytest.raises(NotFound):
        await look(database)


async def test_what_is_another_tenant_s_is_in_no_list(database: Database) -> None:
    await SessionStore(database).create("t", "s")
    await PairingLinkStore(database).add("t", "s", "token", "me", timedelta(hours=1))
    assert await SessionStore(database).page("another", after=None, most=9) == []
    assert await AuditStore(database).of_session("another", "s", 9) == []
    assert await PairingLinkStore(database).page("another", "s", before=None, most=9) == []
    messages = IncomingMessageStore(database, Sealer([]))
    assert await messages.page("another", "s", after=0, past=0, most=9) == []
    assert not await PairingLinkStore(database).revoke("another", "s", 1)
