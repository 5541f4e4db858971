"""One session: how it is, its linking, what it did, its pairings, its settings."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from msgspec import UNSET

from orchestrator.api.pairing import LINK_ID
from orchestrator.api.sessions import GENERATION
from orchestrator.domain.errors import (
    FieldError,
    GenerationNotFound,
    InvalidRequest,
    NotFound,
    PairingLinkNotFound,
    ScopeMissing,
)
from orchestrator.domain.session import ConnectionState, DesiredState
from orchestrator.domain.session_settings import HistorySync
from orchestrator.pages.dashboard.visits import Done, Page, Visit, first
from orchestrator.pages.serving import SECURITY
from orchestrator.wire.pairing import CreatePairingLink, PairingProgress
from orchestrator.wire.session_settings import ChangeSettings
from orchestrator.wire.sessions import Session

#: How good a state is, as a class of the stylesheet.
MARKS: Mapping[ConnectionState, str] = {
    ConnectionState.STARTING: "busy",
    ConnectionState.PAIRING: "busy",
    ConnectionState.CONNECTING: "busy",
    ConnectionState.OPEN: "good",
    ConnectionState.WAITING_RETRY: "busy",
    ConnectionState.CONFLICT: "bad",
    ConnectionState.PAUSED: "off",
    ConnectionState.QUARANTINED: "bad",
    ConnectionState.STOPPED: "off",
}

_MOST = 25
#: Looks at a session that is being linked: what a phone accepts changes every few seconds.
_LINKING_SECONDS = 1.0

_SWITCHES = (
    "mark_online",
    "read_automatically",
    "ignore_groups",
    "ignore_status",
    "ignore_channels",
    "reject_calls",
)


async def shown(visit: Visit) -> Page:
    return await _shown(visit)


async def _shown(visit: Visit, **more: Any) -> Page:
    """``more``: what is shown this once."""
    sessions, name = visit.own.sessions, visit.named("session_id")
    session = await _session(visit)
    progress = await _progress(visit, session)
    waits = progress is not None and progress.phase in ("waiting", "scan", "linking")
    values = {
        "session": session,
        "marks": MARKS,
        "progress": progress,
        "runs": session is not None and session.desired_state is DesiredState.RUNNING,
        "activity": (await sessions.activity(name)).hours if session else [],
        "changes": await first(sessions.connections(name), _MOST) if session else [],
        "generations": await first(sessions.generations(name), _MOST),
        "events": await first(sessions.audit(name), _MOST),
        "links": [],
        "settings": None,
        "history_syncs": list(HistorySync),
        "new_link": None,
        "code": None,
        **more,
    }
    if session is not None and not visit.watches:  # the rest of the page stays as it is
        values["settings"] = await sessions.settings(name)
        values["links"] = await first(sessions.pairing_links(name), _MOST) if visit.may_manage else []
    seconds = _LINKING_SECONDS if waits else 5.0
    return Page(template="session.html", title=name, area="sessions", values=values, looks_seconds=seconds)


async def _session(visit: Visit) -> Session | None:
    """None for one that was deleted, of which pairings are still kept."""
    try:
        return await visit.own.sessions.get(visit.named("session_id"))
    except NotFound:
        if not await first(visit.own.sessions.generations(visit.named("session_id")), 1):
            raise
        return None


async def _progress(visit: Visit, session: Session | None) -> PairingProgress | None:
    """How far its linking is, for whoever may link it."""
    if session is None or not visit.may_manage or session.connection_state is ConnectionState.OPEN:
        return None
    return await visit.own.sessions.pairing(session.session_id)


async def start(visit: Visit) -> Done:
    await visit.own.sessions.start(visit.named("session_id"))
    return Done(note="started")


async def stop(visit: Visit) -> Done:
    await visit.own.sessions.stop(visit.named("session_id"))
    return Done(note="stopped")


async def restart(visit: Visit) -> Done:
    await visit.own.sessions.restart(visit.named("session_id"))
    return Done(note="restarted")


async def log_out(visit: Visit) -> Done:
    await visit.own.sessions.log_out(visit.named("session_id"))
    return Done(note="logged_out")


async def link_again(visit: Visit) -> Done:
    """A new pairing, also in the place of one that works: that comes back if the new one fails."""
    await visit.own.sessions.start(visit.named("session_id"), new_pairing=True, replace=True)
    return Done(note="started")


async def delete(visit: Visit) -> Done:
    await visit.own.sessions.delete(visit.named("session_id"))
    return Done(note="deleted", to="/")


async def restore(visit: Visit) -> Done:
    number = visit.typed("generation")
    if not GENERATION.fullmatch(number):
        raise GenerationNotFound
    await visit.own.sessions.restore(visit.named("session_id"), int(number), replace=True)
    return Done(note="restored")


async def pairing_code(visit: Visit) -> Page:
    digits = "".join(character for character in visit.typed("phone") if character not in " +-().")
    code = await visit.own.sessions.pairing_code(visit.named("session_id"), digits)
    return await _shown(visit, code=code)


async def make_link(visit: Visit) -> Page:
    body = CreatePairingLink(requested_by=visit.typed("requested_by"))
    made = await visit.own.sessions.create_pairing_link(visit.named("session_id"), body)
    return await _shown(visit, new_link=made)


async def revoke_link(visit: Visit) -> Done:
    number = visit.typed("link_id")
    if not LINK_ID.fullmatch(number):
        raise PairingLinkNotFound
    await visit.own.sessions.revoke_pairing_link(visit.named("session_id"), int(number))
    return Done(note="revoked")


async def change_settings(visit: Visit) -> Done:
    """All of the form. A proxy is only shown with its password hidden, so an untouched one is left as it is."""
    switches = {name: visit.form.get(name) == "yes" for name in _SWITCHES}
    days, sync = visit.typed("retention_days"), visit.typed("history_sync")
    if days and not days.isdecimal():
        raise InvalidRequest(errors=[FieldError("retention_days", "must be a number of days")])
    if sync not in set(HistorySync):
        raise InvalidRequest(errors=[FieldError("history_sync", f"must be out of {', '.join(HistorySync)}")])
    changes = ChangeSettings(
        **switches,
        device_name=visit.typed("device_name") or None,
        reject_call_message=visit.typed("reject_call_message") or None,
        retention_days=int(days) if days else None,
        history_sync=HistorySync(sync),
        proxy=UNSET if visit.typed("proxy") == visit.typed("shown_proxy") else visit.typed("proxy") or None,
    )
    changed = await visit.own.sessions.change_settings(visit.named("session_id"), changes)
    return Done(note="settings_at_pairing" if changed.at_next_pairing else "saved")


async def export(visit: Visit) -> web.Response:
    """A sealed archive of its auth state, for the admin."""
    if not visit.is_admin:
        raise ScopeMissing
    name = visit.named("session_id")
    if len(visit.typed("passphrase")) < 12:
        raise InvalidRequest(errors=[FieldError("passphrase", "must have 12 characters or more")])
    archive = await visit.own.operator.export(name, visit.typed("passphrase"))
    headers = {**SECURITY, "Content-Disposition": f'attachment; filename="{name}.archive"'}
    return web.Response(body=archive, content_type="application/octet-stream", headers=headers)
