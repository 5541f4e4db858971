"""What handlers find in the application, by typed key."""

from dataclasses import dataclass

from aiohttp import web

from orchestrator.domain.rate_limit import Taken
from orchestrator.domain.tenant import Caller
from orchestrator.services.access import Access
from orchestrator.services.archives import Archives
from orchestrator.services.backups import Backups
from orchestrator.services.directory import Directory
from orchestrator.services.events import EventBus
from orchestrator.services.forwarding import Forwarding
from orchestrator.services.history import History
from orchestrator.services.incoming import IncomingMessages
from orchestrator.services.leases import LeaseBook
from orchestrator.services.messaging import Messaging
from orchestrator.services.operations import Operations
from orchestrator.services.pairing import Pairing
from orchestrator.services.pairing_links import PairingLinks
from orchestrator.services.posted_folders import PostedFolders
from orchestrator.services.rate_limits import RateLimits
from orchestrator.services.readiness import Readiness
from orchestrator.services.replicas import Replicas
from orchestrator.services.session_settings import Settings
from orchestrator.services.sessions import Sessions
from orchestrator.services.sidecar_events import SidecarEvents
from orchestrator.services.supervision import Supervision
from orchestrator.services.tenants import Tenants
from orchestrator.sidecar.supervisord import SupervisordClient
from orchestrator.store.acts import ActStore
from orchestrator.store.bot import BotStore
from orchestrator.store.overview import OverviewStore


@dataclass(frozen=True, slots=True)
class Services:
    """Every use case that HTTP leads to."""

    access: Access
    acts: ActStore
    archives: Archives
    backups: Backups
    bot: BotStore
    directory: Directory
    events: EventBus
    forwarding: Forwarding
    history: History
    incoming: IncomingMessages
    leases: LeaseBook
    messaging: Messaging
    overview: OverviewStore
    operations: Operations
    pairing: Pairing
    pairing_links: PairingLinks
    posted_folders: PostedFolders
    rate_limits: RateLimits
    readiness: Readiness
    replicas: Replicas
    sessions: Sessions
    settings: Settings
    sidecar_events: SidecarEvents
    supervision: Supervision
    supervisord: SupervisordClient
    tenants: Tenants


SERVICES = web.AppKey("services", Services)
TENANT = web.RequestKey("tenant", str)
"""Whose things a request is about: the caller's tenant, unless the admin names another."""
CALLER = web.RequestKey("caller", Caller)
PUBLIC_URL: web.AppKey[str | None] = web.AppKey("public_url")
WEBHOOK_SECRET: web.AppKey[str | None] = web.AppKey("webhook_secret")
"""What Telegram shows with each update; None: none is expected."""
RATE = web.RequestKey("rate", Taken)
"""What is left of the caller's rate."""
