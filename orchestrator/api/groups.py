"""Groups over HTTP."""

from typing import Any

from aiohttp import web

from orchestrator.api.asking import (
    ASKING,
    SESSION,
    ask,
    given,
    group_jid,
    have_done,
    in_path,
    invite_code,
    user_jids,
)
from orchestrator.api.bodies import json_response, read_json, read_query
from orchestrator.api.operations import Operation
from orchestrator.api.pages import begins_after, cut
from orchestrator.domain.tenant import Scope
from orchestrator.wire import groups as wire
from orchestrator.wire.pages import Page

_LINK = "https://chat.whatsapp.com/"


async def index(request: web.Request) -> web.Response:
    page = read_query(request, Page)
    after = begins_after(page, str)
    body = {"limit": page.limit, "after": None if after is None else group_jid(after, "cursor")}
    found = await ask(request, "groups.list", body, wire.SidecarGroups)
    # One more than fits says that there is a next page.
    _, cursor = cut([*found.groups, *found.groups[-1:]] if found.more else found.groups, page, lambda g: g.group_id)
    return json_response(wire.Groups(groups=found.groups, next_cursor=cursor))


async def create(request: web.Request) -> web.Response:
    body = await read_json(request, wire.CreateGroup)
    asked = {"subject": body.subject, "participants": user_jids(body.participants, "participants")}
    return json_response(await ask(request, "groups.create", asked, wire.Group), status=201)


async def show(request: web.Request) -> web.Response:
    return json_response(await ask(request, "groups.get", {"group": _group(request)}, wire.Group))


async def change(request: web.Request) -> web.Response:
    body = await read_json(request, wire.ChangeGroup)
    return await have_done(request, "groups.update", {"group": _group(request), **given(body)})


async def leave(request: web.Request) -> web.Response:
    return await have_done(request, "groups.leave", {"group": _group(request)})


async def set_picture(request: web.Request) -> web.Response:
    body = await read_json(request, wire.SetPicture)
    return await have_done(request, "groups.picture", {"group": _group(request), "picture": body.picture})


async def remove_picture(request: web.Request) -> web.Response:
    return await have_done(request, "groups.picture", {"group": _group(request)})


async def change_participants(request: web.Request) -> web.Response:
    body = await read_json(request, wire.ChangeParticipants)
    return await _participants(request, "groups.participants", body)


async def invite(request: web.Request) -> web.Response:
    return await _invite(request, revoke=False)


async def revoke_invite(request: web.Request) -> web.Response:
    return await _invite(request, revoke=True)


async def requests(request: web.Request) -> web.Response:
    return json_response(await ask(request, "groups.requests", {"group": _group(request)}, wire.JoinRequests))


async def answer_requests(request: web.Request) -> web.Response:
    body = await read_json(request, wire.AnswerJoinRequests)
    return await _participants(request, "groups.answer_requests", body)


async def join(request: web.Request) -> web.Response:
    asked = {"invite_code": invite_code(in_path(request, "invite"), "invite")}
    return json_response(await ask(request, "groups.join", asked, wire.JoinedGroup))


async def preview(request: web.Request) -> web.Response:
    asked = {"invite_code": invite_code(in_path(request, "invite"), "invite")}
    return json_response(await ask(request, "groups.preview", asked, wire.Group))


async def _participants(
    request: web.Request, name: str, body: wire.ChangeParticipants | wire.AnswerJoinRequests
) -> web.Response:
    users = user_jids(body.participants, "participants")
    asked = {"group": _group(request), "action": body.action, "participants": users}
    return json_response(await ask(request, name, asked, wire.ParticipantOutcomes))


async def _invite(request: web.Request, *, revoke: bool) -> web.Response:
    found = await ask(request, "groups.invite", {"group": _group(request), "revoke": revoke}, wire.InviteCode)
    return json_response(wire.GroupInvite(invite_code=found.invite_code, invite_link=_LINK + found.invite_code))


def _group(request: web.Request) -> str:
    return group_jid(in_path(request, "group"), "group")


_GROUP = f"{SESSION}/groups/{{group}}"
_ID = "120363041234567890@g.us"
_ANA = "5511988887777@s.whatsapp.net"
_SUMMARY: dict[str, Any] = {
    "group_id": _ID,
    "subject": "Equipe",
    "description": "Quem vende",
    "owner": "5511999990000@s.whatsapp.net",
    "created_at": "2026-11-26T12:00:00.000Z",
    "size": 2,
    "announce": False,
    "locked": True,
    "members_can_add": False,
    "join_approval": False,
    "ephemeral_seconds": 604_800,
    "community": False,
    "community_id": None,
}
_SHOWN = wire.Group(
    **_SUMMARY,
    participants=[
        wire.GroupParticipant(jid="5511999990000@s.whatsapp.net", lid="100000000000001@lid", role="superadmin"),
        wire.GroupParticipant(jid=_ANA, lid="100000000000002@lid", role="member"),
    ],
)
_OUTCOMES = wire.ParticipantOutcomes(
    participants=[wire.ParticipantOutcome(jid=_ANA, lid="100000000000002@lid", done=True, code=200)]
)


def _operation(method: str, path: str, handler: Any, summary: str, scope: Scope = Scope.SEND, **more: Any) -> Operation:
    return Operation(
        method=method, path=path, handler=handler, scope=scope, tag="Groups", summary=summary, errors=ASKING, **more
    )


OPERATIONS = (
    _operation(
        "GET",
        f"{SESSION}/groups",
        index,
        "List the groups that the account is in, by id, without their participants.",
        Scope.READ,
        query=Page,
        gives=wire.Groups,
        example_answer=wire.Groups(groups=[wire.GroupSummary(**_SUMMARY)], next_cursor=None),
    ),
    _operation(
        "POST",
        f"{SESSION}/groups",
        create,
        "Create a group; whoever may only be invited is missing among its participants.",
        takes=wire.CreateGroup,
        gives=wire.Group,
        status=201,
        example=wire.CreateGroup(subject="Equipe", participants=["5511988887777"]),
        example_answer=_SHOWN,
    ),
    _operation(
        "POST",
        f"{SESSION}/groups/invites/{{invite}}",
        join,
        "Join a group by its invite code.",
        gives=wire.JoinedGroup,
        example_answer=wire.JoinedGroup(group_id=_ID),
    ),
    _operation(
        "GET",
        f"{SESSION}/groups/invites/{{invite}}",
        preview,
        "Show the group behind an invite code without joining it.",
        Scope.READ,
        gives=wire.Group,
        example_answer=_SHOWN,
    ),
    _operation(
        "GET",
        _GROUP,
        show,
        "Show a group with its participants.",
        Scope.READ,
        gives=wire.Group,
        example_answer=_SHOWN,
    ),
    _operation(
        "PATCH",
        _GROUP,
        change,
        "Change a group's subject, description or settings.",
        details="Each field is a change of its own to WhatsApp, in the order of the fields. When one is refused, the error says "
        "which were made before.",
        takes=wire.ChangeGroup,
        status=204,
        example=wire.ChangeGroup(subject="Equipe de vendas", announce=True),
    ),
    _operation("POST", f"{_GROUP}/leave", leave, "Leave a group.", status=204),
    _operation(
        "PUT",
        f"{_GROUP}/picture",
        set_picture,
        "Set a group's picture.",
        takes=wire.SetPicture,
        status=204,
        example=wire.SetPicture(picture="/9j/4AAQSkZJRg=="),
    ),
    _operation("DELETE", f"{_GROUP}/picture", remove_picture, "Remove a group's picture.", status=204),
    _operation(
        "POST",
        f"{_GROUP}/participants",
        change_participants,
        "Add, remove, promote or demote participants, each with an outcome of its own.",
        takes=wire.ChangeParticipants,
        gives=wire.ParticipantOutcomes,
        example=wire.ChangeParticipants(action="add", participants=["5511988887777"]),
        example_answer=_OUTCOMES,
    ),
    _operation(
        "GET",
        f"{_GROUP}/invite",
        invite,
        "Show a group's invite link.",
        gives=wire.GroupInvite,
        example_answer=wire.GroupInvite(invite_code="AbCdEf0123456789", invite_link=_LINK + "AbCdEf0123456789"),
    ),
    _operation(
        "DELETE",
        f"{_GROUP}/invite",
        revoke_invite,
        "Revoke a group's invite link, and show the new one.",
        gives=wire.GroupInvite,
        example_answer=wire.GroupInvite(invite_code="GhIjKl0123456789", invite_link=_LINK + "GhIjKl0123456789"),
    ),
    _operation(
        "GET",
        f"{_GROUP}/requests",
        requests,
        "List who waits to be let into a group.",
        Scope.READ,
        gives=wire.JoinRequests,
        example_answer=wire.JoinRequests(
            requests=[wire.JoinRequest(jid=_ANA, lid=None, requested_at="2026-11-27T01:02:03.000Z")]
        ),
    ),
    _operation(
        "POST",
        f"{_GROUP}/requests",
        answer_requests,
        "Let in who waits, or turn them away, each with an outcome of its own.",
        takes=wire.AnswerJoinRequests,
        gives=wire.ParticipantOutcomes,
        example=wire.AnswerJoinRequests(action="approve", participants=["5511988887777"]),
        example_answer=_OUTCOMES,
    ),
)
