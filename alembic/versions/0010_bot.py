"""What the Telegram bot must not forget, who is the bot, what Telegram delivered to us, and how replicas are.

Replicas of the version before know none of these tables.
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE bot_lease (
            only_row boolean NOT NULL DEFAULT true,
            holder text,
            epoch bigint NOT NULL DEFAULT 0,
            expires_at timestamptz,
            CONSTRAINT bot_lease_pkey PRIMARY KEY (only_row),
            CONSTRAINT bot_lease_only_row_check CHECK (only_row),
            CONSTRAINT bot_lease_holder_check CHECK ((holder IS NULL) = (expires_at IS NULL))
        )
        """
    )
    op.execute("INSERT INTO bot_lease DEFAULT VALUES")
    op.execute(
        """
        CREATE TABLE bot_documents (
            name text NOT NULL,
            value jsonb NOT NULL,
            written_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT bot_documents_pkey PRIMARY KEY (name)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE bot_updates (
            update_id bigint NOT NULL,
            body jsonb NOT NULL,
            received_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT bot_updates_pkey PRIMARY KEY (update_id)
        )
        """
    )
    # Beside replicas, whose rows are renewed every second and must stay small.
    op.execute(
        """
        CREATE TABLE replica_statuses (
            replica_id text NOT NULL,
            status jsonb NOT NULL,
            told_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT replica_statuses_pkey PRIMARY KEY (replica_id)
        )
        """
    )
