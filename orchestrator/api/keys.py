"""What handlers find in the application, by typed key."""

from dataclasses import dataclass

from aiohttp import web

from orchestrator.domain.rate_limit import Taken
from orchestrator.domain.tenant import Caller
from orchestrator.services.access import Access
from orchestrator.services.activity import Activity
from orchestrator.services.archives import Archives
from orchestrator.services.backups import Backups
from orchestrator.services.charges import Charges
from orchestrator.services.chat_history import ChatHistory
from orchestrator.services.directory import Directory
from orchestrator.services.events import EventBus
from orchestrator.services.forwarding import Forwarding
from orchestrator.services.history import History
from orchestrator.services.incoming import IncomingMessages
from orchestrator.services.leases import LeaseBook
from orchestrator.services.logins import Logins
from orchestrator.services.messaging import Messaging
from orchestrator.services.metrics import Metrics
from orchestrator.services.notices import Notices
from orchestrator.services.operations import Operations
from orchestrator.services.outbox import Outbox
from orchestrator.services.outbox_sender import OutboxSender
from orchestrator.services.pairing import Pairing
from orchestrator.services.pairing_links import PairingLinks
from orchestrator.services.payments import Payments
from orchestrator.services.posted_folders import PostedFolders
from orchestrator.services.rate_limits import RateLimits
from orchestrator.services.readiness import Readiness
from orchestrator.services.reminder_contacts import ReminderContacts
from orchestrator.services.reminder_schedules import ReminderSchedules
from orchestrator.services.reminders import Reminders
from orchestrator.services.replicas import Replicas
from orchestrator.services.session_settings import Settings
from orchestrator.services.sessions import Sessions
from orchestrator.services.sidecar_events import SidecarEvents
from orchestrator.services.subscriptions import Subscriptions
from orchestrator.services.supervision import Supervision
from orchestrator.services.tenants import Tenants
from orchestrator.services.webhooks import Webhooks
from orchestrator.sidecar.supervisord import SupervisordClient
from orchestrator.store.acts import ActStore
from orchestrator.store.bot import BotStore
from orchestrator.store.broadcasts import BroadcastStore
from orchestrator.store.charges import ChargeStore
from orchestrator.store.muted_alerts import MutedAlertStore
from orchestrator.store.overview import OverviewStore
from orchestrator.store.plans import PlanStore
from orchestrator.store.settlements import SettlementStore


@dataclass(frozen=True, slots=True)
class Services:
    """Every use case that HTTP leads to."""

    access: Access
    activity: Activity
    acts: ActStore
    archives: Archives
    backups: Backups
    bot: BotStore
    broadcasts: BroadcastStore
    chat_history: ChatHistory
    directory: Directory
    charge_store: ChargeStore
    charges: Charges
    events: EventBus
    forwarding: Forwarding
    history: History
    incoming: IncomingMessages
    leases: LeaseBook
    logins: Logins
    messaging: Messaging
    metrics: Metrics
    muted_alerts: MutedAlertStore
    overview: OverviewStore
    operations: Operations
    outbox: Outbox
    outbox_sender: OutboxSender
    notices: Notices
    pairing: Pairing
    pairing_links: PairingLinks
    payments: Payments
    plans: PlanStore
    posted_folders: PostedFolders
    rate_limits: RateLimits
    readiness: Readiness
    reminder_contacts: ReminderContacts
    reminder_schedules: ReminderSchedules
    reminders: Reminders
    replicas: Replicas
    sessions: Sessions
    settings: Settings
    settlements: SettlementStore
    sidecar_events: SidecarEvents
    subscriptions: Subscriptions
    supervision: Supervision
    supervisord: SupervisordClient
    tenants: Tenants
    webhooks: Webhooks


SERVICES = web.AppKey("services", Services)
TENANT = web.RequestKey("tenant", str)
"""Whose things a request is about: the caller's tenant, unless the admin names another."""
CALLER = web.RequestKey("caller", Caller)
PUBLIC_URL: web.AppKey[str | None] = web.AppKey("public_url")
HAS_BOT: web.AppKey[bool] = web.AppKey("has_bot")
"""Whether there is a Telegram bot, here or in another replica."""
WEBHOOK_SECRET: web.AppKey[str | None] = web.AppKey("webhook_secret")
"""What Telegram shows with each update; None: none is expected."""
RATE = web.RequestKey("rate", Taken)
"""What is left of the caller's rate."""
