"""Plans, subscriptions, charges, and what was paid; sessions of a tenant that doesn't pay are paused.

A replica of the version before may go on while this runs: it runs paused sessions too until it is gone.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE tenants ADD COLUMN paused_at timestamptz, ADD COLUMN plan_sessions integer")
    op.execute(
        "ALTER TABLE tenants ADD CONSTRAINT tenants_operator_pays_check"
        " CHECK (tenant_id <> 'operator' OR (paused_at IS NULL AND plan_sessions IS NULL))"
    )
    op.execute("ALTER TABLE sessions ADD COLUMN paused_at timestamptz")
    op.execute(
        """
        CREATE TABLE plans (
            plan_id text NOT NULL,
            name text NOT NULL,
            price_cents integer NOT NULL,
            period_unit text NOT NULL,
            period_count integer NOT NULL,
            sessions integer,
            available boolean NOT NULL DEFAULT true,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT plans_pkey PRIMARY KEY (plan_id),
            CONSTRAINT plans_price_cents_check CHECK (price_cents > 0),
            CONSTRAINT plans_period_check CHECK (period_unit IN ('day', 'month') AND period_count > 0),
            CONSTRAINT plans_sessions_check CHECK (sessions > 0)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE subscriptions (
            tenant_id text NOT NULL,
            plan_id text,
            active_until timestamptz,
            anchor_day integer,
            payer_email text,
            look_at timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT subscriptions_pkey PRIMARY KEY (tenant_id),
            CONSTRAINT subscriptions_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (tenant_id),
            CONSTRAINT subscriptions_plan_id_fkey FOREIGN KEY (plan_id) REFERENCES plans (plan_id),
            CONSTRAINT subscriptions_operator_check CHECK (tenant_id <> 'operator'),
            CONSTRAINT subscriptions_anchor_day_check CHECK (anchor_day BETWEEN 1 AND 31)
        )
        """
    )
    op.execute("CREATE INDEX subscriptions_look_at_idx ON subscriptions (look_at) WHERE look_at IS NOT NULL")
    op.execute(
        """
        CREATE TABLE charges (
            charge_id text NOT NULL,
            tenant_id text NOT NULL,
            plan_id text NOT NULL,
            state text NOT NULL,
            amount_cents integer NOT NULL,
            currency text NOT NULL,
            payer_email text NOT NULL,
            payment_id text,
            pix_code text,
            created_at timestamptz NOT NULL DEFAULT now(),
            expires_at timestamptz NOT NULL,
            paid_at timestamptz,
            checked_at timestamptz,
            closed_at timestamptz,
            CONSTRAINT charges_pkey PRIMARY KEY (charge_id),
            CONSTRAINT charges_payment_id_key UNIQUE (payment_id),
            CONSTRAINT charges_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (tenant_id),
            CONSTRAINT charges_plan_id_fkey FOREIGN KEY (plan_id) REFERENCES plans (plan_id),
            CONSTRAINT charges_amount_cents_check CHECK (amount_cents > 0)
        )
        """
    )
    op.execute("CREATE INDEX charges_tenant_id_created_at_charge_id_idx ON charges (tenant_id, created_at, charge_id)")
    op.execute(
        "CREATE UNIQUE INDEX charges_pending_key ON charges (tenant_id, plan_id, amount_cents) WHERE state = 'pending'"
    )
    op.execute("CREATE INDEX charges_open_idx ON charges (checked_at) WHERE closed_at IS NULL")
    op.execute(
        """
        CREATE TABLE recurring_payments (
            recurring_id text NOT NULL,
            tenant_id text NOT NULL,
            plan_id text NOT NULL,
            state text NOT NULL,
            amount_cents integer NOT NULL,
            currency text NOT NULL,
            payer_email text NOT NULL,
            preapproval_id text,
            url text,
            created_at timestamptz NOT NULL DEFAULT now(),
            checked_at timestamptz,
            CONSTRAINT recurring_payments_pkey PRIMARY KEY (recurring_id),
            CONSTRAINT recurring_payments_preapproval_id_key UNIQUE (preapproval_id),
            CONSTRAINT recurring_payments_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (tenant_id),
            CONSTRAINT recurring_payments_plan_id_fkey FOREIGN KEY (plan_id) REFERENCES plans (plan_id),
            CONSTRAINT recurring_payments_amount_cents_check CHECK (amount_cents > 0)
        )
        """
    )
    op.execute(
        "CREATE UNIQUE INDEX recurring_payments_current_key ON recurring_payments (tenant_id) WHERE state <> 'cancelled'"
    )
    op.execute(
        """
        CREATE TABLE payments (
            payment_id text NOT NULL,
            number bigint GENERATED ALWAYS AS IDENTITY,
            tenant_id text,
            reference text NOT NULL,
            status text NOT NULL,
            status_detail text,
            amount_cents bigint,
            refunded_cents bigint NOT NULL,
            currency text,
            problem text,
            approved_at timestamptz,
            updated_at timestamptz NOT NULL,
            read_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT payments_pkey PRIMARY KEY (payment_id),
            CONSTRAINT payments_number_key UNIQUE (number),
            CONSTRAINT payments_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (tenant_id)
        )
        """
    )
    op.execute("CREATE INDEX payments_tenant_id_number_idx ON payments (tenant_id, number)")
    op.execute("CREATE INDEX payments_read_at_idx ON payments (read_at)")
    op.execute(
        """
        CREATE TABLE invoices (
            invoice_id bigint GENERATED ALWAYS AS IDENTITY,
            payment_id text NOT NULL,
            charge_id text,
            tenant_id text NOT NULL,
            plan_id text NOT NULL,
            amount_cents integer NOT NULL,
            currency text NOT NULL,
            period_from timestamptz NOT NULL,
            period_to timestamptz NOT NULL,
            paid_at timestamptz NOT NULL,
            reversed_at timestamptz,
            reversed_by text,
            CONSTRAINT invoices_pkey PRIMARY KEY (invoice_id),
            CONSTRAINT invoices_payment_id_key UNIQUE (payment_id),
            CONSTRAINT invoices_payment_id_fkey FOREIGN KEY (payment_id) REFERENCES payments (payment_id),
            CONSTRAINT invoices_charge_id_fkey FOREIGN KEY (charge_id) REFERENCES charges (charge_id),
            CONSTRAINT invoices_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (tenant_id),
            CONSTRAINT invoices_plan_id_fkey FOREIGN KEY (plan_id) REFERENCES plans (plan_id),
            CONSTRAINT invoices_period_check CHECK (period_from < period_to),
            CONSTRAINT invoices_reversed_check CHECK (num_nulls(reversed_at, reversed_by) <> 1),
            CONSTRAINT invoices_reversed_by_check CHECK (reversed_by IN ('refunded', 'charged_back'))
        )
        """
    )
    op.execute("CREATE INDEX invoices_tenant_id_invoice_id_idx ON invoices (tenant_id, invoice_id)")
    op.execute("CREATE INDEX invoices_paid_at_idx ON invoices (paid_at)")
    op.execute(
        """
        CREATE TABLE billing_notices (
            notice_id bigint GENERATED ALWAYS AS IDENTITY,
            tenant_id text NOT NULL,
            kind text NOT NULL,
            subject text NOT NULL,
            at timestamptz NOT NULL DEFAULT now(),
            data jsonb NOT NULL,
            CONSTRAINT billing_notices_pkey PRIMARY KEY (notice_id),
            CONSTRAINT billing_notices_tenant_id_kind_subject_key UNIQUE (tenant_id, kind, subject),
            CONSTRAINT billing_notices_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (tenant_id)
        )
        """
    )
    op.execute("CREATE INDEX billing_notices_tenant_id_notice_id_idx ON billing_notices (tenant_id, notice_id)")
