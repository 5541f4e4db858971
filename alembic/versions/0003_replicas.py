"""Replicas: a lease lasts as long as its owner is heard of, instead of each lease having a term of its own. An audit of sessions.

A replica of the version before may go on while this runs. It knows nothing of ``replicas`` and gives its leases a term;
a lease that has a term is free once that is over, one without is governed by its owner's row.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A row is rewritten every second: room for HOT updates in a page of its own.
    op.execute(
        """
        CREATE TABLE replicas (
            replica_id text NOT NULL,
            renewed_at timestamptz NOT NULL DEFAULT now(),
            ttl_seconds double precision NOT NULL,
            address text,
            peer_token bytea,
            held integer NOT NULL DEFAULT 0,
            ready boolean NOT NULL DEFAULT false,
            started_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT replicas_pkey PRIMARY KEY (replica_id),
            CONSTRAINT replicas_ttl_seconds_check CHECK (ttl_seconds > 0),
            CONSTRAINT replicas_held_check CHECK (held >= 0)
        ) WITH (fillfactor = 10)
        """
    )
    op.execute("ALTER TABLE leases ALTER COLUMN expires_at DROP NOT NULL")
    op.execute("UPDATE leases SET expires_at = NULL WHERE owner IS NULL")
    op.execute(
        """
        INSERT INTO leases (session_ref, epoch)
        SELECT s.session_ref, 0 FROM sessions s LEFT JOIN leases l USING (session_ref) WHERE l.session_ref IS NULL
        """
    )
    op.execute("CREATE INDEX leases_free_idx ON leases (session_ref) WHERE owner IS NULL")
    op.execute("CREATE INDEX leases_owner_idx ON leases (owner) WHERE owner IS NOT NULL")
    op.execute("CREATE INDEX leases_expires_at_idx ON leases (expires_at) WHERE expires_at IS NOT NULL")
    # No foreign key: what happened to a session stays on record when it is gone.
    op.execute(
        """
        CREATE TABLE session_audit (
            audit_id bigint GENERATED ALWAYS AS IDENTITY,
            at timestamptz NOT NULL DEFAULT now(),
            tenant_id text NOT NULL,
            session_id text NOT NULL,
            session_ref bigint NOT NULL,
            generation integer,
            action text NOT NULL,
            actor text NOT NULL,
            reason text,
            CONSTRAINT session_audit_pkey PRIMARY KEY (audit_id)
        )
        """
    )
    op.execute(
        "CREATE INDEX session_audit_tenant_id_session_id_audit_id_idx ON session_audit (tenant_id, session_id, audit_id)"
    )
    op.execute(
        """
        INSERT INTO session_audit (at, tenant_id, session_id, session_ref, generation, action, actor, reason)
        SELECT g.set_aside_at, s.tenant_id, s.session_id, s.session_ref, g.generation, 'set_aside', g.set_aside_by, g.set_aside_reason
        FROM generations g JOIN sessions s USING (session_ref) WHERE g.set_aside_at IS NOT NULL ORDER BY g.set_aside_at
        """
    )
    op.execute("CREATE INDEX generations_set_aside_at_idx ON generations (set_aside_at) WHERE set_aside_at IS NOT NULL")
