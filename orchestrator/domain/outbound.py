"""Which addresses on the network this service calls because a user named them: public ones, and what the operator allows."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: IPv6 addresses that lead to the IPv4 address in their last 32 bits: RFC 4291 2.5.5.1, RFC 6052 2.1.
_ENDS_IN_IPV4: Final = (IPv6Network("::/96"), IPv6Network("64:ff9b::/96"))
#: What `is_global` of one Python or another lets through: protocol assignments with a cloud's metadata among them, relays and
#: tunnels (RFC 3056, RFC 4380), RFC 6052 prefixes of one's own network, site-local addresses (RFC 3879), CGNAT; and Azure's
#: metadata and agent, whose address looks public.
_NEVER: Final[tuple[Network, ...]] = (
    *map(IPv4Network, ("100.64.0.0/10", "168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15")),
    *map(
        IPv6Network, ("64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "fec0::/10")
    ),
)
_LONGEST_URL: Final = 2048


@dataclass(frozen=True, slots=True)
class AddressRules:
    """``allowed`` are networks that may be called although they are not public: on-premises receivers, and tests."""

    allowed: tuple[Network, ...] = ()

    def permits(self, address: str) -> bool:
        """Whether an IP address may be connected to; False for anything that isn't one."""
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        effective = _effective(parsed)
        return any(effective in network for network in self.allowed) or _is_public(effective)

    def url_problem(self, url: str) -> str | None:
        """What is wrong with a URL before anybody is asked, as the end of a sentence about it; None when nothing is.

        A name that leads to a forbidden address is found only when it is resolved, at each connection.
        """
        if len(url) > _LONGEST_URL or not url.isprintable() or " " in url:
            return f"must be at most {_LONGEST_URL} printable characters"
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            return "must be a URL such as https://example.org/path"
        if parts.scheme not in ("http", "https") or not host or port == 0:
            return "must be a URL with http:// or https://, a host and a valid port"
        return self.host_problem(host)

    def host_problem(self, host: str) -> str | None:
        """What is wrong with a host that is an address and no name; None when nothing is, or it is a name."""
        if _is_literal(host) and not self.permits(host):
            return "leads to an address that must not be called from here: private, local or reserved"
        return None


def parsed_network(text: str) -> Network | None:
    """``10.0.0.0/8``, ``fd00::/8`` or a single address; None when it is neither."""
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _effective(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if any(address in network for network in _ENDS_IN_IPV4) and int(address) > 1:  # not :: and ::1
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _is_public(address: Address) -> bool:
    return (
        address.is_global
        and not (address.is_multicast or address.is_reserved or address.is_unspecified or address.is_loopback)
        and not any(address in network for network in _NEVER)
    )
