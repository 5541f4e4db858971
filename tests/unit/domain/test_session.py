from dataclasses import replace
from datetime import UTC, datetime

import pytest

from orchestrator.domain.session import ConnectionState, DesiredState, Session

STORED = Session(
    session_ref=1,
    tenant_id="t",
    session_id="loja-1",
    desired_state=DesiredState.RUNNING,
    connection_state=ConnectionState.OPEN,
    reason=None,
    generation=1,
    paired=True,
    jid=None,
    set_aside_by=None,
    epoch=1,
    lease_owner="me",
    lease_held=True,
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
        (False, DesiredState.RUNNING, ConnectionState.QUARANTINED, ConnectionState.QUARANTINED),
    ],
)
def test_without_a_live_lease_nobody_is_connected_whatever_was_stored_last(
    held: bool, desired: DesiredState, stored: ConnectionState, shown: ConnectionState
) -> None:
    session = replace(STORED, lease_held=held, desired_state=desired, connection_state=stored)
    assert session.shown_state is shown
