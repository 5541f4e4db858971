"""Brings the schema to this version's. A module of its own, because alembic is only needed when there is something to do."""

from pathlib import Path

import alembic.command
import alembic.config
import alembic.util
import sqlalchemy.exc

from orchestrator.domain.errors import DatabaseUnavailable
from orchestrator.store.database import sqlalchemy_url

_PROJECT = Path(__file__).resolve().parent.parent.parent


def migrate(url: str, version: str = "head") -> None:
    """Run the alembic migrations up to this version, the newest unless said; raise ``DatabaseUnavailable`` if the server is out of reach."""
    config = alembic.config.Config(_PROJECT / "alembic.ini")
    config.set_main_option("script_location", str(_PROJECT / "alembic").replace("%", "%%"))
    config.attributes["url"] = sqlalchemy_url(url)
    try:
        alembic.command.upgrade(config, version)
    except alembic.util.CommandError as error:
        raise DatabaseUnavailable(
            "The database has the schema of a newer version; deploy that version, or restore a backup of the older schema."
        ) from error
    except sqlalchemy.exc.DBAPIError as error:
        raise DatabaseUnavailable(
            f"The schema could not be brought up to date: {type(error.orig).__name__}."
        ) from error
