"""A listener on the public event stream."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any, Protocol

import aiohttp

from tests.support.waiting import eventually


class Product(Protocol):
    """Whatever serves the public API."""

    port: int
    token: str
    http: aiohttp.ClientSession


class Heard(list[tuple[str, dict[str, Any]]]):
    """The events so far: (type, data)."""

    def __init__(self) -> None:
        super().__init__()
        self.last_id: int | None = None
        """What a browser would send as Last-Event-ID."""
        self.ended = False

    def of(self, type_: str) -> list[dict[str, Any]]:
        return [data for kind, data in self if kind == type_]

    async def wait_for(self, type_: str, seconds: float = 15.0, **fields: Any) -> dict[str, Any]:
        """The first event of this type with these fields."""

        async def found() -> dict[str, Any] | None:
            return next((d for d in self.of(type_) if all(d.get(k) == v for k, v in fields.items())), None)

        answer = await eventually(found, seconds, f"{type_} {fields}")
        assert answer is not None
        return answer

    async def wait_for_more(self, type_: str, number: int, seconds: float = 15.0) -> None:
        """Wait until more events of this type than ``number`` were heard."""

        async def more() -> bool:
            return len(self.of(type_)) > number

        await eventually(more, seconds, f"more than {number} {type_}")

    async def wait_for_the_end(self, seconds: float = 15.0) -> None:
        async def ended() -> bool:
            return self.ended

        await eventually(ended, seconds, "the stream to end")


@contextlib.asynccontextmanager
async def listening(product: Product, query: str = "", *, last_id: int | None = None) -> AsyncIterator[Heard]:
    """Listen to ``GET /v1/events`` for as long as the block runs."""
    heard = Heard()
    url = f"http://127.0.0.1:{product.port}/v1/events{query}"
    headers = {"Authorization": f"Bearer {product.token}"}
    if last_id is not None:
        headers["Last-Event-ID"] = str(last_id)
    async with product.http.get(url, headers=headers, timeout=None) as response:
        assert response.status == 200

        async def read() -> None:
            kind, number = "", None
            try:
                async for line in response.content:
                    name, _, value = line.decode().rstrip("\n").partition(": ")
                    if name == "id":
                        number = int(value)
                    elif name == "event":
                        kind = value
                    elif name == "data":
                        heard.append((kind, json.loads(value)))
                        heard.last_id = number or heard.last_id
            finally:  # also when it broke off
                heard.ended = True

        reading = asyncio.create_task(read())
        try:
            yield heard
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
