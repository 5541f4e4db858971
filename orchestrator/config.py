"""The only reader of the environment: every setting, parsed once, refused with one sentence each when malformed.

`Settings` are the user's; `ProcessSettings` are what the launcher tells its own children. Both are read from a mapping, never
from `os.environ` directly, so a test is a table. A variable that is set to nothing counts as unset.
"""

import base64
import binascii
import hmac
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from orchestrator.domain.outbound import Network, parsed_network
from orchestrator.domain.subscription import Terms

WHATSAPP_WEB_URL: Final = "wss://web.whatsapp.com/ws/chat"
"""WhatsApp's own WebSocket, the same default as in Baileys."""

TELEGRAM_API_URL: Final = "https://api.telegram.org"

LOG_LEVELS: Final = ("debug", "info", "warn", "error")

SECRET_VARIABLES: Final = (
    "ADMIN_TOKEN",
    "BOT_API_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "BACKUP_PASSPHRASE",
    "BOT_TOKEN",
    "DATABASE_URL",
    "INTERNAL_TOKEN",
    "JOURNAL_KEYS",
    "MERCADOPAGO_ACCESS_TOKEN",
    "METRICS_TOKEN",
    "MERCADOPAGO_WEBHOOK_SECRET",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "SESSION_ENCRYPTION_KEYS",
    "SUPERVISOR_PASSWORD",
)
"""What a process may only see when it needs it."""

MOST_SHARDS: Final = 64

_MINIMUM_ADMIN_TOKEN_LENGTH: Final = 16
_ENCRYPTION_KEY_BYTES: Final = 32
_DAY_SECONDS: Final = 86_400.0
_POSTGRES_SCHEMES: Final = ("postgresql", "postgres", "postgresql+psycopg")
_HEX_64: Final = re.compile(r"[0-9A-Fa-f]{64}")
_HEX_32: Final = re.compile(r"[0-9a-f]{32}")
_HOST_AND_PORT: Final = re.compile(r"(\[[0-9A-Fa-f:.%]*\]|[^:\[\]@/?#]*)(?::([0-9]{0,5}))?")
_BROKEN_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")

# libpq, "Parameter Key Words". ORMs of other languages put words of their own here (`schema`, `pgbouncer`, `ssl`), which
# libpq refuses at each connection with a message that nobody sees at start.
_LIBPQ_PARAMETERS: Final = frozenset(
    """
    application_name channel_binding client_encoding connect_timeout dbname fallback_application_name gssdelegation
    gssencmode gsslib host hostaddr keepalives keepalives_count keepalives_idle keepalives_interval krbsrvname
    load_balance_hosts max_protocol_version min_protocol_version options passfile password port replication require_auth
    requirepeer scram_client_key scram_server_key service servicefile ssl_max_protocol_version ssl_min_protocol_version
    sslcert sslcertmode sslcompression sslcrl sslcrldir sslkey sslkeylogfile sslmode sslnegotiation sslpassword
    sslrootcert sslsni target_session_attrs tcp_user_timeout user
    """.split()
)


class SettingsError(Exception):
    """Settings are missing or malformed; `problems` has one sentence for each, saying what to do. Never holds a secret."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Access:
    """Storage that speaks S3, and who we are there."""

    endpoint: str
    """`https://host`, without a path."""
    region: str
    key_id: str
    secret_key: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the user decides. Durations are in seconds."""

    database_url: str | None = field(default=None, repr=False)
    """In libpq's form (`postgresql://...`); None asks for the embedded PostgreSQL."""
    port: int = 8080
    host: str | None = None
    """None listens on all interfaces, IPv4 and IPv6."""
    data_dir: Path = Path("data")
    """Absolute when it was read from an environment."""
    admin_token: str | None = field(default=None, repr=False)
    session_encryption_keys: tuple[bytes, ...] = field(default=(), repr=False)
    """Each 32 bytes. The first seals, all of them open."""
    whatsapp_web_url: str = WHATSAPP_WEB_URL
    whatsapp_root_key: str | None = None
    """Public key of a test server's certificate chain, 64 lower-case hexadecimal digits."""
    sidecar_port: int = 3000
    """Of the first sidecar process; the others have the ports after it."""
    sidecar_shards: int | None = None
    """How many sidecar processes; None leaves it to the launcher, which looks at the machine."""
    replica_address: str | None = None
    """Where other replicas reach this one, `http://host:port`; None: our address as PostgreSQL sees it, and `port`."""
    public_url: str | None = None
    """Where browsers reach this service, without a path; None: where the request came to."""
    rebalance_after_seconds: float = 60.0
    """How long the number of replicas must stay the same before sessions move to even them out."""
    backup_timeout_seconds: float = 10.0
    backup_attempts: int = 3
    backup_throttle_seconds: float = 30.0
    backup_interval_seconds: float = 300.0
    backup_initial_delay_seconds: float = 10.0
    journal_max_mib: int = 256
    """What the sidecar's journal may take of the disk while PostgreSQL is away."""
    quarantine_retention_days: int = 30
    """How long what was set aside, or deleted, is kept once something took its place."""
    outbound_allowed_networks: tuple[Network, ...] = ()
    """Networks that media and webhooks may come from and go to although they aren't public."""
    media_max_mib: int = 100
    """The largest file that is sent; phones take less of some kinds."""
    lease_ttl_seconds: float = 15.0
    keep_alive_seconds: float = 30.0
    qr_seconds: float = 20.0
    """How long a QR code of a pairing is shown; the first one is shown three times as long."""
    requests_per_minute: int = 3000
    """What one token of a tenant may ask for, of each replica."""
    failed_logins_per_minute: int = 60
    """Wrong tokens from one address before its unknown tokens are refused unread."""
    trusted_proxies: int = 0
    """How many proxies in front of us add an address to X-Forwarded-For; 0: it isn't believed."""
    metrics_token: str | None = field(default=None, repr=False)
    """Opens `/metrics` and nothing else; the admin token does too."""
    metrics_port: int | None = None
    """Where the metrics are without a token as well; None: nowhere."""
    backup_schedule_hours: float | None = None
    """How often one of the replicas copies the whole database to `backup_target`; None: never."""
    backup_target: str | None = None
    """`s3://bucket/prefix`, or the absolute path of a folder."""
    backup_passphrase: str | None = field(default=None, repr=False)
    backup_keep: int = 14
    """How many of the newest copies stay at the target."""
    s3_access: S3Access | None = None
    otlp_endpoint: str | None = None
    """Where traces go, OTLP over HTTP; None: nowhere."""
    bot_token: str | None = field(default=None, repr=False)
    """Of the Telegram bot; None: there is none."""
    admin_chat_id: int | None = None
    """The operator's chat, which alerts go to; below zero for a group."""
    admin_user_ids: tuple[int, ...] = ()
    """Who may act as the operator in it; in a private chat that is whose chat it is."""
    telegram_api_url: str = TELEGRAM_API_URL
    telegram_mode: str = "polling"
    mercadopago_access_token: str | None = field(default=None, repr=False)
    """None: billing is off, and everybody may use everything."""
    mercadopago_webhook_secret: str | None = field(default=None, repr=False)
    """None: no notification is believed; what was paid is found by asking."""
    mercadopago_api_url: str | None = None
    """Another server than MercadoPago's own."""
    mercadopago_payer_email: str | None = None
    """Who pays, for tenants that have given no e-mail address."""
    trial_days: int = 7
    trial_sessions: int = 1
    grace_days: int = 3
    """From the end of a subscription until its sessions are paused."""
    log_level: str = "info"

    @property
    def terms(self) -> Terms | None:
        """What tenants get without a payment; None: billing is off."""
        if self.mercadopago_access_token is None:
            return None
        return Terms(trial_days=self.trial_days, trial_sessions=self.trial_sessions, grace_days=self.grace_days)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Settings":
        """Read all settings; raises `SettingsError` with every problem at once."""
        read = _Reader(environ)
        settings = cls(
            database_url=read.database_url("DATABASE_URL"),
            port=read.whole_number("PORT", default=8080, lowest=1, highest=65_535),
            host=read.host("HOST"),
            data_dir=read.directory("DATA_DIR", default="./data"),
            admin_token=read.admin_token("ADMIN_TOKEN"),
            session_encryption_keys=read.encryption_keys("SESSION_ENCRYPTION_KEYS"),
            whatsapp_web_url=read.websocket_url("WHATSAPP_WEB_URL", default=WHATSAPP_WEB_URL),
            whatsapp_root_key=read.root_key("WHATSAPP_ROOT_KEY"),
            sidecar_port=read.whole_number("SIDECAR_PORT", default=3000, lowest=1, highest=65_535),
            sidecar_shards=read.whole_number("SIDECAR_SHARDS", default=0, lowest=1, highest=MOST_SHARDS) or None,
            replica_address=read.http_url("REPLICA_ADDRESS"),
            public_url=read.public_url("PUBLIC_URL"),
            rebalance_after_seconds=read.seconds("REBALANCE_AFTER_SECONDS", default=60.0),
            backup_timeout_seconds=read.seconds("BACKUP_TIMEOUT_SECONDS", default=10.0, highest=300.0),
            backup_attempts=read.whole_number("BACKUP_ATTEMPTS", default=3, lowest=1, highest=20),
            backup_throttle_seconds=read.seconds("BACKUP_THROTTLE_SECONDS", default=30.0),
            backup_interval_seconds=read.seconds("BACKUP_INTERVAL_SECONDS", default=300.0),
            backup_initial_delay_seconds=read.seconds("BACKUP_INITIAL_DELAY_SECONDS", default=10.0),
            journal_max_mib=read.whole_number("JOURNAL_MAX_MIB", default=256, lowest=1, highest=1024),
            quarantine_retention_days=read.whole_number(
                "QUARANTINE_RETENTION_DAYS", default=30, lowest=1, highest=3650
            ),
            outbound_allowed_networks=read.networks("OUTBOUND_ALLOWED_NETWORKS"),
            media_max_mib=read.whole_number("MEDIA_MAX_MIB", default=100, lowest=1, highest=2048),
            lease_ttl_seconds=read.seconds("LEASE_TTL_SECONDS", default=15.0, lowest=1.0, highest=3600.0),
            keep_alive_seconds=read.seconds("KEEP_ALIVE_SECONDS", default=30.0, lowest=1.0, highest=3600.0),
            qr_seconds=read.seconds("QR_SECONDS", default=20.0, lowest=1.0, highest=60.0),
            requests_per_minute=read.whole_number("REQUESTS_PER_MINUTE", default=3000, lowest=1, highest=10_000_000),
            failed_logins_per_minute=read.whole_number(
                "FAILED_LOGINS_PER_MINUTE", default=60, lowest=1, highest=10_000_000
            ),
            trusted_proxies=read.whole_number("TRUSTED_PROXIES", default=0, lowest=0, highest=10),
            metrics_token=read.admin_token("METRICS_TOKEN"),
            metrics_port=read.whole_number("METRICS_PORT", default=0, lowest=1, highest=65_535) or None,
            backup_schedule_hours=read.hours("BACKUP_SCHEDULE"),
            backup_target=read.backup_target("BACKUP_TARGET"),
            backup_passphrase=read.passphrase("BACKUP_PASSPHRASE"),
            backup_keep=read.whole_number("BACKUP_KEEP", default=14, lowest=1, highest=10_000),
            s3_access=read.s3_access(),
            otlp_endpoint=read.otlp_endpoint("OTEL_EXPORTER_OTLP_ENDPOINT"),
            bot_token=read.bot_token("BOT_TOKEN"),
            admin_chat_id=next(iter(read.chat_ids("ADMIN_CHAT_ID", most=1)), None),
            admin_user_ids=read.chat_ids("ADMIN_USER_IDS", most=100),
            telegram_api_url=read.http_url("TELEGRAM_API_URL") or TELEGRAM_API_URL,
            telegram_mode=read.choice("TELEGRAM_MODE", default="polling", choices=("polling", "webhook")),
            mercadopago_access_token=read.secret("MERCADOPAGO_ACCESS_TOKEN"),
            mercadopago_webhook_secret=read.secret("MERCADOPAGO_WEBHOOK_SECRET"),
            mercadopago_api_url=read.http_url("MERCADOPAGO_API_URL"),
            mercadopago_payer_email=read.email("MERCADOPAGO_PAYER_EMAIL"),
            trial_days=read.whole_number("TRIAL_DAYS", default=7, lowest=0, highest=3650),
            trial_sessions=read.whole_number("TRIAL_SESSIONS", default=1, lowest=0, highest=1_000_000),
            grace_days=read.whole_number("GRACE_DAYS", default=3, lowest=0, highest=3650),
            log_level=read.choice("LOG_LEVEL", default="info", choices=LOG_LEVELS, also={"warning": "warn"}),
        )
        if settings.bot_token is not None and settings.telegram_mode == "webhook" and settings.public_url is None:
            read.refuse("TELEGRAM_MODE is webhook, so PUBLIC_URL must say where Telegram reaches this service; set it.")
        if settings.admin_chat_id is not None and settings.admin_chat_id < 0 and not settings.admin_user_ids:
            read.refuse("ADMIN_CHAT_ID is a group; set ADMIN_USER_IDS to the user ids of those who may act in it.")
        last = settings.sidecar_port + (settings.sidecar_shards or 1) - 1
        if settings.port == settings.sidecar_port == last:
            read.refuse(f"PORT and SIDECAR_PORT are both {settings.port}; give each a port of its own.")
        elif settings.sidecar_port <= settings.port <= last:
            taken = f"{settings.sidecar_port} to {last}"
            read.refuse(f"PORT is {settings.port}, and the sidecars take {taken}; set PORT or SIDECAR_PORT to another.")
        if settings.metrics_port is not None and settings.metrics_port in (
            settings.port,
            *range(settings.sidecar_port, last + 1),
        ):
            read.refuse(f"METRICS_PORT is {settings.metrics_port}, which is taken; set it to another port.")
        if settings.backup_schedule_hours is not None and None in (settings.backup_target, settings.backup_passphrase):
            read.refuse(
                "BACKUP_SCHEDULE is set; set BACKUP_TARGET to s3://bucket/prefix or a folder, and BACKUP_PASSPHRASE to what seals "
                "the copies (at least 16 characters, kept elsewhere: without it they can't be opened)."
            )
        if (settings.backup_target or "").startswith("s3://") and settings.s3_access is None:
            read.refuse("BACKUP_TARGET is an s3:// address; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.")
        read.raise_problems()
        return settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSettings:
    """What the launcher tells the processes it starts; made anew at every start of the process tree."""

    replica_id: str
    """Names this process tree as an owner of leases; 32 hexadecimal digits."""
    internal_token: str = field(repr=False)
    """Bearer token of the internal APIs; 64 hexadecimal digits."""
    orchestrator_socket: Path
    supervisor_socket: Path
    supervisor_password: str = field(repr=False)
    """HTTP basic password of supervisord's RPC; the user name is `SUPERVISOR_USERNAME`."""
    database_url: str = field(repr=False)
    """Where PostgreSQL is, embedded or not; libpq's form."""
    database_embedded: bool
    media_dir: Path | None = None
    """A private folder for files on their way to the sidecar; None: files can't be sent."""
    sidecar_shards: int = 1
    api_socket: Path | None = None
    """Where the public API also listens, for processes of this tree."""
    bot_api_token: str | None = field(default=None, repr=False)
    """What the bot shows there, and nowhere else; 64 hexadecimal digits."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "ProcessSettings":
        """Read what `python -m orchestrator up` passed on; raises `SettingsError` with every problem at once."""
        read = _Reader(environ)
        settings = cls(
            replica_id=read.given_by_launcher("REPLICA_ID", _HEX_32),
            internal_token=read.given_by_launcher("INTERNAL_TOKEN", _HEX_64),
            orchestrator_socket=Path(read.given_by_launcher("ORCHESTRATOR_SOCKET")),
            supervisor_socket=Path(read.given_by_launcher("SUPERVISOR_SOCKET")),
            supervisor_password=read.given_by_launcher("SUPERVISOR_PASSWORD"),
            database_url=read.database_url("DATABASE_URL") or read.given_by_launcher("DATABASE_URL"),
            database_embedded=read.choice("DATABASE_EMBEDDED", default="0", choices=("0", "1")) == "1",
            media_dir=read.directory("MEDIA_DIR", default=".") if environ.get("MEDIA_DIR") else None,
            sidecar_shards=read.whole_number("SIDECAR_SHARDS", default=1, lowest=1, highest=MOST_SHARDS),
            api_socket=Path(environ["API_SOCKET"]) if environ.get("API_SOCKET") else None,
            bot_api_token=environ.get("BOT_API_TOKEN") or None,
        )
        read.raise_problems()
        return settings


@dataclass(frozen=True, slots=True, kw_only=True)
class BotProcessSettings:
    """What the launcher tells the bot's process."""

    replica_id: str
    api_socket: Path
    bot_api_token: str = field(repr=False)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "BotProcessSettings":
        read = _Reader(environ)
        settings = cls(
            replica_id=read.given_by_launcher("REPLICA_ID", _HEX_32),
            api_socket=Path(read.given_by_launcher("API_SOCKET")),
            bot_api_token=read.given_by_launcher("BOT_API_TOKEN", _HEX_64),
        )
        read.raise_problems()
        return settings


SUPERVISOR_USERNAME: Final = "orchestrator"


def webhook_secret(bot_token: str) -> str:
    """What Telegram is told to show with each update: the same on all replicas, and it tells nothing of the token."""
    return hmac.digest(bot_token.encode(), b"baileys-orchestrator webhook", "sha256").hex()


def sidecar_program(number: int) -> str:
    """The name that supervisord has for a sidecar process."""
    return "baileys" if number == 0 else f"baileys-{number}"


def database_url_in(environ: Mapping[str, str], name: str) -> str:
    """The PostgreSQL address in a variable that the user named; raises `SettingsError`."""
    read = _Reader(environ)
    url = read.database_url(name)
    read.raise_problems()
    if url is None:
        raise SettingsError(f"{name} is not set; set it to postgresql://user:password@host:port/database.")
    return url


def text_in(environ: Mapping[str, str], name: str) -> str:
    """The text of a variable that the user named, as it is; raises `SettingsError` when there is none."""
    text = environ.get(name)
    if not text:
        raise SettingsError(f"{name} is not set; set it, or leave the option out that names it.")
    return text


class _Reader:
    """Reads single variables; collects problems instead of stopping at the first, and answers with the default meanwhile."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._problems: list[str] = []

    def refuse(self, problem: str) -> None:
        self._problems.append(problem)

    def raise_problems(self) -> None:
        if self._problems:
            raise SettingsError(*dict.fromkeys(self._problems))

    def whole_number(self, name: str, *, default: int, lowest: int, highest: int) -> int:
        text = self._text(name)
        if text is None:
            return default
        # Not just int(): it takes "1_0", "+1" and the digits of every script.
        if re.fullmatch(r"[0-9]{1,9}", text) and lowest <= int(text) <= highest:
            return int(text)
        self.refuse(f"{name} is {_shown(text)}; set it to a whole number from {lowest} to {highest}.")
        return default

    def seconds(self, name: str, *, default: float, lowest: float = 0.1, highest: float = _DAY_SECONDS) -> float:
        text = self._text(name)
        if text is None:
            return default
        if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
            value = float(text)
            if math.isfinite(value) and lowest <= value <= highest:
                return value
        self.refuse(f"{name} is {_shown(text)}; set it to a number of seconds from {lowest:g} to {highest:g}.")
        return default

    def hours(self, name: str) -> float | None:
        text = self._text(name)
        if text is None:
            return None
        if re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,9})?", text) and 0.001 <= float(text) <= 24 * 90:
            return float(text)
        self.refuse(f"{name} is {_shown(text)}; set it to a number of hours, such as 24, or leave it out.")
        return None

    def backup_target(self, name: str) -> str | None:
        text = self._text(name)
        if text is None or re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,62}(/[A-Za-z0-9._/-]*)?", text):
            return text
        if text.startswith("/") and text.isprintable():
            return text
        self.refuse(
            f"{name} is {_shown(text)}; set it to s3://bucket/prefix, or to the path of a folder from the root."
        )
        return None

    def s3_access(self) -> S3Access | None:
        """The names are those of every other program that uses S3."""
        key_id, secret = self._text("AWS_ACCESS_KEY_ID"), self._text("AWS_SECRET_ACCESS_KEY")
        region = self._text("AWS_REGION") or "us-east-1"
        endpoint = (self._text("AWS_ENDPOINT_URL") or f"https://s3.{region}.amazonaws.com").rstrip("/")
        if not re.fullmatch(r"https?://[^/?#@\s]+", endpoint):
            self.refuse("AWS_ENDPOINT_URL is malformed; set it to https://host of the storage, or leave it out.")
        if key_id is None or secret is None:
            return None
        return S3Access(endpoint=endpoint, region=region, key_id=key_id, secret_key=secret)

    def choice(
        self, name: str, *, default: str, choices: tuple[str, ...], also: Mapping[str, str] = MappingProxyType({})
    ) -> str:
        text = self._text(name)
        if text is None:
            return default
        word = also.get(text.lower(), text.lower())
        if word in choices:
            return word
        self.refuse(f"{name} is {_shown(text)}; set it to one of {', '.join(choices)}.")
        return default

    def host(self, name: str) -> str | None:
        text = self._text(name)
        if text is None:
            return None
        if re.fullmatch(r"[0-9A-Za-z.:%_-]{1,255}", text):
            return text
        self.refuse(f"{name} is {_shown(text)}; set it to an IP address or a host name to listen on, or leave it out.")
        return None

    def directory(self, name: str, *, default: str) -> Path:
        text = self._text(name) or default
        if text.isprintable():
            # abspath, not resolve: the name stays the one that the user knows, symbolic links included.
            return Path(os.path.abspath(Path(text).expanduser()))  # noqa: PTH100
        self.refuse(f"{name} contains an unprintable character; set it to the path of a folder.")
        return Path(default).absolute()

    def admin_token(self, name: str) -> str | None:
        token = self._environ.get(name) or None
        if token is None:
            return None
        advice = "choose at least 16 letters and digits, for example with `openssl rand -hex 32`"
        if not token.isascii() or not token.isprintable() or " " in token:
            self.refuse(f"{name} contains white space or a character outside ASCII; {advice}.")
        elif len(token) < _MINIMUM_ADMIN_TOKEN_LENGTH:
            self.refuse(f"{name} is too short; {advice}.")
        return token

    def passphrase(self, name: str) -> str | None:
        text = self._environ.get(name, "").strip() or None
        if text is not None and len(text) < _MINIMUM_ADMIN_TOKEN_LENGTH:
            self.refuse(f"{name} is too short; choose at least {_MINIMUM_ADMIN_TOKEN_LENGTH} characters.")
        return text

    def bot_token(self, name: str) -> str | None:
        token = self._text(name)
        if token is None or re.fullmatch(r"[0-9]{1,20}:[A-Za-z0-9_-]{30,}", token):
            return token
        self.refuse(f"{name} is malformed; set it to the token that @BotFather gave you, such as 123456:ABC-DEF...")
        return None

    def chat_ids(self, name: str, *, most: int) -> tuple[int, ...]:
        parts = [part.strip() for part in (self._text(name) or "").split(",") if part.strip()]
        if len(parts) <= most and all(re.fullmatch(r"-?[0-9]{1,18}", part) for part in parts):
            return tuple(int(part) for part in parts)
        what = "one of Telegram's chat ids" if most == 1 else "Telegram's user ids, separated by commas"
        self.refuse(f"{name} is {_shown(self._text(name) or '')}; set it to {what}, which are whole numbers.")
        return ()

    def secret(self, name: str) -> str | None:
        text = self._text(name)
        if text is None or (text.isascii() and text.isprintable() and " " not in text):
            return text
        self.refuse(
            f"{name} contains white space or a character outside ASCII; copy it again from MercadoPago's panel."
        )
        return None

    def email(self, name: str) -> str | None:
        text = self._text(name)
        if text is None or re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", text):
            return text
        self.refuse(f"{name} is {_shown(text)}; set it to an e-mail address, or leave it out.")
        return None

    def encryption_keys(self, name: str) -> tuple[bytes, ...]:
        text = self._text(name)
        if text is None:
            return ()
        keys: list[bytes] = []
        for number, part in enumerate(text.split(","), start=1):
            key = _encryption_key(part.strip())
            if key is None:
                self.refuse(
                    f"{name}: key {number} is malformed; each key is 64 hexadecimal digits or the base64 of 32 bytes "
                    "(make one with `openssl rand -hex 32`), and keys are separated by commas."
                )
            elif key in keys:
                self.refuse(f"{name}: key {number} repeats key {keys.index(key) + 1}; list every key once.")
            else:
                keys.append(key)
        return tuple(keys)

    def websocket_url(self, name: str, *, default: str) -> str:
        text = self._text(name)
        if text is None:
            return default
        if _is_websocket_url(text):
            return text
        self.refuse(f"{name} is not a WebSocket address; set it to ws://host:port/path or wss://host/path.")
        return default

    def http_url(self, name: str) -> str | None:
        text = self._text(name)
        if text is None or re.fullmatch(r"https?://[^/?#@\s]+", text):
            return text
        self.refuse(f"{name} is {_shown(text)}; set it to http://host:port, or leave it out.")
        return None

    def networks(self, name: str) -> tuple[Network, ...]:
        found: list[Network] = []
        for part in (self._text(name) or "").split(","):
            text = part.strip()
            network = parsed_network(text)
            if network is not None:
                found.append(network)
            elif text:
                self.refuse(f"{name}: {_shown(text)} is no network; write 10.0.0.0/8 or fd00::/8, with commas between.")
        return tuple(found)

    def otlp_endpoint(self, name: str) -> str | None:
        text = self._text(name)
        if text is None or re.fullmatch(r"https?://[^?#@\s]+", text):
            return text
        self.refuse(f"{name} is malformed; set it to http://host:4318 of the collector, or leave it out.")
        return None

    def public_url(self, name: str) -> str | None:
        """Railway tells which domain it gave the service, if it has one."""
        domain = self._text("RAILWAY_PUBLIC_DOMAIN")
        return self.http_url(name) or (None if domain is None else f"https://{domain}")

    def root_key(self, name: str) -> str | None:
        text = self._text(name)
        if text is None:
            return None
        if _HEX_64.fullmatch(text):
            return text.lower()
        self.refuse(f"{name} is malformed; set it to the 64 hexadecimal digits of the test server's root key.")
        return None

    def database_url(self, name: str) -> str | None:
        text = self._text(name)
        if text is None:
            return None
        scheme, separator, rest = text.partition("://")
        if not separator or scheme.lower() not in _POSTGRES_SCHEMES:
            self.refuse(f"{name} is not a PostgreSQL address; set it to postgresql://user:password@host:port/database.")
            return None
        url = f"postgresql://{rest}"
        problem = _libpq_url_problem(url)
        if problem is not None:
            self.refuse(f"{name} {problem}")
            return None
        return url

    def given_by_launcher(self, name: str, pattern: re.Pattern[str] | None = None) -> str:
        text = self._text(name)
        if text is None or (pattern is not None and not pattern.fullmatch(text)):
            self.refuse(
                f"{name} is not set or malformed; this command is started by `python -m orchestrator up`, use that."
            )
            return ""
        return text

    def _text(self, name: str) -> str | None:
        return self._environ.get(name, "").strip() or None


def _shown(text: str) -> str:
    longest = 40
    return repr(text if len(text) <= longest else text[:longest] + "…")


def _encryption_key(text: str) -> bytes | None:
    if _HEX_64.fullmatch(text):
        return bytes.fromhex(text)
    try:
        key = base64.b64decode(text.rstrip("=").translate(str.maketrans("-_", "+/")) + "=", validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) == _ENCRYPTION_KEY_BYTES else None


def _is_websocket_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    return (
        parts.scheme in ("ws", "wss")
        and bool(parts.hostname)
        and parts.username is None
        and port != 0
        and text.isprintable()
        and " " not in text
        and not parts.fragment
    )


def _libpq_url_problem(url: str) -> str | None:
    """What libpq would refuse at every connection, as the end of a sentence that doesn't repeat the address.

    https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS
    """
    encode = "characters such as @ : / ? # % in the user name or the password must be percent-encoded."
    if not url.isprintable() or " " in url or _BROKEN_PERCENT.search(url):
        return f"is malformed; {encode}"
    # Not urlsplit(): some Pythons take "a,[::1]" for a malformed host, which is a list of two to libpq.
    address, _, query = url.removeprefix("postgresql://").partition("?")
    hosts = address.partition("/")[0].rpartition("@")[2]
    for host in hosts.split(","):
        found = _HOST_AND_PORT.fullmatch(host)
        if found is None or not 0 <= int(found[2] or 0) <= 65_535:
            return f"has no valid host and port; {encode}"
    try:
        parameters = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        return f"has malformed parameters after the question mark; {encode}"
    for parameter, value in parameters:
        if parameter not in _LIBPQ_PARAMETERS and (parameter, value) != ("ssl", "true"):
            return f"has the parameter {_shown(parameter)}, which PostgreSQL's client library doesn't know; remove it."
    return None
