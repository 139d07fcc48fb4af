"""Which addresses are public, and how exceptions are made."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from syncd.sources.http.addresses import Allowed, not_public

PUBLIC = (
    "1.1.1.1",
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "223.255.255.255",
    "2606:4700::1111",
    "2a00:1450:4001::1",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
)
NOT_PUBLIC = {
    "0.0.0.0": "unspecified",
    "0.1.2.3": "unspecified",
    "::": "unspecified",
    "127.0.0.1": "loopback",
    "127.255.255.255": "loopback",
    "::1": "loopback",
    "10.0.0.1": "private",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.168.1.1": "private",
    "fc00::1": "private",
    "fd00:ec2::254": "private",
    "169.254.169.254": "link-local",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local",
    "100.64.0.1": "shared",
    "100.127.255.255": "shared",
    "100.100.100.200": "shared",
    "168.63.129.16": "platform",
    "224.0.0.1": "multicast",
    "239.255.255.255": "multicast",
    "ff02::1": "multicast",
    "ff0e::1": "multicast",
    "192.0.0.192": "reserved",
    "198.18.0.1": "reserved",
    "240.0.0.1": "reserved",
    "255.255.255.255": "reserved",
    "4000::1": "reserved",
    "fec0::1": "reserved",
    "100::1": "reserved",
    "64:ff9b:1::1": "reserved",
    "2001:2::1": "reserved",
    "192.0.2.1": "documentation",
    "2001:db8::1": "documentation",
    "3fff::1": "documentation",
    "2002:7f00:1::": "translated",
    "2002:808:808::": "translated",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2": "translated",
    "192.88.99.1": "translated",
    "::ffff:127.0.0.1": "loopback",
    "::ffff:169.254.169.254": "link-local",
    "64:ff9b::10.0.0.1": "private",
    "64:ff9b::169.254.169.254": "link-local",
    "::127.0.0.1": "reserved",
}


@pytest.mark.parametrize("address", PUBLIC)
def test_public(address: str) -> None:
    """An address that everyone can reach needs no exception, also at the edge of a range that is not."""
    assert not_public(ip_address(address)) is None
    assert Allowed.of(()).permits("calendar.example.com", ip_address(address))


@pytest.mark.parametrize(("address", "kind"), NOT_PUBLIC.items())
def test_not_public(address: str, kind: str) -> None:
    """An address of a special range is refused by its kind, also when IPv6 wraps it."""
    assert not_public(ip_address(address)) == kind
    assert not Allowed.of(()).permits("calendar.example.com", ip_address(address))


@pytest.mark.parametrize(
    ("entry", "host", "address", "permitted"),
    [
        ("calendar.intra", "calendar.intra", "10.0.0.1", True),
        ("calendar.intra", "CALENDAR.intra.", "10.0.0.1", True),
        ("calendar.intra", "x.calendar.intra", "10.0.0.1", False),
        ("intra", "calendar.intra", "10.0.0.1", False),
        ("10.0.0.1", "calendar.intra", "10.0.0.1", True),
        ("10.0.0.1", "calendar.intra", "10.0.0.2", False),
        ("10.0.0.0/8", "calendar.intra", "10.255.0.1", True),
        ("10.0.0.0/8", "calendar.intra", "192.168.0.1", False),
        ("10.0.0.0/8", "calendar.intra", "::ffff:10.0.0.1", True),
        ("10.0.0.0/8", "calendar.intra", "64:ff9b::10.0.0.1", True),
        ("fd00::/8", "calendar.intra", "fd00::1", True),
        ("fd00::/8", "calendar.intra", "10.0.0.1", False),
    ],
)
def test_exceptions(entry: str, host: str, address: str, permitted: bool) -> None:
    """An entry permits exactly the host, address or network that it names."""
    assert Allowed.of((entry,)).permits(host, ip_address(address)) is permitted


def test_what_is_no_network() -> None:
    """A mistyped network is an error instead of a name that never matches."""
    with pytest.raises(ValueError, match="networks"):
        Allowed.of(("10.0.0.1/8",))
