"""Where a member listens for its peers: etcd's peer URLs."""

from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

_SCHEMES = {"http": False, "https": True}


class PeerAddress(NamedTuple):
    """A host and port, with or without TLS; or a unix socket, without."""

    host: str
    """Of a unix socket, its path."""
    port: int
    """0: a unix socket."""
    is_tls: bool

    @classmethod
    def of(cls, url: str) -> "PeerAddress":
        """Decode `http://host:port`, `https://host:port` or `unix://path`.

        Raises:
            ValueError: it is none of these.
        """
        parts = urlsplit(url)
        if parts.scheme == "unix" and (path := parts.netloc + parts.path):
            return cls(path, 0, is_tls=False)
        if parts.scheme not in _SCHEMES or not parts.hostname or parts.port is None:
            raise ValueError(f"peer URL {url!r} is not http(s)://host:port")
        return cls(parts.hostname, parts.port, _SCHEMES[parts.scheme])

    @property
    def is_unix(self) -> bool:
        """Whether it is a socket of this machine's file system."""
        return self.port == 0

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it; a name other than localhost counts as no."""
        if self.is_unix or self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False
