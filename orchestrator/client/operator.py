"""What the operator sees and does beside the things of tenants; for the admin token."""

from orchestrator.client.transport import Transport, segment
from orchestrator.domain.alert import AlertKind
from orchestrator.wire import overview as wire
from orchestrator.wire.activity import ServiceActivity
from orchestrator.wire.alerts import Alert, Alerts
from orchestrator.wire.shape import NoFields


class Operator:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def overview(self) -> wire.Overview:
        return await self._transport.call("GET", "/v1/overview", wire.Overview)

    async def sessions(
        self, *, search: str = "", states: str = "", limit: int = 50, cursor: str | None = None
    ) -> wire.TenantSessions:
        """One page of all tenants' sessions, by tenant and id."""
        query = {"search": search, "states": states, "limit": str(limit), **({"cursor": cursor} if cursor else {})}
        return await self._transport.call("GET", "/v1/overview/sessions", wire.TenantSessions, query=query)

    async def activity(self) -> ServiceActivity:
        """The last 24 hours of all tenants' sessions together, and how fast backups were."""
        return await self._transport.call("GET", "/v1/overview/activity", ServiceActivity)

    async def alerts(self) -> list[Alert]:
        """Every kind, and whether it is muted."""
        return (await self._transport.call("GET", "/v1/alerts", Alerts)).alerts

    async def muted(self) -> frozenset[AlertKind]:
        """The kinds that the operator's chat is spared."""
        return frozenset(alert.kind for alert in await self.alerts() if alert.muted)

    async def mute(self, kind: AlertKind) -> None:
        await self._transport.done("PUT", f"/v1/alerts/{kind}/mute")

    async def unmute(self, kind: AlertKind) -> None:
        await self._transport.done("DELETE", f"/v1/alerts/{kind}/mute")

    async def processes(self) -> list[wire.Process]:
        """Those of the replica that answers."""
        return (await self._transport.call("GET", "/v1/processes", wire.Processes)).processes

    async def restart_process(self, process: str) -> None:
        """``ProcessNotFound``. Of the orchestrator itself: ``ServiceUnreachable``, because it can't answer."""
        await self._transport.done("POST", f"/v1/processes/{segment(process)}/restart", body=NoFields())

    async def log_tail(self, process: str, most_bytes: int) -> str:
        path = f"/v1/processes/{segment(process)}/log"
        return (await self._transport.call("GET", path, wire.Log, query={"bytes": str(most_bytes)})).log

    async def export(self, session_id: str, passphrase: str) -> bytes:
        """A sealed archive of the auth state."""
        body = wire.ExportSession(passphrase=passphrase)
        return await self._transport.content("POST", f"/v1/sessions/{segment(session_id)}/export", body)
