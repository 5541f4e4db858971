"""From what the API says to troubles, and from alerts to messages."""

import msgspec
import pytest

from orchestrator.bot.watch import alert_screen, session_troubles, troubles_of
from orchestrator.domain.alert import Alert, AlertKind, Trouble
from orchestrator.domain.crash_suspects import ISOLATED
from orchestrator.domain.language import Language
from orchestrator.domain.session import ConnectionState, DesiredState
from orchestrator.domain.subscription import PAUSED_REASON
from orchestrator.wire import overview as wire


def session(state: ConnectionState, **more: object) -> wire.TenantSession:
    fields: dict[str, object] = {
        "tenant_id": "acme",
        "session_id": "loja-1",
        "paired": True,
        "desired_state": DesiredState.RUNNING,
        "connection_state": state,
        "jid": None,
        "generation": 1,
        "epoch": 1,
        "degraded": False,
        "last_open_at": None,
        "last_backup_at": None,
        "verification": None,
        "reason": None,
        "pairing_failure": None,
        "created_at": "2026-11-27T01:02:03.456Z",
    }
    return msgspec.convert({**fields, **more}, wire.TenantSession)


@pytest.mark.parametrize(
    ("shown", "kind"),
    [
        (session(ConnectionState.QUARANTINED), AlertKind.QUARANTINED),
        (session(ConnectionState.CONFLICT), AlertKind.CONFLICT),
        (session(ConnectionState.PAUSED, reason=ISOLATED), AlertKind.CRASH_LOOP),
        (session(ConnectionState.PAUSED, reason=PAUSED_REASON), None),
        (session(ConnectionState.PAUSED, reason="WhatsApp blocked the account."), AlertKind.PAUSED),
        (session(ConnectionState.PAUSED, reason="WhatsApp blocked the account.", paired=False), None),
        (session(ConnectionState.WAITING_RETRY), AlertKind.LOST),
        (session(ConnectionState.STARTING, paired=False), None),
        (session(ConnectionState.STARTING, desired_state=DesiredState.STOPPED), None),
    ],
)
def test_a_session_s_state_is_a_trouble_or_none(shown: wire.TenantSession, kind: AlertKind | None) -> None:
    assert [trouble.kind for trouble in session_troubles([shown])] == ([] if kind is None else [kind])


def replica(used: int, degraded: int, state: str) -> wire.Replica:
    status = wire.ReplicaStatus(
        memory=wire.Memory(used=used, limit=1000),
        journal_bytes=5000,
        journal_limit=10_000,
        degraded=degraded,
        degraded_sessions=[],
        repaired_sessions=[wire.RepairedSession(tenant_id="acme", session_id="loja-1", at="2026-11-27T01:02:03.456Z")],
        processes=[wire.Process(process="baileys", state=state, started_at=None, detail="")],
    )
    return wire.Replica(
        replica_id="0" * 32,
        started_at="2026-11-27T01:02:03.456Z",
        sessions=1,
        ready=True,
        answers=True,
        told_at=None,
        status=status,
    )


def test_a_replica_s_status_tells_its_troubles() -> None:
    ill = wire.Overview(at="", tenants=1, states=[], replicas=[replica(950, 2, "BACKOFF")])
    assert {trouble.kind for trouble in troubles_of(ill)} == {
        AlertKind.MEMORY,
        AlertKind.JOURNAL,
        AlertKind.PROCESS,
        AlertKind.REPAIRED,
    }
    well = wire.Overview(at="", tenants=1, states=[], replicas=[replica(500, 0, "RUNNING")])
    assert {trouble.kind for trouble in troubles_of(well)} == {AlertKind.REPAIRED}


@pytest.mark.parametrize("language", Language)
def test_an_alert_of_many_is_one_message(language: Language) -> None:
    many = tuple(Trouble(AlertKind.CONFLICT, f"acme/loja-{n}", "a <reason>") for n in range(25))
    screen = alert_screen(language, Alert(AlertKind.CONFLICT, over=False, troubles=many), operator=True)
    assert "acme/loja-9" in screen.text
    assert "acme/loja-10" not in screen.text
    assert "15" in screen.text
    assert "&lt;reason&gt;" in screen.text
    assert [row[0].action for row in screen.rows][:2] == [("session", "acme", "loja-0"), ("session", "acme", "loja-1")]


def test_a_tenant_is_told_the_names_that_it_knows() -> None:
    alert = Alert(AlertKind.QUARANTINED, over=False, troubles=(Trouble(AlertKind.QUARANTINED, "acme/loja-1"),))
    screen = alert_screen(Language.EN, alert, operator=False)
    assert "acme" not in screen.text
    assert {button.action[0] for row in screen.rows for button in row} == {"session", "link-again", "pairings"}


def test_why_is_said_in_the_language_of_the_chat() -> None:
    banned = Trouble(AlertKind.PAUSED, "acme/loja-1", "WhatsApp has blocked the account.")
    screen = alert_screen(Language.PT_BR, Alert(AlertKind.PAUSED, over=False, troubles=(banned,)), operator=True)
    assert "O WhatsApp bloqueou a conta." in screen.text
