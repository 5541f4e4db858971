"""Groups and their participants."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType, field

from orchestrator.wire.addresses import UserAddress, UserText
from orchestrator.wire.pages import NextCursor
from orchestrator.wire.shape import Answer, Request, Timestamp

Subject = Annotated[str, Meta(min_length=1, max_length=100)]
Description = Annotated[str, Meta(max_length=2048, description="Empty removes it.")]
Participants = Annotated[list[UserText], Meta(min_length=1, max_length=1024)]
#: Seconds; 90 days.
_LONGEST_EPHEMERAL = 7_776_000
Picture = Annotated[
    str, Meta(min_length=8, max_length=700_000, description="A JPEG image in base64; 640 x 640 is what WhatsApp shows.")
]


class GroupParticipant(UserAddress, frozen=True, kw_only=True):
    role: Literal["member", "admin", "superadmin"]


class GroupSummary(Answer, frozen=True, kw_only=True):
    """A group as the list has it."""

    group_id: str
    subject: str
    description: str | None
    owner: str | None
    created_at: Timestamp | None
    size: int
    announce: Annotated[bool, Meta(description="Only admins write.")]
    locked: Annotated[bool, Meta(description="Only admins change subject, description and picture.")]
    members_can_add: bool
    join_approval: Annotated[bool, Meta(description="An admin lets in who comes by the invite link.")]
    ephemeral_seconds: Annotated[int, Meta(description="After how long messages disappear; 0: they stay.")]
    community: Annotated[bool, Meta(description="It is a community itself.")]
    community_id: str | None


class Group(GroupSummary, frozen=True, kw_only=True):
    participants: list[GroupParticipant]


class Groups(Answer, frozen=True, kw_only=True):
    groups: list[GroupSummary]
    next_cursor: NextCursor


class CreateGroup(Request, frozen=True, kw_only=True):
    subject: Subject
    participants: Annotated[list[UserText], Meta(max_length=1024)] = field(default_factory=list)


class ChangeGroup(Request, frozen=True, kw_only=True):
    """What is missing stays as it is."""

    subject: Subject | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    announce: bool | UnsetType = UNSET
    locked: bool | UnsetType = UNSET
    members_can_add: bool | UnsetType = UNSET
    join_approval: bool | UnsetType = UNSET
    ephemeral_seconds: Annotated[int, Meta(ge=0, le=_LONGEST_EPHEMERAL)] | UnsetType = UNSET


class SetPicture(Request, frozen=True, kw_only=True):
    picture: Picture


class ChangeParticipants(Request, frozen=True, kw_only=True):
    action: Literal["add", "remove", "promote", "demote"]
    participants: Participants


class ParticipantOutcome(UserAddress, frozen=True, kw_only=True):
    done: bool
    code: Annotated[
        int,
        Meta(
            description="WhatsApp's: 200; 403: may only be invited; 404: not on WhatsApp or not in the group; 409: is in already."
        ),
    ]


class ParticipantOutcomes(Answer, frozen=True, kw_only=True):
    participants: list[ParticipantOutcome]


class GroupInvite(Answer, frozen=True, kw_only=True):
    invite_code: str
    invite_link: str


class InviteCode(Answer, frozen=True, kw_only=True):
    invite_code: str


class JoinedGroup(Answer, frozen=True, kw_only=True):
    """With ``join_approval`` an admin decides first."""

    group_id: str


class JoinRequest(UserAddress, frozen=True, kw_only=True):
    requested_at: Timestamp | None


class JoinRequests(Answer, frozen=True, kw_only=True):
    requests: list[JoinRequest]


class AnswerJoinRequests(Request, frozen=True, kw_only=True):
    action: Literal["approve", "reject"]
    participants: Participants


class SidecarGroups(Answer, frozen=True, kw_only=True):
    """A page as the sidecar gives it."""

    groups: list[GroupSummary]
    more: bool
