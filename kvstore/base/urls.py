"""The URLs of a member: where it listens, and where it says it can be reached."""

import ipaddress
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

SCHEMES = ("http", "https", "unix", "unixs")


class Url(NamedTuple):
    """An address as a flag names it; `str()` gives the text back."""

    scheme: str
    host: str
    """A name, an IPv4 or an IPv6 address without brackets; a path for unix sockets."""
    port: int

    def __str__(self) -> str:
        if self.scheme in ("unix", "unixs"):
            return f"{self.scheme}://{self.host}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def has_bindable_host(self) -> bool:
        """Whether a socket can be bound to the host as it stands: an IP address or `localhost`."""
        return self.host == "localhost" or _ip(self.host) is not None

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the address."""
        ip = _ip(self.host)
        return self.host == "localhost" or (ip is not None and ip.is_loopback)


def url(text: str) -> Url:
    """Read one URL.

    Raises:
        ValueError: with etcd's text (its client/pkg/types NewURLs).
    """
    text = text.strip()
    parts = urlsplit(text)
    if parts.scheme in ("unix", "unixs"):
        return Url(parts.scheme, parts.netloc + parts.path, 0)
    if parts.scheme not in SCHEMES:
        raise ValueError(f"URL scheme must be http, https, unix, or unixs: {text}")
    try:
        port = parts.port
    except ValueError:
        port = None
    if port is None:
        raise ValueError(f'URL address does not have the form "host:port": {text}')
    if parts.path:
        raise ValueError(f"URL must not contain a path: {text}")
    return Url(parts.scheme, parts.hostname or "", port)


def urls(text: str) -> tuple[Url, ...]:
    """Read a comma-separated list, sorted, as etcd keeps it.

    Raises:
        ValueError: one of them is no URL, or the list is empty.
    """
    return tuple(sorted(map(url, text.split(",")), key=str))


def url_texts(addresses: Sequence[Url]) -> tuple[str, ...]:
    """Return the addresses as the texts that travel in a member list."""
    return tuple(map(str, addresses))


def cluster_urls(text: str) -> dict[str, tuple[Url, ...]]:
    """Read `name=url,name=url`, where a name may repeat; sorted by name.

    Raises:
        ValueError: one of the URLs is none.
    """
    members: dict[str, list[Url]] = {}
    for part in filter(None, text.split(",")):
        name, _, address = part.partition("=")
        members.setdefault(name, []).append(url(address))
    return {name: tuple(sorted(members[name], key=str)) for name in sorted(members)}


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
