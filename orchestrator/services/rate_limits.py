"""How often somebody may ask: counted in the memory of each replica, so that counting never waits for the database."""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

from orchestrator.domain.errors import RateLimited
from orchestrator.domain.rate_limit import Bucket, Rate, Taken, full, take
from orchestrator.domain.tenant import Caller

#: Buckets that are remembered. One that is forgotten is full again, and those that were used longest ago are forgotten first.
_REMEMBERED = 20_000


class Buckets:
    """Buckets by whoever takes from them."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._buckets: OrderedDict[Hashable, Bucket] = OrderedDict()

    def take(self, key: Hashable, rate: Rate, number: int = 1) -> Taken:
        now = self._clock()
        bucket, taken = take(self._buckets.pop(key, full(rate, now)), rate, now, number)
        self._buckets[key] = bucket
        if len(self._buckets) > _REMEMBERED:
            self._buckets.popitem(last=False)
        return taken

    def look(self, key: Hashable, rate: Rate) -> Taken:
        """What taking one would answer."""
        now = self._clock()
        return take(self._buckets.get(key, full(rate, now)), rate, now)[1]


class RateLimits:
    """``requests``: what one token may ask for, but for the admin's, which has no limit.

    ``failed_logins``: wrong tokens from one address, before its unknown tokens aren't looked up any more.
    """

    def __init__(self, requests: Rate, failed_logins: Rate, clock: Callable[[], float] = time.monotonic) -> None:
        self._requests = requests
        self._failed_logins = failed_logins
        self._tokens = Buckets(clock)
        self._messages = Buckets(clock)
        self._failures = Buckets(clock)

    def request(self, caller: Caller) -> Taken | None:
        """Count a request of this token; None: there is no limit."""
        return None if caller.is_admin else self._tokens.take(caller.actor, self._requests)

    def messages(self, caller: Caller, number: int = 1) -> Taken | None:
        """Count messages of this caller's tenant; None: there is no limit."""
        if caller.is_admin or caller.messages_per_minute is None:
            return None
        return self._messages.take(caller.tenant_id, Rate(caller.messages_per_minute), number)

    def failed_login(self, address: str | None) -> None:
        """Count a token that opens nothing; ``RateLimited`` when this address has shown too many."""
        require(self._failures.take(_origin(address), self._failed_logins))

    def may_try(self, address: str | None) -> None:
        """``RateLimited`` when this address has shown too many tokens that open nothing."""
        require(self._failures.look(_origin(address), self._failed_logins))


def require(taken: Taken) -> None:
    if not taken.allowed:
        raise RateLimited(retry_after_seconds=taken.retry_after_seconds)


def _origin(address: str | None) -> str:
    """Who an address is: in IPv6 a customer has 2**64 of them."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return address or ""
    if isinstance(parsed, ipaddress.IPv6Address):
        mapped = parsed.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
