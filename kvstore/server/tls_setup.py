"""The TLS of one member: what it listens and dials with, and who may connect."""

import asyncio
import datetime
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Protocol

from kvstore.base.clock import Clock
from kvstore.base.urls import Url
from kvstore.raft.peer_transport import PeerTls
from kvstore.server.tls import (
    Reloading,
    TlsFiles,
    TlsRules,
    client_context,
    hosts_of,
    is_allowed,
)

_LOOK_INTERVAL_S = 1.0
"""Between two looks at whether the files have changed."""
_DAYS_PER_YEAR = 365


class Listening(Protocol):
    """What the configuration says about listening."""

    @property
    def served_urls(self) -> tuple[Url, ...]: ...
    @property
    def peer_urls(self) -> tuple[Url, ...]: ...
    @property
    def client_tls(self) -> TlsFiles: ...
    @property
    def peer_tls(self) -> TlsFiles: ...
    @property
    def tls_rules(self) -> TlsRules: ...
    @property
    def self_signed_years(self) -> int: ...


@dataclass(slots=True)
class MemberTls:
    """What a member needs of TLS; parts that it does not listen with are None."""

    _clock: Clock
    _client_files: TlsFiles
    _clients: Reloading | None
    _peers: Reloading | None
    peers: PeerTls | None
    _look_due: float = 0.0

    @property
    def client_port(self) -> ssl.SSLContext | None:
        """What to listen to clients with."""
        return None if self._clients is None else self._clients.context

    def admits_client(self, certificate: Mapping[str, object] | None) -> bool:
        """Whether a client with this certificate may connect."""
        return is_allowed(self._client_files, certificate)

    def tick(self) -> None:
        """Look now and then whether there are newer certificates."""
        now = self._clock.monotonic()
        if now < self._look_due:
            return
        self._look_due = now + _LOOK_INTERVAL_S
        for reloading in (self._clients, self._peers):
            if reloading is not None:
                reloading.look()


async def make_tls(listening: Listening, data_dir: Path, clock: Clock) -> MemberTls:
    """Read the certificates, or make them where the flags ask for that.

    Raises:
        OSError, ssl.SSLError: a file cannot be read, or does not fit.
    """
    years, rules = listening.self_signed_years, listening.tls_rules
    fixtures = data_dir / "fixtures"
    client_files = _files(
        listening.client_tls, listening.served_urls, fixtures / "client", clock, years
    )
    peer_files = _files(listening.peer_tls, listening.peer_urls, fixtures / "peer", clock, years)
    clients = Reloading(client_files, rules) if client_files.is_given else None
    accepting = Reloading(peer_files, rules) if peer_files.is_given else None
    peers = None
    if accepting is not None:
        peers = PeerTls(
            accepting.context,
            lambda: client_context(peer_files, rules),
            lambda certificate, ip: admits_peer(peer_files, certificate, ip),
        )
    return MemberTls(clock, client_files, clients, accepting, peers)


async def admits_peer(
    files: TlsFiles, certificate: Mapping[str, object] | None, address: str
) -> bool:
    """Whether a peer may connect: by its names, and from an address that its certificate names.

    A certificate without alternative names says nothing about addresses. (Source: etcd's rules.)
    """
    if not is_allowed(files, certificate):
        return False
    hosts = hosts_of(certificate)
    if not hosts or files.skips_client_hosts or files.is_automatic:
        return True
    wanted = ip_address(address)
    if any(_is_address(known, wanted) for known in hosts.get("IP Address", ())):
        return True
    loop = asyncio.get_running_loop()
    for name in hosts.get("DNS", ()):
        if name.startswith("*."):
            continue
        try:
            found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except OSError:
            continue
        if any(_is_address(str(entry[4][0]), wanted) for entry in found):
            return True
    return False


def _is_address(text: str, wanted: IPv4Address | IPv6Address) -> bool:
    """Whether a text is this address; a certificate may hold one that is none at all."""
    try:
        return ip_address(text) == wanted
    except ValueError:
        return False


def _files(
    files: TlsFiles, urls: tuple[Url, ...], directory: Path, clock: Clock, years: int
) -> TlsFiles:
    """Return the files, after making a self-signed certificate if one is wanted and not there."""
    if not files.is_automatic or not any(url.scheme == "https" for url in urls):
        return files
    certificate, key = directory / "cert.pem", directory / "key.pem"
    if not (certificate.exists() and key.exists()):
        from kvstore.server.certificates import self_signed  # noqa: PLC0415 - slow to load

        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        now = datetime.datetime.fromtimestamp(clock.unix(), datetime.UTC)
        hosts = sorted({url.host for url in urls})
        self_signed(hosts, now=now, days=years * _DAYS_PER_YEAR).write(certificate, key)
    return replace(files, certificate=str(certificate), key=str(key))
