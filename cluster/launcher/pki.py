"""The keys of a local cluster: one authority, the server's certificate, users' certificates.

Certificates are of elliptic curves, which are made in no time; tokens are signed with RSA, because
that is what every client of tokens reads.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = timedelta(days=3650)
_EARLIER = timedelta(minutes=5)
"""Certificates begin a little in the past, for clocks that differ."""
_RSA_BITS = 2048
_CURVE = ec.SECP256R1


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, as PEM."""

    certificate: bytes
    key: bytes


class Authority:
    """Who vouches for the certificates of a cluster."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self._certificate = x509.load_pem_x509_certificate(pair.certificate)
        key = serialization.load_pem_private_key(pair.key, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("the authority's key is not of an elliptic curve")  # noqa: TRY004
        self._key = key

    @classmethod
    def make(cls, name: str = "kvstore-kube-ca") -> "Authority":
        """Return a new authority."""
        key = ec.generate_private_key(_CURVE())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        certificate = (
            _builder(subject, subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .sign(key, hashes.SHA256())
        )
        return cls(Pair(_pem(certificate), _key_pem(key)))

    def user(self, name: str, groups: Sequence[str] = ()) -> Pair:
        """Return the certificate of a user: CN is the name, each O a group."""
        parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        parts.append(x509.NameAttribute(NameOID.COMMON_NAME, name))
        return self._issue(x509.Name(parts), ExtendedKeyUsageOID.CLIENT_AUTH)

    def server(self, hosts: Sequence[str]) -> Pair:
        """Return the certificate of a server that is reached by these names and addresses."""
        names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
        return self._issue(subject, ExtendedKeyUsageOID.SERVER_AUTH, names)

    def _issue(
        self,
        subject: x509.Name,
        usage: x509.ObjectIdentifier,
        names: x509.SubjectAlternativeName | None = None,
    ) -> Pair:
        key = ec.generate_private_key(_CURVE())
        builder = (
            _builder(subject, self._certificate.subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        return Pair(_pem(builder.sign(self._key, hashes.SHA256())), _key_pem(key))


def signing_key() -> bytes:
    """Return a new key that signs tokens, as PEM."""
    return _key_pem(rsa.generate_private_key(65537, _RSA_BITS))


@dataclass(frozen=True, slots=True)
class Files:
    """Where the keys of a cluster lie."""

    directory: Path

    @property
    def ca(self) -> Path:
        """The authority's certificate."""
        return self.directory / "ca.crt"

    @property
    def ca_key(self) -> Path:
        """The authority's key."""
        return self.directory / "ca.key"

    @property
    def server(self) -> Path:
        """The API server's certificate."""
        return self.directory / "apiserver.crt"

    @property
    def server_key(self) -> Path:
        """Its key."""
        return self.directory / "apiserver.key"

    @property
    def signing_key(self) -> Path:
        """The key that signs the tokens of service accounts."""
        return self.directory / "service-account.key"


def ensure(directory: Path, hosts: Sequence[str]) -> tuple[Files, Authority]:
    """Return the keys of a cluster; made, if they are not there yet."""
    files = Files(directory)
    if not files.signing_key.exists():  # written last
        directory.mkdir(parents=True, exist_ok=True)
        authority = Authority.make()
        server = authority.server(hosts)
        _write(files.ca, authority.pair.certificate)
        _write(files.ca_key, authority.pair.key)
        _write(files.server, server.certificate)
        _write(files.server_key, server.key)
        _write(files.signing_key, signing_key())
        return files, authority
    return files, Authority(Pair(files.ca.read_bytes(), files.ca_key.read_bytes()))


def _write(path: Path, content: bytes) -> None:
    """Write a file that only its owner reads; whole, or not at all."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.touch(mode=0o600)
    fresh.write_bytes(content)
    fresh.replace(path)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + LIFETIME)
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


@dataclass(frozen=True, slots=True)
class KeptPair:
    """The files of a certificate and its key."""

    certificate: Path
    key: Path


def keep(stem: Path, make: Callable[[], Pair]) -> KeptPair:
    """Return the files `STEM.crt` and `STEM.key`; they are made if one is missing."""
    kept = KeptPair(stem.with_name(f"{stem.name}.crt"), stem.with_name(f"{stem.name}.key"))
    if not (kept.certificate.exists() and kept.key.exists()):
        pair = make()
        _write(kept.certificate, pair.certificate)
        _write(kept.key, pair.key)
    return kept
