"""Settings of a session."""

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from orchestrator.domain.session_settings import HistorySync
from orchestrator.wire.shape import Answer, Request

_PROXY = "http, https or socks5, with credentials or without; its password is never shown again."


class Settings(Answer, frozen=True, kw_only=True):
    proxy: Annotated[str | None, Meta(description=_PROXY, examples=["socks5://loja:***@proxy.example:1080"])]
    device_name: Annotated[str | None, Meta(description="What the phone shows in its list of linked devices.")]
    mark_online: Annotated[bool, Meta(description="False: the phone goes on notifying of messages.")]
    read_automatically: bool
    ignore_groups: Annotated[bool, Meta(description="Messages there are acknowledged and told to nobody.")]
    ignore_status: bool
    ignore_channels: bool
    reject_calls: bool
    reject_call_message: str | None
    history_sync: Annotated[HistorySync, Meta(description="How much of old chats the phone sends at a pairing.")]
    retention_days: Annotated[
        int | None,
        Meta(
            description="For how long a chat's messages are kept, 0: not at all; null: as the tenant's chat_retention_days says."
        ),
    ]
    own_webhooks_only: Annotated[
        bool,
        Meta(description="Only webhooks with this session's session_id hear of it, and not those of all sessions."),
    ]


class ChangeSettings(Request, frozen=True, kw_only=True):
    """What is missing stays as it is; null is as by default."""

    proxy: Annotated[str, Meta(description=_PROXY, max_length=1000)] | UnsetType | None = UNSET
    device_name: Annotated[str, Meta(min_length=1, max_length=50)] | UnsetType | None = UNSET
    mark_online: bool | UnsetType | None = UNSET
    read_automatically: bool | UnsetType | None = UNSET
    ignore_groups: bool | UnsetType | None = UNSET
    ignore_status: bool | UnsetType | None = UNSET
    ignore_channels: bool | UnsetType | None = UNSET
    reject_calls: bool | UnsetType | None = UNSET
    reject_call_message: Annotated[str, Meta(min_length=1, max_length=4096)] | UnsetType | None = UNSET
    history_sync: HistorySync | UnsetType | None = UNSET
    retention_days: Annotated[int, Meta(ge=0, le=3650)] | UnsetType | None = UNSET
    own_webhooks_only: bool | UnsetType | None = UNSET


class ChangedSettings(Answer, frozen=True, kw_only=True):
    settings: Settings
    at_next_pairing: Annotated[
        list[str], Meta(description="Those of the changes that the phone sees only when the session is linked anew.")
    ]
    reconnects: Annotated[bool, Meta(description="The connection is opened anew for it now.")]
