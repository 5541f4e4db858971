"""What the sidecar reports, turned into stored states, quarantines and public events."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import structlog

from orchestrator.domain.errors import LeaseLost
from orchestrator.domain.language import Language
from orchestrator.domain.meter import Counter
from orchestrator.domain.pairing_failure import EXPLANATIONS, pairing_failure
from orchestrator.domain.session import ConnectionState, Lease, SetAsideBy
from orchestrator.services.connections import Connections, PairingCode, Qr
from orchestrator.services.events import EventBus, timestamp
from orchestrator.services.leases import LeaseBook
from orchestrator.services.quarantine import Quarantine
from orchestrator.services.supervision import Supervision
from orchestrator.store.sessions import SessionStore

log = structlog.get_logger(__name__)

#: Alerts by WhatsApp's code, of connections that nobody but a person, or time, can bring back.
_PAUSED_BY_WHATSAPP: Mapping[object, str] = {402: "banned", 411: "multi_device_off"}


class SidecarEvents:
    def __init__(
        self,
        sessions: SessionStore,
        leases: LeaseBook,
        connections: Connections,
        supervision: Supervision,
        quarantine: Quarantine,
        events: EventBus,
        on_open: Callable[[int], None],
    ) -> None:
        self._on_open = on_open
        self._sessions = sessions
        self._leases = leases
        self._connections = connections
        self._supervision = supervision
        self._quarantine = quarantine
        self._events = events
        self.verifications = 0
        self.repairs = Counter()
        """What verification backups had to write again: creds and keys."""
        self.disconnects = Counter()
        """Connections that ended, by WhatsApp's code."""

    async def handle(self, session_ref: int, epoch: int, type_: str, data: Mapping[str, Any]) -> None:
        """Take one event; those of a stale epoch are dropped. Raises ``DatabaseUnavailable`` only for what must be stored."""
        try:
            lease = self._leases.current(session_ref, epoch)
        except LeaseLost:
            return
        self._connections.note_report(session_ref)
        match type_:
            case "connection.state":
                await self._state(lease, ConnectionState(data["state"]), data)
            case "pairing.qr":
                await self._qr(lease, data)
            case "pairing.code":
                await self._code(lease, PairingCode.until(data["pairing_code"], data["expires_at"]))
            case "pairing.failed" if data.get("retrying"):
                await self._pairing_retried(lease, data)
            case "pairing.failed":
                await self._pairing_failed(lease, data)
            case "session.degraded":
                self._connections.set_degraded(session_ref, bool(data["degraded"]))
                self._publish(
                    lease, "session.degraded", {"degraded": bool(data["degraded"]), "reason": data.get("reason")}
                )
            case "session.verified":
                self._verified(lease, int(data["keys"]), bool(data["repaired"]["creds"]), int(data["repaired"]["keys"]))
            case "session.alert":
                log.warning("session alert", session_id=lease.session_id, alert=data["alert"], details=dict(data))
                self._publish(lease, "session.alert", dict(data))
            case "message.receipt" | "presence.update" | "call.received":
                self._publish(lease, type_, dict(data))
            case "group.participants" | "group.updated" | "group.created" | "group.join_request":
                self._publish(lease, type_, dict(data))
            case _:
                log.warning("unknown event from the sidecar", type=type_)

    async def _state(self, lease: Lease, state: ConnectionState, data: Mapping[str, Any]) -> None:
        reason = data.get("reason")
        log.info("connection state", session_id=lease.session_id, state=state, reason=reason, code=data.get("code"))
        if isinstance(data.get("code"), int):
            self.disconnects.add(str(data["code"]))
        if state is ConnectionState.QUARANTINED:
            await self._quarantine.set_aside(lease, SetAsideBy.WHATSAPP, reason or "WhatsApp logged the device out.")
            self._let_go(lease)
            return
        if await self._connections.report_state(lease.session_ref, state, reason):
            self._events.publish_state(lease, state, reason, data.get("jid"))
        self._supervision.wanted.set()  # the next round records it
        if state is ConnectionState.OPEN:
            self._on_open(lease.session_ref)
        alert = "conflict" if state is ConnectionState.CONFLICT else None
        if state is ConnectionState.PAUSED:
            alert = _PAUSED_BY_WHATSAPP.get(data.get("code"))
        if alert is not None:
            self._publish(lease, "session.alert", {"alert": alert, "reason": reason})

    async def _qr(self, lease: Lease, data: Mapping[str, Any]) -> None:
        qr = Qr.until(data["qr"], data["expires_at"], rotated=bool(data.get("rotated")))
        await self._connections.set_qr(lease.session_ref, qr)
        shown = {"qr": qr.qr, "expires_at": timestamp(qr.expires_at), "rotated": qr.rotated}
        self._publish(lease, "session.qr", shown, expires_at=qr.expires_at)

    async def _code(self, lease: Lease, code: PairingCode) -> None:
        await self._connections.set_pairing_code(lease.session_ref, code)
        shown = {"pairing_code": code.code, "expires_at": timestamp(code.expires_at)}
        self._publish(lease, "session.pairing_code", shown, expires_at=code.expires_at)

    def _verified(self, lease: Lease, keys: int, repaired_creds: bool, repaired_keys: int) -> None:
        self._connections.set_verified(
            lease.session_ref, keys, repaired_keys=repaired_keys, repaired_creds=repaired_creds
        )
        self.verifications += 1
        if repaired_creds or repaired_keys:
            self.repairs.add("creds", int(repaired_creds))
            self.repairs.add("keys", repaired_keys)
            log.warning("verification repaired", session_id=lease.session_id, creds=repaired_creds, keys=repaired_keys)
            self._publish(lease, "session.repaired", {"creds": repaired_creds, "keys": repaired_keys})

    async def _pairing_retried(self, lease: Lease, data: Mapping[str, Any]) -> None:
        log.info("pairing retried", session_id=lease.session_id, code=data["code"], reason=data["reason"])
        await self._connections.set_retried(lease.session_ref, data["code"])
        self._publish(lease, "session.pairing_failed", _failure(data["code"], data["reason"], retrying=True))

    async def _pairing_failed(self, lease: Lease, data: Mapping[str, Any]) -> None:
        """The pairing is over: the session stops, so that nobody is shown QR codes for ever, or goes back to the pairing
        that it had before."""
        failure = _failure(data["code"], data["reason"], retrying=False)
        log.info("pairing failed", session_id=lease.session_id, code=data["code"], reason=data["reason"])
        back = await self._sessions.end_pairing(lease, self._leases.owner, data["code"], failure["reason"])
        self._publish(lease, "session.pairing_failed", failure | {"generation": back})
        if back is None:
            self._events.publish_state(lease, ConnectionState.STOPPED, failure["reason"])
        await self._leases.release([lease.session_ref])
        self._let_go(lease)

    def _let_go(self, lease: Lease) -> None:
        """Have the next round close what is left in the sidecar. Not here: it is waiting for our answer to this event."""
        self._connections.forget(lease.session_ref)
        self._supervision.wanted.set()

    def _publish(self, lease: Lease, type_: str, data: dict[str, Any], *, expires_at: datetime | None = None) -> None:
        self._events.publish(lease.tenant_id, type_, lease.session_id, data, expires_at=expires_at)


def _failure(code: str, reason: str, *, retrying: bool) -> dict[str, Any]:
    """What is told of a failed pairing; ``reason`` is the sidecar's, for a code that only a later version knows."""
    known = pairing_failure(code)
    reasons = {} if known is None else {str(language): str(EXPLANATIONS[language][known]) for language in Language}
    return {"code": code, "reason": reasons.get(Language.EN, reason), "reasons": reasons, "retrying": retrying}
