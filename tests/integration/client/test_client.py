"""The typed client on the real API."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from orchestrator.client import Client
from orchestrator.domain.errors import (
    InvalidRequest,
    RateLimited,
    ScopeMissing,
    ServiceUnreachable,
    SessionExists,
    SessionNotFound,
    SessionNotOpen,
    TenantNotFound,
    Unauthorized,
    UnexpectedAnswer,
)
from orchestrator.store.database import Database
from orchestrator.wire.tenants import ChangeTenant, CreateTenant, LimitChanges
from tests.support.processes import PATIENCE, free_port
from tests.support.public_api import PublicApi, public_api


@pytest.fixture
async def api(database: Database, database_url: str) -> AsyncIterator[PublicApi]:
    async with public_api(database_url) as api:
        yield api


@pytest.fixture
async def client(api: PublicApi) -> AsyncIterator[Client]:
    async with Client(api.url, api.token) as client:
        yield client


async def test_answers_are_values_and_problems_are_the_errors_that_they_were(client: Client) -> None:
    made = await client.sessions.create("loja-1")
    assert (made.session_id, made.desired_state, made.jid) == ("loja-1", "running", None)
    assert (await client.sessions.stop("loja-1")).desired_state == "stopped"
    with pytest.raises(SessionExists):
        await client.sessions.create("loja-1")
    with pytest.raises(SessionNotOpen):
        await client.sessions.send_text("loja-1", "5511988887777", "Olá!")
    with pytest.raises(InvalidRequest) as refused:
        await client.sessions.send_text("loja-1", "Ana", "Olá!")
    assert [error.field for error in refused.value.errors] == ["to"]
    await client.sessions.delete("loja-1")
    for odd in ("loja-1", "a/b", "?", "%"):
        with pytest.raises(SessionNotFound):
            await client.sessions.get(odd)


async def test_a_list_is_read_to_its_end(client: Client) -> None:
    names = [f"loja-{number:03}" for number in range(55)]
    for name in names:
        await client.sessions.create(name)
    assert [session.session_id async for session in client.sessions.list()] == names


async def test_the_operator_makes_a_tenant_whose_token_opens_its_own_things(api: PublicApi, client: Client) -> None:
    await client.tenants.create(CreateTenant(tenant_id="acme", name="Acme"))
    token = (await client.tenants.tokens("acme").create("shop", ["read", "send"])).token
    async with Client(api.url, token) as shop, Client(api.url, api.token, tenant_id="acme") as operator:
        await operator.sessions.create("loja-1")
        assert [session.session_id async for session in shop.sessions.list()] == ["loja-1"]
        with pytest.raises(ScopeMissing):
            await shop.sessions.stop("loja-1")
        changed = await client.tenants.change("acme", ChangeTenant(limits=LimitChanges(sessions=1)))
        assert (changed.limits.sessions, changed.sessions) == (1, 1)
        (known,) = [token async for token in operator.tokens.list()]
        await client.tenants.tokens("acme").revoke(known.token_id)
        with pytest.raises(Unauthorized):
            await shop.sessions.get("loja-1")
    assert "sessions_create" in [act.action async for act in client.tenants.audit("acme")]
    async with Client(api.url, api.token, tenant_id="nobody") as lost:
        with pytest.raises(TenantNotFound):
            await lost.sessions.get("loja-1")


async def test_who_asks_too_much_is_told_so_after_a_few_attempts(database: Database, database_url: str) -> None:
    async with public_api(database_url, requests_per_minute=60) as api:
        token = await api.tenant("acme", messages_per_minute=0)
        async with Client(api.url, token) as client:
            with pytest.raises(RateLimited) as refused:
                async with asyncio.timeout(20):  # and not after the pause that the server wishes for
                    await client.sessions.send_text("loja-1", "5511988887777", "Olá!")
            assert refused.value.retry_after_seconds > 1


async def test_events_go_on_after_the_stream_was_cut(api: PublicApi, client: Client) -> None:
    await client.sessions.create("loja-1")
    events = client.events("loja-1")

    async def told(number: int) -> None:
        """Told until it is heard: a client that isn't connected yet misses what isn't stored."""
        while True:
            api.services.events.publish("operator", "message.receipt", "loja-1", {"number": number})
            await asyncio.sleep(0.02)

    for number in range(3):
        telling = asyncio.create_task(told(number))
        async with asyncio.timeout(10 * PATIENCE):
            while (event := await anext(events)).data.get("number") != number:
                pass
        telling.cancel()
        assert (event.type, event.session_id, event.id) == ("message.receipt", "loja-1", None)
        api.services.events.close()
    with pytest.raises(SessionNotFound):
        await anext(client.events("nobody"))


@contextlib.asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that answers every request with these bytes and hangs up; its address, and what was asked."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked


async def test_only_what_is_safe_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.client.transport._FIRST_PAUSE_SECONDS", 0.001)
    async with answering(b"") as (url, asked), Client(url, "token") as client:
        with pytest.raises(ServiceUnreachable) as lost:
            await client.sessions.send_text("loja-1", "5511988887777", "Olá!")
        assert lost.value.asked
        assert len(asked) == 1
        with pytest.raises(ServiceUnreachable):
            await client.sessions.get("loja-1")
        assert [request.split()[0] for request in asked].count(b"POST") == 1
        assert len(asked) > 3
    async with Client(f"http://127.0.0.1:{free_port()}", "token") as client:
        with pytest.raises(ServiceUnreachable) as refused:
            await client.sessions.send_text("loja-1", "5511988887777", "Olá!")
        assert not refused.value.asked


async def test_something_else_that_answers_is_recognised() -> None:
    for answer in (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"):
        async with answering(answer) as (url, _), Client(url, "token") as client:
            with pytest.raises(UnexpectedAnswer):
                await client.sessions.get("loja-1")
