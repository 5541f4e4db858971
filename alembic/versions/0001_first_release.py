"""First release: sessions, generations, leases, auth state, API tokens."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE sessions (
            session_ref bigint GENERATED ALWAYS AS IDENTITY,
            tenant_id text NOT NULL,
            session_id text NOT NULL,
            desired_state text NOT NULL,
            connection_state text NOT NULL,
            reason text,
            generation integer NOT NULL,
            last_open_at timestamptz,
            deleted_at timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT sessions_pkey PRIMARY KEY (session_ref),
            CONSTRAINT sessions_session_id_check CHECK (session_id ~ '^[A-Za-z0-9._-]{1,64}$'),
            CONSTRAINT sessions_desired_state_check CHECK (desired_state IN ('running', 'stopped')),
            CONSTRAINT sessions_generation_check CHECK (generation > 0)
        )
        """
    )
    op.execute(
        "CREATE UNIQUE INDEX sessions_tenant_id_session_id_key ON sessions (tenant_id, session_id) WHERE deleted_at IS NULL"
    )
    op.execute(
        "CREATE INDEX sessions_wanted_idx ON sessions (session_ref) WHERE desired_state = 'running' AND deleted_at IS NULL"
    )
    op.execute(
        """
        CREATE TABLE generations (
            session_ref bigint NOT NULL,
            generation integer NOT NULL,
            paired_at timestamptz,
            account_jid text,
            account_lid text,
            set_aside_at timestamptz,
            set_aside_by text,
            set_aside_reason text,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT generations_pkey PRIMARY KEY (session_ref, generation),
            CONSTRAINT generations_session_ref_fkey FOREIGN KEY (session_ref) REFERENCES sessions ON DELETE CASCADE,
            CONSTRAINT generations_set_aside_check CHECK ((set_aside_at IS NULL) = (set_aside_by IS NULL))
        )
        """
    )
    op.execute(
        """
        CREATE TABLE leases (
            session_ref bigint NOT NULL,
            owner text,
            epoch bigint NOT NULL,
            expires_at timestamptz NOT NULL,
            last_backup_at timestamptz,
            CONSTRAINT leases_pkey PRIMARY KEY (session_ref),
            CONSTRAINT leases_session_ref_fkey FOREIGN KEY (session_ref) REFERENCES sessions ON DELETE CASCADE,
            CONSTRAINT leases_session_ref_epoch_key UNIQUE (session_ref, epoch)
        ) WITH (fillfactor = 50)
        """
    )
    op.execute(
        """
        CREATE TABLE creds (
            session_ref bigint NOT NULL,
            generation integer NOT NULL,
            value bytea NOT NULL,
            written_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT creds_pkey PRIMARY KEY (session_ref, generation),
            CONSTRAINT creds_session_ref_fkey FOREIGN KEY (session_ref, generation) REFERENCES generations ON DELETE CASCADE
        ) WITH (fillfactor = 80)
        """
    )
    op.execute(
        """
        CREATE TABLE signal_keys (
            session_ref bigint NOT NULL,
            generation integer NOT NULL,
            key_type text NOT NULL,
            key_id text NOT NULL,
            value bytea NOT NULL,
            written_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT signal_keys_pkey PRIMARY KEY (session_ref, generation, key_type, key_id)
        ) WITH (fillfactor = 90)
        """
    )
    op.execute(
        """
        CREATE TABLE sent_messages (
            session_ref bigint NOT NULL,
            message_id text NOT NULL,
            message bytea NOT NULL,
            generation integer NOT NULL,
            sent_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT sent_messages_pkey PRIMARY KEY (session_ref, message_id)
        )
        """
    )
    op.execute("CREATE INDEX sent_messages_sent_at_idx ON sent_messages (sent_at)")
    op.execute(
        """
        CREATE TABLE api_tokens (
            digest bytea NOT NULL,
            name text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT api_tokens_pkey PRIMARY KEY (digest),
            CONSTRAINT api_tokens_name_key UNIQUE (name)
        )
        """
    )
