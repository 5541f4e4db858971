"""Browsers log in: a token, or a link that works once, is exchanged for a token that lives for hours."""

import secrets
from datetime import UTC, datetime, timedelta

import structlog

from orchestrator.domain.errors import LoginLinkNotFound, LoginNotFound
from orchestrator.domain.login import Login, LoginLink
from orchestrator.domain.tenant import OPERATOR_TENANT, TENANT_SCOPES, TOKEN_PREFIX, Caller
from orchestrator.services.access import Access
from orchestrator.store.api_tokens import ApiTokenStore, digest
from orchestrator.store.login_links import LoginLinkStore

log = structlog.get_logger(__name__)

#: How long a browser stays logged in.
LIVES = timedelta(hours=12)
#: How long a link can be used.
LINK_LIVES = timedelta(minutes=10)
#: Days that log-ins are listed, and links kept, after their end.
KEPT_DAYS = 7.0


class Logins:
    """What a log-in opens ends with the token behind it: when that is revoked, expires, or, the admin's, is changed."""

    def __init__(self, tokens: ApiTokenStore, links: LoginLinkStore, access: Access) -> None:
        self._tokens = tokens
        self._links = links
        self._access = access

    async def begin(self, caller: Caller, token: str) -> Login:
        """Log the owner of this token in, with the rights that the token has."""
        if caller.is_admin:
            return await self._begin(LoginLink(None, frozenset(), self._access.admin_digest, caller.actor, _soon()))
        scopes = caller.scopes & TENANT_SCOPES
        return await self._begin(LoginLink(caller.tenant_id, scopes, digest(token), caller.actor, _soon()))

    async def end(self, token: str) -> None:
        """Log out; ``LoginNotFound`` for a token that is no log-in's."""
        token_id = await self._tokens.end_login(token)
        if token_id is None:
            raise LoginNotFound
        self._access.forget(token_id)

    async def make_link(self, caller: Caller, tenant_id: str, token: str) -> tuple[str, datetime]:
        """The secret of a link that opens what the caller may do with this tenant, and when it ends.

        The admin's own tenant stands for all of them.
        """
        secret = secrets.token_urlsafe(32)
        expires_at = _soon(LINK_LIVES)
        if caller.is_admin and tenant_id == OPERATOR_TENANT:
            link = LoginLink(None, frozenset(), self._access.admin_digest, caller.actor, expires_at)
        elif caller.is_admin:
            link = LoginLink(tenant_id, TENANT_SCOPES, None, caller.actor, expires_at)
        else:
            link = LoginLink(tenant_id, caller.scopes & TENANT_SCOPES, digest(token), caller.actor, expires_at)
        await self._links.add(secret, link)
        return secret, expires_at

    async def is_valid(self, secret: str) -> bool:
        """Whether a link would log somebody in now, without using it up."""
        return await self._links.is_valid(secret)

    async def open(self, secret: str) -> Login:
        """Log in whoever uses a link first; ``LoginLinkNotFound`` for everybody else."""
        link = await self._links.use(secret)
        if link is None:
            raise LoginLinkNotFound
        return await self._begin(link)

    async def forget_old(self) -> None:
        """Raises ``DatabaseUnavailable``."""
        await self._tokens.forget_logins(days=KEPT_DAYS)
        await self._links.forget(days=KEPT_DAYS)

    async def _begin(self, link: LoginLink) -> Login:
        secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
        login_id = f"login-{secrets.token_hex(8)}"
        expires_at = await self._tokens.add_login(login_id, secret, link, _soon())
        log.info("logged in", tenant_id=link.tenant_id, login_id=login_id, by=link.created_by)
        return Login(secret, link.tenant_id or OPERATOR_TENANT, expires_at)


def _soon(lives: timedelta = LIVES) -> datetime:
    return datetime.now(UTC) + lives
