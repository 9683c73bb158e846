"""Which addresses a webhook may be sent to: pure."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address

_NEVER = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
        "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        "::/128", "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16", "fc00::/7",
        "fe80::/10", "fec0::/10", "ff00::/8",
    )
)  # fmt: skip
# Addresses that carry an IPv4 address inside, with the bit where it begins, counted from the right.
_CARRIERS: tuple[tuple[IPv6Network, int], ...] = (
    (IPv6Network("::ffff:0:0/96"), 0),
    (IPv6Network("::/96"), 0),
    (IPv6Network("64:ff9b::/96"), 0),
    (IPv6Network("64:ff9b:1::/48"), 0),
    (IPv6Network("2002::/16"), 80),
)


def refusal(text: str, *, allow_loopback: bool) -> str | None:
    """Why nothing may be sent to this IP address, or None."""
    address = ip_address(text.partition("%")[0])
    # First: since Python 3.13 ::ffff:127.0.0.1 counts as loopback itself.
    if isinstance(address, IPv6Address):
        for network, shift in _CARRIERS:
            if address in network and int(address) > 1:
                inside = IPv4Address(int(address) >> shift & 0xFFFFFFFF)
                return refusal(str(inside), allow_loopback=False)
    if address.is_loopback:
        return None if allow_loopback else f"{text} is this machine itself"
    if any(address in network for network in _NEVER):
        return f"{text} is a private or reserved address"
    return None if address.is_global else f"{text} is not a public address"
