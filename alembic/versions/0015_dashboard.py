"""Log-ins of browsers, and what the dashboard draws: connections as they changed, messages by the hour, backups by the minute.

A replica of the version before may go on while this runs: it reads tokens of tenants by their digest, makes none that are
log-ins, and what it does to ``connection_state`` is on record too.
"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE api_tokens
            ADD COLUMN login boolean NOT NULL DEFAULT false,
            ADD COLUMN parent bytea,
            DROP CONSTRAINT api_tokens_tenant_id_check,
            ADD CONSTRAINT api_tokens_tenant_id_check CHECK (
                CASE WHEN tenant_id IS NULL THEN name = 'admin' OR login
                ELSE name <> 'admin' AND num_nulls(label, hint, scopes, created_by) = 0 END
            ),
            ADD CONSTRAINT api_tokens_login_check CHECK (NOT login OR expires_at IS NOT NULL)
        """
    )
    op.execute(
        """
        CREATE TABLE login_links (
            digest bytea NOT NULL,
            tenant_id text REFERENCES tenants (tenant_id),
            scopes text[] NOT NULL,
            parent bytea,
            created_by text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            expires_at timestamptz NOT NULL,
            used_at timestamptz,
            CONSTRAINT login_links_pkey PRIMARY KEY (digest)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE connection_changes (
            number bigint GENERATED ALWAYS AS IDENTITY,
            session_ref bigint NOT NULL REFERENCES sessions (session_ref) ON DELETE CASCADE,
            at timestamptz NOT NULL DEFAULT now(),
            connection_state text NOT NULL,
            reason text,
            CONSTRAINT connection_changes_pkey PRIMARY KEY (number)
        )
        """
    )
    op.execute("CREATE INDEX connection_changes_session_ref_number_idx ON connection_changes (session_ref, number)")
    op.execute("CREATE INDEX connection_changes_at_idx ON connection_changes (at)")
    # A trigger, because many statements change the state and each that forgot to tell would make the record wrong.
    op.execute(
        """
        CREATE FUNCTION record_connection_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO connection_changes (session_ref, connection_state, reason)
            VALUES (NEW.session_ref, NEW.connection_state, NEW.reason);
            RETURN NULL;
        END
        $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER connection_changed AFTER UPDATE OF connection_state ON sessions FOR EACH ROW
        WHEN (OLD.connection_state IS DISTINCT FROM NEW.connection_state) EXECUTE FUNCTION record_connection_change()
        """
    )
    op.execute(
        """
        CREATE TABLE session_hours (
            session_ref bigint NOT NULL REFERENCES sessions (session_ref) ON DELETE CASCADE,
            hour timestamptz NOT NULL,
            samples integer NOT NULL,
            open_samples integer NOT NULL,
            sent integer NOT NULL,
            received integer NOT NULL,
            CONSTRAINT session_hours_pkey PRIMARY KEY (session_ref, hour)
        )
        """
    )
    op.execute("CREATE INDEX session_hours_hour_idx ON session_hours (hour)")
    op.execute(
        """
        CREATE TABLE backup_minutes (
            minute timestamptz NOT NULL,
            replica_id text NOT NULL,
            writes bigint NOT NULL,
            slow_seconds double precision NOT NULL,
            journal_bytes bigint NOT NULL,
            CONSTRAINT backup_minutes_pkey PRIMARY KEY (minute, replica_id)
        )
        """
    )
