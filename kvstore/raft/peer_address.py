"""Where a member listens for its peers: etcd's peer URLs."""

from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

_SCHEMES = {"http": False, "https": True}


class PeerAddress(NamedTuple):
    """A host and port, with or without TLS."""

    host: str
    port: int
    is_tls: bool

    @classmethod
    def of(cls, url: str) -> "PeerAddress":
        """Decode `http://host:port` or `https://host:port`.

        Raises:
            ValueError: it is neither.
        """
        parts = urlsplit(url)
        if parts.scheme not in _SCHEMES or not parts.hostname or parts.port is None:
            raise ValueError(f"peer URL {url!r} is not http(s)://host:port")
        return cls(parts.hostname, parts.port, _SCHEMES[parts.scheme])

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it; a name other than localhost counts as no."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False
