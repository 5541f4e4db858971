"""Tenants with their limits, tokens of theirs beside the admin's, and what was done with all that, by whom.

A replica of the version before may go on while this runs: it makes sessions of the operator's tenant only, which is there, and
reads one row of ``api_tokens`` by its ``name``, which for a tenant's token is its id.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE tenants (
            tenant_id text NOT NULL,
            name text NOT NULL,
            max_sessions integer,
            messages_per_minute integer,
            storage_bytes bigint,
            chat_retention_days integer NOT NULL DEFAULT 0,
            stored_bytes bigint,
            measured_at timestamptz,
            blocked_at timestamptz,
            blocked_reason text,
            deleted_at timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT tenants_pkey PRIMARY KEY (tenant_id),
            CONSTRAINT tenants_tenant_id_check CHECK (tenant_id <> ''),
            CONSTRAINT tenants_max_sessions_check CHECK (max_sessions >= 0),
            CONSTRAINT tenants_messages_per_minute_check CHECK (messages_per_minute >= 0),
            CONSTRAINT tenants_storage_bytes_check CHECK (storage_bytes >= 0),
            CONSTRAINT tenants_chat_retention_days_check CHECK (chat_retention_days >= 0),
            CONSTRAINT tenants_operator_check
                CHECK (tenant_id <> 'operator' OR (blocked_at IS NULL AND deleted_at IS NULL))
        )
        """
    )
    op.execute("INSERT INTO tenants (tenant_id, name) VALUES ('operator', 'Operator')")
    op.execute(
        "INSERT INTO tenants (tenant_id, name) SELECT DISTINCT tenant_id, tenant_id FROM sessions ON CONFLICT DO NOTHING"
    )
    op.execute(
        "ALTER TABLE sessions ADD CONSTRAINT sessions_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (tenant_id)"
    )
    op.execute(
        """
        ALTER TABLE api_tokens
            ADD COLUMN tenant_id text REFERENCES tenants (tenant_id),
            ADD COLUMN label text,
            ADD COLUMN hint text,
            ADD COLUMN scopes text[],
            ADD COLUMN created_by text,
            ADD COLUMN expires_at timestamptz,
            ADD COLUMN revoked_at timestamptz,
            ADD COLUMN last_used_at timestamptz,
            ADD CONSTRAINT api_tokens_scopes_check CHECK (scopes <@ ARRAY['read', 'send', 'manage']),
            ADD CONSTRAINT api_tokens_tenant_id_check CHECK (
                CASE WHEN tenant_id IS NULL THEN name = 'admin'
                ELSE name <> 'admin' AND num_nulls(label, hint, scopes, created_by) = 0 END
            )
        """
    )
    op.execute("CREATE INDEX api_tokens_tenant_id_created_at_name_idx ON api_tokens (tenant_id, created_at, name)")
    # No foreign key: what was done stays on record.
    op.execute(
        """
        CREATE TABLE acts (
            act_id bigint GENERATED ALWAYS AS IDENTITY,
            at timestamptz NOT NULL DEFAULT now(),
            actor text NOT NULL,
            action text NOT NULL,
            tenant_id text NOT NULL,
            path text NOT NULL,
            status integer,
            result text,
            request_id text NOT NULL,
            address text,
            CONSTRAINT acts_pkey PRIMARY KEY (act_id)
        )
        """
    )
    op.execute("CREATE INDEX acts_tenant_id_act_id_idx ON acts (tenant_id, act_id)")
