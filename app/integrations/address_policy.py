"""Decides which IP addresses an outbound call may reach. Pure."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address

_NEVER = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
        "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32",
        "::/128", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16",
        "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
    )
)  # fmt: skip
# Addresses that carry an IPv4 address inside, with the bit where it begins, counted from the right: mapped,
# translated (SIIT, RFC 7915), compatible, NAT64, 6to4. Teredo lies in 2001::/23; local NAT64 (RFC 8215) has
# no fixed place for the IPv4 address: neither is ever called.
_CARRIERS: tuple[tuple[IPv6Network, int], ...] = (
    (IPv6Network("::ffff:0:0/96"), 0),
    (IPv6Network("::ffff:0:0:0/96"), 0),
    (IPv6Network("::/96"), 0),
    (IPv6Network("64:ff9b::/96"), 0),
    (IPv6Network("2002::/16"), 80),
)
# ISATAP (RFC 5214): an interface identifier that ends in an IPv4 address, under any prefix.
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)


def blocked_reason(text: str, *, allow_loopback: bool) -> str | None:
    """Why no call may be made to this IP address; None if it may be called."""
    address = ip_address(text.partition("%")[0])
    # First: since Python 3.13 ::ffff:127.0.0.1 counts as loopback itself.
    if isinstance(address, IPv6Address):
        number = int(address)
        for network, shift in _CARRIERS:
            if address in network and number > 1:
                return _inside(number >> shift)
        if number >> 32 & 0xFFFFFFFF in _ISATAP and (reason := _inside(number)):
            return reason
    if address.is_loopback:
        return None if allow_loopback else f"{text} is this machine itself"
    if any(address in network for network in _NEVER):
        return f"{text} is a private or reserved address"
    return None if address.is_global else f"{text} is not a public address"


def _inside(number: int) -> str | None:
    """Why no call may be made to the IPv4 address in the last 32 bits. `allow_loopback` does not apply
    here."""
    return blocked_reason(str(IPv4Address(number & 0xFFFFFFFF)), allow_loopback=False)
