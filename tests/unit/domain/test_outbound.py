"""Which addresses may be called because a user named them."""

from ipaddress import ip_network

import pytest

from orchestrator.domain.outbound import AddressRules

PUBLIC = ["8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]

FORBIDDEN = [
    "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",  # private
    "127.0.0.1", "127.8.8.8", "::1", "0.0.0.0", "::",  # this machine
    "169.254.169.254", "fe80::1", "fe80::1%eth0",  # link-local, and most clouds' metadata
    "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192",  # other clouds' metadata
    "100.64.0.1", "100.127.255.255",  # carrier-grade NAT
    "224.0.0.1", "239.255.255.255", "ff02::1", "255.255.255.255", "240.0.0.1",  # multicast, broadcast, reserved
    "192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "2001:db8::1",  # documentation, benchmarks
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1",  # IPv4 inside IPv6
    "64:ff9b::a00:1", "64:ff9b::7f00:1", "64:ff9b:1::a00:1", "2002:7f00:1::", "2001:0:1::1", "fec0::1", "fc00::1",
    "", "localhost", "8.8.8.8.", "08.8.8.8", "0x7f000001", "2130706433",  # no addresses
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_called(address: str) -> None:
    assert AddressRules().permits(address)


@pytest.mark.parametrize("address", FORBIDDEN)
def test_every_other_address_is_forbidden(address: str) -> None:
    assert not AddressRules().permits(address)


def test_the_operator_allows_networks_of_his_own() -> None:
    rules = AddressRules((ip_network("10.1.0.0/16"), ip_network("fd12::/16")))
    assert all(rules.permits(address) for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd12::1", "8.8.8.8"))
    assert not any(rules.permits(address) for address in ("10.2.0.1", "fd13::1", "127.0.0.1"))


@pytest.mark.parametrize(
    "url",
    ["ftp://example.org/x", "file:///etc/passwd", "//example.org", "example.org", "http://", "http://[::1", "", "http://a b/",
     "http://127.0.0.1/", "https://[::ffff:10.0.0.1]/x", "http://169.254.169.254/latest", "http://h:99999/", "http://h:0/",
     "javascript:alert(1)", "http://example.org/\n", "http://h/" + "x" * 2048],
)  # fmt: skip
def test_a_url_that_can_t_be_called_is_refused_before_anybody_is_asked(url: str) -> None:
    assert AddressRules().url_problem(url) is not None


@pytest.mark.parametrize(
    "url", ["https://example.org/a?b=c", "http://example.org:8080", "http://8.8.8.8/x", "HTTPS://EXAMPLE.ORG"]
)
def test_an_ordinary_url_is_taken(url: str) -> None:
    assert AddressRules().url_problem(url) is None
