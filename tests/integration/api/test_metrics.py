"""/metrics: who may read it, what it says, and that what the dashboard and the alerts ask for is in it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from orchestrator.domain.errors import LeaseLost
from tests.support.processes import free_port
from tests.support.serving import serving_leases

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
_OURS = re.compile(r"\b(?:orchestrator|sidecar|process)_[a-z_]+\b")


def samples(text: bytes) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families = text_string_to_metric_families(text.decode())
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(text: bytes, name: str, **labels: str) -> float | None:
    return samples(text).get((name, frozenset(labels.items())))


async def test_metrics_take_a_token_and_name_no_session(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_TOKEN", "for-prometheus-alone")
    async with serving_leases(database_url, [(17, 1, 4)], {17: "loja-centro"}) as served:
        assert (await served.call("GET", "/metrics", token=None)).status == 401
        assert (await served.call("GET", "/metrics", token="wrong")).status == 401
        with_admin = await served.call("GET", "/metrics")
        assert with_admin.status == 200
        answer = await served.call("GET", "/metrics", token="for-prometheus-alone")
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert (await served.call("GET", "/v1/sessions", token="for-prometheus-alone")).status == 401

        written = {"generation": 1, "epoch": 4, "set": [["session", "1.0", "{}"]]}
        assert (await served.internal("POST", "/internal/v1/sessions/17/auth-state/write", written)).status == 200
        stale = written | {"epoch": 3}
        assert (
            await served.internal("POST", "/internal/v1/sessions/17/auth-state/write", stale)
        ).code == LeaseLost.code
        verified = {"keys": 5, "repaired": {"creds": True, "keys": 2}}
        event = {"session_ref": 17, "epoch": 4, "type": "session.verified", "at": 1, "data": verified}
        told = {"instance": "i", "events": [event]}
        assert (await served.internal("POST", "/internal/v1/events", told)).status == 200

        text = (await served.call("GET", "/metrics")).body
        assert value(text, "orchestrator_leases") == 1
        assert value(text, "orchestrator_sessions", state="starting") == 1
        assert value(text, "orchestrator_ready", part="database") == 1
        assert value(text, "orchestrator_write_seconds_count") == 1
        assert value(text, "orchestrator_write_batch_bucket", le="1.0") == 1
        assert value(text, "orchestrator_verification_repairs_total", what="keys") == 2
        assert value(text, "orchestrator_http_requests_total", operation="metrics_get", status="401") == 2
        assert value(text, "sidecar_up", shard="baileys") == 0
        assert (value(text, "process_resident_memory_bytes") or 0) > 10_000_000
        assert value(text, "orchestrator_queue_waiting", queue="outbox") == 0
        assert b"loja-centro" not in text
        for name in names_asked_for():
            assert any(name == have or have.startswith(f"{name}_") for have, _ in samples(text)) or name in LATER, name


#: Metrics that only there is something of once it happened, or with a setting.
LATER = {
    "orchestrator_backup_last_success_timestamp_seconds",
    "orchestrator_backup_schedule_seconds",
    "orchestrator_disconnects_total",
    "orchestrator_messages_sent_total",
    "orchestrator_http_request_seconds_sum",
    "sidecar_cpu_seconds_total",
    "sidecar_event_loop_utilization",
    "sidecar_heap_limit_bytes",
    "sidecar_heap_used_bytes",
    "sidecar_journal_bytes",
    "sidecar_journal_limit_bytes",
    "sidecar_resident_memory_bytes",
}


async def test_metrics_may_have_a_port_of_their_own(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("METRICS_PORT", str(port))
    async with serving_leases(database_url, []) as served:
        async with served.http.get(f"http://127.0.0.1:{port}/metrics") as answer:
            assert answer.status == 200
            assert value(await answer.read(), "orchestrator_leases") == 0
        async with served.http.get(f"http://127.0.0.1:{port}/v1/sessions") as answer:
            assert answer.status == 404


async def test_every_answer_has_the_headers_that_hold_browsers_back(database_url: str) -> None:
    async with serving_leases(database_url, []) as served:
        for path, token in (
            ("/healthz", None),
            ("/v1/sessions", ""),
            ("/v1/sessions", None),
            ("/nothing", None),
            ("/docs", None),
        ):
            headers = (await served.call("GET", path, token=token)).headers
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["X-Frame-Options"] == "DENY"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert "frame-ancestors 'none'" in headers["Content-Security-Policy"] or path == "/docs"
            assert "Strict-Transport-Security" not in headers
        url = f"http://127.0.0.1:{served.port}/healthz"
        async with served.http.get(url, headers={"X-Forwarded-Proto": "https"}) as secure:
            assert secure.headers["Strict-Transport-Security"].startswith("max-age=")


def names_asked_for() -> set[str]:
    return {name for expression in expressions() for name in _OURS.findall(expression)}


def expressions() -> Iterator[str]:
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
            assert rule["labels"]["severity"] in ("critical", "warning")
            assert rule["annotations"]["summary"]
            assert rule["annotations"]["description"]
            yield rule["expr"]
    dashboard = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))


def test_alerts_and_panels_ask_only_for_metrics_that_there_are() -> None:
    services = Path(__file__).resolve().parents[3] / "orchestrator" / "services"
    source = (services / "metrics.py").read_text() + (services / "database_backups.py").read_text()
    for name in names_asked_for():
        if name.startswith("process_"):
            continue  # of the client library
        stem = re.sub(r"_(total|bucket|sum|count)$", "", name)
        assert f'"{stem}"' in source, name
    for expression in expressions():
        assert expression.count("(") == expression.count(")")
