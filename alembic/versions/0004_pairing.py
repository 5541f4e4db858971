"""Links to a pairing page, and why the last pairing of a session came to nothing.

A replica of the version before reads neither.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE sessions ADD COLUMN pairing_failure text")
    op.execute(
        """
        CREATE TABLE pairing_links (
            link_id bigint GENERATED ALWAYS AS IDENTITY,
            token_digest bytea NOT NULL,
            session_ref bigint NOT NULL,
            requested_by text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            expires_at timestamptz NOT NULL,
            browser_digest bytea,
            opened_at timestamptz,
            used_at timestamptz,
            revoked_at timestamptz,
            CONSTRAINT pairing_links_pkey PRIMARY KEY (link_id),
            CONSTRAINT pairing_links_token_digest_key UNIQUE (token_digest),
            CONSTRAINT pairing_links_session_ref_fkey FOREIGN KEY (session_ref) REFERENCES sessions (session_ref) ON DELETE CASCADE,
            CONSTRAINT pairing_links_opened_check CHECK ((browser_digest IS NULL) = (opened_at IS NULL))
        )
        """
    )
    op.execute("CREATE INDEX pairing_links_session_ref_idx ON pairing_links (session_ref)")
    op.execute("CREATE INDEX pairing_links_expires_at_idx ON pairing_links (expires_at)")
