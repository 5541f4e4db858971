"""Which releases work with the schema: the way back after a deploy.

A migration that the release before can't work with says so by ``UPDATE schema_compatibility SET works_since = '...'``.
"""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE TABLE schema_compatibility (works_since text NOT NULL)")
    op.execute("INSERT INTO schema_compatibility (works_since) VALUES ('0016')")
