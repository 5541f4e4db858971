"""What one replica does once a minute for all: give up, catch up, and forget."""

import structlog

from orchestrator.services.outbox_sender import OutboxSender
from orchestrator.services.webhook_deliveries import WebhookDeliveries
from orchestrator.store.acts import ActStore
from orchestrator.store.jobs import JobStore
from orchestrator.store.outbox import OutboxStore
from orchestrator.store.stored_events import StoredEvents
from orchestrator.store.webhooks import WebhookStore

log = structlog.get_logger(__name__)

#: How long messages are kept once they were sent, failed or were cancelled; their idempotency keys with them.
OUTBOX_DAYS = 30
#: How long events are kept for streams that resume.
EVENT_HOURS = 24
#: How long the log of deliveries goes back, and how long those are kept that were given up.
DELIVERY_DAYS = 7
DEAD_DAYS = 30
#: How long the audit log goes back. Brazil's Marco Civil asks for six months of access records (Lei 12.965/2014, art. 15).
ACT_DAYS = 365

_AT_ONCE = 5000


class Housekeeping:
    def __init__(
        self,
        sender: OutboxSender,
        deliveries: WebhookDeliveries,
        outbox: OutboxStore,
        events: StoredEvents,
        webhooks: WebhookStore,
        jobs: JobStore,
        acts: ActStore,
    ) -> None:
        self._sender = sender
        self._deliveries = deliveries
        self._outbox = outbox
        self._events = events
        self._webhooks = webhooks
        self._jobs = jobs
        self._acts = acts

    async def each_minute(self) -> None:
        """Raises ``DatabaseUnavailable``; the next minute goes on."""
        await self._sender.expire()
        await self._deliveries.sweep_unowned()
        while await self._outbox.prune(days=OUTBOX_DAYS, most=_AT_ONCE) == _AT_ONCE:
            pass
        while await self._events.prune(hours=EVENT_HOURS, most=_AT_ONCE) == _AT_ONCE:
            pass
        while await self._webhooks.prune(days=DELIVERY_DAYS, dead_days=DEAD_DAYS, most=_AT_ONCE) == _AT_ONCE:
            pass
        while await self._acts.prune(days=ACT_DAYS, most=_AT_ONCE) == _AT_ONCE:
            pass
        jobs = await self._jobs.prune()
        if jobs:
            log.info("jobs of replicas that are gone were dropped", number=jobs)
