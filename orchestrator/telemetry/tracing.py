"""Traces, when somebody collects them: OTEL_EXPORTER_OTLP_ENDPOINT. Otherwise nothing is loaded, and a span is nothing.

Spans are of requests: of the public API, of the calls to the sidecar that they lead to, of the sidecar's calls back. The write
path is not traced: its frames carry writes of many sessions, and `orchestrator_write_seconds` tells of it.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import SpanKind, Tracer

#: https://www.w3.org/TR/trace-context/
HEADER = "traceparent"

_SERVICE = "orchestrator"


class _Tracing:
    """The one tracer of this process."""

    provider: "TracerProvider | None" = None
    tracer: "Tracer | None" = None


def start(endpoint: str, instance: str, version: str) -> None:
    """Send spans to ``endpoint`` (OTLP over HTTP) from now on, a few seconds late and never in a request's time."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 (off by default)
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    resource = Resource.create({"service.name": _SERVICE, "service.instance.id": instance, "service.version": version})
    _Tracing.provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=5)
    _Tracing.provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=2000))
    _Tracing.tracer = _Tracing.provider.get_tracer("baileys-orchestrator", version)


def stop() -> None:
    """Send what is left; blocks for at most some seconds."""
    if _Tracing.provider is not None:
        _Tracing.provider.force_flush(3000)
        _Tracing.provider.shutdown()
    _Tracing.provider = _Tracing.tracer = None


class Span:
    """What a block does, which ends with it."""

    __slots__ = ("_attributes", "headers")

    def __init__(self, headers: Mapping[str, str], attributes: dict[str, str | int]) -> None:
        self.headers = headers
        """What tells another process that its work belongs to this."""
        self._attributes = attributes

    def note(self, name: str, value: str | int) -> None:
        self._attributes[name] = value


_NOTHING = Span({}, {})


@contextlib.contextmanager
def server_span(name: str, headers: Mapping[str, str], **attributes: str) -> Iterator[Span]:
    """The work for a request that came in with these headers; part of the caller's trace, if it has one."""
    if _Tracing.tracer is None:
        yield _NOTHING
        return
    from opentelemetry.trace import SpanKind  # noqa: PLC0415
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

    given = headers.get(HEADER)
    parent = TraceContextTextMapPropagator().extract({HEADER: given}) if given else None
    with _recorded(_Tracing.tracer, name, SpanKind.SERVER, parent, attributes) as span:
        yield span


@contextlib.contextmanager
def client_span(name: str, **attributes: str) -> Iterator[Span]:
    """A call that a request leads to; nothing for calls that no request asked for, such as those of the loops."""
    if _Tracing.tracer is None:
        yield _NOTHING
        return
    from opentelemetry import trace  # noqa: PLC0415

    if not trace.get_current_span().get_span_context().is_valid:
        yield _NOTHING
        return
    with _recorded(_Tracing.tracer, name, trace.SpanKind.CLIENT, None, attributes) as span:
        yield span


@contextlib.contextmanager
def _recorded(
    tracer: "Tracer", name: str, kind: "SpanKind", parent: "Context | None", attributes: dict[str, str]
) -> Iterator[Span]:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

    noted: dict[str, str | int] = dict(attributes)
    with tracer.start_as_current_span(name, context=parent, kind=kind) as recorded:
        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier)
        try:
            yield Span(carrier, noted)
        finally:
            recorded.set_attributes(noted)
