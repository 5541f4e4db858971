import pytest

from orchestrator.domain.errors import RateLimited
from orchestrator.domain.rate_limit import Rate
from orchestrator.domain.tenant import ADMIN, Caller, Scope
from orchestrator.services.rate_limits import RateLimits


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limits(clock: Clock) -> RateLimits:
    return RateLimits(Rate(2), Rate(2), clock)


def caller(token: str = "one", messages: int | None = None) -> Caller:
    return Caller("acme", frozenset({Scope.SEND}), token, messages)


def test_each_token_has_a_rate_of_its_own_and_the_admin_has_none(limits: RateLimits) -> None:
    taken = [limits.request(caller("one")) for _ in range(3)]
    assert [one.allowed for one in taken if one is not None] == [True, True, False]
    other = limits.request(caller("two"))
    assert other is not None
    assert other.allowed
    assert limits.request(ADMIN) is None


def test_messages_are_counted_for_all_tokens_of_a_tenant_together(limits: RateLimits) -> None:
    one, two = limits.messages(caller("one", 1)), limits.messages(caller("two", 1))
    assert [taken.allowed for taken in (one, two) if taken is not None] == [True, False]
    assert limits.messages(caller("one", None)) is None


def test_an_address_that_showed_too_many_wrong_tokens_waits(limits: RateLimits, clock: Clock) -> None:
    limits.failed_login("203.0.113.7")
    limits.may_try("203.0.113.7")
    limits.failed_login("203.0.113.7")
    with pytest.raises(RateLimited) as refused:
        limits.may_try("203.0.113.7")
    assert refused.value.retry_after_seconds == pytest.approx(30.0)
    limits.may_try("203.0.113.8")
    clock.seconds += 30.0
    limits.may_try("203.0.113.7")


def test_a_customer_s_ipv6_network_is_one_address(limits: RateLimits) -> None:
    limits.failed_login("2001:db8::1")
    limits.failed_login("2001:db8::2")
    with pytest.raises(RateLimited):
        limits.may_try("2001:db8::3")
    limits.may_try("2001:db8:0:1::1")
    limits.failed_login("::ffff:203.0.113.7")
    limits.failed_login("203.0.113.7")
    with pytest.raises(RateLimited):
        limits.may_try("203.0.113.7")
