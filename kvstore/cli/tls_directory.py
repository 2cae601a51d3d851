"""A directory of certificates: `NAME.pem` and `NAME-key.pem`, with the authority `ca`."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click

AUTHORITY = "ca"


class TlsDirectory:
    """The certificates of one cluster."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def ca(self) -> Path:
        """The authority's certificate."""
        return self.pair(AUTHORITY)[0]

    @property
    def crl(self) -> Path:
        """The list of what is revoked; not there while nothing is."""
        return self.path / "crl.pem"

    def pair(self, name: str) -> tuple[Path, Path]:
        """Return where a certificate and its key lie."""
        return self.path / f"{name}.pem", self.path / f"{name}-key.pem"

    def make_authority(self, *, now: datetime, days: int) -> bool:
        """Make an authority, unless there is one; return whether it was made."""
        from kvstore.server.certificates import authority

        if self.ca.exists():
            return False
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        authority("kvstore authority", now=now, days=days).write(*self.pair(AUTHORITY))
        return True

    def make(
        self, file_name: str, name: str, hosts: Sequence[str], *, now: datetime, days: int
    ) -> None:
        """Make a certificate, in place of one that is there.

        Raises:
            click.ClickException: there is no authority here.
        """
        from kvstore.server.certificates import KeyPair, signed

        try:
            by = KeyPair.read(*self.pair(AUTHORITY))
        except (OSError, ValueError, TypeError) as problem:
            raise click.ClickException(
                f"no authority in {self.path} ({problem}); `kvstore tls init` makes one"
            ) from problem
        signed(by, name, list(dict.fromkeys(hosts)), now=now, days=days).write(
            *self.pair(file_name)
        )

    def revoke(self, name: str, *, now: datetime, days: int) -> int:
        """List a certificate as revoked; return how many are.

        Raises:
            click.ClickException: there is no such certificate, or no authority.
        """
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import Encoding

        from kvstore.server.certificates import KeyPair, revocations

        try:
            by = KeyPair.read(*self.pair(AUTHORITY))
            certificate = x509.load_pem_x509_certificate(self.pair(name)[0].read_bytes())
        except (OSError, ValueError, TypeError) as problem:
            raise click.ClickException(f"cannot revoke {name}: {problem}") from problem
        serials = {certificate.serial_number}
        if self.crl.exists():
            listed = x509.load_pem_x509_crl(self.crl.read_bytes())
            serials |= {revoked.serial_number for revoked in listed}
        made = revocations(by, sorted(serials), now=now, days=days)
        fresh = self.crl.with_suffix(".new")
        fresh.write_bytes(made.public_bytes(Encoding.PEM))
        fresh.replace(self.crl)
        return len(serials)

    def member_flags(self) -> list[str]:
        """Return the flags of a member that speaks mutual TLS with everybody."""
        certificate, key = self.pair("member")
        return [
            f"--cert-file={certificate}",
            f"--key-file={key}",
            f"--trusted-ca-file={self.ca}",
            "--client-cert-auth",
            f"--peer-cert-file={certificate}",
            f"--peer-key-file={key}",
            f"--peer-trusted-ca-file={self.ca}",
            "--peer-client-cert-auth",
        ]

    def client(self) -> dict[str, str]:
        """Return kvstorectl's flags for the client, by name."""
        certificate, key = self.pair("client")
        return {"cacert": str(self.ca), "cert": str(certificate), "key": str(key)}
