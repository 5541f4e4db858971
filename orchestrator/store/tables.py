"""The tables, as SQLAlchemy sees them; alembic/ makes them, and a test holds the two together."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
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


#: A deleted tenant keeps its row: its set-aside sessions and what is on record bear its id.
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
    CheckConstraint("tenant_id <> ''", name="tenant_id"),
    CheckConstraint("max_sessions >= 0", name="max_sessions"),
    CheckConstraint("messages_per_minute >= 0", name="messages_per_minute"),
    CheckConstraint("storage_bytes >= 0", name="storage_bytes"),
    CheckConstraint("chat_retention_days >= 0", name="chat_retention_days"),
    CheckConstraint("tenant_id <> 'operator' OR (blocked_at IS NULL AND deleted_at IS NULL)", name="operator"),
)

#: A deleted session keeps its row, and so its generations, until their retention ends; its id is free again.
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
    postgresql_partition_by="HASH (session_ref)",
)

#: What an owner decided about a session; ``settings`` is sealed, and holds what isn't as by default. ``retention_days`` is there
#: beside, for who deletes by it.
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

#: Tokens of the public API, by digest: the token itself is shown once and never stored. The admin's is named so and belongs
#: to no tenant; the ``name`` of a tenant's token is its id, and ``label`` what its owner calls it.
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
    UniqueConstraint("name"),
    CheckConstraint("scopes <@ ARRAY['read', 'send', 'manage']", name="scopes"),
    CheckConstraint(
        "CASE WHEN tenant_id IS NULL THEN name = 'admin' "
        "ELSE name <> 'admin' AND num_nulls(label, hint, scopes, created_by) = 0 END",
        name="tenant_id",
    ),
    Index("api_tokens_tenant_id_created_at_name_idx", "tenant_id", "created_at", "name"),
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

#: What the bot must not forget: conversations, alerts that were told, broadcasts that are under way.
bot_documents = Table(
    "bot_documents",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", JSONB, nullable=False),
    Column("written_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
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
