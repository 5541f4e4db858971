"""Messages of chats, kept for as long as a tenant or a session wants.

A replica of the version before may go on while this runs: it doesn't know the table, and forgets old messages as before.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE kept_messages (
            session_ref bigint NOT NULL,
            message_key text NOT NULL,
            chat_key text NOT NULL,
            number bigint NOT NULL,
            generation integer NOT NULL,
            event bytea NOT NULL,
            received_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT kept_messages_pkey PRIMARY KEY (session_ref, message_key)
        ) WITH (toast_tuple_target = 4000)
        """
    )
    op.execute("ALTER TABLE kept_messages ALTER COLUMN event SET STORAGE EXTERNAL")
    op.execute("CREATE INDEX kept_messages_chat_idx ON kept_messages (session_ref, chat_key, number)")
    op.execute("CREATE INDEX kept_messages_received_at_idx ON kept_messages (session_ref, received_at)")
