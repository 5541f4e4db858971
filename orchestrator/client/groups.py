"""Groups and their participants."""

from collections.abc import AsyncIterator, Sequence
from typing import Literal

from orchestrator.client.transport import Transport, path_of
from orchestrator.wire import groups as wire


class Groups:
    """``group`` is a jid (@g.us), ``invite`` a code or the whole link."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, session_id: str) -> AsyncIterator[wire.GroupSummary]:
        """By id, without their participants."""
        return self._transport.pages(path_of(session_id, "groups"), wire.Groups, lambda page: page.groups)

    async def create(self, session_id: str, subject: str, participants: Sequence[str] = ()) -> wire.Group:
        body = wire.CreateGroup(subject=subject, participants=list(participants))
        return await self._transport.call("POST", path_of(session_id, "groups"), wire.Group, body=body)

    async def get(self, session_id: str, group: str) -> wire.Group:
        return await self._transport.call("GET", path_of(session_id, "groups", group), wire.Group)

    async def change(self, session_id: str, group: str, changes: wire.ChangeGroup) -> None:
        """What isn't named stays as it is."""
        await self._transport.done("PATCH", path_of(session_id, "groups", group), body=changes)

    async def leave(self, session_id: str, group: str) -> None:
        await self._transport.done("POST", path_of(session_id, "groups", group, "leave"))

    async def set_picture(self, session_id: str, group: str, picture: str) -> None:
        """``picture``: a JPEG in base64."""
        body = wire.SetPicture(picture=picture)
        await self._transport.done("PUT", path_of(session_id, "groups", group, "picture"), body=body)

    async def remove_picture(self, session_id: str, group: str) -> None:
        await self._transport.done("DELETE", path_of(session_id, "groups", group, "picture"))

    async def change_participants(
        self,
        session_id: str,
        group: str,
        action: Literal["add", "remove", "promote", "demote"],
        participants: Sequence[str],
    ) -> Sequence[wire.ParticipantOutcome]:
        """Each has an outcome of its own."""
        path = path_of(session_id, "groups", group, "participants")
        body = wire.ChangeParticipants(action=action, participants=list(participants))
        return (await self._transport.call("POST", path, wire.ParticipantOutcomes, body=body)).participants

    async def invite(self, session_id: str, group: str) -> wire.GroupInvite:
        return await self._transport.call("GET", path_of(session_id, "groups", group, "invite"), wire.GroupInvite)

    async def revoke_invite(self, session_id: str, group: str) -> wire.GroupInvite:
        """The new one."""
        return await self._transport.call("DELETE", path_of(session_id, "groups", group, "invite"), wire.GroupInvite)

    async def preview(self, session_id: str, invite: str) -> wire.Group:
        """The group behind an invite."""
        return await self._transport.call("GET", path_of(session_id, "groups", "invites", invite), wire.Group)

    async def join(self, session_id: str, invite: str) -> str:
        """The group's id; where newcomers are looked at first, this only asks for it."""
        path = path_of(session_id, "groups", "invites", invite)
        return (await self._transport.call("POST", path, wire.JoinedGroup)).group_id

    async def requests(self, session_id: str, group: str) -> Sequence[wire.JoinRequest]:
        """Who waits to be let in."""
        path = path_of(session_id, "groups", group, "requests")
        return (await self._transport.call("GET", path, wire.JoinRequests)).requests

    async def answer_requests(
        self, session_id: str, group: str, action: Literal["approve", "reject"], participants: Sequence[str]
    ) -> Sequence[wire.ParticipantOutcome]:
        path = path_of(session_id, "groups", group, "requests")
        body = wire.AnswerJoinRequests(action=action, participants=list(participants))
        return (await self._transport.call("POST", path, wire.ParticipantOutcomes, body=body)).participants
