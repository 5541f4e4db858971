"""Browsers that log in."""

from typing import Annotated

from orchestrator.wire.shape import Answer, Timestamp, text
from orchestrator.wire.tenants import TenantId


class Login(Answer, frozen=True):
    """A token that ends by itself, and with the token that it was made from."""

    token: Annotated[str, text("Shown now and never again.", example="bo_...")]
    tenant_id: TenantId
    expires_at: Timestamp


class LoginLink(Answer, frozen=True):
    url: Annotated[str, text("It works once. Shown now and never again.", example="https://example.com/login/VZk...")]
    expires_at: Timestamp
