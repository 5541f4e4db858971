"""Every command of the documents does what it says there: run by one reader, from the README on, on one real product."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from orchestrator.cli import COMMANDS
from orchestrator.domain.webhook import headers, new_secret
from tests.support import documents, peer_tables
from tests.support.documents import PROJECT, Command, Ran, Reader
from tests.support.fake_telegram import TOKEN, FakeTelegram, fake_telegram
from tests.support.fake_whatsapp import FakeWhatsApp, fake_whatsapp
from tests.support.portable_states import BaileysState
from tests.support.postgres import fresh_database, short_folder
from tests.support.tree import Tree, tree
from tests.support.waiting import eventually

on_the_product = pytest.mark.asyncio(loop_scope="module")

OPERATOR = 900_001
KEY = "5e" * 32

#: Commands that can't run here, as they stand in the documents, and why.
NOT_RUN = {
    "railway ssh -- python -m orchestrator doctor": "needs an account at Railway; the command in it is run",
    "docker compose up --build": "needs a Docker engine; `make image-check` runs the Dockerfile's steps",
    "sudo useradd --system --home-dir /var/lib/baileys-orchestrator baileys-orchestrator": "changes the machine",
    "sudo git clone <this repository> /opt/baileys-orchestrator && cd /opt/baileys-orchestrator && sudo make install-run": (
        "changes the machine"
    ),
    'sudo install -m 600 /dev/stdin /etc/baileys-orchestrator.env <<< "DATABASE_URL=postgresql://..."': "changes the machine",
    "sudo cp deploy/systemd/baileys-orchestrator.service /etc/systemd/system/ && sudo systemctl enable --now baileys-orchestrator": (
        "needs systemd; tests/unit/deploy has systemd-analyze look at the unit"
    ),
    "kubectl set image deployment/baileys-orchestrator orchestrator=IMAGE:NEW": "needs a cluster",
    "kubectl rollout status deployment/baileys-orchestrator": "needs a cluster",
    "cd /opt/baileys-orchestrator && sudo git pull && sudo make install-run && sudo systemctl restart baileys-orchestrator": (
        "changes the machine"
    ),
    "redis-cli --json HGETALL evolution:instance:ID > keys.json": "needs Redis; the test writes what it prints",
}
#: `make` of these is cheap and changes nothing; of all others it is seen that they are there.
MADE = ("make help", "make sbom")


@dataclass
class World:
    """The product, what it talks to, and the reader with a shell."""

    product: Tree
    whatsapp: FakeWhatsApp
    telegram: FakeTelegram
    reader: Reader
    own_values: dict[str, str]
    state: BaileysState


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(postgres_server: str, paired: tuple[Path, BaileysState]) -> AsyncIterator[World]:
    with (
        short_folder() as folder,
        fresh_database(postgres_server) as database_url,
        fresh_database(postgres_server) as source_url,
        fresh_database(postgres_server) as empty_url,
    ):
        async with fake_whatsapp() as whatsapp, fake_telegram() as telegram:
            settings = {
                "DATABASE_URL": database_url,
                "SESSION_ENCRYPTION_KEYS": KEY,
                "BOT_TOKEN": TOKEN,
                "ADMIN_CHAT_ID": str(OPERATOR),
                "TELEGRAM_API_URL": telegram.url,
            }
            # As on a host where nobody chose a token: the service makes one at its first start.
            environ = {**whatsapp.environ, **settings, "ADMIN_TOKEN": ""}
            async with tree(folder / "data", folder / "log", environ) as product:
                await product.ready()
                product.token = await token_by_telegram(telegram)
                await whatsapp.call("POST", "/contacts", {"phone": "5511988887777"})
                own_values = {
                    "ADMIN_TOKEN": product.token,
                    "SESSION": "padaria",
                    "SOURCE_URL": source_url,
                    "EMPTY_DATABASE_URL": empty_url,
                    "BACKUP_PASSPHRASE": "a passphrase for the test",
                    "ARCHIVE_PASSPHRASE": "another passphrase for the test",
                    "BOT_TOKEN": TOKEN,
                    "ADMIN_CHAT_ID": str(OPERATOR),
                }
                reader = Reader(
                    desk(folder / "desk", source_url, paired),
                    product.port,
                    own_values,
                    {
                        **whatsapp.environ,
                        **settings,
                        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                        "PYTHONPATH": str(PROJECT),
                        "LANG": "C.UTF-8",
                        "PORT": str(product.port),
                        "SIDECAR_PORT": str(product.sidecar_port),
                        "DATA_DIR": str(product.data_dir),
                    },
                )
                yield World(product, whatsapp, telegram, reader, own_values, paired[1])
                assert await product.terminate() == 0


async def token_by_telegram(telegram: FakeTelegram) -> str:
    """The admin token as the operator gets it."""
    told = await telegram.person("Olga", "en", chat_id=OPERATOR, user_id=OPERATOR).sees("admin token", 60)
    return told.text.splitlines()[-1]


def desk(folder: Path, source_url: str, paired: tuple[Path, BaileysState]) -> Path:
    """A folder with what the documents take for granted: a picture, and sessions of other systems."""
    auth_info, state = paired
    folder.mkdir()
    (folder / "copies").mkdir()
    shutil.copy(PROJECT / "docs" / "images" / "pairing-2-qr-phone.png", folder / "foto.png")
    for copy in ("auth_info", ".sessions/noweb/default", "instances/ID"):
        shutil.copytree(auth_info, folder / copy)
    (folder / "keys.json").write_bytes(peer_tables.redis_hash(state.keys))
    peer_tables.fill_postgres_baileys(source_url, "bot", state)
    peer_tables.fill_keyv(source_url, "bot", state)
    peer_tables.fill_waha(source_url, "default", state)
    peer_tables.fill_evolution(source_url, "loja", "ID", state.creds)
    return folder


@on_the_product
async def test_the_first_admin_token_comes_by_telegram_and_stands_in_the_log_once(world: World) -> None:
    assert (await world.product.call("GET", "/v1/tenants")).status == 200
    assert world.product.child.output.count(world.product.token) == 1
    told = [m for m in world.telegram.chats[OPERATOR] if world.product.token in m.text]
    assert len(told) == 1
    await world.product.kill("bot")
    operator = world.telegram.person("Olga", "en", chat_id=OPERATOR, user_id=OPERATOR)
    await operator.types("/start")
    await operator.sees("Baileys Orchestrator", 60)  # the next bot is at work
    assert [m for m in world.telegram.chats[OPERATOR] if world.product.token in m.text] == told


async def scans(world: World, session_id: str, phone: str, headers: dict[str, str]) -> None:
    qr = await world.product.qr(session_id, **headers)
    await world.whatsapp.scan(qr.json["qr"], phone)

    async def is_open() -> bool:
        session = await world.product.call("GET", f"/v1/sessions/{session_id}", **headers)
        return bool(session.json["connection_state"] == "open")

    await eventually(is_open, 60, f"{session_id} to be open")


async def copies(world: World, ran: Ran, name: str, field: str) -> None:
    """The reader keeps a value that the answer shows."""
    world.own_values[name] = json.loads(ran.output)[field]


async def old_sidecar_posts(world: World) -> None:
    """A sidecar of the system before this one sends its folder."""
    files = {file.name: file.read_text() for file in (world.reader.folder / "auth_info").iterdir()}
    answer = await world.product.call("POST", "/api/session/backup", {"session_id": "loja-9", "session_data": files})
    assert answer.status == 200, answer.body


#: What a person does after a command, by a part of it.
AFTER: dict[str, Callable[[World, Ran], Awaitable[None]]] = {
    "curl $URL/v1/sessions/loja-1/qr": lambda world, _: scans(world, "loja-1", "5511999990001", {}),
    "curl $URL/v1/sessions/$SESSION/qr": lambda world, _: scans(
        world, "padaria", "5511999990002", {"X-Tenant": "acme"}
    ),
    "curl -X POST $URL/v1/tenants/acme/tokens": lambda world, ran: copies(world, ran, "TOKEN", "token"),
    'curl -X POST $URL/v1/webhooks -H "Authorization: Bearer $TOKEN"': (
        lambda world, ran: copies(world, ran, "WEBHOOK_ID", "webhook_id")
    ),
    "curl -X POST $URL/v1/contacts -H": lambda world, ran: copies(world, ran, "CONTACT", "contact_id"),
    "--instance loja --session-id loja-8": lambda world, _: old_sidecar_posts(world),
}
#: Documents that need what an earlier one did come after it.
FIRST = ("README.md", "docs/api-guide.md", "docs/moving.md")


def all_commands() -> list[Command]:
    found = [command for document in documents.documents() for command in documents.commands(document)]
    return sorted(found, key=lambda c: FIRST.index(c.document) if c.document in FIRST else len(FIRST))


def is_made(command: Command) -> bool:
    return command.name.startswith("make ") and command.name not in MADE


@on_the_product
@pytest.mark.timeout(240)
async def test_every_command_does_what_the_document_says(world: World) -> None:
    problems: list[str] = []
    seconds: list[tuple[float, str]] = []
    used: set[str] = set()
    for command in documents.distinct(all_commands()):
        if command.name in NOT_RUN or is_made(command):
            continue
        began = time.monotonic()
        ran = await asyncio.to_thread(world.reader.run, command)
        seconds.append((time.monotonic() - began, command.place))
        expected = command.status
        if ran.code != command.exit_code or (
            ran.status != expected if expected else ran.status is not None and not 200 <= ran.status < 300
        ):
            problems.append(
                f"{command.place}: {command.name}\n  exit code {ran.code}, status {ran.status}: {ran.output[-800:]}"
            )
            continue
        for part, follow in AFTER.items():
            if part in command.name and part not in used:
                used.add(part)
                await follow(world, ran)
    print(f"{len(seconds)} commands in {sum(taken for taken, _ in seconds):.0f} s; longest: {max(seconds)}")
    assert not problems, "\n".join(problems)
    assert used == set(AFTER)
    await the_example_in_python_runs(world)


async def the_example_in_python_runs(world: World) -> None:
    """That of docs/api.md, until it has heard an event of the message that it sent."""
    ((_, text),) = documents.blocks(PROJECT / "docs" / "api.md", "python")
    imports, _, rest = text.partition("\n\n")
    address = f"http://127.0.0.1:{world.product.port}"
    body = textwrap.indent(rest.replace("http://localhost:8080", address), "    ")
    shown: list[tuple[object, ...]] = []
    names: dict[str, Any] = {"print": lambda *values: shown.append(values)}
    exec(compile(f"{imports}\nasync def example(token):\n{body}", "api.md", "exec"), names)  # noqa: S102
    running = asyncio.create_task(names["example"](world.product.token))

    async def heard() -> bool:
        if running.done():
            running.result()
        return any(values[0] == "message.status" for values in shown)

    try:
        await eventually(heard, 30, "an event in the example")
    finally:
        running.cancel()
        await asyncio.wait([running])
    assert ("loja-1", "open") in shown


def test_what_is_not_run_is_still_in_the_documents() -> None:
    assert set(NOT_RUN) <= {command.name for command in all_commands()}


def test_every_target_of_make_and_every_command_that_a_document_names_is_there() -> None:
    texts = "\n".join(document.read_text() for document in documents.documents())
    targets = {
        line.split()[1] for line in texts.replace("`", "\n").splitlines() if re.match(r"make [a-z-]+( |$)", line)
    }
    assert {"run", "demo", "test", "long-tests", "audit"} <= targets
    assert targets <= documents.make_targets()
    # A group is named by itself, or with its commands: sessions import|export.
    groups = {name.partition(" ")[0] for name in (command.name for command in COMMANDS)}
    assert {*re.findall(r"python -m orchestrator ([a-z-]+)", texts)} <= groups


def test_no_command_hides_in_a_block_that_is_not_marked_as_a_shell() -> None:
    hidden = []
    for document in documents.documents():
        for line, text in documents.blocks(document, "", "text", "bash", "shell", "zsh", "yaml"):
            if re.search(r"^ *(\$ )?(curl|make|python|docker|kubectl|sudo|npm|pip|railway) ", text, re.MULTILINE):
                hidden.append(f"{document.name}:{line}")
    assert hidden == []


def test_a_curl_command_says_the_status_that_it_gets() -> None:
    silent = [command.place for command in all_commands() if command.name.startswith("curl") and command.status is None]
    assert silent == []


def test_both_readmes_have_the_same_commands_settings_and_sections() -> None:
    english, portuguese = ((PROJECT / name).read_text() for name in ("README.md", "README.pt-BR.md"))
    for pattern in (r"^\| `([^|]+)` \|", r"\]\(((?:docs/(?!images/)|baileys-server/)[^)#]+)"):
        assert re.findall(pattern, portuguese, re.MULTILINE) == re.findall(pattern, english, re.MULTILINE)
    names = [[c.name for c in documents.commands(PROJECT / f"README{suffix}.md")] for suffix in ("", ".pt-BR")]
    assert names[1] == names[0]
    assert portuguese.count("\n## ") == english.count("\n## ")


def test_every_link_of_a_document_leads_somewhere() -> None:
    lost = []
    for document in documents.documents():
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", document.read_text()):
            file = (document.parent / target).resolve() if target else document
            if not file.exists() or (anchor and anchor not in anchors(file)):
                lost.append(f"{document.name}: {target}#{anchor}")
    assert lost == []


def anchors(document: Path) -> set[str]:
    """The headings of a document as GitHub links to them."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def snippets(language: str) -> Iterator[str]:
    for _, text in documents.blocks(PROJECT / "docs" / "api-guide.md", language):
        yield text


def test_the_guide_s_checks_of_a_webhook_take_what_the_service_signs_and_nothing_else(tmp_path: Path) -> None:
    secret, other, body, now = new_secret().value, new_secret().value, b'{"text": "Ol\xc3\xa1"}', datetime.now(UTC)
    rotated = dict(headers("evt_1", now, body, [other, secret]))
    old = dict(headers("evt_1", now - timedelta(minutes=6), body, [secret]))
    cases = [(rotated, body, True), (rotated, body + b" ", False), (old, body, False)]
    cases.append((dict(headers("evt_1", now, body, [other])), body, False))

    (python,) = snippets("python")
    names: dict[str, Callable[[str, dict[str, str], bytes], bool]] = {}
    exec(compile(python, "api-guide.md", "exec"), names)  # noqa: S102 (the document's own code)
    assert [names["verified"](secret, given, text) for given, text, _ in cases] == [right for *_, right in cases]

    (javascript,) = snippets("js")
    (tmp_path / "guide.mjs").write_text(javascript)
    given = json.dumps([[headers_, text.decode()] for headers_, text, _ in cases])
    script = (
        "import { verified } from './guide.mjs'\nconst [secret, cases] = process.argv.slice(1)\n"
        "console.log(JSON.stringify(JSON.parse(cases).map(([h, b]) => verified(secret, h, Buffer.from(b)))))"
    )
    command = ["node", "--input-type=module", "-e", script, "--", secret, given]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert json.loads(printed) == [right for *_, right in cases]
