"""Certificates good and bad for one test, made once."""

import datetime
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from kvstore.server.certificates import KeyPair, authority, revocations, signed

HOSTS = ("localhost", "127.0.0.1")
MEMBER = "member"
GOOD_HOST = "client.example"
DAY = datetime.timedelta(days=1)


class TlsFiles:
    """`<name>.pem` and `<name>-key.pem` in a directory; `ca` signs all but `foreign`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.now = datetime.datetime.now(datetime.UTC)
        self.ca = authority("ca", now=self.now, days=10)
        self._write("ca", self.ca)
        foreign_ca = authority("foreign", now=self.now, days=10)
        self._write("foreign-ca", foreign_ca)
        self.make(MEMBER, MEMBER, [*HOSTS, GOOD_HOST])
        self.make("client", MEMBER, [*HOSTS, GOOD_HOST])
        self.revoked = self.make("revoked", MEMBER, [*HOSTS, GOOD_HOST])
        self.make("wrong-name", "somebody", [*HOSTS, "other.example"])
        long_ago = self.now - 30 * DAY
        expired = signed(self.ca, MEMBER, [*HOSTS, GOOD_HOST], now=long_ago, days=1)
        self._write("expired", expired)
        self._write(
            "foreign",
            signed(foreign_ca, MEMBER, [*HOSTS, GOOD_HOST], now=self.now, days=1),
        )
        self.revoke(self.revoked)

    def make(self, file_name: str, name: str, hosts: list[str]) -> KeyPair:
        """Sign a certificate, in place of one that is there."""
        pair = signed(self.ca, name, hosts, now=self.now, days=5)
        self._write(file_name, pair)
        return pair

    def revoke(self, *pairs: KeyPair) -> None:
        """Write the list of revoked certificates."""
        serials = [pair.certificate.serial_number for pair in pairs]
        crl = revocations(self.ca, serials, now=self.now, days=5)
        (self.directory / "crl.pem").write_bytes(crl.public_bytes(Encoding.PEM))

    def path(self, name: str) -> str:
        """Where a certificate lies."""
        return str(self.directory / f"{name}.pem")

    def pair(self, name: str) -> tuple[str, str]:
        """Where a certificate and its key lie."""
        return self.path(name), self.path(f"{name}-key")

    def server_flags(self) -> list[str]:
        """Mutual TLS for clients and peers, with revocations and names."""
        certificate, key = self.pair(MEMBER)
        return [
            f"--cert-file={certificate}",
            f"--key-file={key}",
            f"--trusted-ca-file={self.path('ca')}",
            "--client-cert-auth",
            f"--client-crl-file={self.path('crl')}",
            f"--client-cert-allowed-hostname={GOOD_HOST}",
            f"--peer-cert-file={certificate}",
            f"--peer-key-file={key}",
            f"--peer-trusted-ca-file={self.path('ca')}",
            "--peer-client-cert-auth",
            f"--peer-crl-file={self.path('crl')}",
            f"--peer-cert-allowed-cn={MEMBER}",
        ]

    def _write(self, name: str, pair: KeyPair) -> None:
        certificate, key = self.pair(name)
        pair.write(Path(certificate), Path(key))
