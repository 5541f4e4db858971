"""Channels, which Baileys calls newsletters."""

from orchestrator.client.transport import Transport, path_of
from orchestrator.wire import channels as wire


class Channels:
    """``channel`` is a jid (@newsletter), ``invite`` a code or the whole link. A post is a message that is sent to it."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def create(self, session_id: str, name: str, description: str | None = None) -> wire.Channel:
        body = wire.CreateChannel(name=name, description=description)
        return await self._transport.call("POST", path_of(session_id, "channels"), wire.Channel, body=body)

    async def get(self, session_id: str, channel: str) -> wire.Channel:
        return await self._transport.call("GET", path_of(session_id, "channels", channel), wire.Channel)

    async def preview(self, session_id: str, invite: str) -> wire.Channel:
        """The channel behind an invite."""
        return await self._transport.call("GET", path_of(session_id, "channels", "invites", invite), wire.Channel)

    async def change(self, session_id: str, channel: str, changes: wire.ChangeChannel) -> None:
        """What isn't named stays as it is."""
        await self._transport.done("PATCH", path_of(session_id, "channels", channel), body=changes)

    async def delete(self, session_id: str, channel: str) -> None:
        """For its followers too."""
        await self._transport.done("DELETE", path_of(session_id, "channels", channel))

    async def follow(self, session_id: str, channel: str) -> None:
        await self._transport.done("PUT", path_of(session_id, "channels", channel, "follow"))

    async def unfollow(self, session_id: str, channel: str) -> None:
        await self._transport.done("DELETE", path_of(session_id, "channels", channel, "follow"))

    async def mute(self, session_id: str, channel: str) -> None:
        await self._transport.done("PUT", path_of(session_id, "channels", channel, "mute"))

    async def unmute(self, session_id: str, channel: str) -> None:
        await self._transport.done("DELETE", path_of(session_id, "channels", channel, "mute"))
