"""Reminders: a tenant's contacts, its templates and schedules, and what contacts were told.

A replica of the version before knows nothing of them.
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE reminder_contacts (
            contact_id text NOT NULL,
            tenant_id text NOT NULL,
            name text NOT NULL,
            phone text NOT NULL,
            amount_cents bigint NOT NULL,
            due_date date NOT NULL,
            due_day integer NOT NULL,
            recurrence text NOT NULL,
            note text NOT NULL,
            pix_code text,
            state text NOT NULL,
            due_since timestamptz NOT NULL,
            paid_due_date date,
            paid_at timestamptz,
            look_at timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT reminder_contacts_pkey PRIMARY KEY (contact_id),
            CONSTRAINT reminder_contacts_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (tenant_id),
            CONSTRAINT reminder_contacts_tenant_id_phone_key UNIQUE (tenant_id, phone),
            CONSTRAINT reminder_contacts_amount_cents_check CHECK (amount_cents > 0),
            CONSTRAINT reminder_contacts_due_day_check CHECK (due_day BETWEEN 1 AND 31),
            CONSTRAINT reminder_contacts_state_check CHECK (state IN ('open', 'paid'))
        )
        """
    )
    op.execute(
        """
        CREATE INDEX reminder_contacts_tenant_id_due_date_name_contact_id_idx
        ON reminder_contacts (tenant_id, due_date, name, contact_id)
        """
    )
    op.execute("CREATE INDEX reminder_contacts_look_at_idx ON reminder_contacts (look_at) WHERE look_at IS NOT NULL")
    op.execute(
        """
        CREATE TABLE reminder_templates (
            tenant_id text NOT NULL,
            kind text NOT NULL,
            language text NOT NULL,
            text text NOT NULL,
            changed_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT reminder_templates_pkey PRIMARY KEY (tenant_id, kind, language),
            CONSTRAINT reminder_templates_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (tenant_id)
        )
        """
    )
    # A session is named as its tenant names it: one that is made again under the same name goes on.
    op.execute(
        """
        CREATE TABLE reminder_schedules (
            schedule_id text NOT NULL,
            tenant_id text NOT NULL,
            session_id text NOT NULL,
            language text NOT NULL,
            time_of_day time NOT NULL,
            time_zone text NOT NULL,
            days_before integer[] NOT NULL,
            on_due_date boolean NOT NULL,
            days_after integer[] NOT NULL,
            welcome boolean NOT NULL,
            thank boolean NOT NULL,
            quiet_weekdays text[] NOT NULL,
            catch_up_hours integer NOT NULL,
            enabled boolean NOT NULL,
            since timestamptz NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT reminder_schedules_pkey PRIMARY KEY (schedule_id),
            CONSTRAINT reminder_schedules_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (tenant_id),
            CONSTRAINT reminder_schedules_catch_up_hours_check CHECK (catch_up_hours > 0)
        )
        """
    )
    op.execute(
        """
        CREATE INDEX reminder_schedules_tenant_id_schedule_id_idx ON reminder_schedules (tenant_id, schedule_id)
        """
    )
    # That there can't be two of a kind, due date and offset is what makes a reminder be sent once.
    op.execute(
        """
        CREATE TABLE reminders (
            reminder_id bigint GENERATED ALWAYS AS IDENTITY,
            tenant_id text NOT NULL,
            contact_id text NOT NULL,
            due_date date NOT NULL,
            kind text NOT NULL,
            offset_days integer NOT NULL,
            session_id text NOT NULL,
            phone text NOT NULL,
            text text,
            decided_at timestamptz NOT NULL,
            deadline timestamptz NOT NULL,
            hand_over_at timestamptz,
            message_id text,
            error text,
            CONSTRAINT reminders_pkey PRIMARY KEY (reminder_id),
            CONSTRAINT reminders_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (tenant_id),
            CONSTRAINT reminders_contact_id_fkey FOREIGN KEY (contact_id)
                REFERENCES reminder_contacts (contact_id) ON DELETE CASCADE,
            CONSTRAINT reminders_contact_id_due_date_kind_offset_days_key UNIQUE (contact_id, due_date, kind, offset_days),
            CONSTRAINT reminders_waiting_check
                CHECK ((hand_over_at IS NULL) = (message_id IS NOT NULL OR error IS NOT NULL)
                       AND (text IS NULL) = (hand_over_at IS NULL))
        )
        """
    )
    op.execute("CREATE INDEX reminders_hand_over_at_idx ON reminders (hand_over_at) WHERE hand_over_at IS NOT NULL")
    op.execute("CREATE INDEX reminders_decided_at_idx ON reminders (decided_at)")
