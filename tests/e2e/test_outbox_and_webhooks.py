"""Kill -9 of every process during queued sends and incoming messages, with a receiver of webhooks that fails every third time."""

import asyncio
import contextlib
import random
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.event_stream import Heard, listening
from tests.support.fake_whatsapp import FakeWhatsApp
from tests.support.longer import longer
from tests.support.side_by_side import PHONE, SESSION
from tests.support.tree import Tree, tree
from tests.support.waiting import eventually
from tests.support.webhook_receiver import Posted, Receiver, receiver

KILLS = longer(1, 20)
"""Of each program."""
EVERYTHING = "everything"
"""As a host kills a container; a start of the tree is too much for the short run."""
KILLED = ("baileys", "orchestrator", "postgres", EVERYTHING)[: longer(3, 4)]
MESSAGES = longer(30, 500)
"""Each way."""
INCOMING_SECONDS = 0.6
"""Over which the incoming messages of a round are spread, so that the kill falls among them."""
DONE = {"sent", "delivered", "read"}


async def accept(product: Tree, to: str, text: str) -> str:
    """Hand a message over until it is accepted, as a program would; its id."""
    body = {"to": to, "type": "text", "text": text}

    async def accepted() -> str | None:
        try:
            answer = await product.call(
                "POST", f"/v1/sessions/{SESSION}/messages", body, **{"Idempotency-Key": text.replace(" ", "-")}
            )
        except (aiohttp.ClientError, TimeoutError):
            return None
        assert answer.status in (202, 503), answer.body
        return str(answer.json["message_id"]) if answer.status == 202 else None

    return str(await eventually(accepted, 90, f"{text} to be accepted"))


@dataclass
class Sending:
    """What was handed over, by the message's id: the chat and the text."""

    product: Tree
    chats: list[str]
    accepted: dict[str, tuple[str, str]] = field(default_factory=dict)

    async def round(self, number: int, before_kill: int, about_to_kill: asyncio.Event, killed: asyncio.Event) -> None:
        """Hand over so many: some before a process is killed, one in that moment, and the others afterwards."""
        try:
            for count in range(number):
                if count == before_kill:
                    about_to_kill.set()
                elif count == before_kill + 1:
                    await killed.wait()
                chat, text = self.chats[len(self.accepted) % len(self.chats)], f"out {len(self.accepted)}"
                self.accepted[await accept(self.product, chat, text)] = (chat, text)
        finally:
            about_to_kill.set()


async def kill(stack: contextlib.AsyncExitStack, ours: Tree, program: str, environ: Mapping[str, str]) -> Tree:
    """Kill one program, or everything, which a new tree on the same disk and port takes the place of."""
    if program != EVERYTHING:
        await ours.kill(program)
        return ours
    await asyncio.to_thread(ours.kill_everything)
    log = ours.data_dir.parent / f"log-{ours.child.pid}"
    return await stack.enter_async_context(tree(ours.data_dir, log, environ, port=ours.port, token=ours.token))


async def outbox(product: Tree) -> dict[str, dict[str, Any]]:
    """Every message of the outbox, by id."""
    found: dict[str, dict[str, Any]] = {}
    cursor = ""
    while True:
        page = (await product.call("GET", f"/v1/sessions/{SESSION}/outbox?limit=200{cursor}")).json
        found |= {message["message_id"]: message for message in page["messages"]}
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={page['next_cursor']}"


@pytest.mark.timeout(longer(300, 5400))
async def test_every_accepted_message_is_shown_once_and_every_event_arrives_in_order_though_everything_is_killed(
    short_path: Path, whatsapp: FakeWhatsApp
) -> None:
    environ = {**whatsapp.environ, "OUTBOUND_ALLOWED_NETWORKS": "127.0.0.0/8"}
    async with receiver() as receiving, contextlib.AsyncExitStack() as stack:
        ours = await stack.enter_async_context(tree(short_path / "data", short_path / "log", environ))
        receiving.answers = lambda number: 500 if number % 3 == 2 else 200
        await ours.ready()
        await ours.pair(SESSION, PHONE, whatsapp)
        hook = await ours.call(
            "POST", "/v1/webhooks", {"url": receiving.url(), "events": ["message.received", "message.status"]}
        )
        assert hook.status == 201, hook.body
        receiving.secrets.append(hook.json["secret"])
        chats = [await whatsapp.contact() for _ in range(3)]
        chats.append(await whatsapp.group(chats[0], PHONE))
        moments = random.Random(7)
        sending = Sending(ours, chats)
        rounds = KILLS * len(KILLED)
        for number in range(rounds):
            each = MESSAGES * (number + 1) // rounds - MESSAGES * number // rounds
            await whatsapp.call(
                "POST",
                "/traffic",
                {
                    "phone": PHONE,
                    "contacts": chats[:2],
                    "groups": chats[3:],
                    "rate_per_second": each / INCOMING_SECONDS,
                    "count": each,
                    "prefix": f"in {number}",
                },
            )
            about_to_kill, killed = asyncio.Event(), asyncio.Event()
            handing_over = asyncio.create_task(sending.round(each, moments.randrange(each), about_to_kill, killed))
            await about_to_kill.wait()
            await asyncio.sleep(moments.uniform(0, 0.1))  # whatever is being done by then
            ours = await kill(stack, ours, KILLED[number % len(KILLED)], environ)
            killed.set()
            await handing_over
            await ours.open(SESSION)
        accepted = sending.accepted
        assert len(accepted) == MESSAGES
        await all_sent(ours)
        assert (await whatsapp.idle(60, PHONE))["idle"]
        await shown_once_in_order(whatsapp, accepted)
        await told_in_order(ours, whatsapp, receiving, accepted)
        assert await ours.terminate() == 0


async def all_sent(product: Tree) -> None:
    async def done() -> bool:
        return all(message["state"] in DONE for message in (await outbox(product)).values())

    try:
        await eventually(done, longer(90, 300), "every message to be sent")
    except AssertionError as error:
        left = [message for message in (await outbox(product)).values() if message["state"] not in DONE]
        raise AssertionError(f"{error}: {left}\n{product.child.output[-6000:]}") from error


async def shown_once_in_order(whatsapp: FakeWhatsApp, accepted: dict[str, tuple[str, str]]) -> None:
    seen = await whatsapp.messages("out", PHONE)
    assert {message["id"]: message["text"] for message in seen} == {i: text for i, (_, text) in accepted.items()}
    assert len(seen) == len(accepted)
    shown = sorted(seen, key=lambda message: message["shown"])
    for chat in {chat for chat, _ in accepted.values()}:
        in_chat = [message["text"] for message in shown if accepted[message["id"]][0] == chat]
        assert in_chat == [text for of, text in accepted.values() if of == chat]
    again = sum(message["duplicates"] for message in seen)
    print(f"{len(seen)} messages shown once and in order; {again} copies came once more on the wire")


async def everything_of(heard: Heard, type_: str, message_ids: Collection[str]) -> list[dict[str, Any]]:
    """What the stream tells of these messages, once each, in its order."""

    def first_of_each() -> dict[str, dict[str, Any]]:
        told: dict[str, dict[str, Any]] = {}
        for data in heard.of(type_):
            told.setdefault(data["message_id"], data)
        return told

    async def complete() -> bool:
        return first_of_each().keys() == set(message_ids)

    await eventually(complete, 30, f"every {type_} to be told")
    return list(first_of_each().values())


async def told_in_order(
    ours: Tree, whatsapp: FakeWhatsApp, receiving: Receiver, accepted: dict[str, tuple[str, str]]
) -> None:
    incoming = {message["id"]: message["text"] for message in await whatsapp.messages("in", PHONE)}
    assert len(incoming) == MESSAGES

    def received() -> dict[str, str]:
        return {posted.data["message_id"]: posted.data["text"] for posted in receiving.taken("message.received")}

    def statuses() -> dict[str, str]:
        return {posted.data["message_id"]: posted.data["status"] for posted in receiving.taken("message.status")}

    def in_order(posted: Iterable[Posted]) -> list[str]:
        return list(dict.fromkeys(each.event_id for each in posted))

    async def complete() -> bool:
        all_told = received() == incoming and statuses().keys() == accepted.keys()
        return all_told and len(in_order(receiving.taken())) == len(in_order(receiving.posted))  # no retry is due

    try:
        await eventually(complete, longer(90, 600), "every event to be delivered")
    except AssertionError as error:
        missing = incoming.keys() - received().keys(), accepted.keys() - statuses().keys()
        raise AssertionError(f"{error}; missing: {missing}; {len(receiving.posted)} requests") from error
    assert set(statuses().values()) <= DONE
    assert all(posted.signed_by for posted in receiving.posted)
    taken = in_order(receiving.taken())
    assert taken == in_order(receiving.posted)  # what fails holds up what comes after it
    # What a phone had to send again comes in later, so the order is that in which messages came in, as they are stored.
    async with listening(ours, last_id=0) as heard:
        stored = [data["message_id"] for data in await everything_of(heard, "message.received", incoming.keys())]
    assert list(received()) == stored
    repeated = len(receiving.taken()) - len(taken)
    print(f"{len(taken)} events delivered in order, {len(receiving.posted)} requests, {repeated} taken more than once")
