"""The outbox, webhooks, events that are kept, and the tables of procrastinate in a schema of their own.

A replica of the version before may go on while this runs: it sees nothing of the new tables. The index on
``incoming_messages`` waits for its writes, and they wait for it; the table holds a few days at most.
"""

from pathlib import Path

import sqlalchemy as sa

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

PROCRASTINATE = Path(__file__).parent.parent / "sql" / "procrastinate-3.10.0.sql"

STATES = "('queued', 'sending', 'sent', 'delivered', 'read', 'failed', 'cancelled')"


def upgrade() -> None:
    _make_procrastinate()
    _make_outbox()
    _make_events()
    _make_webhooks()


def _make_procrastinate() -> None:
    """Its statements name no schema, so they run with a search path; its functions keep it."""
    connection = op.get_bind()
    before = connection.scalar(sa.text("SHOW search_path"))
    connection.execute(sa.text("CREATE SCHEMA procrastinate"))
    connection.execute(sa.text("SELECT set_config('search_path', 'procrastinate', true)"))
    connection.exec_driver_sql(PROCRASTINATE.read_text(), execution_options={"no_parameters": True})
    connection.execute(
        sa.text(
            """
            DO $$
            DECLARE made regprocedure;
            BEGIN
                FOR made IN SELECT oid::regprocedure FROM pg_proc WHERE pronamespace = 'procrastinate'::regnamespace LOOP
                    EXECUTE format('ALTER FUNCTION %s SET search_path = procrastinate', made);
                END LOOP;
            END
            $$
            """
        )
    )
    connection.execute(sa.text("SELECT set_config('search_path', :before, true)"), {"before": before})


def _make_outbox() -> None:
    op.execute(
        """
        CREATE TABLE outbox_bulks (
            bulk_id text NOT NULL,
            session_ref bigint NOT NULL,
            idempotency_key text,
            digest bytea NOT NULL,
            total integer NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            cancelled_at timestamptz,
            CONSTRAINT outbox_bulks_pkey PRIMARY KEY (bulk_id),
            CONSTRAINT outbox_bulks_session_ref_fkey FOREIGN KEY (session_ref) REFERENCES sessions (session_ref) ON DELETE CASCADE
        )
        """
    )
    op.execute(
        "CREATE UNIQUE INDEX outbox_bulks_key_idx ON outbox_bulks (session_ref, idempotency_key) WHERE idempotency_key IS NOT NULL"
    )
    op.execute(
        f"""
        CREATE TABLE outbox_messages (
            session_ref bigint NOT NULL,
            message_id text NOT NULL,
            number bigint GENERATED ALWAYS AS IDENTITY,
            chat bytea NOT NULL,
            recipient bytea NOT NULL,
            body bytea,
            state text NOT NULL DEFAULT 'queued',
            paced boolean NOT NULL,
            bulk_id text,
            idempotency_key text,
            digest bytea NOT NULL,
            accepted_at timestamptz NOT NULL DEFAULT now(),
            send_at timestamptz NOT NULL,
            deadline timestamptz NOT NULL,
            attempts integer NOT NULL DEFAULT 0,
            retry_at timestamptz,
            error text,
            sent_at timestamptz,
            delivered_at timestamptz,
            read_at timestamptz,
            settled_at timestamptz,
            CONSTRAINT outbox_messages_pkey PRIMARY KEY (session_ref, message_id),
            CONSTRAINT outbox_messages_session_ref_fkey
                FOREIGN KEY (session_ref) REFERENCES sessions (session_ref) ON DELETE CASCADE,
            CONSTRAINT outbox_messages_bulk_id_fkey FOREIGN KEY (bulk_id) REFERENCES outbox_bulks (bulk_id) ON DELETE CASCADE,
            CONSTRAINT outbox_messages_state_check CHECK (state IN {STATES}),
            CONSTRAINT outbox_messages_body_check CHECK ((state IN ('queued', 'sending')) = (body IS NOT NULL)),
            CONSTRAINT outbox_messages_settled_check CHECK ((state IN ('queued', 'sending')) = (settled_at IS NULL))
        ) WITH (fillfactor = 80)
        """
    )
    op.execute("ALTER TABLE outbox_messages ALTER COLUMN body SET STORAGE EXTERNAL")
    for statement in (
        "CREATE INDEX outbox_messages_waiting_idx ON outbox_messages (session_ref, paced, send_at, number) "
        "WHERE state IN ('queued', 'sending')",
        "CREATE INDEX outbox_messages_deadline_idx ON outbox_messages (deadline) WHERE state IN ('queued', 'sending')",
        "CREATE UNIQUE INDEX outbox_messages_key_idx ON outbox_messages (session_ref, idempotency_key) "
        "WHERE idempotency_key IS NOT NULL",
        "CREATE INDEX outbox_messages_session_ref_number_idx ON outbox_messages (session_ref, number)",
        "CREATE INDEX outbox_messages_bulk_id_idx ON outbox_messages (bulk_id) WHERE bulk_id IS NOT NULL",
        "CREATE INDEX outbox_messages_settled_at_idx ON outbox_messages (settled_at) WHERE settled_at IS NOT NULL",
        "CREATE INDEX outbox_messages_paced_idx ON outbox_messages (session_ref, sent_at) WHERE paced AND sent_at IS NOT NULL",
    ):
        op.execute(statement)
    op.execute(
        """
        CREATE TABLE session_pacing (
            session_ref bigint NOT NULL,
            pacing jsonb NOT NULL,
            CONSTRAINT session_pacing_pkey PRIMARY KEY (session_ref),
            CONSTRAINT session_pacing_session_ref_fkey
                FOREIGN KEY (session_ref) REFERENCES sessions (session_ref) ON DELETE CASCADE
        )
        """
    )


def _make_events() -> None:
    # The numbers of incoming messages: one order for all that a stream resumes.
    op.execute(
        """
        CREATE TABLE stored_events (
            number bigint NOT NULL DEFAULT nextval('incoming_messages_number_seq'),
            session_ref bigint NOT NULL,
            event_id text NOT NULL,
            type text NOT NULL,
            data bytea NOT NULL,
            at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT stored_events_pkey PRIMARY KEY (number),
            CONSTRAINT stored_events_session_ref_fkey
                FOREIGN KEY (session_ref) REFERENCES sessions (session_ref) ON DELETE CASCADE
        )
        """
    )
    op.execute("CREATE INDEX stored_events_session_ref_number_idx ON stored_events (session_ref, number)")
    op.execute("CREATE INDEX incoming_messages_session_ref_number_idx ON incoming_messages (session_ref, number)")


def _make_webhooks() -> None:
    op.execute(
        """
        CREATE TABLE webhooks (
            webhook_id text NOT NULL,
            tenant_id text NOT NULL,
            session_ref bigint,
            config bytea NOT NULL,
            events text[] NOT NULL,
            enabled boolean NOT NULL DEFAULT true,
            disabled_reason text,
            failing_since timestamptz,
            from_number bigint NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT webhooks_pkey PRIMARY KEY (webhook_id),
            CONSTRAINT webhooks_session_ref_fkey FOREIGN KEY (session_ref) REFERENCES sessions (session_ref) ON DELETE CASCADE
        )
        """
    )
    op.execute("CREATE INDEX webhooks_tenant_id_webhook_id_idx ON webhooks (tenant_id, webhook_id)")
    op.execute(
        """
        CREATE TABLE webhook_cursors (
            session_ref bigint NOT NULL,
            number bigint NOT NULL,
            CONSTRAINT webhook_cursors_pkey PRIMARY KEY (session_ref),
            CONSTRAINT webhook_cursors_session_ref_fkey
                FOREIGN KEY (session_ref) REFERENCES sessions (session_ref) ON DELETE CASCADE
        )
        """
    )
    op.execute(
        """
        CREATE TABLE webhook_streams (
            webhook_id text NOT NULL,
            session_ref bigint NOT NULL,
            next_at timestamptz,
            woken bigint NOT NULL DEFAULT 0,
            attempts integer NOT NULL DEFAULT 0,
            claimed_by text,
            claimed_until timestamptz,
            CONSTRAINT webhook_streams_pkey PRIMARY KEY (webhook_id, session_ref),
            CONSTRAINT webhook_streams_webhook_id_fkey FOREIGN KEY (webhook_id) REFERENCES webhooks (webhook_id) ON DELETE CASCADE,
            CONSTRAINT webhook_streams_session_ref_fkey
                FOREIGN KEY (session_ref) REFERENCES sessions (session_ref) ON DELETE CASCADE
        ) WITH (fillfactor = 50)
        """
    )
    op.execute("CREATE INDEX webhook_streams_next_at_idx ON webhook_streams (next_at) WHERE next_at IS NOT NULL")
    op.execute(
        """
        CREATE TABLE webhook_deliveries (
            number bigint GENERATED ALWAYS AS IDENTITY,
            webhook_id text NOT NULL,
            session_ref bigint NOT NULL,
            event_id text NOT NULL,
            type text NOT NULL,
            payload bytea,
            state text NOT NULL DEFAULT 'waiting',
            created_at timestamptz NOT NULL DEFAULT now(),
            attempts integer NOT NULL DEFAULT 0,
            attempted_at timestamptz,
            duration_ms integer,
            status integer,
            answer text,
            error text,
            settled_at timestamptz,
            CONSTRAINT webhook_deliveries_pkey PRIMARY KEY (number),
            CONSTRAINT webhook_deliveries_webhook_id_fkey
                FOREIGN KEY (webhook_id) REFERENCES webhooks (webhook_id) ON DELETE CASCADE,
            CONSTRAINT webhook_deliveries_session_ref_fkey
                FOREIGN KEY (session_ref) REFERENCES sessions (session_ref) ON DELETE CASCADE,
            CONSTRAINT webhook_deliveries_state_check CHECK (state IN ('waiting', 'delivered', 'dead'))
        ) WITH (fillfactor = 80)
        """
    )
    for statement in (
        "CREATE INDEX webhook_deliveries_waiting_idx ON webhook_deliveries (webhook_id, session_ref, number) WHERE state = 'waiting'",
        "CREATE INDEX webhook_deliveries_webhook_id_number_idx ON webhook_deliveries (webhook_id, number)",
        "CREATE INDEX webhook_deliveries_settled_at_idx ON webhook_deliveries (settled_at) WHERE settled_at IS NOT NULL",
    ):
        op.execute(statement)
