"""Signal keys and messages in partitions by session; incoming messages kept until they are delivered.

A replica of the version before may be writing while this runs. It waits for the lock and finds tables of the same
names with the same columns afterwards, so it goes on until its successor takes over.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

#: Vacuum works on one partition at a time, and each has small indexes; more would only cost each statement locks.
PARTITIONS = 8

#: Values are compressed and sealed before they come here, so PostgreSQL would try in vain. Up to half a page they stay
#: in their row, and with room left in the page an update rewrites the row in place without touching an index (HOT).
LAYOUT = "fillfactor = 80, toast_tuple_target = 4000, autovacuum_vacuum_scale_factor = 0.05"


def upgrade() -> None:
    _partition(
        "signal_keys",
        """
            session_ref bigint NOT NULL,
            generation integer NOT NULL,
            key_type text NOT NULL,
            key_id text NOT NULL,
            value bytea NOT NULL,
            written_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT signal_keys_pkey PRIMARY KEY (session_ref, generation, key_type, key_id)
        """,
        "session_ref, generation, key_type, key_id, value, written_at",
        value="value",
    )
    op.execute("ALTER INDEX sent_messages_sent_at_idx RENAME TO sent_messages_sent_at_idx_0001")
    _partition(
        "sent_messages",
        """
            session_ref bigint NOT NULL,
            message_id text NOT NULL,
            message bytea NOT NULL,
            generation integer NOT NULL,
            sent_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT sent_messages_pkey PRIMARY KEY (session_ref, message_id)
        """,
        "session_ref, message_id, message, generation, sent_at",
        value="message",
    )
    op.execute("CREATE INDEX sent_messages_sent_at_idx ON sent_messages (sent_at)")
    # A sequence rather than an identity: PostgreSQL below 17 has none in partitioned tables.
    op.execute("CREATE SEQUENCE incoming_messages_number_seq")
    _create(
        "incoming_messages",
        """
            session_ref bigint NOT NULL,
            message_key text NOT NULL,
            number bigint NOT NULL DEFAULT nextval('incoming_messages_number_seq'),
            generation integer NOT NULL,
            event bytea NOT NULL,
            received_at timestamptz NOT NULL DEFAULT now(),
            delivered_at timestamptz,
            CONSTRAINT incoming_messages_pkey PRIMARY KEY (session_ref, message_key)
        """,
        value="event",
    )
    op.execute("ALTER SEQUENCE incoming_messages_number_seq OWNED BY incoming_messages.number")
    op.execute(
        "CREATE INDEX incoming_messages_undelivered_idx ON incoming_messages (session_ref, number) WHERE delivered_at IS NULL"
    )
    op.execute("CREATE INDEX incoming_messages_number_idx ON incoming_messages (number)")
    op.execute("ALTER TABLE leases ADD COLUMN recovered_epoch bigint")
    op.execute("ALTER TABLE creds ALTER COLUMN value SET STORAGE EXTERNAL")
    op.execute("ALTER TABLE creds SET (toast_tuple_target = 4000)")


def _partition(name: str, columns: str, names: str, *, value: str) -> None:
    """Put ``name``'s rows into a partitioned table of the same name and columns."""
    op.execute(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE")
    op.execute(f"ALTER TABLE {name} RENAME TO {name}_0001")
    op.execute(f"ALTER INDEX {name}_pkey RENAME TO {name}_0001_pkey")
    _create(name, columns, value=value)
    op.execute(f"INSERT INTO {name} ({names}) SELECT {names} FROM {name}_0001")
    op.execute(f"DROP TABLE {name}_0001")


def _create(name: str, columns: str, *, value: str) -> None:
    op.execute(f"CREATE TABLE {name} ({columns}) PARTITION BY HASH (session_ref)")
    op.execute(f"ALTER TABLE {name} ALTER COLUMN {value} SET STORAGE EXTERNAL")
    for number in range(PARTITIONS):
        op.execute(
            f"CREATE TABLE {name}_{number} PARTITION OF {name} "
            f"FOR VALUES WITH (MODULUS {PARTITIONS}, REMAINDER {number}) WITH ({LAYOUT})"
        )
