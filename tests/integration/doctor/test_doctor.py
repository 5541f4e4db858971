"""The doctor on a real PostgreSQL, with Telegram, Mercado Pago and a pooler on loopback."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import psycopg
import pytest
from aiohttp import web
from psycopg import sql

from orchestrator import cli
from orchestrator.config import Settings
from orchestrator.doctor import database, machine, outside
from orchestrator.doctor.finding import Finding, Verdict
from orchestrator.domain.language import Language
from orchestrator.launcher.programs import CHECKOUT, OLDEST_NODE, SIDECAR
from orchestrator.store.database import Database
from tests.support.processes import free_port
from tests.support.s3 import fake_s3
from tests.support.serving import serving_leases
from tests.support.transaction_pooler import transaction_pooler

OK, WARN, FAIL = Verdict.OK, Verdict.WARN, Verdict.FAIL
BOT_TOKEN = "8123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw0"


def verdicts(findings: list[Finding]) -> dict[str, tuple[Verdict, str]]:
    return {finding.check: (finding.verdict, finding.text) for finding in findings}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def api() -> AsyncIterator[str]:
    """Telegram's and Mercado Pago's, as they answer who asks with right and wrong tokens."""

    async def telegram(request: web.Request) -> web.Response:
        if request.match_info["token"] != BOT_TOKEN:
            return web.json_response({"ok": False, "error_code": 401, "description": "Unauthorized"}, status=401)
        match request.match_info["method"]:
            case "getMe":
                return web.json_response(
                    {"ok": True, "result": {"id": 8123456789, "is_bot": True, "username": "loja_bot"}}
                )
            case "getWebhookInfo":
                return web.json_response({"ok": True, "result": {"url": "https://elsewhere.example/hook"}})
            case _ if request.query["chat_id"] == "77":
                return web.json_response({"ok": True, "result": {"id": 77, "type": "private"}})
        return web.json_response(
            {"ok": False, "error_code": 400, "description": "Bad Request: chat not found"}, status=400
        )

    async def me(request: web.Request) -> web.Response:
        if request.headers["Authorization"] not in ("Bearer APP_USR-right", "Bearer TEST-right"):
            return web.json_response({"message": "invalid_token", "status": 401}, status=401)
        return web.json_response({"id": 4711, "site_id": "MLB"})

    app = web.Application()
    app.add_routes([web.get("/bot{token}/{method}", telegram), web.get("/users/me", me)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_a_healthy_database_is_found_healthy_before_and_after_the_first_start(empty_database_url: str) -> None:
    found = verdicts(await database.examine(empty_database_url))
    assert found.pop("database.latency")[0] in (OK, WARN)  # this machine may be busy
    assert found.pop("database.commit")[0] in (OK, WARN)
    assert found == {
        "database": (OK, "database_reached"),
        "database.session": (OK, "pooler_none"),
        "database.rights": (OK, "rights_enough"),
        "database.schema": (OK, "schema_absent"),
        "database.clock": (OK, "clock_right"),
        "database.connections": (OK, "connections_enough"),
    }
    migrated = Database(empty_database_url)
    await migrated.open()
    await migrated.migrate()
    await migrated.close()
    assert verdicts(await database.examine(empty_database_url))["database.schema"] == (OK, "schema_current")
    with psycopg.connect(empty_database_url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    assert verdicts(await database.examine(empty_database_url))["database.schema"] == (OK, "schema_newer_works")
    with psycopg.connect(empty_database_url) as connection:
        connection.execute("UPDATE schema_compatibility SET works_since = '9999'")
    assert verdicts(await database.examine(empty_database_url))["database.schema"] == (FAIL, "schema_newer")


async def test_a_database_that_is_away_is_told_without_its_password() -> None:
    (finding,) = await database.examine(f"postgresql://bo:sw0rdfish@127.0.0.1:{free_port()}/x")
    assert (finding.verdict, finding.text) == (FAIL, "database_unreachable")
    assert "sw0rdfish" not in str(finding)


async def test_a_role_with_too_few_rights_is_told_which_are_missing(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        name = urlsplit(database_url).path.removeprefix("/")
        role = sql.Identifier(f"poor_{name}")
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x'").format(role))
        try:
            poor = f"postgresql://poor_{name}:x@/{name}?{urlsplit(database_url).query}"
            finding = next(f for f in await database.examine(poor) if f.check == "database.rights")
            assert finding.verdict is FAIL
            assert "make tables in the schema public (CREATE)" in str(finding.values["missing"])
            # One that owns its schema and nothing else is enough: docs/security.md.
            connection.execute(sql.SQL("CREATE SCHEMA AUTHORIZATION {}").format(role))
            allow = sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(sql.Identifier(name), role)
            connection.execute(allow)
            connection.execute(sql.SQL("ALTER ROLE {} SET search_path = {}").format(role, role))
            assert verdicts(await database.examine(poor))["database.rights"] == (OK, "rights_enough")
        finally:
            connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
            connection.execute(sql.SQL("DROP ROLE {}").format(role))


async def test_a_pooler_in_transaction_mode_is_found_out(database_url: str) -> None:
    folder = parse_qs(urlsplit(database_url).query)["host"][0]
    async with transaction_pooler(f"{folder}/.s.PGSQL.5432") as pooler:
        url = pooler.url(database_url)
        async with await psycopg.AsyncConnection.connect(url) as connection:  # it works, at first sight
            assert await (await connection.execute("SELECT 1")).fetchone() == (1,)
        assert verdicts(await database.examine(url))["database.session"] == (FAIL, "pooler_transaction")


@pytest.mark.parametrize(
    ("services", "expected"),
    [
        ({}, {"telegram": (OK, "telegram_unset")}),
        ({"bot_token": "1:wrong"}, {"telegram": (FAIL, "telegram_invalid")}),
        (
            {"bot_token": BOT_TOKEN, "admin_chat_id": 77},
            {"telegram": (OK, "telegram_valid"), "telegram.webhook": (WARN, "telegram_webhook"), "telegram.chat": (OK, "chat_found")},
        ),
        (
            {"bot_token": BOT_TOKEN, "admin_chat_id": 78, "public_url": "https://elsewhere.example", "telegram_mode": "webhook"},
            {"telegram": (OK, "telegram_valid"), "telegram.chat": (FAIL, "chat_missing")},
        ),
        (
            {"bot_token": BOT_TOKEN, "telegram_api_url": "http://127.0.0.1:1"},
            {"telegram": (FAIL, "telegram_unreachable")},
        ),
    ],
)  # fmt: skip
async def test_the_bots_token_and_chat_are_tried(
    http: aiohttp.ClientSession, api: str, services: dict[str, Any], expected: dict[str, tuple[Verdict, str]]
) -> None:
    tried = replace(Settings(telegram_api_url=api), **services)
    findings = await outside.telegram(http, tried)
    assert verdicts(findings) == expected
    assert BOT_TOKEN not in str(findings)


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (None, {"payments": (OK, "payments_unset")}),
        ("APP_USR-right", {"payments": (OK, "payments_valid")}),
        ("TEST-right", {"payments": (OK, "payments_valid"), "payments.mode": (WARN, "payments_test")}),
        ("APP_USR-wrong", {"payments": (FAIL, "payments_invalid")}),
    ],
)
async def test_the_payments_token_is_tried(
    http: aiohttp.ClientSession, api: str, token: str | None, expected: dict[str, tuple[Verdict, str]]
) -> None:
    services = Settings(mercadopago_api_url=api, mercadopago_access_token=token)
    assert verdicts(await outside.payments(http, services)) == expected
    away = replace(services, mercadopago_api_url="http://127.0.0.1:1")
    assert token is None or verdicts(await outside.payments(http, away)) == {"payments": (FAIL, "payments_unreachable")}


async def test_the_public_address_is_tried_when_the_service_runs(
    http: aiohttp.ClientSession, api: str, database_url: str
) -> None:
    async with serving_leases(database_url, []) as served:
        ours = f"http://127.0.0.1:{served.port}"
        for url, expected in (
            (None, (WARN, "public_unset")),
            (ours, (WARN, "public_plain")),
            (api, (FAIL, "public_wrong")),
        ):
            settings = Settings(port=served.port, public_url=url)
            assert verdicts(await outside.public_address(http, settings)) == {"public_url": expected}
        absent = Settings(port=free_port(), public_url=ours)
        assert verdicts(await outside.public_address(http, absent)) == {"public_url": (WARN, "public_not_yet")}
        found = verdicts(machine.ports(Settings(port=served.port, sidecar_port=free_port(), sidecar_shards=1)))
        assert found == {"port.port": (OK, "port_ours"), "port.sidecar_port": (OK, "port_free")}
    assert verdicts(await outside.whatsapp(f"ws://127.0.0.1:{free_port()}/ws")) == {
        "whatsapp": (FAIL, "whatsapp_unreachable")
    }
    assert verdicts(await outside.whatsapp(api.replace("http", "ws"))) == {"whatsapp": (OK, "whatsapp_reached")}


def test_the_port_of_each_sidecar_and_of_the_metrics_is_tried() -> None:
    with socket.socket() as strange:
        strange.bind(("127.0.0.1", 0))
        strange.listen()
        taken = strange.getsockname()[1]
        two = Settings(port=free_port(), host="127.0.0.1", sidecar_port=taken - 1, sidecar_shards=2)
        assert verdicts(machine.ports(two))["port.sidecar_port_1"] == (FAIL, "port_taken")
        metrics = Settings(port=free_port(), host="127.0.0.1", sidecar_port=free_port(), metrics_port=taken)
        assert verdicts(machine.ports(metrics))["port.metrics_port"] == (FAIL, "port_taken")
    port = free_port()
    within = Settings(port=port, sidecar_port=port - 1, sidecar_shards=2)
    assert verdicts(machine.ports(within))["port.sidecar_port"] == (FAIL, "setting_refused")


def test_the_oldest_node_is_the_one_that_the_sidecar_s_package_asks_for() -> None:
    package = json.loads((SIDECAR.parents[1] / "package.json").read_text())
    assert package["engines"]["node"] == f">={OLDEST_NODE}"
    makefile = (CHECKOUT / "Makefile").read_text()
    assert set(re.findall(r"\b20\.\d+\.\d+\b", makefile)) == {OLDEST_NODE}


def test_an_old_node_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\necho v20.18.0\n")
    node.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    finding = machine.node()[0]
    assert (finding.verdict, finding.text) == (FAIL, "node_old")
    assert OLDEST_NODE in finding.sentence(Language.PT_BR)


async def test_where_backups_go_is_tried(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    assert verdicts(await outside.backups(http, Settings())) == {"backup": (WARN, "backup_unset")}
    folder = Settings(backup_schedule_hours=24.0, backup_target=str(tmp_path))
    assert verdicts(await outside.backups(http, folder)) == {"backup": (OK, "backup_set")}
    assert await asyncio.to_thread(lambda: list(tmp_path.iterdir())) == []
    nowhere = Settings(backup_schedule_hours=24.0, backup_target=str(tmp_path / "absent"))
    assert verdicts(await outside.backups(http, nowhere)) == {"backup": (FAIL, "backup_refused")}
    async with fake_s3() as storage:
        access = Settings.from_environment(storage.environ).s3_access
        assert access is not None
        bucket = Settings(backup_schedule_hours=24.0, backup_target=f"s3://{storage.bucket}/shop", s3_access=access)
        assert verdicts(await outside.backups(http, bucket)) == {"backup": (OK, "backup_set")}
        assert storage.objects == {}
        wrong = replace(bucket, s3_access=replace(access, secret_key="wrong"))
        (finding,) = await outside.backups(http, wrong)
        assert (finding.verdict, finding.text) == (FAIL, "backup_refused")
        assert access.secret_key not in str(finding)


def test_ports_node_disk_and_memory(tmp_path: Path) -> None:
    with socket.socket() as strange:
        strange.bind(("127.0.0.1", 0))
        strange.listen()
        taken = Settings(port=strange.getsockname()[1], host="127.0.0.1", sidecar_port=free_port())
        assert verdicts(machine.ports(taken))["port.port"] == (FAIL, "port_taken")
    assert verdicts(machine.node()) == {"node": (OK, "node_found"), "node.packages": (OK, "packages_here")}
    assert verdicts(machine.node(tmp_path / "a" / "b"))["node.packages"] == (FAIL, "packages_missing")
    found = verdicts(machine.disk(tmp_path / "not" / "yet", 1))
    assert found["disk"] == (OK, "disk_enough")
    assert verdicts(machine.disk(tmp_path, 10**9))["disk"] == (WARN, "disk_little")
    assert verdicts(machine.disk(Path("/proc"), 1))["disk"] == (FAIL, "disk_refused")
    small, large = 500_000_000, 4_000_000_000
    assert machine.memory(Settings(), 10, 1, small).verdict is OK
    assert machine.memory(Settings(), 800, 2, small).verdict is WARN
    assert machine.memory(Settings(), 800, 2, large).verdict is OK


def test_the_command_says_all_of_it_in_the_language_of_the_terminal_and_as_json(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {
        "DATABASE_URL": database_url,
        "DATA_DIR": str(tmp_path),
        "PORT": str(free_port()),
        "SIDECAR_PORT": str(free_port()),
        "LC_ALL": "pt_BR.UTF-8",
        "WHATSAPP_WEB_URL": "ws://127.0.0.1:1/ws",
    }
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert cli.main(["doctor"]) == 1  # WhatsApp is out of reach
    told = capsys.readouterr().out
    assert re.search(r"✓ ok +database +O PostgreSQL", told)
    assert "✗ fail  whatsapp" in told
    assert str(urlsplit(database_url).password) not in told
    monkeypatch.setenv("LC_ALL", "C")
    assert cli.main(["doctor", "--json", "--sessions", "5"]) == 1
    findings = json.loads(capsys.readouterr().out)
    by_check: Callable[[str], dict[str, str]] = lambda check: next(f for f in findings if f["check"] == check)  # noqa: E731
    assert by_check("encryption")["verdict"] == "warn"
    assert "5 sessions" in by_check("memory")["message"]
    assert {f["verdict"] for f in findings} == {"ok", "warn", "fail"}
    monkeypatch.setenv("PORT", "many")
    assert cli.main(["doctor"]) == 1
    assert "PORT is 'many'" in capsys.readouterr().out
