"""Traces over the wire, to a collector on loopback."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from orchestrator.api.tracing import traced
from orchestrator.domain.replica import Replica
from orchestrator.peer.client import Call, PeerClient
from orchestrator.telemetry import tracing
from tests.support.collector import CollectedSpan, Collector, collector

#: What the program that made the request has around it.
OUTSIDE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
async def owner() -> AsyncIterator[Replica]:
    """The replica to which a request is forwarded."""

    async def handler(_request: web.Request) -> web.Response:
        return web.json_response({"status": "open"})

    app = web.Application(middlewares=[traced])
    app.add_routes([web.get("/v1/sessions/{session_id}", handler)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield Replica("b" * 32, f"http://127.0.0.1:{runner.addresses[0][1]}", "peer-token", 0, ready=True)
    await runner.cleanup()


async def forwarded(owner: Replica) -> None:
    headers = {"Traceparent": OUTSIDE, "Accept": "application/json"}
    call = Call("GET", "/v1/sessions/s?secret=x", headers, b"", 5.0)
    async with aiohttp.ClientSession() as http, PeerClient(http, "a" * 32).forward(owner, call) as reply:
        assert reply.status == 200


async def test_a_forwarded_request_is_one_trace(owner: Replica) -> None:
    async with collector() as traces:
        tracing.start(traces.endpoint, "a" * 32, "0")
        try:
            with tracing.server_span("GET at the first replica", {tracing.HEADER: OUTSIDE}):
                await forwarded(owner)
        finally:
            await asyncio.to_thread(tracing.stop)
        first = named(traces, "GET at the first replica")
        (call,) = traces.children_of(first)
        (served,) = traces.children_of(call)
    assert (first.trace, first.parent) == tuple(OUTSIDE.split("-")[1:3])
    assert (call.name, call.attributes["http.response.status_code"]) == ("replica GET", 200)
    assert served.name == "GET /v1/sessions/{session_id}"
    assert "secret" not in str(traces.spans)


def named(traces: Collector, name: str) -> CollectedSpan:
    return next(span for span in traces.spans if span.name == name)
