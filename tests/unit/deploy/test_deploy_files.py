"""What is deployed fits together, and the documents name what there is."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator import VERSION

PROJECT = Path(__file__).resolve().parents[3]


def text(path: str) -> str:
    return (PROJECT / path).read_text()


def instructions(word: str) -> list[str]:
    return [line.removeprefix(f"{word} ") for line in text("Dockerfile").splitlines() if line.startswith(f"{word} ")]


def known_variables() -> set[str]:
    """What config.py reads."""
    source = text("orchestrator/config.py")
    return set(re.findall(r'(?:read|self)\.?_?\w+\(\s*"([A-Z][A-Z0-9_]+)"', source)) | set(
        re.findall(r'environ\.get\("([A-Z][A-Z0-9_]+)"', source)
    )


def kubernetes() -> Iterator[dict[str, Any]]:
    for file in sorted((PROJECT / "deploy" / "kubernetes").glob("*.yaml")):
        yield from yaml.safe_load_all(file.read_text())


def test_the_version_is_one() -> None:
    assert f'version = "{VERSION}"' in text("pyproject.toml")
    assert any(f"baileys-orchestrator:{VERSION}" in str(document) for document in kubernetes())


def test_the_image_is_pinned_runs_as_its_own_user_and_starts_what_the_procfile_starts() -> None:
    (base, *stages) = instructions("FROM")
    assert re.fullmatch(r"node:20\.\d+\.\d+-bookworm-slim@sha256:[0-9a-f]{64} AS base", base)
    assert {stage.partition(" ")[0] for stage in stages} == {"base"}
    assert instructions("USER") == ["orchestrator"]
    (command,) = instructions("CMD")
    assert json.loads(command) == text("Procfile").strip().removeprefix("web: ").split()
    assert "/healthz" in "".join(instructions("HEALTHCHECK"))


def test_all_that_the_image_needs_is_copied_and_nothing_else_gets_into_the_build() -> None:
    allowed = [line[1:] for line in text(".dockerignore").splitlines() if line.startswith("!")]
    copied = [source for line in instructions("COPY") if not line.startswith("--from") for source in line.split()[:-1]]
    assert set(copied) == set(allowed)
    assert all((PROJECT / path).exists() for path in copied)


def test_containers_have_the_time_to_stop_and_are_not_restarted_for_a_database_that_is_away() -> None:
    deployment = next(document for document in kubernetes() if document["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert deployment["spec"]["replicas"] == 2
    assert pod["terminationGracePeriodSeconds"] == 60
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["securityContext"]["readOnlyRootFilesystem"]
    compose = yaml.safe_load(text("docker-compose.yml"))["services"]["orchestrator"]
    assert compose["stop_grace_period"] == "60s"
    railway = text(".railway/railway.ts")
    for setting in (
        "healthcheck: '/readyz'",
        "overlapSeconds: 0",
        "drainingSeconds: 60",
        "restartPolicyType: 'ALWAYS'",
    ):
        assert setting in railway
    assert "TimeoutStopSec=60" in text("deploy/systemd/baileys-orchestrator.service")


def test_no_file_sets_a_variable_that_nobody_reads() -> None:
    known = known_variables() | {"POD_IP"}
    compose = yaml.safe_load(text("docker-compose.yml"))["services"]["orchestrator"]
    assert set(compose["environment"]) <= known
    (container,) = next(d for d in kubernetes() if d["kind"] == "Deployment")["spec"]["template"]["spec"]["containers"]
    assert {variable["name"] for variable in container["env"]} <= known
    env = re.search(r"env: \{(.*?)\n    \}", text(".railway/railway.ts"), re.DOTALL)
    assert env is not None
    assert set(re.findall(r"^ +([A-Z_]+):", env[1], re.MULTILINE)) <= known


def test_every_variable_of_operations_is_documented() -> None:
    documents = text("docs/deploy.md") + text("README.md") + text("docs/api.md")
    told_by_the_launcher = set(re.findall(r'given_by_launcher\("([A-Z_]+)"', text("orchestrator/config.py")))
    for name in known_variables() - told_by_the_launcher - {"DATABASE_EMBEDDED"}:
        if name.startswith(("METRICS", "OTEL", "BACKUP", "AWS", "RAILWAY")):
            assert f"`{name}`" in documents, name


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not on this machine")
def test_systemd_takes_the_unit() -> None:
    unit = PROJECT / "deploy" / "systemd" / "baileys-orchestrator.service"
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if unit.name in line]
    assert [line for line in complaints if "is not executable" not in line] == []  # it isn't installed here


def test_the_list_of_what_is_locked_has_every_package_with_its_hashes() -> None:
    done = subprocess.run([PROJECT / "deploy" / "sbom"], capture_output=True, text=True, check=True)
    document = json.loads(done.stdout)
    names = {component["name"] for component in document["components"]}
    assert {"aiohttp", "psycopg-binary", "@whiskeysockets/baileys", "libsignal", "htmx.org"} <= names
    assert len(re.findall(r"^[a-z0-9._-]+==", text("requirements.lock"), re.MULTILINE)) == sum(
        component["purl"].startswith("pkg:pypi/") for component in document["components"]
    )
    assert all(component["hashes"] for component in document["components"])
    assert "eslint" not in names


def test_licences_are_said() -> None:
    assert text("LICENSE").startswith("MIT License")
    assert "GPL-3.0" in text("README.md")
    assert "GPL-3.0" in text("README.pt-BR.md")


def test_each_alert_has_a_row_that_says_what_to_do() -> None:
    rules = yaml.safe_load(text("deploy/prometheus/alerts.yml"))
    named = [rule["alert"] for group in rules["groups"] for rule in group["rules"]]
    table = text("docs/operations.md").partition("## When an alert comes")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| ")][1:]
    explained = [name.strip() for row in rows for name in row.split(",")]
    assert sorted(explained) == sorted(named)
