"""Deploys as Railway makes them: the new container starts with an empty disk beside the old one, its health turns green, and
only then the old one gets SIGTERM, and SIGKILL when its time to drain is over. And the worst that can be left of a host: a
sealed copy of the database.

What is shown: no QR code after the first, and how long each session was without a connection, as WhatsApp saw it.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.support.collector import collector
from tests.support.fake_whatsapp import FakeWhatsApp
from tests.support.postgres import fresh_database
from tests.support.processes import descendants
from tests.support.side_by_side import PHONE, SESSION, sender, talk_of
from tests.support.traffic import Talk
from tests.support.tree import PROJECT, Tree, tree
from tests.support.waiting import eventually

TOKEN = "a-token-for-the-operator"
PHONES = {SESSION: PHONE, "loja-2": "5511999990002"}
#: Messages a second in each direction, while everything happens.
RATE = 5.0


@contextlib.asynccontextmanager
async def container(folder: Path, name: str, environ: dict[str, str]) -> AsyncIterator[Tree]:
    """One with an empty disk. What Railway asks for is there: a port of its own, and /readyz with 200."""
    async with tree(folder / name, folder / f"log-{name}", environ, token=TOKEN) as started:
        await started.ready()
        yield started


async def stop_as_railway_does(old: Tree, drain_seconds: float) -> tuple[float, bool]:
    """SIGTERM to the container's first process, and SIGKILL to whatever is left of it; how long it took, and whether it
    ended by itself."""
    below = descendants(old.child.pid)
    began = time.monotonic()
    old.child.process.send_signal(signal.SIGTERM)
    if drain_seconds > 0:
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(old.child.process.wait, drain_seconds)
    by_itself = old.child.process.poll() is not None
    old.kill_everything()
    for pid in below:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return time.monotonic() - began, by_itself


async def deployed(
    whatsapp: FakeWhatsApp, old: Tree, new: Tree, drain_seconds: float, send_through: Callable[[Tree], None]
) -> str:
    """One deploy under traffic; what it cost, in a line."""
    seen = len((await whatsapp.call("GET", "/gaps"))["gaps"])
    before = {name: await old.session(name) for name in PHONES}
    for name in PHONES:
        assert (await new.session(name))["connection_state"] == "open"  # asked at the new one, open at the old one
        assert (await new.call("GET", f"/v1/sessions/{name}/profile")).status == 200  # answered by the old one
    send_through(new)  # the host's proxy sends requests to the new one from now on
    took, by_itself = await stop_as_railway_does(old, drain_seconds)
    for name in PHONES:
        await new.open(name, after=before[name]["last_open_at"])
        assert (await new.session(name))["epoch"] == before[name]["epoch"] + 1  # it moved once, and to the new one
    gaps = sorted(int(gap["ms"]) for gap in (await whatsapp.call("GET", "/gaps"))["gaps"][seen:])
    assert len(gaps) == len(PHONES)
    counts = await whatsapp.counts()
    assert (counts["registrations"], counts["evictions"], counts["simultaneous_sockets"]) == (len(PHONES), 0, 0)
    assert by_itself == (drain_seconds > 0)
    return (
        f"drain {drain_seconds:g} s: {'ended by itself' if by_itself else 'was killed'} after {took:.1f} s; "
        f"without a connection: {', '.join(f'{ms} ms' for ms in gaps)} (median {statistics.median(gaps):.0f} ms)"
    )


@pytest.mark.timeout(240)
async def test_deploys_under_traffic_and_a_restore_need_no_qr_code(
    short_path: Path,
    postgres_server: str,
    database_url: str,
    whatsapp: FakeWhatsApp,
    measured: Callable[[str], None],
) -> None:
    environ = {
        **whatsapp.environ,
        "DATABASE_URL": database_url,
        "SESSION_ENCRYPTION_KEYS": "5e" * 32,
        "BACKUP_PASSPHRASE": "a passphrase for the test",
        "BACKUP_TARGET": str(short_path / "copies"),
        "BACKUP_SCHEDULE": "24",
    }
    (short_path / "copies").mkdir()
    async with collector() as traces:
        environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = traces.endpoint
        await deploy_and_restore(short_path, postgres_server, whatsapp, environ, measured)
        spans = traces.spans
        sends = [
            s for s in spans if s.name == "POST /v1/sessions/{session_id}/messages" and s.service == "orchestrator"
        ]
        calls = [call for send in sends for call in traces.children_of(send) if call.name.startswith("sidecar")]
        served = [s for call in calls for s in traces.children_of(call)]
        print(f"{len(spans)} spans; of {len(sends)} sends {len(served)} have one of the sidecar below them")
        assert {s.service for s in served} == {"baileys-sidecar"}
        assert {s.name for s in served} == {"POST /v1/sessions/{ref}/messages"}
        handed_on = [call for call in spans if call.name == "replica GET"]
        answered = {(s.service, s.name) for call in handed_on for s in traces.children_of(call)}
        assert ("orchestrator", "GET /v1/sessions/{session_id}/profile") in answered
        assert {service for service, _ in answered} == {"orchestrator"}
        assert all(send.attributes["request_id"] for send in sends)
        assert not any(s.name.startswith("sidecar GET") for s in spans)  # what the loops ask all the time is no trace


async def deploy_and_restore(
    short_path: Path,
    postgres_server: str,
    whatsapp: FakeWhatsApp,
    environ: dict[str, str],
    measured: Callable[[str], None],
) -> None:
    through: list[Tree] = []

    async def send(to: str, text: str) -> str | None:
        return await sender(through[-1])(to, text)

    async with AsyncExitStack() as containers:
        first = await containers.enter_async_context(container(short_path, "first", environ))
        for name, phone in PHONES.items():
            await first.pair(name, phone, whatsapp)
        talk = await talk_of(whatsapp)
        through.append(first)
        async with talk.going_on(send, RATE):
            await talk.accepts_more_than(5)
            second = await containers.enter_async_context(container(short_path, "second", environ))
            measured(await deployed(whatsapp, first, second, 60.0, through.append))
            shutil.rmtree(short_path / "first")
            await talk.accepts_more_than(len(talk.accepted) + 5)
            third = await containers.enter_async_context(container(short_path, "third", environ))
            measured(await deployed(whatsapp, second, third, 0.0, through.append))
            shutil.rmtree(short_path / "second")
            await talk.accepts_more_than(len(talk.accepted) + 5)
        await settled(whatsapp, talk)
        await restored_elsewhere(short_path, postgres_server, environ, whatsapp, third, talk)


async def orchestrator(environ: dict[str, str], *arguments: str) -> str:
    """What a command says that succeeds."""
    command = [sys.executable, "-m", "orchestrator", *arguments]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=PROJECT, env={**os.environ, **environ}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return output.decode().strip()


async def settled(whatsapp: FakeWhatsApp, talk: Talk) -> None:
    """Every message that was accepted is on a phone, and every message to us is acknowledged."""
    assert (await whatsapp.idle(60))["idle"]
    arrived = {m["id"] for m in await whatsapp.messages("out", talk.phone) if m["status"] == "decrypted"}
    missing = [message_id for message_id in talk.accepted if message_id not in arrived]
    assert len(missing) <= 1, missing  # what was in the killed process's socket buffer


async def restored_elsewhere(
    folder: Path, server: str, environ: dict[str, str], whatsapp: FakeWhatsApp, last: Tree, talk: Talk
) -> None:
    """The scheduled copy is of the beginning: everything since then is lost, and still nobody scans anything."""

    async def made() -> list[str]:
        return [path.name for path in sorted((folder / "copies").glob("*.backup"))]

    (copy,) = await eventually(made, 30, "the scheduled copy of the database")
    fresh = folder / "copies" / "fresh"
    print(await orchestrator(environ, "backup", "verify", str(folder / "copies" / copy)))
    print(await orchestrator(environ, "backup", "create", "--to", str(fresh)))
    # Messages go on after the copy: the ratchets that are restored are behind.
    for number in range(3):
        assert (await last.send(SESSION, talk.contact, f"after the copy {number}")).status == 201
        assert (await last.send(SESSION, talk.group, f"to all after the copy {number}")).status == 201
        await whatsapp.send(talk.contact, talk.phone, f"in after the copy {number}")
    assert (await whatsapp.idle(30))["idle"]
    assert await last.terminate() == 0
    with fresh_database(server) as empty:
        elsewhere = {**environ, "DATABASE_URL": empty, "BACKUP_SCHEDULE": ""}
        assert "2 sessions" in await orchestrator(elsewhere, "backup", "restore", str(fresh))
        async with container(folder, "elsewhere", elsewhere) as product:
            await product.open(*PHONES)
            for to in (talk.contact, talk.group):
                assert (await product.send(SESSION, to, f"to {to} from the copy")).status == 201
            await whatsapp.send(talk.contact, talk.phone, "to the copy")
            await whatsapp.send(talk.contact, talk.phone, "to the copy, in the group", group=talk.group)
            assert (await whatsapp.idle(60))["idle"]
            texts = {m["text"] for m in await whatsapp.messages("out", talk.phone) if m["status"] == "decrypted"}
            assert {f"to {talk.contact} from the copy", f"to {talk.group} from the copy"} <= texts
            assert (await whatsapp.counts())["registrations"] == len(PHONES)
            assert await product.terminate() == 0
