"""Brings the schema to this version's. A module of its own, because alembic is only needed when there is something to do."""

from pathlib import Path

import alembic.command
import alembic.config
import sqlalchemy.exc

from orchestrator.domain.errors import DatabaseUnavailable
from orchestrator.store.database import sqlalchemy_url

_PROJECT = Path(__file__).resolve().parent.parent.parent


def migrate(url: str) -> None:
    """Run the alembic migrations up to the newest; raise ``DatabaseUnavailable`` if the server is out of reach."""
    config = alembic.config.Config(_PROJECT / "alembic.ini")
    config.set_main_option("script_location", str(_PROJECT / "alembic").replace("%", "%%"))
    config.attributes["url"] = sqlalchemy_url(url)
    try:
        alembic.command.upgrade(config, "head")
    except sqlalchemy.exc.OperationalError as error:
        raise DatabaseUnavailable from error
