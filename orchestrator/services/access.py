"""Who may use the public API.

What tokens open is read from the database when they are first seen here, and again every few seconds as long as they are
used: so a request doesn't wait for it, and a revocation works on every replica within seconds. While the database is away,
nobody can revoke anything, and what was read last goes on being true for a while.
"""

import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from orchestrator.domain.errors import DatabaseUnavailable, TenantBlocked, TokenExpired, Unauthorized
from orchestrator.domain.tenant import ADMIN, OPERATOR_TENANT, TOKEN_PREFIX, Caller, Grant, Scope, existing_tenant_id
from orchestrator.store.api_tokens import ApiTokenStore, digest
from orchestrator.store.tenants import TenantStore

_ADMIN = "admin"

#: Tokens that are remembered; the one that was used longest ago is forgotten first.
_REMEMBERED = 10_000
#: Seconds after which a token that nobody uses is read anew when it comes again.
_IDLE_SECONDS = 300.0
#: Seconds for which what was read last is true while the database is away.
_TRUSTED_SECONDS = 900.0
#: Seconds between two records of when a token was used.
_TOUCH_SECONDS = 60.0


@dataclass(slots=True)
class _Known:
    grant: Grant
    confirmed_at: float
    used_at: float


class Access:
    """Bearer tokens: the admin's, which is a setting or is made at the first start and shown once, and those of tenants."""

    def __init__(
        self,
        tokens: ApiTokenStore,
        tenants: TenantStore,
        admin_token: str | None,
        bot_token: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tokens = tokens
        self._tenants = tenants
        self._admin = digest(admin_token) if admin_token is not None else None
        self._first_token: str | None = None
        self._bot = digest(bot_token) if bot_token is not None else None
        self._clock = clock
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._named: dict[str, float] = {}
        """When the admin last named a tenant, by id; all of these are there."""
        self._named_confirmed_at = clock()
        self._used: dict[str, datetime] = {}
        self._touched_at = clock()

    @property
    def ready(self) -> bool:
        """False until it is known which token is the admin's."""
        return self._admin is not None

    @property
    def admin_digest(self) -> bytes | None:
        return self._admin

    async def prepare(self, show: Callable[[str], None]) -> None:
        """Find out the admin token's digest; at the very first start make a token and ``show`` it, now or never."""
        if self._admin is not None:
            return
        token = secrets.token_urlsafe(32)
        if await self._tokens.add_admin(_ADMIN, token, show):
            self._admin = digest(token)
            self._first_token = token
        else:
            self._admin = await self._tokens.admin_digest(_ADMIN)

    def take_first_token(self) -> str | None:
        """The admin token, if this process has just made it and nobody took it yet: whoever hands it to the operator."""
        token, self._first_token = self._first_token, None
        return token

    def known(self, token: str | None) -> Caller | None:
        """Whom this token stands for, if that can be told without a look into the database."""
        if token is None:
            return None
        its_digest = digest(token)
        if self._admin is not None and hmac.compare_digest(its_digest, self._admin):
            return ADMIN
        known = self._known.get(its_digest)
        if known is None or self._clock() - known.confirmed_at > _TRUSTED_SECONDS:
            return None
        known.used_at = self._clock()
        self._known.move_to_end(its_digest)
        return self._caller(known.grant)

    def is_bot(self, token: str) -> bool:
        """Whether it is the token of this tree's own bot, which counts on the tree's own socket only."""
        return self._bot is not None and hmac.compare_digest(digest(token), self._bot)

    async def caller(self, token: str) -> Caller:
        """Whom this token stands for: a look into the database.

        ``Unauthorized``; ``TokenExpired``; ``TenantBlocked``; ``DatabaseUnavailable`` when that can't be known.
        """
        if not token.startswith(TOKEN_PREFIX):
            raise Unauthorized
        its_digest = digest(token)
        grant = (await self._tokens.grants([its_digest])).get(its_digest)
        if grant is None:
            self._known.pop(its_digest, None)
            raise Unauthorized
        self._known[its_digest] = _Known(grant, self._clock(), self._clock())
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return self._caller(grant)

    async def require_tenant(self, tenant_id: str) -> str:
        """The tenant that the admin names, if there is one; ``TenantNotFound``."""
        trusted = self._clock() - self._named_confirmed_at <= _TRUSTED_SECONDS
        if existing_tenant_id(tenant_id) != OPERATOR_TENANT and not (trusted and tenant_id in self._named):
            await self._tenants.get(tenant_id)
        self._named[tenant_id] = self._clock()
        return tenant_id

    async def confirm(self) -> None:
        """Read again what the tokens in use open, and record when they were used. Raises ``DatabaseUnavailable``."""
        now = self._clock()
        for its_digest in [d for d, known in self._known.items() if now - known.used_at > _IDLE_SECONDS]:
            del self._known[its_digest]
        asked = list(self._known)
        if asked:
            self._confirmed(asked, await self._tokens.grants(asked), now)
        named = [tenant_id for tenant_id, at in self._named.items() if now - at <= _IDLE_SECONDS]
        there = await self._tenants.existing(named) if named else frozenset()
        self._named = {tenant_id: at for tenant_id, at in self._named.items() if tenant_id in there}
        self._named_confirmed_at = now
        if self._used and now - self._touched_at >= _TOUCH_SECONDS:
            await self.record_use()

    async def record_use(self) -> None:
        """Record when tokens were used last."""
        used, self._used = self._used, {}
        self._touched_at = self._clock()
        if not used:
            return
        try:
            await self._tokens.touch(used)
        except DatabaseUnavailable:
            self._used = used | self._used
            raise

    def forget(self, token_id: str) -> None:
        """Have a token read anew, because it was revoked here."""
        for its_digest in [d for d, known in self._known.items() if known.grant.token_id == token_id]:
            del self._known[its_digest]

    def forget_tenant(self, tenant_id: str) -> None:
        """Have all tokens of a tenant read anew, because it was changed here."""
        self._named.pop(tenant_id, None)
        for its_digest in [d for d, known in self._known.items() if known.grant.tenant_id == tenant_id]:
            del self._known[its_digest]

    def _confirmed(self, asked: list[bytes], grants: Mapping[bytes, Grant], now: float) -> None:
        for its_digest in asked:
            known = self._known.get(its_digest)
            if known is None:
                continue  # forgotten meanwhile
            if its_digest in grants:
                known.grant, known.confirmed_at = grants[its_digest], now
            else:
                del self._known[its_digest]

    def _caller(self, grant: Grant) -> Caller:
        now = datetime.now(UTC)
        if grant.expired(now):
            raise TokenExpired
        if grant.blocked:
            raise TenantBlocked
        if Scope.ADMIN in grant.scopes:
            # Whoever changes the admin token means to lock out whoever had the one before.
            if self._admin is None or grant.parent is None or not hmac.compare_digest(grant.parent, self._admin):
                raise Unauthorized
            return ADMIN
        self._used[grant.token_id] = now
        return Caller(grant.tenant_id, grant.scopes, grant.token_id, grant.messages_per_minute)
