"""The public API for programs in Python, typed: the bot, the dashboard and the CLI use it, and anybody may.

::

    async with Client("http://localhost:8080", token) as client:
        await client.sessions.create("loja-1")
        async for event in client.events():
            ...

Whatever the API answers as a problem is raised as the error of ``orchestrator.domain.errors`` that has its code.
"""

from orchestrator.client.client import Client
from orchestrator.client.event_stream import StreamEvent
from orchestrator.client.transport import File

__all__ = ["Client", "File", "StreamEvent"]
