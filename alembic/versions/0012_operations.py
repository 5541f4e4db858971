"""Copies of the whole database: when one was made, and whether it came to its end.

A replica of the version before knows nothing of them.
"""

from alembic import op

revision = "0012"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE database_backups (
            backup_id bigint GENERATED ALWAYS AS IDENTITY,
            name text NOT NULL,
            started_at timestamptz NOT NULL DEFAULT now(),
            finished_at timestamptz,
            bytes bigint,
            failure text,
            CONSTRAINT database_backups_pkey PRIMARY KEY (backup_id),
            CONSTRAINT database_backups_outcome_check CHECK ((finished_at IS NULL) OR (bytes IS NULL) <> (failure IS NULL))
        )
        """
    )
    op.execute("CREATE INDEX database_backups_started_at_idx ON database_backups (started_at)")
