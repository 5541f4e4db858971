"""A collector of traces on loopback: OTLP over HTTP, as protobuf and as JSON."""

import base64
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class CollectedSpan:
    service: str
    name: str
    trace: str
    span: str
    parent: str
    attributes: dict[str, Any]


@dataclass
class Collector:
    port: int = 0
    spans: list[CollectedSpan] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def children_of(self, span: CollectedSpan) -> list[CollectedSpan]:
        return [other for other in self.spans if (other.trace, other.parent) == (span.trace, span.span)]

    async def take(self, request: web.Request) -> web.Response:
        export = ExportTraceServiceRequest()
        if request.content_type == "application/json":
            told = await request.json()
            for spans in (s for r in told["resourceSpans"] for s in r["scopeSpans"]):
                for span in spans["spans"]:  # JSON has these in hexadecimal digits, protobuf's own JSON in base64
                    for name in ("traceId", "spanId", "parentSpanId"):
                        span[name] = _base64(span.get(name, ""))
            json_format.ParseDict(told, export)
        else:
            export.ParseFromString(await request.read())
        for resource in export.resource_spans:
            service = next(a.value.string_value for a in resource.resource.attributes if a.key == "service.name")
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                attributes = {a.key: a.value.string_value or a.value.int_value for a in span.attributes}
                ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
                self.spans.append(CollectedSpan(service, span.name, *ids, attributes))
        return web.Response(body=b"")


def _base64(digits: str) -> str:
    return base64.b64encode(bytes.fromhex(digits)).decode()


@contextlib.asynccontextmanager
async def collector() -> AsyncIterator[Collector]:
    collected = Collector()
    app = web.Application(client_max_size=64 * 1024**2)
    app.add_routes([web.post("/v1/traces", collected.take)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    collected.port = runner.addresses[0][1]
    try:
        yield collected
    finally:
        await runner.cleanup()
