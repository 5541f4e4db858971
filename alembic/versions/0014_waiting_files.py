"""Files of messages that wait in the outbox, and sessions of which only their own webhooks hear.

A replica of the version before sends no message with such a file: it fails there as one whose media is missing. It goes on to
tell a tenant's webhooks of every session.
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE outbox_messages ADD COLUMN file_bytes bigint")
    op.execute(
        """
        CREATE TABLE outbox_files (
            session_ref bigint NOT NULL,
            message_id text NOT NULL,
            part integer NOT NULL,
            content bytea NOT NULL,
            CONSTRAINT outbox_files_pkey PRIMARY KEY (session_ref, message_id, part),
            CONSTRAINT outbox_files_message_fkey FOREIGN KEY (session_ref, message_id)
                REFERENCES outbox_messages (session_ref, message_id) ON DELETE CASCADE
        )
        """
    )
    # What is sealed, or a picture, doesn't get smaller.
    op.execute("ALTER TABLE outbox_files ALTER COLUMN content SET STORAGE EXTERNAL")
    op.execute("ALTER TABLE session_settings ADD COLUMN own_webhooks_only boolean NOT NULL DEFAULT false")
