"""Which addresses a feed may be read from: public ones, and those that the configuration allows.

Judged is the address that is connected to, never a name; what an IPv6 address carries is unpacked first.
The table is our own, because that of the `ipaddress` module differs between versions of Python.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# IANA special-purpose address registries (RFC 6890), without what is reachable by everyone.
_SPECIAL = {
    "0.0.0.0/8": "unspecified",
    "::/128": "unspecified",
    "127.0.0.0/8": "loopback",
    "::1/128": "loopback",
    "10.0.0.0/8": "private",
    "172.16.0.0/12": "private",
    "192.168.0.0/16": "private",
    "fc00::/7": "private",
    "169.254.0.0/16": "link-local",  # 169.254.169.254: metadata of cloud machines
    "fe80::/10": "link-local",
    "100.64.0.0/10": "shared",  # carrier-grade NAT
    "224.0.0.0/4": "multicast",
    "ff00::/8": "multicast",
    "168.63.129.16/32": "platform",  # answers machines in Azure only, although it looks public
    "2001::/32": "translated",  # Teredo
    "2002::/16": "translated",  # 6to4
    "192.88.99.0/24": "translated",  # 6to4
    "192.0.2.0/24": "documentation",
    "198.51.100.0/24": "documentation",
    "203.0.113.0/24": "documentation",
    "2001:db8::/32": "documentation",
    "3fff::/20": "documentation",
    "192.0.0.0/24": "reserved",
    "198.18.0.0/15": "reserved",
    "240.0.0.0/4": "reserved",
    "2001::/23": "reserved",  # of which Teredo, above, is a part
}
_NOT_PUBLIC = tuple((ip_network(network), kind) for network, kind in _SPECIAL.items())
_GLOBAL_UNICAST = IPv6Network("2000::/3")
# RFC 6052; how IPv4 hosts are reached from IPv6-only networks.
_NAT64 = IPv6Network("64:ff9b::/96")


def not_public(address: Address) -> str | None:
    """Return why an address is not public, as an adjective; None if it is."""
    address = unpacked_address(address)
    for network, kind in _NOT_PUBLIC:
        if address in network:
            return kind
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return "reserved"
    return None


def unpacked_address(address: Address) -> Address:
    """Return the IPv4 address in an IPv6 address (::ffff:0:0/96, 64:ff9b::/96), else the address itself."""
    if isinstance(address, IPv6Address) and (address.ipv4_mapped or address in _NAT64):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


@dataclass(frozen=True, slots=True)
class Allowed:
    """Exceptions of one source: host names, and networks or single addresses."""

    names: frozenset[str]
    networks: tuple[Network, ...]

    @classmethod
    def of(cls, entries: Iterable[str]) -> Allowed:
        """Parse the entries of `allow_hosts`; raise `ValueError` for a network that is none."""
        names: set[str] = set()
        networks: list[Network] = []
        for entry in entries:
            try:
                networks.append(ip_network(entry))
            except ValueError:
                if "/" in entry:
                    raise ValueError(
                        "allow_hosts holds host names, addresses and networks"
                    ) from None
                names.add(_folded(entry))
        return cls(frozenset(names), tuple(networks))

    def permits(self, host: str, address: Address) -> bool:
        """Tell whether `host`, as the URL names it, may be read at this address."""
        if not_public(address) is None or _folded(host) in self.names:
            return True
        plain = unpacked_address(address)
        return any(address in network or plain in network for network in self.networks)


def _folded(host: str) -> str:
    return host.lower().rstrip(".")


def as_address(text: str) -> Address | None:
    """Return the address that a host of a URL or of a socket address is; None for a name."""
    try:
        return ip_address(text)
    except ValueError:
        return None
