"""Fixtures for all tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postgres import fresh_database, server_url, short_folder


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a real PostgreSQL server, shared by all tests that don't stop it."""
    with server_url() as url:
        yield url


@pytest.fixture
def database_url(postgres_server: str) -> Iterator[str]:
    """URL of an empty database of the test's own."""
    with fresh_database(postgres_server) as url:
        yield url


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A temporary folder with a name short enough for sockets."""
    with short_folder() as folder:
        yield folder
