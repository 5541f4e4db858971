"""Whom and what an operation is about."""

from typing import Annotated, TypeAlias

from msgspec import Meta

from orchestrator.wire.shape import Answer, text

#: As they come in: a number is enough for a person.
UserText: TypeAlias = Annotated[
    str, text("A phone number with country code, or a jid (@s.whatsapp.net, @lid).", example="5511988887777")
]
ChatText: TypeAlias = Annotated[
    str,
    text("A phone number with country code, a contact's jid or a group's jid (@g.us).", example="5511988887777"),
]
GroupText: TypeAlias = Annotated[str, text("The jid of a group.", example="120363041234567890@g.us")]
ChannelText: TypeAlias = Annotated[str, text("The jid of a channel.", example="120363101234567890@newsletter")]
InviteText: TypeAlias = Annotated[
    str, text("An invite code, or its whole link, percent-encoded.", example="AbCdEf0123456789")
]
LabelText: TypeAlias = Annotated[str, text("The id of a label.", example="7")]

#: As they go out.
Jid: TypeAlias = Annotated[
    str, text("With the phone number, where WhatsApp tells it.", example="5511988887777@s.whatsapp.net")
]
Lid: TypeAlias = Annotated[
    str | None, Meta(description="The account's address without its phone number, as far as it is known.")
]


class UserAddress(Answer, frozen=True):
    """Both addresses of one account."""

    jid: Jid
    lid: Lid = None
