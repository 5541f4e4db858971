"""`make demo`: two accounts are paired and talk, the container is killed and thrown away, and they come back without a QR.

Everything is real but WhatsApp: the real Baileys, the real PostgreSQL, real processes, kill -9. The fake WhatsApp
(baileys-server/test/fake-whatsapp) runs on 127.0.0.1; no phone and no internet are needed.
"""

import asyncio
import contextlib
import secrets
import shutil
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from orchestrator.launcher.embedded_postgres import EmbeddedPostgres
from tests.support.event_stream import listening
from tests.support.fake_whatsapp import FakeWhatsApp, fake_whatsapp
from tests.support.postgres import short_folder
from tests.support.tree import Tree, tree

SESSIONS = {"loja-1": "5511999990001", "loja-2": "5511999990002"}
MESSAGES = 10
SAMPLE_SECONDS = 0.05
REACHING_SECONDS = 1.0
WIDTH = 72

#: One column of the timeline; whoever scans a QR code does so in "pairing".
PICTURES = {"open": "█", "pairing": "▒", "connecting": "░", "starting": "░", "waiting_retry": "░", "": "·"}


@dataclass
class Timeline:
    """What was told and seen, by seconds since the start."""

    started: float = field(default_factory=time.monotonic)
    samples: dict[str, list[tuple[float, str]]] = field(default_factory=lambda: {name: [] for name in SESSIONS})
    marks: list[tuple[float, str]] = field(default_factory=list)

    def seconds(self) -> float:
        return time.monotonic() - self.started

    def tell(self, text: str) -> float:
        now = self.seconds()
        sys.stdout.write(f"{now:6.1f} s  {text}\n")
        sys.stdout.flush()
        return now

    @contextlib.asynccontextmanager
    async def watching(self, product: Tree) -> AsyncIterator[None]:
        """Sample the session states for as long as the block runs."""
        watch = asyncio.create_task(self._watch(product))
        try:
            yield
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def _watch(self, product: Tree) -> None:
        """Sample the states that the public API shows, until cancelled; nothing where nobody answers."""
        while True:
            try:
                listed = (await product.call("GET", "/v1/sessions")).json.get("sessions", [])
                states = {session["session_id"]: session["connection_state"] for session in listed}
            except (aiohttp.ClientError, OSError):
                states = {}
            for name, samples in self.samples.items():
                samples.append((self.seconds(), states.get(name, "")))
            await asyncio.sleep(SAMPLE_SECONDS)

    def picture(self) -> str:
        """A line of states for each session over a scale of seconds, and the marked moments below."""
        end = self.seconds()
        lines = [
            f"  {name}  {''.join(self._column(samples, end, x) for x in range(WIDTH))}"
            for name, samples in self.samples.items()
        ]
        scale, arrows = [" "] * WIDTH, [" "] * WIDTH
        for second in range(0, int(end) + 1, 5):
            at = int(second / end * WIDTH)
            scale[at : at + len(f"{second}s")] = f"{second}s"
        for moment, sign in self.marks:
            arrows[min(WIDTH - 1, int(moment / end * WIDTH))] = sign
        margin = " " * (len(next(iter(SESSIONS))) + 4)
        legend = "█ open  ▒ pairing (QR code)  ░ connecting  · no container     ✗ kill -9  ▲ new container ready"
        return "\n".join([*lines, margin + "".join(arrows), margin + "".join(scale)[:WIDTH], "", f"  {legend}"])

    def _column(self, samples: list[tuple[float, str]], end: float, x: int) -> str:
        """The worst state within a column, so that a short gap shows too."""
        seen = [state for moment, state in samples if x <= moment / end * WIDTH < x + 1]
        order = list(PICTURES)
        return PICTURES.get(max(seen, key=lambda state: order.index(state) if state in order else 3, default=""), "░")


async def talk(product: Tree, timeline: Timeline, round_: str) -> None:
    """Messages both ways; each is waited for on the other side, decrypted."""
    (first, first_phone), (second, second_phone) = SESSIONS.items()
    async with listening(product) as heard:
        for number in range(MESSAGES):
            for sender, phone, receiver in ((first, second_phone, second), (second, first_phone, first)):
                text = f"{round_} {number}"
                answer = await product.send(sender, phone, text)
                if answer.status != 201:
                    raise RuntimeError(f"a message was refused: {answer.body.decode()}")
                await heard.wait_for("message.received", session_id=receiver, text=text)
    timeline.tell(f"{first} and {second} wrote {MESSAGES} messages to each other; each was decrypted on the other side")


async def pair(product: Tree, name: str, phone: str, whatsapp: FakeWhatsApp, timeline: Timeline) -> None:
    await product.call("POST", "/v1/sessions", {"session_id": name})
    qr = (await product.call("GET", f"/v1/sessions/{name}/qr")).json["qr"]
    timeline.tell(f"{name} shows its QR code; somebody reaches for the phone")
    await asyncio.sleep(REACHING_SECONDS)
    await whatsapp.scan(qr, phone)
    await product.open(name)
    timeline.tell(f"{name} was scanned, once, and is open")


async def demo() -> int:
    timeline = Timeline()
    timeline.tell("starting a fake WhatsApp on 127.0.0.1 and a PostgreSQL of its own")
    with short_folder("demo") as folder:
        server = EmbeddedPostgres(folder / "database-service")
        (folder / "database-service").mkdir(mode=0o711)
        server.prepare()
        with server.running(log=folder / "postgres.log"):
            async with fake_whatsapp() as whatsapp:
                return await containers(timeline, folder, server.url, whatsapp)


async def containers(timeline: Timeline, folder: Path, database_url: str, whatsapp: FakeWhatsApp) -> int:
    environ = {**whatsapp.environ, "DATABASE_URL": database_url, "SESSION_ENCRYPTION_KEYS": secrets.token_hex(32)}
    token = secrets.token_hex(16)
    async with tree(folder / "disk-1", folder / "log-1", environ, token=token) as first:
        await first.ready()
        timeline.tell("container 1 is ready")
        async with timeline.watching(first):
            for name, phone in SESSIONS.items():
                await pair(first, name, phone, whatsapp, timeline)
            await talk(first, timeline, "before")
            first.kill_everything()
            killed = timeline.tell("kill -9 of every process of container 1")
            timeline.marks.append((killed, "✗"))
    shutil.rmtree(folder / "disk-1")
    timeline.tell("its disk is thrown away; only PostgreSQL is left")
    async with tree(folder / "disk-2", folder / "log-2", environ, token=token) as second:
        async with timeline.watching(second):
            await second.ready()
            timeline.marks.append((timeline.tell("container 2 is ready, on an empty disk"), "▲"))
            await second.open(*SESSIONS)
            back = timeline.tell(f"{' and '.join(SESSIONS)} are open again")
            await talk(second, timeline, "after")
        counts = await whatsapp.counts()
        sys.stdout.write(f"\n{timeline.picture()}\n\n")
        qr_codes = counts["registrations"] - len(SESSIONS)
        violations = sum((await whatsapp.violations()).values())
        sys.stdout.write(
            f"  Back {back - killed:.1f} s after the kill. QR codes shown since: {qr_codes}. "
            f"Faults that a phone or WhatsApp would notice: {violations}.\n\n"
        )
        await second.terminate()
        return 0 if qr_codes == violations == 0 else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(demo()))
