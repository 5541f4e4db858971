"""Two-way traffic through a product under test, and what a phone would say of it afterwards."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, fields
from typing import Self

from tests.support.fake_whatsapp import FakeWhatsApp
from tests.support.waiting import eventually

#: Sends one text and answers with its message id, or None when the product refused or could not say.
Send = Callable[[str, str], Awaitable[str | None]]


@dataclass
class Talk:
    """One account, a contact and a group with that contact, on a fake WhatsApp of their own."""

    whatsapp: FakeWhatsApp
    phone: str
    contact: str
    group: str
    accepted: dict[str, str] = field(default_factory=dict)
    refused: int = 0

    async def exchange(self, send: Send, number: int, rate_per_second: float) -> None:
        """``number`` messages each way, half of them in the group."""
        await self._start_incoming(number, rate_per_second)
        for count in range(number):
            await self._send_one(send, count)

    @contextlib.asynccontextmanager
    async def going_on(self, send: Send, rate_per_second: float) -> AsyncIterator[None]:
        """Traffic both ways for as long as the block runs."""
        await self._start_incoming(100_000, rate_per_second)
        sending = asyncio.create_task(self._keep_sending(send, rate_per_second))
        try:
            yield
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            await self.whatsapp.call("DELETE", "/traffic")

    async def accepts_more_than(self, accepted: int, seconds: float = 60.0) -> None:
        """Wait until the product has accepted more messages than this."""

        async def condition() -> bool:
            return len(self.accepted) > accepted

        await eventually(condition, seconds, "the product to accept messages again")

    async def _start_incoming(self, number: int, rate_per_second: float) -> None:
        body = {
            "phone": self.phone,
            "contacts": [self.contact],
            "groups": [self.group],
            "rate_per_second": rate_per_second,
            "count": number,
        }
        await self.whatsapp.call("POST", "/traffic", body)

    async def _keep_sending(self, send: Send, rate_per_second: float) -> None:
        for count in itertools.count():
            await asyncio.gather(self._send_one(send, count), asyncio.sleep(1 / rate_per_second))

    async def _send_one(self, send: Send, count: int) -> None:
        to = self.group if count % 2 else self.contact
        text = f"out {len(self.accepted)} {self.refused}"
        message_id = await send(to, text)
        if message_id is None:
            self.refused += 1
        else:
            self.accepted[message_id] = text


@dataclass(frozen=True)
class Counts:
    """What went wrong: every field of it is a number that should be small."""

    def worse_than(self, other: Self) -> dict[str, tuple[int, int]]:
        """The fields in which this is worse, with both numbers."""
        pairs = {field.name: (getattr(self, field.name), getattr(other, field.name)) for field in fields(self)}
        return {name: pair for name, pair in pairs.items() if pair[0] > pair[1]}


@dataclass(frozen=True)
class Verdict(Counts):
    """What went wrong, in counts; all of them are zero for a product that loses nothing."""

    qr_after_the_first: int
    message_numbers_reused: int
    prekeys_reused: int
    undecryptable: int
    incoming_lost: int
    incoming_nacked: int
    accepted_and_lost: int
    simultaneous_sockets: int


async def verdict(talk: Talk, seconds: float, *, kills: int | None = 0) -> Verdict:
    """Wait until the phones' retries have settled everything, at most ``seconds``, and count what is left.

    Each kill may take one message back that was written to the socket already: the kernel resets a killed process's
    connection if it had unread data, and the other side then drops what it hasn't read yet.
    """
    await talk.whatsapp.idle(seconds, talk.phone)
    counts = await talk.whatsapp.counts()
    out = {m["id"]: m for m in await talk.whatsapp.messages("out", talk.phone)}
    lost = [
        i
        for i, text in talk.accepted.items()
        if i not in out or out[i]["status"] != "decrypted" or out[i]["text"] != text
    ]
    never_arrived = [i for i in lost if i not in out]
    assert kills is None or len(never_arrived) <= kills, f"accepted, and never arrived: {never_arrived}"
    print(f"never arrived: {never_arrived}; arrived and lost: {[out[i] for i in lost if i in out]}")
    return Verdict(
        qr_after_the_first=counts["registrations"] - 1,
        message_numbers_reused=counts["message_number_reused"],
        prekeys_reused=counts["prekey_reused"],
        undecryptable=counts["undecryptable"],
        incoming_lost=counts["in"]["outstanding"],
        incoming_nacked=counts["in"]["nacked"],
        accepted_and_lost=len(lost) - len(never_arrived),
        simultaneous_sockets=counts["simultaneous_sockets"],
    )
