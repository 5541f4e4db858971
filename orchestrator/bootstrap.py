"""The composition root: the only file that puts concrete parts together."""

import asyncio
import base64
import contextlib
import gc
import logging
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import aiohttp
import backoff
import structlog
import uvloop
from aiohttp import web

from orchestrator import VERSION
from orchestrator.api.internal import internal_app
from orchestrator.api.keys import Services
from orchestrator.api.listener import Site
from orchestrator.api.metrics import metrics_app
from orchestrator.api.payments import NOTIFICATIONS_PATH
from orchestrator.api.public import public_app
from orchestrator.config import (
    SUPERVISOR_USERNAME,
    WHATSAPP_WEB_URL,
    ProcessSettings,
    Settings,
    sidecar_program,
    webhook_secret,
)
from orchestrator.domain.errors import DatabaseUnavailable
from orchestrator.domain.media import MIB
from orchestrator.domain.meter import MessageMeter, RequestMeter
from orchestrator.domain.outbound import AddressRules
from orchestrator.domain.rate_limit import Rate
from orchestrator.domain.session import Lease, SetAsideBy
from orchestrator.jobs import billing, loops
from orchestrator.jobs.background import Background, pause
from orchestrator.jobs.reminders import reminding
from orchestrator.outbound.client import OutboundClient
from orchestrator.pages import dashboard
from orchestrator.pages import pairing as pairing_page
from orchestrator.pages.serving import add_files
from orchestrator.peer.client import PeerClient
from orchestrator.services import database_backups
from orchestrator.services.access import Access
from orchestrator.services.activity import Activity
from orchestrator.services.archives import Archives
from orchestrator.services.backups import Backups
from orchestrator.services.charges import Charges
from orchestrator.services.chat_history import ChatHistory
from orchestrator.services.connections import Connections
from orchestrator.services.database_backups import Contents, ScheduledBackups
from orchestrator.services.directory import Directory
from orchestrator.services.events import EventBus
from orchestrator.services.forwarding import Forwarding
from orchestrator.services.history import History
from orchestrator.services.host import Host
from orchestrator.services.housekeeping import Housekeeping
from orchestrator.services.incoming import IncomingMessages
from orchestrator.services.key_rotation import KeyRotation
from orchestrator.services.leases import LeaseBook
from orchestrator.services.link_previews import LinkPreviews
from orchestrator.services.logins import Logins
from orchestrator.services.media import MediaFiles
from orchestrator.services.messaging import Messaging
from orchestrator.services.metrics import Metrics
from orchestrator.services.moving import Moving
from orchestrator.services.notices import Notices
from orchestrator.services.operations import Operations
from orchestrator.services.outbox import Outbox
from orchestrator.services.outbox_sender import OutboxSender
from orchestrator.services.pairing import Pairing
from orchestrator.services.pairing_links import PairingLinks
from orchestrator.services.payments import Payments
from orchestrator.services.peers import Peers
from orchestrator.services.posted_folders import PostedFolders
from orchestrator.services.quarantine import Quarantine
from orchestrator.services.rate_limits import RateLimits
from orchestrator.services.readiness import Readiness
from orchestrator.services.reminder_contacts import ReminderContacts
from orchestrator.services.reminder_schedules import ReminderSchedules
from orchestrator.services.reminders import Reminders
from orchestrator.services.replicas import Replicas
from orchestrator.services.session_settings import Settings as SettingsOfSessions
from orchestrator.services.sessions import Sessions
from orchestrator.services.shards import Shard, Shards
from orchestrator.services.sidecar_events import SidecarEvents
from orchestrator.services.subscriptions import Subscriptions
from orchestrator.services.supervision import Supervision
from orchestrator.services.tenants import Tenants
from orchestrator.services.webhook_deliveries import WebhookDeliveries
from orchestrator.services.webhooks import Webhooks
from orchestrator.sidecar.client import SidecarClient
from orchestrator.sidecar.supervisord import SupervisordClient
from orchestrator.store.activity import ActivityStore
from orchestrator.store.acts import ActStore
from orchestrator.store.api_tokens import ApiTokenStore
from orchestrator.store.audit import AuditStore
from orchestrator.store.auth_state import AuthStateStore
from orchestrator.store.auth_state_writer import AuthStateWriter
from orchestrator.store.bot import BotStore
from orchestrator.store.broadcasts import BroadcastStore
from orchestrator.store.charges import ChargeStore
from orchestrator.store.database import SCHEMA_VERSION, Database
from orchestrator.store.database_backups import DatabaseBackupStore
from orchestrator.store.directory import DirectoryStore
from orchestrator.store.generations import GenerationStore
from orchestrator.store.incoming_messages import IncomingMessageStore
from orchestrator.store.jobs import JobStore
from orchestrator.store.kept_messages import KeptMessageStore
from orchestrator.store.key_rotation import KeyRotationStore
from orchestrator.store.leases import LeaseStore
from orchestrator.store.login_links import LoginLinkStore
from orchestrator.store.messages import MessageStore
from orchestrator.store.muted_alerts import MutedAlertStore
from orchestrator.store.notices import NoticeStore
from orchestrator.store.outbox import OutboxStore
from orchestrator.store.overview import OverviewStore
from orchestrator.store.pacing import PacingStore
from orchestrator.store.pairing_links import PairingLinkStore
from orchestrator.store.plans import PlanStore
from orchestrator.store.portable_states import PortableStateStore
from orchestrator.store.queues import QueueStore
from orchestrator.store.recurring_payments import RecurringPaymentStore
from orchestrator.store.reminder_contacts import ReminderContactStore
from orchestrator.store.reminder_schedules import ReminderScheduleStore
from orchestrator.store.reminders import ReminderStore
from orchestrator.store.replicas import ReplicaStore
from orchestrator.store.sealing import Sealer
from orchestrator.store.session_settings import SessionSettingsStore
from orchestrator.store.sessions import SessionStore
from orchestrator.store.settlements import SettlementStore
from orchestrator.store.stored_events import StoredEvents
from orchestrator.store.subscriptions import SubscriptionStore
from orchestrator.store.tenants import TenantStore
from orchestrator.store.webhooks import WebhookStore
from orchestrator.telemetry import tracing
from orchestrator.telemetry.logs import configure_logging
from orchestrator.transfer.backup_places import place

if TYPE_CHECKING:
    from orchestrator.payments.mercadopago import MercadoPago

log = structlog.get_logger(__name__)

#: Seconds that requests under way may take once the process was told to stop.
_SHUTDOWN_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What the loops need beside the services."""

    services: Services
    database: Database
    auth_states: AuthStateStore
    sessions: SessionStore
    peers: Peers
    host: Host
    peer_token: str
    deliveries: WebhookDeliveries
    housekeeping: Housekeeping
    scheduled_backups: ScheduledBackups | None
    """None: not on a schedule."""


def migrate_database(settings: Settings) -> int:
    """Bring the schema of DATABASE_URL to this version's."""
    from orchestrator.store.migration import migrate  # noqa: PLC0415 (serve() seldom needs it)

    assert settings.database_url is not None
    try:
        migrate(settings.database_url)
    except DatabaseUnavailable as error:
        sys.stderr.write(f"{error.message}\n")
        return 1
    return 0


async def restore(url: str, pieces: AsyncIterator[bytes], passphrase: str, *, stopped: bool) -> Contents:
    """Write a backup into an empty database; for a command beside the service."""
    from orchestrator.store.migration import migrate  # noqa: PLC0415 (serve() seldom needs it)

    return await database_backups.restore(
        url, pieces, passphrase, stopped=stopped, migrate=migrate, newest=SCHEMA_VERSION
    )


@asynccontextmanager
async def moving(settings: Settings, database_url: str) -> AsyncIterator[Moving]:
    """For a command beside the service."""
    async with _database_of_this_version(database_url) as database:
        states = PortableStateStore(database, Sealer(settings.session_encryption_keys))
        yield Moving(SessionStore(database), states)


@asynccontextmanager
async def key_rotation(settings: Settings, database_url: str) -> AsyncIterator[KeyRotation]:
    """For a command beside the service."""
    async with _database_of_this_version(database_url) as database:
        yield KeyRotation(KeyRotationStore(database, Sealer(settings.session_encryption_keys)))


@asynccontextmanager
async def _database_of_this_version(url: str) -> AsyncIterator[Database]:
    # A person is told what went wrong once, in a sentence, and not what psycopg thought on the way.
    logging.getLogger("psycopg").addHandler(logging.NullHandler())
    database = Database(url, connections=1)
    await database.open()
    try:
        await database.ping()
        await database.migrate()
        yield database
    finally:
        await database.close()


def serve(settings: Settings, process: ProcessSettings, parent: int) -> int:
    """Run the orchestrator until SIGTERM or the end of the process ``parent``; 0, or 1 when background work failed."""
    configure_logging(settings.log_level, _secrets(settings, process))
    if settings.otlp_endpoint is not None:
        tracing.start(settings.otlp_endpoint, process.replica_id, VERSION)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_serve(settings, process, parent))
    finally:
        tracing.stop()


async def _serve(settings: Settings, process: ProcessSettings, parent: int) -> int:
    background = Background()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, background.stop.set)
    _warn_about(settings)
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(assembled(settings, process))
        stack.push_async_callback(_mark_the_last, parts.services)  # when no stream is written to any more
        await stack.enter_async_context(_listening(parts, settings, process))
        _collect_garbage_rarely()
        background.start("parent", loops.watching_the_parent(parent))
        background.start("start", lambda stop: _start(parts, background, stop, settings, process))
        await background.stop.wait()
        log.info("stopping")
        await background.finish()
        await parts.services.supervision.leave()
        with contextlib.suppress(DatabaseUnavailable):  # the others find out by themselves
            await parts.services.replicas.leave()
        parts.services.events.close()
    return 1 if background.failed else 0


def _collect_garbage_rarely() -> None:
    """The libraries are 80 MB of objects that live until the end: looking through them again and again takes a tenth of the
    write path's time. What a write leaves behind is freed without the collector."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def _start(
    parts: Parts, background: Background, stop: asyncio.Event, settings: Settings, process: ProcessSettings
) -> None:
    """Wait for the database, migrate it, take up our leases, and only then begin to work."""
    services = parts.services

    def waiting(details: Mapping[str, Any]) -> None:
        error = details["exception"]
        log.warning(
            "waiting for the database; no session starts and none is paired before it answers",
            error=str(error),
            cause=str(error.__cause__).partition("\n")[0],
        )

    @backoff.on_exception(backoff.expo, DatabaseUnavailable, max_value=5, on_backoff=waiting)
    async def reach_database() -> None:
        await parts.database.ping()
        await parts.database.migrate()
        await services.leases.adopt(alone=process.database_embedded)
        await services.supervision.renew()  # which tells the adopted ones that nobody wants to run any more
        number = await parts.sessions.reinstate(SetAsideBy.KEY_MISSING)
        if number:
            log.info("states that lacked their encryption key are tried again", number=number)
        await services.access.prepare(_show_token)

    reaching = asyncio.ensure_future(reach_database())
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait((reaching, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not reaching.done():
        reaching.cancel()
        return
    reaching.result()
    services.readiness.started = True
    background.start("heartbeat", loops.being_heard_of(services.replicas, services.supervision))
    background.start("peers", loops.listening_to_peers(parts.peers, services.events))
    background.start("renew", loops.renewing(services.supervision, settings.lease_ttl_seconds))
    background.start("reconcile", loops.reconciling(services.supervision))
    background.start("mark", loops.marking(services.incoming))
    sender, deliveries = services.outbox_sender, parts.deliveries
    background.start("outbox", loops.draining(sender))
    background.start("outcomes", loops.recording_outcomes(sender))
    background.start("events", loops.storing_events(deliveries, services.events))
    background.start("received", loops.making_deliveries(deliveries))
    background.start("webhooks", loops.delivering(deliveries))
    jobs = loops.working(process.database_url, process.replica_id, sender, deliveries, parts.housekeeping)
    background.start("jobs", jobs)
    retention = settings.quarantine_retention_days
    background.start("access", loops.confirming(services.access))
    if parts.scheduled_backups is not None:
        background.start("backup", loops.backing_up(parts.scheduled_backups))
    background.start("subscriptions", billing.enforcing(services.subscriptions))
    if settings.terms is not None:
        background.start("payments", billing.reconciling(services.payments))
    background.start("reminders", reminding(services.reminders))
    background.start("prune", loops.pruning(*_prunings(parts, retention)))
    background.start("host", loops.telling(parts.host))
    background.start("activity", loops.recording_activity(services.activity))
    while not stop.is_set() and not all((await services.readiness.parts()).values()):
        await pause(stop, 0.1)
    if not stop.is_set():
        _show(_banner(settings))


def _prunings(parts: Parts, retention_days: float) -> Sequence[Callable[[], Awaitable[object]]]:
    services = parts.services
    return (
        lambda: parts.auth_states.prune_sent_messages(
            days=loops.SENT_MESSAGE_DAYS, most=loops.SENT_MESSAGES_PER_SESSION
        ),
        lambda: services.incoming.prune(delivered_hours=loops.DELIVERED_HOURS, undelivered_days=loops.UNDELIVERED_DAYS),
        services.chat_history.prune,
        lambda: services.history.purge(retention_days=retention_days),
        services.pairing_links.forget_old,
        lambda: services.reminders.purge(retention_days=retention_days),
        services.logins.forget_old,
        services.activity.forget_old,
        lambda: services.tenants.measure(every_seconds=loops.PRUNE_SECONDS / 2),
    )


async def _mark_the_last(services: Services) -> None:
    try:
        await services.incoming.mark_delivered()
    except DatabaseUnavailable:
        log.warning("the last messages were not marked as delivered; they will be told again")
        return
    with contextlib.suppress(DatabaseUnavailable):  # nobody needs it to the second
        await services.access.record_use()


@asynccontextmanager
async def assembled(settings: Settings, process: ProcessSettings) -> AsyncIterator[Parts]:
    """Every part, put together but not at work: nothing listens, no loop runs, and the database needn't be there."""
    database = Database(process.database_url)
    sealer = Sealer(settings.session_encryption_keys)
    writer = AuthStateWriter(process.database_url, process.replica_id, sealer)
    await database.open()
    # No limit: sends that wait for WhatsApp must not keep the supervision from asking the sidecar.
    http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    rules = AddressRules(settings.outbound_allowed_networks)
    outbound = OutboundClient(rules)
    gateway = _gateway(settings)
    try:
        supervisord = SupervisordClient(process.supervisor_socket, SUPERVISOR_USERNAME, process.supervisor_password)
        sessions = SessionStore(database)
        auth_states = AuthStateStore(database, sealer)
        events = EventBus()
        stored_events = StoredEvents(database, sealer)
        incoming = IncomingMessages(IncomingMessageStore(database, sealer), stored_events, events)
        connections = Connections()
        leases = LeaseBook(LeaseStore(database, process.replica_id, settings.lease_ttl_seconds))
        peer_token = secrets.token_hex(32)
        shards = Shards(
            [_shard(number, http, settings, process, supervisord) for number in range(process.sidecar_shards)]
        )
        replica_store = ReplicaStore(
            process.database_url, process.replica_id, settings.lease_ttl_seconds, peer_token, sealer
        )
        peer_client = PeerClient(http, process.replica_id)
        replicas = Replicas(
            replica_store,
            leases,
            peer_client,
            port=settings.port,
            address=settings.replica_address,
            settle_seconds=settings.rebalance_after_seconds,
        )
        quarantine = Quarantine(sessions, leases, events, shards)
        media = MediaFiles(process.media_dir, outbound, settings.media_max_mib * MIB)
        media.clear()
        chat_history = ChatHistory(KeptMessageStore(database, sealer))
        session_settings = SettingsOfSessions(SessionSettingsStore(database, sealer), sessions, leases, shards, rules)
        supervision = Supervision(sessions, leases, connections, events, shards, replicas, session_settings)
        peers = Peers(replicas, events, peer_client)
        tokens, tenants = ApiTokenStore(database), TenantStore(database)
        plans, charge_store, recurring = PlanStore(database), ChargeStore(database), RecurringPaymentStore(database)
        settlements, subscription_store = SettlementStore(database), SubscriptionStore(database)
        notices = Notices(NoticeStore(database), events)
        subscriptions = Subscriptions(subscription_store, plans, recurring, notices, settings.terms)
        charges = Charges(
            gateway,
            charge_store,
            recurring,
            plans,
            subscriptions,
            subscription_store,
            payer_email=settings.mercadopago_payer_email,
        )
        access = Access(tokens, tenants, settings.admin_token, process.bot_api_token)
        states = PortableStateStore(database, sealer)
        overview = OverviewStore(database)
        host = Host(
            process.replica_id,
            overview,
            supervisord,
            leases,
            connections,
            settings.data_dir / "journal",
            settings.journal_max_mib * 1024**2,
        )
        messages = MessageMeter()
        messaging = Messaging(
            sessions,
            MessageStore(database, sealer),
            leases,
            connections,
            shards,
            media,
            LinkPreviews(outbound, media),
            chat_history,
            messages,
        )
        outbox_store, pacing = OutboxStore(database, sealer, stored_events), PacingStore(database)
        sender = OutboxSender(outbox_store, pacing, leases, connections, messaging, events)
        outbox = Outbox(outbox_store, pacing, leases, messaging, media, sender, events)
        webhook_store = WebhookStore(database, sealer, process.replica_id)
        deliveries = WebhookDeliveries(webhook_store, stored_events, leases, events, outbound)

        def on_incoming(lease: Lease, number: int, data: bytes) -> None:
            incoming.committed(lease, number, data)
            messages.received(lease.session_ref)
            deliveries.received(lease)

        readiness = Readiness(database, supervision)
        sidecar_events = SidecarEvents(sessions, leases, connections, supervision, quarantine, events, sender.opened)
        metrics = Metrics(
            writes=writer.meter,
            requests=RequestMeter(),
            leases=leases,
            connections=connections,
            events=events,
            readiness=readiness,
            replicas=replicas,
            shards=shards,
            sidecar_events=sidecar_events,
            queues=QueueStore(database),
        )
        acts = ActStore(database)
        services = Services(
            access=access,
            activity=Activity(
                ActivityStore(database), sessions, leases, connections, shards, messages, writer.meter.seconds
            ),
            acts=acts,
            archives=Archives(states),
            chat_history=chat_history,
            backups=Backups(auth_states, writer, leases, quarantine, on_incoming),
            bot=BotStore(database),
            broadcasts=BroadcastStore(database),
            directory=Directory(DirectoryStore(database, sealer)),
            charge_store=charge_store,
            charges=charges,
            events=events,
            forwarding=Forwarding(sessions, leases, replicas, peer_client),
            history=History(GenerationStore(database), AuditStore(database), leases, connections, supervision),
            incoming=incoming,
            leases=leases,
            logins=Logins(tokens, LoginLinkStore(database), access),
            messaging=messaging,
            metrics=metrics,
            muted_alerts=MutedAlertStore(database),
            notices=notices,
            overview=overview,
            operations=Operations(sessions, leases, shards),
            outbox=outbox,
            outbox_sender=sender,
            pairing=Pairing(sessions, connections, shards),
            pairing_links=PairingLinks(PairingLinkStore(database), sessions),
            payments=Payments(gateway, charges, charge_store, recurring, plans, settlements, subscriptions, notices),
            plans=plans,
            posted_folders=PostedFolders(sessions, states),
            rate_limits=RateLimits(Rate(settings.requests_per_minute), Rate(settings.failed_logins_per_minute)),
            readiness=readiness,
            reminder_contacts=ReminderContacts(ReminderContactStore(database), outbox),
            reminder_schedules=ReminderSchedules(ReminderScheduleStore(database), sessions),
            reminders=Reminders(ReminderStore(database), outbox),
            replicas=replicas,
            settings=session_settings,
            sessions=Sessions(sessions, leases, connections, supervision, quarantine, events),
            sidecar_events=sidecar_events,
            supervision=supervision,
            supervisord=supervisord,
            webhooks=Webhooks(webhook_store, outbound, deliveries.interest_changed),
            settlements=settlements,
            subscriptions=subscriptions,
            tenants=Tenants(tenants, tokens, access, subscriptions),
        )
        scheduled = _scheduled_backups(settings, process.database_url, database, http)
        if scheduled is not None:
            metrics.add(scheduled.metrics)
        housekeeping = Housekeeping(
            sender, deliveries, outbox_store, stored_events, webhook_store, JobStore(database), acts
        )
        yield Parts(
            services, database, auth_states, sessions, peers, host, peer_token, deliveries, housekeeping, scheduled
        )
        await peers.close()
        await replicas.close()
    finally:
        await outbound.close()
        if gateway is not None:
            gateway.close()
        await http.close()
        await writer.close()
        await database.close()


def _scheduled_backups(
    settings: Settings, url: str, database: Database, http: aiohttp.ClientSession
) -> ScheduledBackups | None:
    hours, target, passphrase = settings.backup_schedule_hours, settings.backup_target, settings.backup_passphrase
    if hours is None or target is None or passphrase is None:
        return None
    return ScheduledBackups(
        DatabaseBackupStore(database),
        url,
        place(target, settings.s3_access, http),
        passphrase,
        every_seconds=hours * 3600,
        keep=settings.backup_keep,
    )


def _gateway(settings: Settings) -> "MercadoPago | None":
    if settings.mercadopago_access_token is None:
        return None
    from orchestrator.payments.mercadopago import MercadoPago  # noqa: PLC0415 (a second, and most don't need it)

    url = settings.public_url
    return MercadoPago(
        settings.mercadopago_access_token,
        webhook_secret=settings.mercadopago_webhook_secret,
        api_url=settings.mercadopago_api_url,
        # Without the parameter the same things are told twice, the second time without a signature.
        notification_url=None if url is None else f"{url}{NOTIFICATIONS_PATH}?source_news=webhooks",
    )


def _shard(
    number: int,
    http: aiohttp.ClientSession,
    settings: Settings,
    process: ProcessSettings,
    supervisord: SupervisordClient,
) -> Shard:
    program = sidecar_program(number)
    client = SidecarClient(http, settings.sidecar_port + number, process.internal_token)
    return Shard(program, client, lambda: supervisord.restart(program))


def public(parts: Parts, settings: Settings) -> web.Application:
    """What is open to others: the public API and the pages."""
    webhook = settings.telegram_mode == "webhook" and settings.bot_token is not None
    app = public_app(
        parts.services,
        parts.peer_token,
        settings.public_url,
        proxies=settings.trusted_proxies,
        metrics_token=settings.metrics_token,
        has_bot=settings.bot_token is not None,
        webhook_secret=webhook_secret(settings.bot_token) if webhook and settings.bot_token else None,
    )
    add_files(app)
    pairing_page.add_to(app)
    dashboard.add_to(app)
    return app


@asynccontextmanager
async def _listening(parts: Parts, settings: Settings, process: ProcessSettings) -> AsyncIterator[None]:
    """Both APIs: the public one on all interfaces, the sidecar's on a unix socket in a private folder; and the metrics if
    they have a port of their own."""
    services = parts.services
    apps = [public(parts, settings), internal_app(services, process.internal_token)]
    if settings.metrics_port is not None:
        apps.append(metrics_app(services))
    runners = [
        web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS, handler_cancellation=False)
        for app in apps
    ]
    try:
        for runner in runners:
            await runner.setup()
        process.orchestrator_socket.unlink(missing_ok=True)
        await Site.unix(runners[1], str(process.orchestrator_socket)).start()
        process.orchestrator_socket.chmod(0o600)
        if process.api_socket is not None:
            process.api_socket.unlink(missing_ok=True)
            await Site.unix(runners[0], str(process.api_socket)).start()
            process.api_socket.chmod(0o600)
        await Site.tcp(runners[0], settings.host, settings.port).start()
        if settings.metrics_port is not None:
            await Site.tcp(runners[2], settings.host, settings.metrics_port).start()
        log.info("listening", port=settings.port)
        yield
    finally:
        services.events.close()
        for runner in runners:
            await runner.cleanup()


def _secrets(settings: Settings, process: ProcessSettings) -> Iterator[str]:
    """What no line of the log may have, in each form in which something might write it."""
    access = settings.s3_access
    storage = None if access is None else access.secret_key
    payments = (settings.mercadopago_access_token, settings.mercadopago_webhook_secret)
    own = (
        settings.admin_token,
        settings.bot_token,
        settings.metrics_token,
        settings.backup_passphrase,
        storage,
        *payments,
    )
    for secret in (*own, process.internal_token, process.supervisor_password):
        if secret is not None:
            yield secret
    for key in settings.session_encryption_keys:
        yield from (key.hex(), base64.b64encode(key).decode(), base64.urlsafe_b64encode(key).decode())
    password = urlsplit(process.database_url).password
    if password:
        yield from (password, unquote(password))


def _warn_about(settings: Settings) -> None:
    if settings.bot_token is None:
        log.info("BOT_TOKEN is unset: the Telegram bot is off")
    elif settings.admin_chat_id is None:
        log.warning("ADMIN_CHAT_ID is unset: the Telegram bot serves tenants and has no operator, who gets no alerts")
    if not settings.session_encryption_keys:
        log.warning("SESSION_ENCRYPTION_KEYS is unset: auth states are stored without encryption")
    if settings.mercadopago_access_token is None:
        log.info("MERCADOPAGO_ACCESS_TOKEN is unset: billing is off, everybody may use everything")
    elif settings.mercadopago_webhook_secret is None:
        log.warning(
            "MERCADOPAGO_WEBHOOK_SECRET is unset: no notification is believed, and what was paid is found minutes later"
        )
    if settings.whatsapp_web_url != WHATSAPP_WEB_URL:
        log.warning(
            "WHATSAPP_WEB_URL is not WhatsApp's own: Baileys does not authenticate the server, whoever runs it reads everything",
            url=settings.whatsapp_web_url,
        )


def _show_token(token: str) -> None:
    _show(
        "\nAdmin token, shown only this once / token de administrador, mostrado só esta vez:\n"
        f"    export ADMIN_TOKEN={token}\n\n"
    )


def _show(text: str) -> None:
    """Write for the person at the terminal; this is no log line."""
    with contextlib.suppress(OSError):
        sys.stdout.write(text)
        sys.stdout.flush()


def _banner(settings: Settings) -> str:
    base = f"http://localhost:{settings.port}"
    authorized = '-H "Authorization: Bearer $ADMIN_TOKEN"'
    return f"""
Baileys Orchestrator is ready / está pronto: {base}
  Link a WhatsApp account / vincule uma conta do WhatsApp:
    curl -X POST {base}/v1/sessions {authorized} -d '{{"session_id": "loja-1"}}'
    curl {base}/v1/sessions/loja-1/qr {authorized} -H "Accept: text/plain"
  Or in a browser, with the token / ou no navegador, com o token: {base}

"""
