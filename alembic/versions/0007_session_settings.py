"""Settings of sessions, and what sessions know of contacts, chats and labels.

A replica of the version before may go on while this runs: it reads neither table, and starts its sessions with the
settings that are usual.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE session_settings (
            session_ref bigint NOT NULL,
            settings bytea NOT NULL,
            retention_days integer,
            changed_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT session_settings_pkey PRIMARY KEY (session_ref),
            CONSTRAINT session_settings_session_ref_fkey FOREIGN KEY (session_ref) REFERENCES sessions ON DELETE CASCADE,
            CONSTRAINT session_settings_retention_days_check CHECK (retention_days BETWEEN 0 AND 3650)
        )
        """
    )
    # A busy chat's row is rewritten every few seconds: room for HOT updates, which sort_at doesn't allow but for its own index.
    op.execute(
        """
        CREATE TABLE directory (
            session_ref bigint NOT NULL,
            generation integer NOT NULL,
            kind text NOT NULL,
            entry_id text NOT NULL,
            value bytea NOT NULL,
            sort_at bigint NOT NULL DEFAULT 0,
            changed_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT directory_pkey PRIMARY KEY (session_ref, generation, kind, entry_id),
            CONSTRAINT directory_session_ref_fkey FOREIGN KEY (session_ref, generation)
                REFERENCES generations (session_ref, generation) ON DELETE CASCADE,
            CONSTRAINT directory_kind_check CHECK (kind IN ('contact', 'chat', 'label'))
        ) WITH (fillfactor = 80)
        """
    )
    op.execute("CREATE INDEX directory_newest_idx ON directory (session_ref, generation, kind, sort_at DESC, entry_id)")
