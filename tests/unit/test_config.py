"""Every setting: what it takes, what it refuses, and that a refusal says what to do without repeating a secret."""

import base64
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path

import pytest

from orchestrator.config import WHATSAPP_WEB_URL, ProcessSettings, Settings, SettingsError, database_url_in, text_in
from orchestrator.domain.subscription import Terms

KEY = bytes(range(32))
OTHER_KEY = bytes(range(32, 64))
SECRET = "correct-horse-battery-staple"


def problems(environ: Mapping[str, str]) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(environ)
    return caught.value.problems


def test_nothing_has_to_be_set() -> None:
    settings = Settings.from_environment({})
    assert settings == Settings(data_dir=Path("data").absolute())
    assert (settings.database_url, settings.port, settings.host, settings.sidecar_port) == (None, 8080, None, 3000)
    assert (settings.backup_timeout_seconds, settings.backup_attempts, settings.backup_throttle_seconds) == (10, 3, 30)
    assert (settings.backup_interval_seconds, settings.backup_initial_delay_seconds) == (300, 10)
    assert (settings.lease_ttl_seconds, settings.keep_alive_seconds, settings.log_level) == (15, 30, "info")
    assert settings.whatsapp_web_url == WHATSAPP_WEB_URL


def test_a_variable_set_to_nothing_counts_as_unset() -> None:
    names = "DATABASE_URL PORT HOST DATA_DIR ADMIN_TOKEN SESSION_ENCRYPTION_KEYS WHATSAPP_WEB_URL LOG_LEVEL".split()
    assert Settings.from_environment(dict.fromkeys(names, "")) == Settings.from_environment({})


ACCEPTED = [
    ("PORT", "1", "port", 1),
    ("PORT", " 65535 ", "port", 65535),
    ("SIDECAR_PORT", "3001", "sidecar_port", 3001),
    ("HOST", "0.0.0.0", "host", "0.0.0.0"),
    ("HOST", "::1", "host", "::1"),
    ("DATA_DIR", "/srv/bo data/", "data_dir", Path("/srv/bo data")),
    ("DATA_DIR", "x/../y", "data_dir", Path("y").absolute()),
    ("ADMIN_TOKEN", "0123456789abcdef", "admin_token", "0123456789abcdef"),
    ("SESSION_ENCRYPTION_KEYS", KEY.hex(), "session_encryption_keys", (KEY,)),
    ("SESSION_ENCRYPTION_KEYS", KEY.hex().upper(), "session_encryption_keys", (KEY,)),
    ("SESSION_ENCRYPTION_KEYS", base64.b64encode(KEY).decode(), "session_encryption_keys", (KEY,)),
    ("SESSION_ENCRYPTION_KEYS", base64.urlsafe_b64encode(b"\xff" * 32).decode(), "session_encryption_keys", (b"\xff" * 32,)),
    ("SESSION_ENCRYPTION_KEYS", base64.b64encode(KEY).decode().rstrip("="), "session_encryption_keys", (KEY,)),
    ("SESSION_ENCRYPTION_KEYS", f"{OTHER_KEY.hex()} , {KEY.hex()}", "session_encryption_keys", (OTHER_KEY, KEY)),
    ("WHATSAPP_WEB_URL", "ws://127.0.0.1:9000/ws/chat", "whatsapp_web_url", "ws://127.0.0.1:9000/ws/chat"),
    ("WHATSAPP_WEB_URL", "wss://example.org", "whatsapp_web_url", "wss://example.org"),
    ("WHATSAPP_ROOT_KEY", "AB" * 32, "whatsapp_root_key", "ab" * 32),
    ("BACKUP_TIMEOUT_SECONDS", "0.5", "backup_timeout_seconds", 0.5),
    ("BACKUP_ATTEMPTS", "5", "backup_attempts", 5),
    ("BOT_TOKEN", f"123456:{'a' * 35}", "bot_token", f"123456:{'a' * 35}"),
    ("ADMIN_CHAT_ID", "42", "admin_chat_id", 42),
    ("ADMIN_USER_IDS", "42, 43", "admin_user_ids", (42, 43)),
    ("TELEGRAM_API_URL", "http://127.0.0.1:8081", "telegram_api_url", "http://127.0.0.1:8081"),
    ("BACKUP_THROTTLE_SECONDS", "1", "backup_throttle_seconds", 1.0),
    ("BACKUP_INTERVAL_SECONDS", "60", "backup_interval_seconds", 60.0),
    ("BACKUP_INITIAL_DELAY_SECONDS", "0.1", "backup_initial_delay_seconds", 0.1),
    ("JOURNAL_MAX_MIB", "64", "journal_max_mib", 64),
    ("OUTBOUND_ALLOWED_NETWORKS", "10.0.0.0/8, ::1", "outbound_allowed_networks", (ip_network("10.0.0.0/8"), ip_network("::1"))),
    ("MEDIA_MAX_MIB", "2048", "media_max_mib", 2048),
    ("LEASE_TTL_SECONDS", "1", "lease_ttl_seconds", 1.0),
    ("KEEP_ALIVE_SECONDS", "5", "keep_alive_seconds", 5.0),
    ("QR_SECONDS", "15", "qr_seconds", 15.0),
    ("METRICS_PORT", "9090", "metrics_port", 9090),
    ("METRICS_TOKEN", "0123456789abcdef", "metrics_token", "0123456789abcdef"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/x", "otlp_endpoint", "http://collector:4318/x"),
    ("BACKUP_TARGET", "/srv/copies", "backup_target", "/srv/copies"),
    ("BACKUP_PASSPHRASE", "four words and spaces", "backup_passphrase", "four words and spaces"),
    ("BACKUP_KEEP", "3", "backup_keep", 3),
    ("RAILWAY_PUBLIC_DOMAIN", "x.up.railway.app", "public_url", "https://x.up.railway.app"),
    ("MERCADOPAGO_API_URL", "http://127.0.0.1:9", "mercadopago_api_url", "http://127.0.0.1:9"),
    ("MERCADOPAGO_PAYER_EMAIL", "a.b@example.com", "mercadopago_payer_email", "a.b@example.com"),
    ("TRIAL_DAYS", "0", "trial_days", 0),
    ("TRIAL_SESSIONS", "3", "trial_sessions", 3),
    ("GRACE_DAYS", "30", "grace_days", 30),
    ("LOG_LEVEL", "DEBUG", "log_level", "debug"),
    ("LOG_LEVEL", "warning", "log_level", "warn"),
    ("DATABASE_URL", "postgres://u:p@db.railway.internal:5432/railway", "database_url", "postgresql://u:p@db.railway.internal:5432/railway"),
    ("DATABASE_URL", "postgresql://u@db/x", "database_url", "postgresql://u@db/x"),
    ("DATABASE_URL", "postgresql+psycopg://u@db/x", "database_url", "postgresql://u@db/x"),
    ("DATABASE_URL", "postgresql://u:p%40ss@/x?host=/run/pg%20sock", "database_url", "postgresql://u:p%40ss@/x?host=/run/pg%20sock"),
    ("DATABASE_URL", "postgresql://u@a:1,[::1]:2/x?sslmode=require", "database_url", "postgresql://u@a:1,[::1]:2/x?sslmode=require"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "field", "value"), ACCEPTED)
def test_accepted(name: str, text: str, field: str, value: object) -> None:
    assert getattr(Settings.from_environment({name: text}), field) == value


REFUSED = [
    *(("PORT", text, "a whole number from 1 to 65535") for text in ("0", "65536", "-1", "80a", "8_0", "1.5", "٨٠", "9" * 5000)),
    ("SIDECAR_PORT", "http", "a whole number from 1 to 65535"),
    ("HOST", "http://0.0.0.0", "an IP address or a host name"),
    ("DATA_DIR", "a\nb", "the path of a folder"),
    ("ADMIN_TOKEN", "short-" + "x" * 9, "at least 16"),
    ("METRICS_TOKEN", "short", "too short"),
    ("METRICS_PORT", "8080", "taken"),
    ("METRICS_PORT", "3000", "taken"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://u:{SECRET}@collector", "http://host:4318"),
    ("BACKUP_SCHEDULE", "daily", "number of hours"),
    ("BACKUP_SCHEDULE", "24", "BACKUP_TARGET"),
    ("BACKUP_TARGET", "copies", "folder from the root"),
    ("BACKUP_TARGET", "s3://copies/of us", "s3://bucket/prefix"),
    ("BACKUP_TARGET", "s3://copies/ours", "AWS_ACCESS_KEY_ID"),
    ("BACKUP_PASSPHRASE", "short", "too short"),
    ("AWS_ENDPOINT_URL", f"https://{SECRET}@s3", "https://host"),
    ("ADMIN_TOKEN", SECRET + " ", "white space"),
    ("ADMIN_TOKEN", SECRET + "\n", "white space"),
    ("ADMIN_TOKEN", SECRET + "é", "outside ASCII"),
    ("SESSION_ENCRYPTION_KEYS", KEY.hex()[:-2], "key 1 is malformed"),
    ("SESSION_ENCRYPTION_KEYS", base64.b64encode(KEY[:31]).decode(), "key 1 is malformed"),
    ("SESSION_ENCRYPTION_KEYS", f"{KEY.hex()},", "key 2 is malformed"),
    ("SESSION_ENCRYPTION_KEYS", f"{KEY.hex()},{base64.b64encode(KEY).decode()}", "key 2 repeats key 1"),
    *(("WHATSAPP_WEB_URL", text, "ws://") for text in ("https://web.whatsapp.com", "wss://", "web.whatsapp.com", "ws://h:99999", "ws://u:p@h/", "ws://a b/")),
    *(("WHATSAPP_ROOT_KEY", text, "64 hexadecimal digits") for text in ("ab" * 31, "xy" * 32)),
    *((name, text, "a number of seconds") for name in (
        "BACKUP_TIMEOUT_SECONDS", "BACKUP_THROTTLE_SECONDS", "BACKUP_INTERVAL_SECONDS", "BACKUP_INITIAL_DELAY_SECONDS",
        "LEASE_TTL_SECONDS", "KEEP_ALIVE_SECONDS", "QR_SECONDS",
    ) for text in ("0", "-5", "nan", "inf", "1e3", "ten", "100000000")),
    ("LEASE_TTL_SECONDS", "0.9", "from 1 to"),
    *(("BACKUP_ATTEMPTS", text, "a whole number from 1 to 20") for text in ("0", "21", "3.0")),
    *(("JOURNAL_MAX_MIB", text, "a whole number from 1 to 1024") for text in ("0", "1025", "1G")),
    *(("OUTBOUND_ALLOWED_NETWORKS", text, "no network") for text in ("10.0.0.0/33", "localhost", "10.0.0.0/8,x")),
    ("LOG_LEVEL", "loud", "debug, info, warn, error"),
    *((name, f"a {SECRET}", "MercadoPago's panel") for name in ("MERCADOPAGO_ACCESS_TOKEN", "MERCADOPAGO_WEBHOOK_SECRET")),
    ("MERCADOPAGO_API_URL", "api.mercadopago.com", "http://host:port"),
    ("MERCADOPAGO_PAYER_EMAIL", "nobody", "an e-mail address"),
    *((name, "-1", "a whole number from 0 to") for name in ("TRIAL_DAYS", "TRIAL_SESSIONS", "GRACE_DAYS")),
    *(("DATABASE_URL", text, "postgresql://user:password@host:port/database") for text in (
        f"mysql://u:{SECRET}@h/x", f"u:{SECRET}@h/x", SECRET, f"http://{SECRET}",
    )),
    *(("DATABASE_URL", text, "percent-encoded") for text in (
        f"postgres://u:{SECRET}/x@h/x", f"postgres://u:{SECRET}?@h/x", f"postgres://u:{SECRET}%@h/x", f"postgres://u:{SECRET} @h/x",
        f"postgres://u:{SECRET}@h:port/x", f"postgres://u:{SECRET}@h:70000/x", f"postgres://u:{SECRET}@[::1/x", f"postgres://u:{SECRET}[@h/x?a",
    )),
    ("DATABASE_URL", f"postgres://u:{SECRET}@h/x?schema=public", "'schema'"),
    ("DATABASE_URL", f"postgres://u:{SECRET}@h/x?sslmode=require&pgbouncer=true", "'pgbouncer'"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "advice"), REFUSED)
def test_refused_with_one_sentence_that_says_what_to_do(name: str, text: str, advice: str) -> None:
    (problem,) = problems({name: text})
    assert problem.startswith(name)
    assert advice in problem
    assert problem.endswith((".", ")"))
    assert "\n" not in problem
    assert len(problem) < 260
    assert SECRET not in problem
    assert KEY.hex()[:-2] not in problem


def test_a_schedule_with_all_that_it_needs() -> None:
    settings = Settings.from_environment(
        {
            "BACKUP_SCHEDULE": "24",
            "BACKUP_TARGET": "s3://copies/ours",
            "BACKUP_PASSPHRASE": SECRET,
            "AWS_ACCESS_KEY_ID": "AKID",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "sa-east-1",
        }
    )
    assert settings.backup_schedule_hours == 24
    assert settings.s3_access is not None
    assert settings.s3_access.endpoint == "https://s3.sa-east-1.amazonaws.com"
    assert SECRET not in repr(settings)


def test_an_address_of_ones_own_goes_before_railways() -> None:
    environ = {"PUBLIC_URL": "https://loja.example", "RAILWAY_PUBLIC_DOMAIN": "x.up.railway.app"}
    assert Settings.from_environment(environ).public_url == "https://loja.example"


def test_both_ports_must_differ() -> None:
    assert problems({"PORT": "3000"}) == ("PORT and SIDECAR_PORT are both 3000; give each a port of its own.",)


def test_all_problems_are_told_at_once() -> None:
    assert [p.split()[0] for p in problems({"PORT": "x", "LOG_LEVEL": "x", "ADMIN_TOKEN": "x"})] == [
        "PORT",
        "ADMIN_TOKEN",
        "LOG_LEVEL",
    ]


def test_billing_is_on_where_payments_can_be_taken() -> None:
    assert Settings.from_environment({"TRIAL_DAYS": "14"}).terms is None
    environ = {"MERCADOPAGO_ACCESS_TOKEN": SECRET, "TRIAL_DAYS": "14", "GRACE_DAYS": "0"}
    assert Settings.from_environment(environ).terms == Terms(trial_days=14, trial_sessions=1, grace_days=0)


def test_no_secret_shows_when_settings_are_printed() -> None:
    environ = {
        "DATABASE_URL": f"postgres://u:{SECRET}@h/x",
        "ADMIN_TOKEN": SECRET,
        "MERCADOPAGO_ACCESS_TOKEN": SECRET,
        "MERCADOPAGO_WEBHOOK_SECRET": SECRET,
        "SESSION_ENCRYPTION_KEYS": KEY.hex(),
    }
    shown = repr(Settings.from_environment(environ)) + str(Settings.from_environment(environ))
    assert SECRET not in shown
    assert KEY.hex() not in shown
    assert repr(KEY) not in shown


LAUNCHED = {
    "REPLICA_ID": "0" * 32,
    "INTERNAL_TOKEN": "1" * 64,
    "ORCHESTRATOR_SOCKET": "/run/o.sock",
    "SUPERVISOR_SOCKET": "/run/s.sock",
    "SUPERVISOR_PASSWORD": SECRET,
    "DATABASE_URL": "postgresql://orchestrator:pw@/postgres?host=/run",
    "DATABASE_EMBEDDED": "1",
}


def test_what_the_launcher_passes_on() -> None:
    process = ProcessSettings.from_environment(LAUNCHED)
    assert process.database_embedded
    assert process.database_url == LAUNCHED["DATABASE_URL"]
    assert process.orchestrator_socket == Path("/run/o.sock")
    assert SECRET not in repr(process)
    assert LAUNCHED["INTERNAL_TOKEN"] not in repr(process)


@pytest.mark.parametrize("name", sorted(set(LAUNCHED) - {"DATABASE_EMBEDDED"}))
def test_a_process_that_the_launcher_did_not_start_says_so(name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        ProcessSettings.from_environment({key: value for key, value in LAUNCHED.items() if key != name})
    (problem,) = caught.value.problems
    assert problem.startswith(name)
    assert "python -m orchestrator up" in problem


def test_a_variable_that_a_command_names_is_read_like_a_setting() -> None:
    assert database_url_in({"OTHER": "postgres://u:p@h/d"}, "OTHER") == "postgresql://u:p@h/d"
    assert text_in({"PASSPHRASE": " with spaces "}, "PASSPHRASE") == " with spaces "
    for read, environ in (
        (database_url_in, {}),
        (database_url_in, {"NAMED": f"mysql://u:{SECRET}@h/d"}),
        (database_url_in, {"NAMED": f"postgresql://u:{SECRET}@h/d?schema=public"}),
        (text_in, {"NAMED": ""}),
    ):
        with pytest.raises(SettingsError, match="NAMED") as caught:
            read(environ, "NAMED")
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("environ", "names"),
    [
        ({"BOT_TOKEN": SECRET}, "BOT_TOKEN"),
        ({"ADMIN_CHAT_ID": "the boss"}, "ADMIN_CHAT_ID"),
        ({"ADMIN_CHAT_ID": "1,2"}, "ADMIN_CHAT_ID"),
        ({"ADMIN_USER_IDS": "1;2"}, "ADMIN_USER_IDS"),
        ({"ADMIN_CHAT_ID": "-100123"}, "ADMIN_USER_IDS"),
        ({"BOT_TOKEN": f"1:{'a' * 35}", "TELEGRAM_MODE": "webhook"}, "PUBLIC_URL"),
        ({"TELEGRAM_MODE": "smoke"}, "TELEGRAM_MODE"),
    ],
)
def test_settings_of_the_bot_that_can_not_work_are_refused(environ: dict[str, str], names: str) -> None:
    (problem,) = problems(environ)
    assert names in problem
    assert SECRET not in problem
