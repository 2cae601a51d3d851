import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from kvstore.server.tls import TlsFiles, TlsRules, client_context, is_allowed, server_context
from kvstore.server.tls_setup import admits_peer
from tests.support.tls_files import TlsFiles as Made

CERTIFICATE = {
    "subject": ((("organizationName", "o"),), (("commonName", "alice"),)),
    "subjectAltName": (("DNS", "*.lan"), ("DNS", "db.example"), ("IP Address", "10.0.0.1")),
}


@pytest.mark.parametrize(
    ("names", "hosts", "allowed"),
    [
        ((), (), True),
        (("alice", "bob"), (), True),
        (("bob",), (), False),
        ((), ("db.example",), True),
        ((), ("DB1.lan",), True),
        ((), ("a.b.lan", "lan"), False),
        ((), ("10.0.0.1",), True),
        ((), ("alice",), False),
    ],
)
def test_a_name_is_allowed_if_one_of_the_list_is_its(
    names: tuple[str, ...], hosts: tuple[str, ...], allowed: bool
) -> None:
    files = TlsFiles(allowed_names=names, allowed_hosts=hosts)

    assert is_allowed(files, CERTIFICATE) == allowed


def test_without_a_certificate_no_name_is_right() -> None:
    assert is_allowed(TlsFiles(), None)
    assert not is_allowed(TlsFiles(allowed_names=("alice",)), None)
    assert not is_allowed(TlsFiles(allowed_hosts=("db.example",)), None)


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        (TlsRules(cipher_suites=("TLS_NO_SUCH",)), 'unexpected TLS cipher suite "TLS_NO_SUCH"'),
        (TlsRules(version_min="TLS1.1"), 'unexpected TLS version "TLS1.1"'),
        (TlsRules(version_min="TLS1.3", version_max="TLS1.2"), "is greater than"),
        (
            TlsRules(cipher_suites=("TLS_AES_128_GCM_SHA256",), version_min="TLS1.3"),
            "only TLS1.3 is enabled",
        ),
    ],
)
def test_rules_that_cannot_be_kept_are_told(rules: TlsRules, problem: str) -> None:
    (found,) = rules.problems()

    assert problem in found


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, host: str = "localhost") -> str:
    """Shake hands in memory; return the cipher that was agreed."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    waiting = [True, True]
    while any(waiting):
        for number, side in enumerate(sides):
            try:
                side.do_handshake()
                waiting[number] = False
            except ssl.SSLWantReadError:
                pass
    agreed = sides[0].cipher()
    assert agreed is not None
    return agreed[0]


def test_a_cipher_suite_in_gos_words_is_the_one_that_is_agreed(tmp_path: Path) -> None:
    made = Made(tmp_path)
    certificate, key = made.pair("member")
    files = TlsFiles(certificate=certificate, key=key, trusted_ca=made.path("ca"))
    rules = TlsRules(
        cipher_suites=("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",), version_max="TLS1.2"
    )

    agreed = handshake(server_context(files, rules), client_context(files, TlsRules()))

    assert agreed == "ECDHE-ECDSA-AES256-GCM-SHA384"


@pytest.mark.parametrize("host", ["db.elsewhere", "10.9.9.9"])
def test_a_member_does_not_dial_who_has_another_name(tmp_path: Path, host: str) -> None:
    made = Made(tmp_path)
    certificate, key = made.pair("member")
    files = TlsFiles(certificate=certificate, key=key, trusted_ca=made.path("ca"))

    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server_context(files, TlsRules()), client_context(files, TlsRules()), host)


@pytest.mark.parametrize(
    ("names", "address", "admitted"),
    [
        ((("IP Address", "127.0.0.1"),), "127.0.0.1", True),
        ((("IP Address", "10.0.0.9"),), "127.0.0.1", False),
        ((("IP Address", "<invalid>"), ("IP Address", "::1")), "::1", True),
        ((("IP Address", "10.0.0.9"), ("DNS", "localhost")), "127.0.0.1", True),
        ((("DNS", "*.example"),), "127.0.0.1", False),
        ((), "127.0.0.1", True),
    ],
)
async def test_a_peer_dials_from_where_its_certificate_says(
    names: tuple[tuple[str, str], ...], address: str, *, admitted: bool
) -> None:
    certificate = {"subject": (), "subjectAltName": names}

    assert await admits_peer(TlsFiles(), certificate, address) == admitted
    assert await admits_peer(TlsFiles(skips_client_hosts=True), certificate, address)


def test_a_revocation_list_may_be_der_or_pem(tmp_path: Path) -> None:
    made = Made(tmp_path)
    revoked = x509.load_pem_x509_crl(Path(made.path("crl")).read_bytes())
    der = tmp_path / "list.crl"
    der.write_bytes(revoked.public_bytes(Encoding.DER))
    certificate, key = made.pair("member")
    for file in (made.path("crl"), str(der)):
        files = TlsFiles(certificate=certificate, key=key, trusted_ca=made.path("ca"), crl=file)
        context = server_context(files, TlsRules())
        assert context.cert_store_stats()["crl"] == 1
