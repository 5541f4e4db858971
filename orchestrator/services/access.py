"""Who may use the public API."""

import hmac
import secrets
from collections.abc import Callable

from orchestrator.domain.errors import Unauthorized
from orchestrator.domain.tenant import ADMIN, Caller
from orchestrator.store.api_tokens import ApiTokenStore, digest

_ADMIN = "admin"


class Access:
    """Bearer tokens. The admin token is a setting, or is made at the first start and shown once."""

    def __init__(self, tokens: ApiTokenStore, admin_token: str | None) -> None:
        self._tokens = tokens
        self._admin = digest(admin_token) if admin_token is not None else None

    @property
    def ready(self) -> bool:
        """False until it is known which token is the right one."""
        return self._admin is not None

    async def prepare(self, show: Callable[[str], None]) -> None:
        """Find out the admin token's digest; at the very first start make a token and ``show`` it, now or never."""
        if self._admin is not None:
            return
        token = secrets.token_urlsafe(32)
        if await self._tokens.add(_ADMIN, token, show):
            self._admin = digest(token)
        else:
            self._admin = await self._tokens.get(_ADMIN)

    def caller(self, token: str | None) -> Caller:
        """Whom this token stands for, or ``Unauthorized``."""
        if token is None or self._admin is None or not hmac.compare_digest(digest(token), self._admin):
            raise Unauthorized
        return ADMIN
