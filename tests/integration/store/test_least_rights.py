"""The service works as a role that owns one schema and nothing else: the very statements of docs/security.md."""

import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from orchestrator import cli
from orchestrator.doctor import database
from orchestrator.doctor.finding import Verdict
from tests.support.serving import serving
from tests.support.waiting import eventually

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "security.md"


@pytest.fixture
def least_rights(postgres_server: str) -> Iterator[str]:
    """The URL of a database made as the document says, for the role that it makes."""
    name, password = f"baileys_{uuid.uuid4().hex[:12]}", "chosen"
    found = re.search(r"```sql\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert found is not None
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        owner = connection.info.user
    statements = (
        found[1].replace("baileys", name).replace("choose one", password).replace("OWNER postgres", f"OWNER {owner}")
    )
    first, second = statements.split(f"\\connect {name}\n")
    there = urlunsplit(urlsplit(postgres_server)._replace(path=f"/{name}"))
    try:
        for url, part in ((postgres_server, first), (there, second)):
            with psycopg.connect(url, autocommit=True) as connection:
                for statement in filter(str.strip, part.split(";")):
                    connection.execute(sql.SQL(statement))
        yield f"postgresql://{name}:{password}@/{name}?{urlsplit(postgres_server).query}"
    finally:
        with psycopg.connect(postgres_server, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
            connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))


async def test_the_service_works_as_a_role_that_owns_only_its_schema(least_rights: str, tmp_path: Path) -> None:
    async with serving(least_rights) as served:  # which makes the schema
        await served.started()
        assert (await served.call("POST", "/v1/sessions", {"session_id": "loja-1"})).status == 201

        async def ended() -> bool:  # the writer ends what an earlier one left, which takes no more than its own rights
            with psycopg.connect(least_rights, autocommit=True) as connection:
                row = connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'orchestrator%'"
                ).fetchall()
                return all(ended for (ended,) in row)

        await eventually(ended)
        assert (await served.call("GET", "/v1/sessions")).status in (200, 503)
        findings = await database.examine(least_rights)
        assert [f.check for f in findings if f.verdict is Verdict.FAIL] == []
    with psycopg.connect(least_rights) as connection:
        row = connection.execute(
            "SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        assert row == (False, False, False)
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)


def test_a_backup_is_restored_with_those_rights_too(
    least_rights: str, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACKUP_PASSPHRASE", "a passphrase for the test")
    monkeypatch.setenv("DATABASE_URL", database_url)
    assert cli.main(["migrate"]) == 0
    assert cli.main(["backup", "create", "--to", str(tmp_path / "copy")]) == 0
    monkeypatch.setenv("DATABASE_URL", least_rights)
    assert cli.main(["backup", "restore", str(tmp_path / "copy")]) == 0
