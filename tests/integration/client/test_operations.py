"""The client has a method for each operation, and each method asks as the API wants to be asked."""

import asyncio
import contextlib
import inspect
import itertools
import typing
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, date, datetime
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
import pytest

from orchestrator.api.operations import PATH_PARAMETERS
from orchestrator.api.public import OPERATIONS
from orchestrator.client import Client, File
from orchestrator.domain.errors import OrchestratorError, UnexpectedAnswer
from orchestrator.services import pairing
from orchestrator.services.events import EventBus
from orchestrator.store.database import Database
from orchestrator.wire import messages
from tests.support.processes import PATIENCE
from tests.support.public_api import public_api

#: What programs have no use for: others call it, or people look at it, or it is there for sidecars of the system before.
NOT_FOR_PROGRAMS = {
    "bot_webhook",
    "payments_notified",
    "openapi_page",
    "seed_backup",
    "seed_restore",
    "seed_delete",
    "seed_status",
    # The same events as those of the stream, which the client reads.
    "event_stream_socket",
}

MISUNDERSTOOD = {"malformed_json", "invalid_request", "method_not_allowed", UnexpectedAnswer.code}

#: What operations are called with: their own examples, by the type of the body.
EXAMPLES = {type(operation.example): operation.example for operation in OPERATIONS if operation.takes is not None} | {
    messages.MediaMessage: messages.DocumentMessage(to="5511988887777"),
    messages.OutgoingMessage: messages.TextMessage(to="5511988887777", text="Olá"),
    messages.FindMessage: messages.FindMessage(chat="5511988887777"),
}
#: What other parameters are given, where their type says too little.
NAMED: dict[str, Any] = {
    "session_id": "loja-1",
    "webhook_id": "wh_0",
    "participants": ["5511988887777"],
    "numbers": ["5511988887777"],
    "messages": [],
    "update_ids": [1],
    "phone": "5511999990000",
    "to": "5511988887777",
    "passphrase": "a long enough passphrase",
    "scopes": ["read"],
    "picture": "/9j/4AAQSkZJRgAB",
    "last_event_id": "1",
    "value": {"a": 1},
    "states": "open",
    "cursor": None,
    "payer_email": "maria@example.com",
    "active_until": msgspec.UNSET,
}


VALUES: dict[type, Any] = {
    str: "x",
    int: 1,
    float: 1.0,
    bool: True,
    bytes: b"name,phone,amount,due_date\nMaria,5511988887777,150.00,2099-12-10\n",
    date: date(2099, 12, 10),
    datetime: datetime(2099, 1, 1, tzinfo=UTC),
}


def areas(client: Client) -> dict[str, Any]:
    found = {name: area for name, area in vars(client).items() if not name.startswith("_")}
    return found | {"tenants.tokens": client.tenants.tokens("acme"), "client": client}


def methods(client: Client) -> list[tuple[str, Any]]:
    return [
        (f"{area}.{name}", getattr(thing, name))
        for area, thing in areas(client).items()
        for name, _ in inspect.getmembers(type(thing), inspect.isfunction)
        if not name.startswith("_") and name not in ("of", "close", "page") and (area, name) != ("tenants", "tokens")
    ]


def arguments(method: Any, tmp_path: Path, *, all_of_them: bool) -> dict[str, Any]:
    """Something for each parameter that needs it, or for those too that don't."""
    hints = typing.get_type_hints(method)
    return {
        name: argument(name, hints[name], tmp_path)
        for name, parameter in inspect.signature(method).parameters.items()
        if all_of_them or parameter.default is inspect.Parameter.empty
    }


def argument(name: str, hint: Any, tmp_path: Path) -> Any:
    if hint == messages.OutgoingMessage or hint in EXAMPLES:
        return EXAMPLES[hint]
    if name in NAMED:
        return NAMED[name]
    if name in PATH_PARAMETERS:
        return example_of(PATH_PARAMETERS[name])
    options = [option for option in typing.get_args(hint) if option not in (type(None), msgspec.UnsetType)]
    if options:
        return options[0] if typing.get_origin(hint) is typing.Literal else argument(name, options[0], tmp_path)
    if hint is File:
        path = tmp_path / "nota.pdf"
        path.write_bytes(b"%PDF-1.7")
        return File(path, "application/pdf")
    if issubclass(hint, Enum):
        return next(iter(hint))
    return VALUES[hint]


def example_of(parameter: Any) -> Any:
    found = msgspec.json.schema(parameter).get("examples")
    return found[0] if found else "x"


async def carried_out(called: Any) -> None:
    """Have it ask, whatever kind of method it is."""
    if isinstance(called, AbstractAsyncContextManager):
        async with called:
            return
    if isinstance(called, AsyncGenerator):
        async with contextlib.aclosing(called):
            await anext(called, None)
        return
    await called


@contextlib.asynccontextmanager
async def happening(events: EventBus) -> AsyncIterator[None]:
    """Something happens now and then, for whoever listens."""

    async def happen() -> None:
        while True:
            events.publish("operator", "message.receipt", "loja-1", {})
            await asyncio.sleep(0.02)

    task = asyncio.create_task(happen())
    try:
        yield
    finally:
        task.cancel()


async def test_every_operation_has_a_method_that_asks_it_as_it_wants_to_be_asked(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.client.transport._FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(pairing, "QR_WAIT_SECONDS", 0.01)
    plenty = 1_000_000
    misunderstood = {}
    async with public_api(database_url, requests_per_minute=plenty) as api, Client(api.url, api.token) as client:
        await client.sessions.create("loja-1")
        for (name, method), all_of_them in itertools.product(methods(client), (False, True)):
            given = arguments(method, tmp_path, all_of_them=all_of_them)
            try:
                async with asyncio.timeout(10 * PATIENCE), happening(api.services.events):
                    await carried_out(method(**given))
            except OrchestratorError as error:
                # Anything else says that there is no such thing, or no sidecar: it was understood.
                if error.code in MISUNDERSTOOD:
                    misunderstood[name] = f"{given}: {error!r} {getattr(error, 'errors', '')}"
            if name == "sessions.delete":
                await client.sessions.create("loja-1")
        asked = {operation for operation, _ in api.services.metrics.requests.requests}
    assert misunderstood == {}
    assert "other" not in asked, "an address that there isn't"
    assert {operation.name for operation in OPERATIONS} - asked == NOT_FOR_PROGRAMS
