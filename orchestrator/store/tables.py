"""The tables, as SQLAlchemy sees them; alembic/ makes them, and a test holds the two together."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Sequence,
    Table,
    Text,
    Time,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    }
)


def _created_at() -> Column[object]:
    return Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now())


#: A deleted tenant keeps its row: its set-aside sessions and what is on record bear its id. ``paused_at`` and
#: ``plan_sessions`` are all that the rest of the house knows of subscriptions (store/subscriptions.py).
tenants = Table(
    "tenants",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("max_sessions", Integer),
    Column("messages_per_minute", Integer),
    Column("storage_bytes", BigInteger),
    Column("chat_retention_days", Integer, nullable=False, server_default=text("0")),
    Column("stored_bytes", BigInteger),
    Column("measured_at", DateTime(timezone=True)),
    Column("blocked_at", DateTime(timezone=True)),
    Column("blocked_reason", Text),
    Column("deleted_at", DateTime(timezone=True)),
    _created_at(),
    Column("paused_at", DateTime(timezone=True)),
    Column("plan_sessions", Integer),
    CheckConstraint("tenant_id <> ''", name="tenant_id"),
    CheckConstraint("max_sessions >= 0", name="max_sessions"),
    CheckConstraint("messages_per_minute >= 0", name="messages_per_minute"),
    CheckConstraint("storage_bytes >= 0", name="storage_bytes"),
    CheckConstraint("chat_retention_days >= 0", name="chat_retention_days"),
    CheckConstraint("tenant_id <> 'operator' OR (blocked_at IS NULL AND deleted_at IS NULL)", name="operator"),
    CheckConstraint("tenant_id <> 'operator' OR (paused_at IS NULL AND plan_sessions IS NULL)", name="operator_pays"),
)

#: A deleted session keeps its row, and so its generations, until their retention ends; its id is free again. ``paused_at``:
#: nobody may run it, because its tenant's subscription has ended; what it should be stays as it is.
sessions = Table(
    "sessions",
    metadata,
    Column("session_ref", BigInteger, Identity(always=True), primary_key=True),
    Column("tenant_id", Text, ForeignKey("tenants.tenant_id"), nullable=False),
    Column("session_id", Text, nullable=False),
    Column("desired_state", Text, nullable=False),
    Column("connection_state", Text, nullable=False),
    Column("reason", Text),
    Column("generation", Integer, nullable=False),
    Column("last_open_at", DateTime(timezone=True)),
    Column("deleted_at", DateTime(timezone=True)),
    _created_at(),
    Column("pairing_failure", Text),
    Column("paused_at", DateTime(timezone=True)),
    CheckConstraint("session_id ~ '^[A-Za-z0-9._-]{1,64}$'", name="session_id"),
    CheckConstraint("desired_state IN ('running', 'stopped')", name="desired_state"),
    CheckConstraint("generation > 0", name="generation"),
    Index(
        "sessions_tenant_id_session_id_key",
        "tenant_id",
        "session_id",
        unique=True,
        postgresql_where=text("deleted_at IS NULL"),
    ),
    Index(
        "sessions_wanted_idx",
        "session_ref",
        postgresql_where=text("desired_state = 'running' AND deleted_at IS NULL"),
    ),
)

#: One pairing of a session. ``paired_at`` is set by the first creds; it never goes back, so that a missing row of
#: creds can be told from a generation that was never paired.
generations = Table(
    "generations",
    metadata,
    Column("session_ref", BigInteger, ForeignKey("sessions.session_ref", ondelete="CASCADE"), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("paired_at", DateTime(timezone=True)),
    Column("account_jid", Text),
    Column("account_lid", Text),
    Column("set_aside_at", DateTime(timezone=True)),
    Column("set_aside_by", Text),
    Column("set_aside_reason", Text),
    _created_at(),
    PrimaryKeyConstraint("session_ref", "generation"),
    CheckConstraint("(set_aside_at IS NULL) = (set_aside_by IS NULL)", name="set_aside"),
    Index("generations_set_aside_at_idx", "set_aside_at", postgresql_where=text("set_aside_at IS NOT NULL")),
)

#: Links to the pairing page. ``browser_digest`` is of the browser that opened one, and which it is bound to since.
pairing_links = Table(
    "pairing_links",
    metadata,
    Column("link_id", BigInteger, Identity(always=True), primary_key=True),
    Column("token_digest", LargeBinary, nullable=False),
    Column("session_ref", BigInteger, ForeignKey("sessions.session_ref", ondelete="CASCADE"), nullable=False),
    Column("requested_by", Text, nullable=False),
    _created_at(),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("browser_digest", LargeBinary),
    Column("opened_at", DateTime(timezone=True)),
    Column("used_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
    UniqueConstraint("token_digest"),
    CheckConstraint("(browser_digest IS NULL) = (opened_at IS NULL)", name="opened"),
    Index("pairing_links_session_ref_idx", "session_ref"),
    Index("pairing_links_expires_at_idx", "expires_at"),
)

#: What happened to sessions' generations, who or what did it, and why; it outlives them.
session_audit = Table(
    "session_audit",
    metadata,
    Column("audit_id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("tenant_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("session_ref", BigInteger, nullable=False),
    Column("generation", Integer),
    Column("action", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text),
    Index("session_audit_tenant_id_session_id_audit_id_idx", "tenant_id", "session_id", "audit_id"),
)

#: One row: the oldest ``SCHEMA_VERSION`` whose code works with this schema.
schema_compatibility = Table(
    "schema_compatibility",
    metadata,
    Column("works_since", Text, nullable=False),
)

#: The process trees that work on this database. A lease lasts as long as its owner's ``renewed_at`` is recent
#: (store/replicas.py). ``peer_token`` is what other replicas show at ``address``; sealed when there is a key.
replicas = Table(
    "replicas",
    metadata,
    Column("replica_id", Text, primary_key=True),
    Column("renewed_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("ttl_seconds", Double, nullable=False),
    Column("address", Text),
    Column("peer_token", LargeBinary),
    Column("held", Integer, nullable=False, server_default=text("0")),
    Column("ready", Boolean(), nullable=False, server_default=text("false")),
    Column("started_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    CheckConstraint("ttl_seconds > 0", name="ttl_seconds"),
    CheckConstraint("held >= 0", name="held"),
    postgresql_with={"fillfactor": "10"},
)

#: Every session has one, so that free ones are found without looking at those of others. ``expires_at`` is only set by
#: replicas of the version before, which have no row in ``replicas``.
#: UNIQUE (session_ref, epoch) makes epoch a key column: the FOR KEY SHARE lock of a write then waits for a take-over
#: (which changes it) and not for a renewal (which doesn't). See store/write_batch.py. ``recovered_epoch`` is the epoch
#: of the journal that the lease was last taken for, as long as nobody has run the session since.
leases = Table(
    "leases",
    metadata,
    Column(
        "session_ref",
        BigInteger,
        ForeignKey("sessions.session_ref", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("owner", Text),
    Column("epoch", BigInteger, nullable=False),
    Column("expires_at", DateTime(timezone=True)),
    Column("last_backup_at", DateTime(timezone=True)),
    Column("recovered_epoch", BigInteger),
    UniqueConstraint("session_ref", "epoch"),
    Index("leases_free_idx", "session_ref", postgresql_where=text("owner IS NULL")),
    Index("leases_owner_idx", "owner", postgresql_where=text("owner IS NOT NULL")),
    Index("leases_expires_at_idx", "expires_at", postgresql_where=text("expires_at IS NOT NULL")),
    postgresql_with={"fillfactor": "50"},
)

#: ``value`` is sealed (store/sealing.py).
creds = Table(
    "creds",
    metadata,
    Column("session_ref", BigInteger, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("value", LargeBinary, nullable=False),
    Column("written_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("session_ref", "generation"),
    ForeignKeyConstraint(
        ["session_ref", "generation"], ["generations.session_ref", "generations.generation"], ondelete="CASCADE"
    ),
    postgresql_with={"fillfactor": "80"},
)

#: Signal keys: one row each, the id verbatim. No foreign key: it would cost each write a look-up, and the fence of the
#: write has checked the session already. Partitions, and their layout, are the migrations'.
signal_keys = Table(
    "signal_keys",
    metadata,
    Column("session_ref", BigInteger, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("key_type", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("value", LargeBinary, nullable=False),
    Column("written_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("session_ref", "generation", "key_type", "key_id"),
    postgresql_partition_by="HASH (session_ref)",
)

#: What we sent lately, to answer a phone's retry receipt after a restart; pruned by age and number.
sent_messages = Table(
    "sent_messages",
    metadata,
    Column("session_ref", BigInteger, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("message", LargeBinary, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("sent_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("session_ref", "message_id"),
    Index("sent_messages_sent_at_idx", "sent_at"),
    postgresql_partition_by="HASH (session_ref)",
)

#: Messages that came in, written in the transaction of the ratchet step that decrypted them; ``event`` is sealed.
#: ``number`` orders them for a reader that comes back. ``delivered_at`` says that some reader was given it.
incoming_messages = Table(
    "incoming_messages",
    metadata,
    Column("session_ref", BigInteger, nullable=False),
    Column("message_key", Text, nullable=False),
    Column("number", BigInteger, Sequence("incoming_messages_number_seq"), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("event", LargeBinary, nullable=False),
    Column("received_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("delivered_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("session_ref", "message_key"),
    Index(
        "incoming_messages_undelivered_idx",
        "session_ref",
        "number",
        postgresql_where=text("delivered_at IS NULL"),
    ),
    Index("incoming_messages_number_idx", "number"),
    Index("incoming_messages_session_ref_number_idx", "session_ref", "number"),
    postgresql_partition_by="HASH (session_ref)",
)


def _session_ref(*, primary_key: bool = False, nullable: bool = False) -> Column[object]:
    key = ForeignKey("sessions.session_ref", ondelete="CASCADE")
    return Column(
        "session_ref",
        BigInteger,
        key,
        primary_key=primary_key,
        autoincrement=False,
        nullable=nullable and not primary_key,
    )


def _moment(name: str, *, nullable: bool = True, now: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable, server_default=func.now() if now else None)


_WAITS = "state = ANY (ARRAY['queued'::text, 'sending'::text])"

#: Requests for many messages at once.
outbox_bulks = Table(
    "outbox_bulks",
    metadata,
    Column("bulk_id", Text, primary_key=True),
    _session_ref(),
    Column("idempotency_key", Text),
    Column("digest", LargeBinary, nullable=False),
    Column("total", Integer, nullable=False),
    _created_at(),
    _moment("cancelled_at"),
    Index(
        "outbox_bulks_key_idx",
        "session_ref",
        "idempotency_key",
        unique=True,
        postgresql_where=text("idempotency_key IS NOT NULL"),
    ),
)

#: The outbox. ``chat`` is a digest of whom a message goes to; ``recipient`` and ``body`` are sealed. The body goes when the
#: message is settled: sent, failed or cancelled. ``digest`` tells another request with the same key.
outbox_messages = Table(
    "outbox_messages",
    metadata,
    _session_ref(),
    Column("message_id", Text, nullable=False),
    Column("number", BigInteger, Identity(always=True), nullable=False),
    Column("chat", LargeBinary, nullable=False),
    Column("recipient", LargeBinary, nullable=False),
    Column("body", LargeBinary),
    Column("file_bytes", BigInteger),
    Column("state", Text, nullable=False, server_default=text("'queued'")),
    Column("paced", Boolean(), nullable=False),
    Column("bulk_id", Text, ForeignKey("outbox_bulks.bulk_id", ondelete="CASCADE")),
    Column("idempotency_key", Text),
    Column("digest", LargeBinary, nullable=False),
    _moment("accepted_at", nullable=False, now=True),
    _moment("send_at", nullable=False),
    _moment("deadline", nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    _moment("retry_at"),
    Column("error", Text),
    _moment("sent_at"),
    _moment("delivered_at"),
    _moment("read_at"),
    _moment("settled_at"),
    PrimaryKeyConstraint("session_ref", "message_id"),
    CheckConstraint("state IN ('queued', 'sending', 'sent', 'delivered', 'read', 'failed', 'cancelled')", name="state"),
    CheckConstraint("(state IN ('queued', 'sending')) = (body IS NOT NULL)", name="body"),
    CheckConstraint("(state IN ('queued', 'sending')) = (settled_at IS NULL)", name="settled"),
    Index("outbox_messages_waiting_idx", "session_ref", "paced", "send_at", "number", postgresql_where=text(_WAITS)),
    Index("outbox_messages_deadline_idx", "deadline", postgresql_where=text(_WAITS)),
    Index(
        "outbox_messages_key_idx",
        "session_ref",
        "idempotency_key",
        unique=True,
        postgresql_where=text("idempotency_key IS NOT NULL"),
    ),
    Index("outbox_messages_session_ref_number_idx", "session_ref", "number"),
    Index("outbox_messages_bulk_id_idx", "bulk_id", postgresql_where=text("bulk_id IS NOT NULL")),
    Index("outbox_messages_settled_at_idx", "settled_at", postgresql_where=text("settled_at IS NOT NULL")),
    Index(
        "outbox_messages_paced_idx",
        "session_ref",
        "sent_at",
        postgresql_where=text("paced AND sent_at IS NOT NULL"),
    ),
    postgresql_with={"fillfactor": "80"},
)

#: How fast a session may send what keeps to a pace; none: the default.
session_pacing = Table(
    "session_pacing", metadata, _session_ref(primary_key=True), Column("pacing", JSONB, nullable=False)
)

#: Events other than received messages that a reader may come back for. ``data`` is sealed; the numbers are one order with
#: those of ``incoming_messages``.
stored_events = Table(
    "stored_events",
    metadata,
    Column("number", BigInteger, Sequence("incoming_messages_number_seq"), primary_key=True),
    _session_ref(),
    Column("event_id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("data", LargeBinary, nullable=False),
    _moment("at", nullable=False, now=True),
    Index("stored_events_session_ref_number_idx", "session_ref", "number"),
)

#: ``config`` is the URL and the secrets, sealed. It hears of messages with numbers above ``from_number``.
webhooks = Table(
    "webhooks",
    metadata,
    Column("webhook_id", Text, primary_key=True),
    Column("tenant_id", Text, nullable=False),
    _session_ref(nullable=True),
    Column("config", LargeBinary, nullable=False),
    Column("events", ARRAY(Text), nullable=False),
    Column("enabled", Boolean(), nullable=False, server_default=text("true")),
    Column("disabled_reason", Text),
    _moment("failing_since"),
    Column("from_number", BigInteger, nullable=False),
    _created_at(),
    Index("webhooks_tenant_id_webhook_id_idx", "tenant_id", "webhook_id"),
)

#: Up to which number a session's incoming messages were made deliveries of.
webhook_cursors = Table(
    "webhook_cursors", metadata, _session_ref(primary_key=True), Column("number", BigInteger, nullable=False)
)

#: One session's deliveries to one webhook, which go one after the other. ``next_at``: when there is something to do;
#: ``woken`` grows whenever something is added, so that nobody falls asleep over it.
webhook_streams = Table(
    "webhook_streams",
    metadata,
    Column("webhook_id", Text, ForeignKey("webhooks.webhook_id", ondelete="CASCADE"), nullable=False),
    _session_ref(),
    _moment("next_at"),
    Column("woken", BigInteger, nullable=False, server_default=text("0")),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("claimed_by", Text),
    _moment("claimed_until"),
    PrimaryKeyConstraint("webhook_id", "session_ref"),
    Index("webhook_streams_next_at_idx", "next_at", postgresql_where=text("next_at IS NOT NULL")),
    postgresql_with={"fillfactor": "50"},
)

#: Deliveries that wait, their log, and those that were given up. ``payload`` is sealed, and goes with its delivery.
webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("number", BigInteger, Identity(always=True), primary_key=True),
    Column("webhook_id", Text, ForeignKey("webhooks.webhook_id", ondelete="CASCADE"), nullable=False),
    _session_ref(),
    Column("event_id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("payload", LargeBinary),
    Column("state", Text, nullable=False, server_default=text("'waiting'")),
    _created_at(),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    _moment("attempted_at"),
    Column("duration_ms", Integer),
    Column("status", Integer),
    Column("answer", Text),
    Column("error", Text),
    _moment("settled_at"),
    CheckConstraint("state IN ('waiting', 'delivered', 'dead')", name="state"),
    Index(
        "webhook_deliveries_waiting_idx",
        "webhook_id",
        "session_ref",
        "number",
        postgresql_where=text("state = 'waiting'"),
    ),
    Index("webhook_deliveries_webhook_id_number_idx", "webhook_id", "number"),
    Index("webhook_deliveries_settled_at_idx", "settled_at", postgresql_where=text("settled_at IS NOT NULL")),
    postgresql_with={"fillfactor": "80"},
)

#: What an owner decided about a session; ``settings`` is sealed, and holds what isn't as by default. ``retention_days`` is there
#: beside, for who deletes by it.
#: The file of a message that waits, in parts; gone with the message's content.
outbox_files = Table(
    "outbox_files",
    metadata,
    Column("session_ref", BigInteger, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("part", Integer, nullable=False),
    Column("content", LargeBinary, nullable=False),
    PrimaryKeyConstraint("session_ref", "message_id", "part"),
    ForeignKeyConstraint(
        ["session_ref", "message_id"],
        ["outbox_messages.session_ref", "outbox_messages.message_id"],
        name="message",
        ondelete="CASCADE",
    ),
)

session_settings = Table(
    "session_settings",
    metadata,
    Column(
        "session_ref",
        BigInteger,
        ForeignKey("sessions.session_ref", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("settings", LargeBinary, nullable=False),
    Column("retention_days", Integer),
    Column("own_webhooks_only", Boolean(), nullable=False, server_default=text("false")),
    Column("changed_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    CheckConstraint("retention_days BETWEEN 0 AND 3650", name="retention_days"),
)

#: What a session knows of contacts, chats and labels (store/directory.py); ``value`` is sealed.
directory = Table(
    "directory",
    metadata,
    Column("session_ref", BigInteger, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("entry_id", Text, nullable=False),
    Column("value", LargeBinary, nullable=False),
    Column("sort_at", BigInteger, nullable=False, server_default=text("0")),
    Column("changed_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("session_ref", "generation", "kind", "entry_id"),
    ForeignKeyConstraint(
        ["session_ref", "generation"], ["generations.session_ref", "generations.generation"], ondelete="CASCADE"
    ),
    CheckConstraint("kind IN ('contact', 'chat', 'label')", name="kind"),
    Index("directory_newest_idx", "session_ref", "generation", "kind", text("sort_at DESC"), "entry_id"),
    postgresql_with={"fillfactor": "80"},
)

#: Messages of chats that are kept (store/kept_messages.py), moved here from the incoming ones, or sent; ``event`` is sealed like
#: theirs, and ``number`` is of their sequence.
kept_messages = Table(
    "kept_messages",
    metadata,
    Column("session_ref", BigInteger, nullable=False),
    Column("message_key", Text, nullable=False),
    Column("chat_key", Text, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("event", LargeBinary, nullable=False),
    Column("received_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("session_ref", "message_key"),
    Index("kept_messages_chat_idx", "session_ref", "chat_key", "number"),
    Index("kept_messages_received_at_idx", "session_ref", "received_at"),
)

#: Tokens of the public API, by digest: the token itself is shown once and never stored. The admin's is named so and belongs
#: to no tenant; the ``name`` of a tenant's token is its id, and ``label`` what its owner calls it.
#: A ``login`` is a browser's; ``parent`` is the digest of the token that it was made from, and without a tenant it is the admin's.
api_tokens = Table(
    "api_tokens",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("name", Text, nullable=False),
    _created_at(),
    Column("tenant_id", Text, ForeignKey("tenants.tenant_id")),
    Column("label", Text),
    Column("hint", Text),
    Column("scopes", ARRAY(Text)),
    Column("created_by", Text),
    Column("expires_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
    Column("last_used_at", DateTime(timezone=True)),
    Column("login", Boolean(), nullable=False, server_default=text("false")),
    Column("parent", LargeBinary),
    UniqueConstraint("name"),
    CheckConstraint("scopes <@ ARRAY['read', 'send', 'manage']", name="scopes"),
    CheckConstraint(
        "CASE WHEN tenant_id IS NULL THEN name = 'admin' OR login "
        "ELSE name <> 'admin' AND num_nulls(label, hint, scopes, created_by) = 0 END",
        name="tenant_id",
    ),
    CheckConstraint("NOT login OR expires_at IS NOT NULL", name="login"),
    Index("api_tokens_tenant_id_created_at_name_idx", "tenant_id", "created_at", "name"),
)

#: Links that log a browser in, once. Without a tenant: as the admin.
login_links = Table(
    "login_links",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("tenant_id", Text, ForeignKey("tenants.tenant_id")),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("parent", LargeBinary),
    Column("created_by", Text, nullable=False),
    _created_at(),
    _moment("expires_at", nullable=False),
    _moment("used_at"),
)

#: Written by a trigger on ``sessions``.
connection_changes = Table(
    "connection_changes",
    metadata,
    Column("number", BigInteger, Identity(always=True), primary_key=True),
    _session_ref(),
    _moment("at", nullable=False, now=True),
    Column("connection_state", Text, nullable=False),
    Column("reason", Text),
    Index("connection_changes_session_ref_number_idx", "session_ref", "number"),
    Index("connection_changes_at_idx", "at"),
)

#: Looks at a session that somebody runs, one a minute, and in how many of them it was open; and its messages.
session_hours = Table(
    "session_hours",
    metadata,
    _session_ref(primary_key=True),
    Column("hour", DateTime(timezone=True), primary_key=True),
    Column("samples", Integer, nullable=False),
    Column("open_samples", Integer, nullable=False),
    Column("sent", Integer, nullable=False),
    Column("received", Integer, nullable=False),
    Index("session_hours_hour_idx", "hour"),
)

#: How fast writes of auth states were durable: 95 in 100 within ``slow_seconds``.
backup_minutes = Table(
    "backup_minutes",
    metadata,
    Column("minute", DateTime(timezone=True), primary_key=True),
    Column("replica_id", Text, primary_key=True),
    Column("writes", BigInteger, nullable=False),
    Column("slow_seconds", Double, nullable=False),
    Column("journal_bytes", BigInteger, nullable=False),
)

#: What the admin did, and what anybody did with tokens. Written before it is done; ``status`` is how it was answered.
acts = Table(
    "acts",
    metadata,
    Column("act_id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("tenant_id", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("status", Integer),
    Column("result", Text),
    Column("request_id", Text, nullable=False),
    Column("address", Text),
    Index("acts_tenant_id_act_id_idx", "tenant_id", "act_id"),
)

#: Copies of the whole database that were begun on the schedule. One that has no end was cut off.
database_backups = Table(
    "database_backups",
    metadata,
    Column("backup_id", BigInteger, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("finished_at", DateTime(timezone=True)),
    Column("bytes", BigInteger),
    Column("failure", Text),
    CheckConstraint("(finished_at IS NULL) OR (bytes IS NULL) <> (failure IS NULL)", name="outcome"),
    Index("database_backups_started_at_idx", "started_at"),
)

#: What tenants can buy. A plan that was ever bought stays: invoices name it.
plans = Table(
    "plans",
    metadata,
    Column("plan_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("price_cents", Integer, nullable=False),
    Column("period_unit", Text, nullable=False),
    Column("period_count", Integer, nullable=False),
    Column("sessions", Integer),
    Column("available", Boolean(), nullable=False, server_default=text("true")),
    _created_at(),
    CheckConstraint("price_cents > 0", name="price_cents"),
    CheckConstraint("period_unit IN ('day', 'month') AND period_count > 0", name="period"),
    CheckConstraint("sessions > 0", name="sessions"),
)

#: One for each tenant but the operator. No plan: the trial; no end: it never ends. ``look_at``: when something is due next.
subscriptions = Table(
    "subscriptions",
    metadata,
    Column("tenant_id", Text, ForeignKey("tenants.tenant_id"), primary_key=True),
    Column("plan_id", Text, ForeignKey("plans.plan_id")),
    Column("active_until", DateTime(timezone=True)),
    Column("anchor_day", Integer),
    Column("payer_email", Text),
    Column("look_at", DateTime(timezone=True)),
    _created_at(),
    CheckConstraint("tenant_id <> 'operator'", name="operator"),
    CheckConstraint("anchor_day BETWEEN 1 AND 31", name="anchor_day"),
    Index("subscriptions_look_at_idx", "look_at", postgresql_where=text("look_at IS NOT NULL")),
)

#: PIX payment requests. ``closed_at``: MercadoPago has said how it ended, or doesn't know it; until then it is read again.
charges = Table(
    "charges",
    metadata,
    Column("charge_id", Text, primary_key=True),
    Column("tenant_id", Text, ForeignKey("tenants.tenant_id"), nullable=False),
    Column("plan_id", Text, ForeignKey("plans.plan_id"), nullable=False),
    Column("state", Text, nullable=False),
    Column("amount_cents", Integer, nullable=False),
    Column("currency", Text, nullable=False),
    Column("payer_email", Text, nullable=False),
    Column("payment_id", Text),
    Column("pix_code", Text),
    _created_at(),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("paid_at", DateTime(timezone=True)),
    Column("checked_at", DateTime(timezone=True)),
    Column("closed_at", DateTime(timezone=True)),
    UniqueConstraint("payment_id"),
    CheckConstraint("amount_cents > 0", name="amount_cents"),
    Index("charges_tenant_id_created_at_charge_id_idx", "tenant_id", "created_at", "charge_id"),
    # Whoever asks twice gets the same one.
    Index(
        "charges_pending_key",
        "tenant_id",
        "plan_id",
        "amount_cents",
        unique=True,
        postgresql_where=text("state = 'pending'"),
    ),
    Index("charges_open_idx", "checked_at", postgresql_where=text("closed_at IS NULL")),
)

#: MercadoPago charges the tenant by itself. A tenant has one at most that isn't over.
recurring_payments = Table(
    "recurring_payments",
    metadata,
    Column("recurring_id", Text, primary_key=True),
    Column("tenant_id", Text, ForeignKey("tenants.tenant_id"), nullable=False),
    Column("plan_id", Text, ForeignKey("plans.plan_id"), nullable=False),
    Column("state", Text, nullable=False),
    Column("amount_cents", Integer, nullable=False),
    Column("currency", Text, nullable=False),
    Column("payer_email", Text, nullable=False),
    Column("preapproval_id", Text),
    Column("url", Text),
    _created_at(),
    Column("checked_at", DateTime(timezone=True)),
    UniqueConstraint("preapproval_id"),
    CheckConstraint("amount_cents > 0", name="amount_cents"),
    Index("recurring_payments_current_key", "tenant_id", unique=True, postgresql_where=text("state <> 'cancelled'")),
)

#: Payments for charges and recurring payments of ours, as MercadoPago had them when they were last read.
payments = Table(
    "payments",
    metadata,
    Column("payment_id", Text, primary_key=True),
    Column("number", BigInteger, Identity(always=True), nullable=False),
    Column("tenant_id", Text, ForeignKey("tenants.tenant_id")),
    Column("reference", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("status_detail", Text),
    Column("amount_cents", BigInteger),
    Column("refunded_cents", BigInteger, nullable=False),
    Column("currency", Text),
    Column("problem", Text),
    Column("approved_at", DateTime(timezone=True)),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("read_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    UniqueConstraint("number"),
    Index("payments_tenant_id_number_idx", "tenant_id", "number"),
    Index("payments_read_at_idx", "read_at"),
)

#: One for each payment that was settled: that there can't be two is what makes it happen once.
invoices = Table(
    "invoices",
    metadata,
    Column("invoice_id", BigInteger, Identity(always=True), primary_key=True),
    Column("payment_id", Text, ForeignKey("payments.payment_id"), nullable=False),
    Column("charge_id", Text, ForeignKey("charges.charge_id")),
    Column("tenant_id", Text, ForeignKey("tenants.tenant_id"), nullable=False),
    Column("plan_id", Text, ForeignKey("plans.plan_id"), nullable=False),
    Column("amount_cents", Integer, nullable=False),
    Column("currency", Text, nullable=False),
    Column("period_from", DateTime(timezone=True), nullable=False),
    Column("period_to", DateTime(timezone=True), nullable=False),
    Column("paid_at", DateTime(timezone=True), nullable=False),
    Column("reversed_at", DateTime(timezone=True)),
    Column("reversed_by", Text),
    UniqueConstraint("payment_id"),
    CheckConstraint("period_from < period_to", name="period"),
    CheckConstraint("num_nulls(reversed_at, reversed_by) <> 1", name="reversed"),
    CheckConstraint("reversed_by IN ('refunded', 'charged_back')", name="reversed_by"),
    Index("invoices_tenant_id_invoice_id_idx", "tenant_id", "invoice_id"),
    Index("invoices_paid_at_idx", "paid_at"),
)

#: What somebody should be told of money, once for each ``subject``: the end that it is about, or the payment.
billing_notices = Table(
    "billing_notices",
    metadata,
    Column("notice_id", BigInteger, Identity(always=True), primary_key=True),
    Column("tenant_id", Text, ForeignKey("tenants.tenant_id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("data", JSONB, nullable=False),
    UniqueConstraint("tenant_id", "kind", "subject"),
    Index("billing_notices_tenant_id_notice_id_idx", "tenant_id", "notice_id"),
)

#: Which process is the Telegram bot: one row. ``epoch`` grows with each change of holder and fences late writers.
bot_lease = Table(
    "bot_lease",
    metadata,
    Column("only_row", Boolean(), primary_key=True, server_default=text("true")),
    Column("holder", Text),
    Column("epoch", BigInteger, nullable=False, server_default=text("0")),
    Column("expires_at", DateTime(timezone=True)),
    CheckConstraint("only_row", name="only_row"),
    CheckConstraint("(holder IS NULL) = (expires_at IS NULL)", name="holder"),
)

#: What the bot must not forget: conversations, alerts that were told.
bot_documents = Table(
    "bot_documents",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", JSONB, nullable=False),
    Column("written_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

#: The kinds of alerts that the operator doesn't want to hear of.
muted_alerts = Table(
    "muted_alerts",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("muted_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

#: One text to all tenants that use the bot, which counts in ``recipients`` once it began; ``after_chat`` is the last chat that
#: was dealt with, in the order of ids. One at a time is under way.
broadcasts = Table(
    "broadcasts",
    metadata,
    Column("broadcast_id", BigInteger, Identity(always=True), primary_key=True),
    Column("text", Text, nullable=False),
    _created_at(),
    Column("recipients", Integer),
    Column("told", Integer, nullable=False, server_default=text("0")),
    Column("failed", Integer, nullable=False, server_default=text("0")),
    Column("after_chat", BigInteger),
    Column("ended_at", DateTime(timezone=True)),
    Column("cancelled", Boolean, nullable=False, server_default=text("false")),
    CheckConstraint("told >= 0 AND failed >= 0 AND recipients >= 0", name="counts"),
    CheckConstraint("NOT cancelled OR ended_at IS NOT NULL", name="cancelled"),
    Index("broadcasts_under_way_idx", text("(true)"), unique=True, postgresql_where=text("ended_at IS NULL")),
)

#: Updates that Telegram delivered to the webhook and the bot hasn't dealt with.
bot_updates = Table(
    "bot_updates",
    metadata,
    Column("update_id", BigInteger, primary_key=True, autoincrement=False),
    Column("body", JSONB, nullable=False),
    Column("received_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

#: What each replica last said of its processes, its memory and its journal. Beside ``replicas``, whose rows are renewed
#: every second and must stay small.
replica_statuses = Table(
    "replica_statuses",
    metadata,
    Column("replica_id", Text, primary_key=True),
    Column("status", JSONB, nullable=False),
    Column("told_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

#: Whom a tenant has reminded of what they owe. ``look_at``: when there is something to tell next.
reminder_contacts = Table(
    "reminder_contacts",
    metadata,
    Column("contact_id", Text, primary_key=True),
    Column("tenant_id", Text, ForeignKey("tenants.tenant_id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("phone", Text, nullable=False),
    Column("amount_cents", BigInteger, nullable=False),
    Column("due_date", Date, nullable=False),
    Column("due_day", Integer, nullable=False),
    Column("recurrence", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("pix_code", Text),
    Column("state", Text, nullable=False),
    Column("due_since", DateTime(timezone=True), nullable=False),
    Column("paid_due_date", Date),
    _moment("paid_at"),
    _moment("look_at"),
    _created_at(),
    UniqueConstraint("tenant_id", "phone"),
    CheckConstraint("amount_cents > 0", name="amount_cents"),
    CheckConstraint("due_day BETWEEN 1 AND 31", name="due_day"),
    CheckConstraint("state IN ('open', 'paid')", name="state"),
    Index("reminder_contacts_tenant_id_due_date_name_contact_id_idx", "tenant_id", "due_date", "name", "contact_id"),
    Index("reminder_contacts_look_at_idx", "look_at", postgresql_where=text("look_at IS NOT NULL")),
)

#: A tenant's own text for a kind of reminder in a language.
reminder_templates = Table(
    "reminder_templates",
    metadata,
    Column("tenant_id", Text, ForeignKey("tenants.tenant_id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("tenant_id", "kind", "language"),
)

#: When contacts are reminded. The session is named as its tenant names it: one that is made again goes on.
reminder_schedules = Table(
    "reminder_schedules",
    metadata,
    Column("schedule_id", Text, primary_key=True),
    Column("tenant_id", Text, ForeignKey("tenants.tenant_id"), nullable=False),
    Column("session_id", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("time_of_day", Time, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("days_before", ARRAY(Integer), nullable=False),
    Column("on_due_date", Boolean(), nullable=False),
    Column("days_after", ARRAY(Integer), nullable=False),
    Column("welcome", Boolean(), nullable=False),
    Column("thank", Boolean(), nullable=False),
    Column("quiet_weekdays", ARRAY(Text), nullable=False),
    Column("catch_up_hours", Integer, nullable=False),
    Column("enabled", Boolean(), nullable=False),
    Column("since", DateTime(timezone=True), nullable=False),
    _created_at(),
    CheckConstraint("catch_up_hours > 0", name="catch_up_hours"),
    Index("reminder_schedules_tenant_id_schedule_id_idx", "tenant_id", "schedule_id"),
)

#: What contacts are told: that there can't be two of a kind, due date and offset is what makes it happen once. ``text`` is there
#: until the outbox has the message, and ``hand_over_at`` says when to try that.
reminders = Table(
    "reminders",
    metadata,
    Column("reminder_id", BigInteger, Identity(always=True), primary_key=True),
    Column("tenant_id", Text, ForeignKey("tenants.tenant_id"), nullable=False),
    Column("contact_id", Text, ForeignKey("reminder_contacts.contact_id", ondelete="CASCADE"), nullable=False),
    Column("due_date", Date, nullable=False),
    Column("kind", Text, nullable=False),
    Column("offset_days", Integer, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("phone", Text, nullable=False),
    Column("text", Text),
    Column("decided_at", DateTime(timezone=True), nullable=False),
    Column("deadline", DateTime(timezone=True), nullable=False),
    _moment("hand_over_at"),
    Column("message_id", Text),
    Column("error", Text),
    UniqueConstraint("contact_id", "due_date", "kind", "offset_days"),
    CheckConstraint(
        "(hand_over_at IS NULL) = (message_id IS NOT NULL OR error IS NOT NULL) AND (text IS NULL) = (hand_over_at IS NULL)",
        name="waiting",
    ),
    Index("reminders_hand_over_at_idx", "hand_over_at", postgresql_where=text("hand_over_at IS NOT NULL")),
    Index("reminders_decided_at_idx", "decided_at"),
)
