"""Muted alerts and broadcasts, which the bot kept to itself, where the API has them too.

A bot of the version before that is in the midst of a broadcast goes on with it until it hands over, so that some tenants may get
that one twice; what it mutes meanwhile is not muted for the next.
"""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE muted_alerts (
            kind text NOT NULL,
            muted_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT muted_alerts_pkey PRIMARY KEY (kind)
        )
        """
    )
    op.execute(
        """
        INSERT INTO muted_alerts (kind)
        SELECT DISTINCT jsonb_array_elements_text(value -> 'muted') FROM bot_documents
        WHERE name = 'operator' AND jsonb_typeof(value -> 'muted') = 'array'
        """
    )
    op.execute(
        """
        CREATE TABLE broadcasts (
            broadcast_id bigint GENERATED ALWAYS AS IDENTITY,
            text text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            recipients integer,
            told integer NOT NULL DEFAULT 0,
            failed integer NOT NULL DEFAULT 0,
            after_chat bigint,
            ended_at timestamptz,
            cancelled boolean NOT NULL DEFAULT false,
            CONSTRAINT broadcasts_pkey PRIMARY KEY (broadcast_id),
            CONSTRAINT broadcasts_counts_check CHECK (told >= 0 AND failed >= 0 AND recipients >= 0),
            CONSTRAINT broadcasts_cancelled_check CHECK (NOT cancelled OR ended_at IS NOT NULL)
        )
        """
    )
    op.execute("CREATE UNIQUE INDEX broadcasts_under_way_idx ON broadcasts ((true)) WHERE ended_at IS NULL")
    op.execute(
        """
        INSERT INTO broadcasts (text, recipients, told, failed, after_chat)
        SELECT value ->> 'text', (value ->> 'total')::integer, (value ->> 'done')::integer,
               (value ->> 'failed')::integer, (value ->> 'after')::bigint
        FROM bot_documents WHERE name = 'broadcast' AND value ->> 'text' <> ''
        """
    )
    op.execute("DELETE FROM bot_documents WHERE name = 'broadcast'")
