from dataclasses import replace
from datetime import UTC, datetime

import pytest

from orchestrator.domain.errors import SessionNotFound
from orchestrator.domain.session import ConnectionState, DesiredState, Session, SetAsideBy, existing_id

STORED = Session(
    session_ref=1,
    tenant_id="t",
    session_id="loja-1",
    desired_state=DesiredState.RUNNING,
    connection_state=ConnectionState.OPEN,
    reason=None,
    pairing_failure=None,
    generation=1,
    paired=True,
    jid=None,
    set_aside_by=None,
    epoch=1,
    owner="a",
    last_open_at=None,
    last_backup_at=None,
    created_at=datetime.now(UTC),
)


@pytest.mark.parametrize(
    ("held", "desired", "stored", "shown"),
    [
        (True, DesiredState.RUNNING, ConnectionState.OPEN, ConnectionState.OPEN),
        (False, DesiredState.RUNNING, ConnectionState.OPEN, ConnectionState.STARTING),
        (False, DesiredState.STOPPED, ConnectionState.OPEN, ConnectionState.STOPPED),
    ],
)
def test_without_a_live_lease_nobody_is_connected_whatever_was_stored_last(
    held: bool, desired: DesiredState, stored: ConnectionState, shown: ConnectionState
) -> None:
    session = replace(STORED, owner="a" if held else None, desired_state=desired, connection_state=stored)
    assert session.shown_state is shown


@pytest.mark.parametrize(
    ("by", "shown"),
    [
        (SetAsideBy.WHATSAPP, ConnectionState.QUARANTINED),
        (SetAsideBy.CORRUPT, ConnectionState.QUARANTINED),
        (SetAsideBy.KEY_MISSING, ConnectionState.QUARANTINED),
        (SetAsideBy.LOGOUT, ConnectionState.STOPPED),
    ],
)
def test_a_pairing_that_is_set_aside_shows_whatever_state_was_stored_after_it(
    by: SetAsideBy, shown: ConnectionState
) -> None:
    assert replace(STORED, set_aside_by=by).shown_state is shown


@pytest.mark.parametrize("text", ["", ".", "..", "a b", "a\x00", "a" * 65])
def test_what_can_not_be_an_id_is_not_found(text: str) -> None:
    with pytest.raises(SessionNotFound):
        existing_id(text)
