"""Certificates made here: an authority, what it signs for members and clients, self-signed ones.

Keys are ECDSA P-256: as strong as RSA-3072, and a handshake costs a tenth. Every certificate names
all that it may be reached by, because clients check names against those alone.
"""

import datetime
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_CLOCK_SKEW = datetime.timedelta(minutes=5)
"""Certificates are valid from a little before they are made: clocks differ."""
_ORGANIZATION = "kvstore"


class KeyPair(NamedTuple):
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def write(self, certificate_file: Path, key_file: Path) -> None:
        """Write both as PEM; the key can be read by its owner only."""
        certificate_file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        key = self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        descriptor = os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(key)

    @classmethod
    def read(cls, certificate_file: Path, key_file: Path) -> "KeyPair":
        """Read what `write` wrote.

        Raises:
            OSError, ValueError: a file is not there, or holds something else.
        """
        key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{key_file} holds no ECDSA key")
        return cls(x509.load_pem_x509_certificate(certificate_file.read_bytes()), key)


def authority(name: str, *, now: datetime.datetime, days: int) -> KeyPair:
    """Return a new certificate authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True,
        content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    builder = (
        _builder(_name(name), key, now=now, days=days)
        .issuer_name(_name(name))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
    )
    return KeyPair(builder.sign(key, hashes.SHA256()), key)


def signed(
    by: KeyPair, name: str, hosts: Sequence[str], *, now: datetime.datetime, days: int
) -> KeyPair:
    """Return a certificate of `by` for `name`, reachable as `hosts`; without any, a client's.

    It serves as server and as client: a member is both.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _leaf(_name(name), key, hosts, now=now, days=days)
        .issuer_name(by.certificate.subject)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(by.key.public_key()), critical=False
        )
    )
    return KeyPair(builder.sign(by.key, hashes.SHA256()), key)


def self_signed(hosts: Sequence[str], *, now: datetime.datetime, days: int) -> KeyPair:
    """Return a certificate that vouches for itself: secrecy, and no proof of who it is."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(_ORGANIZATION)
    builder = _leaf(name, key, hosts, now=now, days=days).issuer_name(name)
    return KeyPair(builder.sign(key, hashes.SHA256()), key)


def revocations(
    by: KeyPair, serials: Sequence[int], *, now: datetime.datetime, days: int
) -> x509.CertificateRevocationList:
    """Return a list of certificates of `by` that are not to be believed any more."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(by.certificate.subject)
        .last_update(now - _CLOCK_SKEW)
        .next_update(now + datetime.timedelta(days=days))
    )
    for serial in serials:
        revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now)
        builder = builder.add_revoked_certificate(revoked.build())
    return builder.sign(by.key, hashes.SHA256())


def _leaf(
    name: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    hosts: Sequence[str],
    *,
    now: datetime.datetime,
    days: int,
) -> x509.CertificateBuilder:
    usage = [ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = _builder(name, key, now=now, days=days)
    if hosts:
        usage.insert(0, ExtendedKeyUsageOID.SERVER_AUTH)
        names = x509.SubjectAlternativeName([_alternative(host) for host in hosts])
        builder = builder.add_extension(names, critical=False)
    return builder.add_extension(
        x509.BasicConstraints(ca=False, path_length=None), critical=True
    ).add_extension(x509.ExtendedKeyUsage(usage), critical=False)


def _builder(
    name: x509.Name, key: ec.EllipticCurvePrivateKey, *, now: datetime.datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, _ORGANIZATION),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
