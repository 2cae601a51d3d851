"""TLS of the client port and of the peers: contexts from files, and from newer files later.

A context that asyncio listens with cannot be replaced, so it hands each handshake over to the one
that was made last (`Reloading`): certificates, authorities and revocations change while it runs.
What a certificate's names must be is checked once its chain is, before a byte is read.
"""

import base64
import logging
import ssl
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)

_CRL_PEM = "-----BEGIN X509 CRL-----"
VERSIONS = {"TLS1.2": ssl.TLSVersion.TLSv1_2, "TLS1.3": ssl.TLSVersion.TLSv1_3}
_CIPHERS_1_2 = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
}
"""Names as Go and IANA write them, and as OpenSSL does."""
_CIPHERS_1_3 = frozenset(
    ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
)
"""Always on in TLS 1.3, there as here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """The files and rules of one side: clients, or peers."""

    certificate: str = ""
    key: str = ""
    trusted_ca: str = ""
    crl: str = ""
    client_certificate: str = ""
    """Shown when we dial, in place of `certificate`."""
    client_key: str = ""
    requires_certificate: bool = False
    """Whoever connects must show a certificate of the authority; also if `trusted_ca` is given."""
    allowed_names: tuple[str, ...] = ()
    """Common names that may connect; empty for any."""
    allowed_hosts: tuple[str, ...] = ()
    """Alternative names that may connect; empty for any."""
    is_automatic: bool = False
    """A self-signed certificate is made where there is none, and others' are not verified."""
    skips_client_hosts: bool = False
    """A peer may connect from addresses that its certificate does not name."""

    @property
    def is_given(self) -> bool:
        """Whether there is something to speak TLS with."""
        return bool(self.certificate and self.key)

    @property
    def verifies_clients(self) -> bool:
        """Whether who connects must show a certificate."""
        return not self.is_automatic and (self.requires_certificate or bool(self.trusted_ca))

    @property
    def paths(self) -> tuple[str, ...]:
        """Every file that is named."""
        named = (
            self.certificate,
            self.key,
            self.trusted_ca,
            self.crl,
            self.client_certificate,
            self.client_key,
        )
        return tuple(filter(None, named))


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsRules:
    """What holds for every connection."""

    cipher_suites: tuple[str, ...] = ()
    """Of TLS 1.2, in Go's names; empty for OpenSSL's own choice."""
    version_min: str = "TLS1.2"
    version_max: str = ""
    """Empty: the newest."""

    def problems(self) -> list[str]:
        """Return what is wrong, in etcd's words."""
        found = [
            f'unexpected TLS cipher suite "{name}"'
            for name in self.cipher_suites
            if name not in _CIPHERS_1_2 and name not in _CIPHERS_1_3
        ]
        found += [
            f'unexpected TLS version "{text}", must be one of: TLS1.2, TLS1.3'
            for text in filter(None, (self.version_min, self.version_max))
            if text not in VERSIONS
        ]
        if not found and self.version_max and self.version_min > self.version_max:
            found.append(
                f"min version ({self.version_min}) is greater than max version ({self.version_max})"
            )
        if self.cipher_suites and self.version_min == "TLS1.3":
            found.append("cipher suites cannot be configured when only TLS1.3 is enabled")
        return found


def server_context(files: TlsFiles, rules: TlsRules) -> ssl.SSLContext:
    """Return a context to accept with, of the files as they are now.

    Raises:
        OSError, ssl.SSLError: a file cannot be read, or does not fit.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    if files.verifies_clients:
        context.verify_mode = ssl.CERT_REQUIRED
        _trust(context, files, ssl.Purpose.CLIENT_AUTH)
    _obey(context, rules)
    context.set_alpn_protocols(["h2", "http/1.1"])
    # Resumed sessions would carry a verified name past a revocation.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    return context


def client_context(files: TlsFiles, rules: TlsRules) -> ssl.SSLContext:
    """Return a context to dial with, of the files as they are now.

    Raises:
        OSError, ssl.SSLError: a file cannot be read, or does not fit.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if files.client_certificate:
        context.load_cert_chain(files.client_certificate, files.client_key)
    else:
        context.load_cert_chain(files.certificate, files.key)
    if files.is_automatic:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        _trust(context, files, ssl.Purpose.SERVER_AUTH)
    _obey(context, rules)
    return context


def name_of(certificate: Mapping[str, object] | None) -> str:
    """Return the common name in a certificate as `ssl` describes it; empty without one."""
    if certificate is None:
        return ""
    subject = certificate.get("subject", ())
    assert isinstance(subject, tuple)
    return next((value for names in subject for kind, value in names if kind == "commonName"), "")


def hosts_of(certificate: Mapping[str, object] | None) -> dict[str, list[str]]:
    """Return the alternative names in a certificate by kind: `DNS` and `IP Address`."""
    hosts: dict[str, list[str]] = {}
    names = () if certificate is None else certificate.get("subjectAltName", ())
    assert isinstance(names, tuple)
    for kind, value in names:
        hosts.setdefault(kind, []).append(value)
    return hosts


def is_allowed(files: TlsFiles, certificate: Mapping[str, object] | None) -> bool:
    """Whether who shows this certificate may connect, as far as names decide."""
    if files.allowed_names and name_of(certificate) not in files.allowed_names:
        return False
    if not files.allowed_hosts:
        return True
    hosts = hosts_of(certificate)
    return any(
        wanted in hosts.get("IP Address", ()) or _matches(hosts.get("DNS", ()), wanted)
        for wanted in files.allowed_hosts
    )


class Reloading:
    """A server context that is always made of the newest files that fit together."""

    def __init__(self, files: TlsFiles, rules: TlsRules) -> None:
        """Raises as `server_context`: at the start the files must be right."""
        self._files = files
        self._rules = rules
        self.context = server_context(files, rules)
        """What to listen with; each handshake uses the newest one."""
        self._newest = self.context
        self._seen = _stamps(files)
        self.context.sni_callback = self._choose

    def look(self) -> None:
        """Read the files again if one of them has changed; what does not fit is not used."""
        stamps = _stamps(self._files)
        if stamps == self._seen:
            return
        self._seen = stamps
        try:
            self._newest = server_context(self._files, self._rules)
        except (OSError, ssl.SSLError) as problem:
            logger.exception(
                "the new certificates cannot be used; the former ones stay in use",
                extra={"problem": str(problem), "file": self._files.certificate},
            )
            return
        logger.info("uses new certificates", extra={"file": self._files.certificate})

    def _choose(self, handshake: ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> None:
        handshake.context = self._newest


def _trust(context: ssl.SSLContext, files: TlsFiles, purpose: ssl.Purpose) -> None:
    if files.trusted_ca:
        context.load_verify_locations(files.trusted_ca)
    else:
        context.load_default_certs(purpose)
    if files.crl:
        _load_revocations(context, Path(files.crl))
        context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF


def _load_revocations(context: ssl.SSLContext, file: Path) -> None:
    """Load a revocation list, in PEM or, as etcd's own are, in DER."""
    content = file.read_bytes()
    if _CRL_PEM.encode() in content:
        context.load_verify_locations(file)
        return
    with tempfile.NamedTemporaryFile("w") as pem:  # the module reads lists from files of PEM only
        body = base64.encodebytes(content).decode()
        pem.write(f"{_CRL_PEM}\n{body}-----END X509 CRL-----\n")
        pem.flush()
        context.load_verify_locations(pem.name)


def _obey(context: ssl.SSLContext, rules: TlsRules) -> None:
    context.minimum_version = VERSIONS[rules.version_min]
    if rules.version_max:
        context.maximum_version = VERSIONS[rules.version_max]
    names = [_CIPHERS_1_2[name] for name in rules.cipher_suites if name in _CIPHERS_1_2]
    if names:
        context.set_ciphers(":".join(names))


def _matches(patterns: Sequence[str], host: str) -> bool:
    """Whether a DNS name of a certificate stands for `host`; `*` for its first label."""
    _, _, rest = host.partition(".")
    return any(
        pattern.lower() in (host.lower(), f"*.{rest}".lower() if rest else host.lower())
        for pattern in patterns
    )


def _stamps(files: TlsFiles) -> tuple[tuple[int, int] | None, ...]:
    return tuple(_stamp(Path(path)) for path in files.paths)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino
