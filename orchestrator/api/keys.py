"""What handlers find in the application, by typed key."""

from dataclasses import dataclass

from aiohttp import web

from orchestrator.domain.tenant import Caller
from orchestrator.services.access import Access
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
from orchestrator.services.posted_folders import PostedFolders
from orchestrator.services.readiness import Readiness
from orchestrator.services.replicas import Replicas
from orchestrator.services.session_settings import Settings
from orchestrator.services.sessions import Sessions
from orchestrator.services.sidecar_events import SidecarEvents
from orchestrator.services.supervision import Supervision


@dataclass(frozen=True, slots=True)
class Services:
    """Every use case that HTTP leads to."""

    access: Access
    backups: Backups
    directory: Directory
    events: EventBus
    forwarding: Forwarding
    history: History
    incoming: IncomingMessages
    leases: LeaseBook
    messaging: Messaging
    operations: Operations
    pairing: Pairing
    posted_folders: PostedFolders
    readiness: Readiness
    replicas: Replicas
    sessions: Sessions
    settings: Settings
    sidecar_events: SidecarEvents
    supervision: Supervision


SERVICES = web.AppKey("services", Services)
TENANT = web.RequestKey("tenant", str)
"""Whose sessions a request is about."""
CALLER = web.RequestKey("caller", Caller)
