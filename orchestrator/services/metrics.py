"""Metrics in Prometheus' form, put together when they are asked for. No label names a session or a tenant."""

import time
from collections import Counter as Counted
from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    SummaryMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from orchestrator import VERSION
from orchestrator.domain.errors import DatabaseUnavailable
from orchestrator.domain.meter import Histogram, RequestMeter, WriteMeter
from orchestrator.domain.session import ConnectionState
from orchestrator.services.connections import Connections
from orchestrator.services.events import EventBus
from orchestrator.services.leases import LeaseBook
from orchestrator.services.readiness import Readiness
from orchestrator.services.replicas import Replicas
from orchestrator.services.shards import Shard, Shards
from orchestrator.services.sidecar_events import SidecarEvents
from orchestrator.sidecar.client import Listing, Process
from orchestrator.store.queues import QueueStore, Waiting

#: Seconds between two counts of the queues.
_QUEUES_SECONDS = 15.0

#: Further gauges and counters of a part that is not always there: asked at each scrape.
Source = Callable[[], Iterable[Metric]]


class Metrics(Collector):
    """Everything that this replica and its sidecars tell of themselves."""

    def __init__(
        self,
        *,
        writes: WriteMeter,
        requests: RequestMeter,
        leases: LeaseBook,
        connections: Connections,
        events: EventBus,
        readiness: Readiness,
        replicas: Replicas,
        shards: Shards,
        sidecar_events: SidecarEvents,
        queues: QueueStore,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.requests = requests
        self._writes = writes
        self._leases = leases
        self._connections = connections
        self._events = events
        self._readiness = readiness
        self._replicas = replicas
        self._shards = shards
        self._sidecar_events = sidecar_events
        self._queues = queues
        self._clock = clock
        self._waiting: tuple[float, Sequence[Waiting]] = (-_QUEUES_SECONDS, ())
        self._parts: Mapping[str, bool] = {}
        self._sources: list[Source] = []
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def add(self, source: Source) -> None:
        """Have the metrics of another part told as well."""
        self._sources.append(source)

    async def text(self, accept: str) -> tuple[bytes, str]:
        """The exposition in the form that the asker accepts, and its content type."""
        self._parts = await self._readiness.parts()
        await self._look_at_queues()
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    async def _look_at_queues(self) -> None:
        """They are all replicas' and the database has to count, so not at each scrape."""
        if self._clock() - self._waiting[0] < _QUEUES_SECONDS or not self._parts.get("database"):
            return
        try:
            self._waiting = (self._clock(), await self._queues.waiting())
        except DatabaseUnavailable:
            self._waiting = (self._clock(), ())

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        yield from self._replica()
        yield from self._sessions()
        yield from self._durability()
        yield from self._traffic()
        yield from self._waits()
        for shard in _SHARD_METRICS:
            yield shard.family(self._shards)
        for source in self._sources:
            yield from source()

    def _replica(self) -> Iterable[Metric]:
        info = GaugeMetricFamily("orchestrator_info", "Which process this is.", labels=("replica", "version"))
        info.add_metric((self._leases.owner, VERSION), 1)
        yield info
        ready = GaugeMetricFamily("orchestrator_ready", "Whether a part that is needed answers.", labels=("part",))
        for part, answers in self._parts.items():
            ready.add_metric((part,), answers)
        yield ready
        yield _gauge(
            "orchestrator_replicas", "Replicas that are heard of, this one included.", 1 + len(self._replicas.others)
        )
        yield _gauge(
            "orchestrator_database_silent_seconds",
            "Since this replica's last heartbeat that the database took.",
            self._replicas.silent_seconds,
        )

    def _sessions(self) -> Iterable[Metric]:
        held = [self._connections.of(session_ref) for session_ref in self._leases.held]
        states = Counted(connection.state for connection in held)
        sessions = GaugeMetricFamily(
            "orchestrator_sessions", "Sessions of this replica by connection state.", labels=("state",)
        )
        for state in ConnectionState:
            sessions.add_metric((state,), states[state])
        yield sessions
        yield _gauge("orchestrator_leases", "Sessions that this replica holds the lease of.", len(held))
        yield _gauge(
            "orchestrator_sessions_degraded",
            "Sessions with writes that only the journal has.",
            sum(connection.degraded for connection in held),
        )

    def _durability(self) -> Iterable[Metric]:
        writes = self._writes
        yield _histogram(
            "orchestrator_write_seconds", "A transaction of auth state writes, until it is committed.", writes.seconds
        )
        yield _histogram("orchestrator_write_batch", "Writes of sessions in one transaction.", writes.batch)
        yield _counter(
            "orchestrator_write_failures", "Transactions of which nobody knows the outcome.", writes.failures
        )
        yield _counter("orchestrator_writes_fenced", "Writes that a newer owner's lease kept out.", writes.refused)
        told = self._sidecar_events
        yield _counter("orchestrator_verifications", "Verification backups.", told.verifications)
        yield _by(
            "orchestrator_verification_repairs", "What verification backups had to write again.", "what", told.repairs
        )

    def _waits(self) -> Iterable[Metric]:
        number = GaugeMetricFamily(
            "orchestrator_queue_waiting", "What waits in a queue though it is due.", labels=("queue",)
        )
        oldest = GaugeMetricFamily(
            "orchestrator_queue_oldest_seconds", "For how long the oldest of it has waited.", labels=("queue",)
        )
        for waiting in self._waiting[1]:
            number.add_metric((waiting.queue,), waiting.number)
            oldest.add_metric((waiting.queue,), waiting.oldest_seconds)
        yield number
        yield oldest

    def _traffic(self) -> Iterable[Metric]:
        sends = sum((Counted(shard.client.sends) for shard in self._shards), Counted[str]())
        yield _by("orchestrator_events", "Events that were told.", "type", self._events.published)
        yield _by(
            "orchestrator_disconnects",
            "Connections that ended, by WhatsApp's code.",
            "code",
            self._sidecar_events.disconnects,
        )
        yield _by("orchestrator_messages_sent", "Sends, by what became of them.", "outcome", sends)
        requests = CounterMetricFamily(
            "orchestrator_http_requests", "Requests to the public API.", labels=("operation", "status")
        )
        numbers: Counted[str] = Counted()
        for (operation, status), number in self.requests.requests.items():
            requests.add_metric((operation, str(status)), number)
            numbers[operation] += number
        yield requests
        seconds = SummaryMetricFamily(
            "orchestrator_http_request_seconds", "How long requests took.", labels=("operation",)
        )
        for operation, total in self.requests.seconds.items():
            seconds.add_metric((operation,), numbers[operation], total)
        yield seconds


class _ShardMetric:
    """One number of each sidecar; none for one that doesn't tell it."""

    def __init__(
        self,
        kind: type[CounterMetricFamily] | type[GaugeMetricFamily],
        name: str,
        help_: str,
        value: Callable[[Shard], float | None],
    ) -> None:
        self._kind, self._name, self._help, self._value = kind, name, help_, value

    def family(self, shards: Shards) -> Metric:
        family = self._kind(self._name, self._help, labels=("shard",))
        for shard in shards:
            value = self._value(shard)
            if value is not None:
                family.add_metric((shard.name,), value)
        return family


def _told(value: Callable[[Listing], float]) -> Callable[[Shard], float | None]:
    """A number out of what the sidecar said last."""
    return lambda shard: None if shard.listing is None else value(shard.listing)


def _figure(value: Callable[[Process], float]) -> Callable[[Shard], float | None]:
    """A number out of what the operating system says of it."""
    return lambda shard: (
        None if shard.listing is None or shard.listing.process is None else value(shard.listing.process)
    )


_GAUGE, _COUNTER = GaugeMetricFamily, CounterMetricFamily

_SHARD_METRICS = (
    _ShardMetric(_GAUGE, "sidecar_up", "Whether the sidecar answers.", lambda s: s.reachable),
    _ShardMetric(_COUNTER, "sidecar_replacements", "Sidecar processes after the first.", lambda s: s.replacements),
    _ShardMetric(
        _GAUGE, "sidecar_undrained_sessions", "Sessions with changes only in the journal.", lambda s: len(s.undrained)
    ),
    _ShardMetric(_GAUGE, "sidecar_draining", "Whether an earlier process's journal is written.", lambda s: s.draining),
    _ShardMetric(_GAUGE, "sidecar_journal_bytes", "Used of the journal.", _told(lambda t: t.journal.bytes)),
    _ShardMetric(_GAUGE, "sidecar_journal_limit_bytes", "Room in the journal.", _told(lambda t: t.journal.limit)),
    _ShardMetric(_GAUGE, "sidecar_heap_used_bytes", "JavaScript's memory.", _told(lambda t: t.heap.used)),
    _ShardMetric(_GAUGE, "sidecar_heap_limit_bytes", "JavaScript's memory at its end.", _told(lambda t: t.heap.limit)),
    _ShardMetric(_GAUGE, "sidecar_sessions", "Connections in the sidecar.", _told(lambda t: len(t.sessions))),
    _ShardMetric(
        _GAUGE, "sidecar_resident_memory_bytes", "Memory of the process.", _figure(lambda p: p.resident_bytes)
    ),
    _ShardMetric(_COUNTER, "sidecar_cpu_seconds", "Processor time of the process.", _figure(lambda p: p.cpu_seconds)),
    _ShardMetric(
        _GAUGE,
        "sidecar_event_loop_utilization",
        "Share of the time that the event loop was busy since it was last asked, 0 to 1.",
        _figure(lambda p: p.event_loop_utilization),
    ),
)


def _gauge(name: str, help_: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help_, value=value)


def _counter(name: str, help_: str, value: float) -> Metric:
    return CounterMetricFamily(name, help_, value=value)


def _by(name: str, help_: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, help_, labels=(label,))
    for word, number in sorted(counts.items()):
        family.add_metric((word,), number)
    return family


def _histogram(name: str, help_: str, histogram: Histogram) -> Metric:
    """Counts below each bound, cumulated."""
    buckets, below = [], 0
    for bound, number in zip((*histogram.bounds, None), histogram.counts, strict=True):
        below += number
        buckets.append(("+Inf" if bound is None else str(float(bound)), below))
    return HistogramMetricFamily(name, help_, buckets=buckets, sum_value=histogram.total)
