"""Runs the migrations on the URL that the orchestrator hands over, one replica at a time."""

import sqlalchemy as sa

from alembic import context
from orchestrator.store.tables import metadata

#: Any number will do, as long as every version of this software takes the same one.
MIGRATION_LOCK = 0x6261696C657973

engine = sa.create_engine(context.config.attributes["url"], poolclass=sa.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=metadata)
    with context.begin_transaction():
        # Held until the migrations commit: a second replica waits here and then finds nothing left to do.
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
        context.run_migrations()
