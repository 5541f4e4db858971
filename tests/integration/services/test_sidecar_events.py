"""What the sidecar reports, and what people see of it through the public API."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from orchestrator.domain.session import Lease
from orchestrator.domain.tenant import OPERATOR_TENANT
from orchestrator.store.database import Database
from orchestrator.store.leases import LeaseStore
from orchestrator.store.sessions import SessionStore
from tests.support.event_stream import Heard, listening
from tests.support.public_api import PublicApi, public_api

REPLICA = "a" * 32


@pytest.fixture
async def api(database: Database, database_url: str) -> AsyncIterator[PublicApi]:
    """This replica holds the lease of session loja-1."""
    await SessionStore(database).create(OPERATOR_TENANT, "loja-1")
    await LeaseStore(database, REPLICA, 3600.0).claim(1)
    async with public_api(database_url, REPLICA) as api:
        await api.services.leases.adopt(alone=False)
        yield api


def lease_of(api: PublicApi) -> Lease:
    (lease,) = api.services.leases.held.values()
    return lease


async def report(api: PublicApi, type_: str, **data: Any) -> None:
    lease = lease_of(api)
    await api.services.sidecar_events.handle(lease.session_ref, lease.epoch, type_, data)


async def verified(api: PublicApi, keys: int, *, repaired_keys: int = 0, repaired_creds: bool = False) -> None:
    await report(api, "session.verified", keys=keys, repaired={"creds": repaired_creds, "keys": repaired_keys})


async def shown_verification(api: PublicApi) -> Any:
    url, headers = f"http://127.0.0.1:{api.port}/v1/sessions", {"Authorization": f"Bearer {api.token}"}
    async with api.http.get(url, headers=headers) as listed, api.http.get(f"{url}/loja-1", headers=headers) as shown:
        verification = (await shown.json())["verification"]
        assert (await listed.json())["sessions"][0]["verification"] == verification
        return verification


async def everything(api: PublicApi, heard: Heard) -> list[str]:
    """The types of all events so far."""
    await report(api, "message.receipt", message_id="the last")
    await heard.wait_for("message.receipt")
    return [type_ for type_, _ in heard]


async def test_a_verification_that_repaired_nothing_is_shown_and_told_to_nobody(
    api: PublicApi, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await shown_verification(api) is None
    async with listening(api) as heard:
        await verified(api, 812)
        assert await everything(api, heard) == ["message.receipt"]
    shown = await shown_verification(api)
    assert shown.pop("at").endswith("Z")
    assert shown == {"keys": 812, "repaired_keys": 0, "repaired_creds": 0}
    assert "verification repaired" not in capsys.readouterr().out


async def test_what_verifications_repaired_is_counted_logged_and_told(
    api: PublicApi, capsys: pytest.CaptureFixture[str]
) -> None:
    async with listening(api) as heard:
        await verified(api, 10, repaired_keys=2)
        assert await heard.wait_for("session.repaired", creds=False, keys=2)
        await verified(api, 12, repaired_keys=1, repaired_creds=True)
        assert await heard.wait_for("session.repaired", creds=True, keys=1)
        await verified(api, 12)
    shown = await shown_verification(api)
    assert (shown["keys"], shown["repaired_keys"], shown["repaired_creds"]) == (12, 3, 1)
    assert capsys.readouterr().out.count("verification repaired") == 2


@pytest.mark.parametrize(
    "alert",
    [
        {"alert": "journal_filling", "reason": "It fills.", "bytes": 3, "limit": 4},
        {"alert": "restore_incomplete", "reason": "Keys are missing.", "missing": ["pre-key"]},
        {"alert": "restore_refused", "reason": "It is another account's."},
    ],
)
async def test_an_alert_is_logged_and_told_with_its_fields(
    api: PublicApi, capsys: pytest.CaptureFixture[str], alert: dict[str, Any]
) -> None:
    async with listening(api) as heard:
        await report(api, "session.alert", **alert)
        told = await heard.wait_for("session.alert")
    assert {name: told[name] for name in alert} == alert
    assert alert["reason"] in capsys.readouterr().out


async def test_a_stale_epochs_verification_counts_for_nothing(api: PublicApi) -> None:
    lease = lease_of(api)
    data = {"keys": 1, "repaired": {"creds": True, "keys": 1}}
    await api.services.sidecar_events.handle(lease.session_ref, lease.epoch - 1, "session.verified", data)
    assert await shown_verification(api) is None


@pytest.mark.parametrize(
    ("state", "code", "alert"),
    [("paused", 402, "banned"), ("paused", 411, "multi_device_off"), ("conflict", 440, "conflict")],
)
async def test_what_only_a_person_or_time_can_mend_is_told(api: PublicApi, state: str, code: int, alert: str) -> None:
    async with listening(api) as heard:
        await report(api, "connection.state", state=state, code=code, reason="WhatsApp said so.")
        told = await heard.wait_for("session.alert")
        assert (told["alert"], told["reason"]) == (alert, "WhatsApp said so.")


async def test_what_passes_by_itself_is_no_alert(api: PublicApi) -> None:
    async with listening(api) as heard:
        await report(api, "connection.state", state="waiting_retry", code=503, reason="WhatsApp ended the connection.")
        await report(api, "connection.state", state="paused", reason="The subscription has ended.")
        assert "session.alert" not in await everything(api, heard)
