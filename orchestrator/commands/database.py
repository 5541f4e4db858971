"""Which database a command works on: the service's own."""

import socket

from orchestrator.config import Settings
from orchestrator.launcher import LaunchError
from orchestrator.launcher.embedded_postgres import EmbeddedPostgres


def service_database_url(settings: Settings) -> str:
    """DATABASE_URL, else that of the embedded PostgreSQL of a service that runs now; ``LaunchError`` if there is none."""
    if settings.database_url is not None:
        return settings.database_url
    embedded = EmbeddedPostgres(settings.data_dir)
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(embedded.socket))
        return embedded.url
    except PermissionError as error:
        raise LaunchError(
            f"The PostgreSQL in {settings.data_dir} belongs to another account; run this as the account of the service."
        ) from error
    except OSError as error:
        raise LaunchError(
            f"DATABASE_URL is not set and no service runs on {settings.data_dir}, whose PostgreSQL is needed; "
            "start it with `python -m orchestrator up`, or set DATABASE_URL or DATA_DIR as the service has it."
        ) from error
