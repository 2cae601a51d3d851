import datetime

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from kvstore.auth import Identity, simple_tokens
from kvstore.auth.jwt_tokens import JwtKeys
from kvstore.auth.passwords import PasswordTooLong, decode_hash, encode_hash, hashed, matches
from kvstore.auth.problems import JwtProblem
from kvstore.auth.simple_tokens import SimpleTokens, draw_prefix, index_of
from kvstore.base.entropy import SystemEntropy
from kvstore.base.errors import NoPasswordUser, TokensNotIssued
from kvstore.server.certificates import self_signed

USER = Identity("alice", 7)


def test_a_token_lives_from_its_last_use() -> None:
    tokens = SimpleTokens()
    tokens.assign("t.1", "alice")

    assert tokens.user_of("t.1", now=100.0, ttl_s=10.0) == "alice"
    assert tokens.user_of("t.1", now=109.0, ttl_s=10.0) == "alice"
    assert tokens.user_of("t.1", now=118.0, ttl_s=10.0) == "alice"
    assert tokens.user_of("t.1", now=129.0, ttl_s=10.0) is None


def test_a_token_that_is_never_used_expires_too() -> None:
    tokens = SimpleTokens()
    tokens.assign("t.1", "alice")
    tokens.sweep(now=0.0, ttl_s=10.0)
    tokens.sweep(now=9.0, ttl_s=10.0)
    assert len(tokens) == 1

    tokens.sweep(now=11.0, ttl_s=10.0)

    assert len(tokens) == 0


def test_too_many_tokens_push_out_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simple_tokens, "TOKENS_MAX", 2)
    tokens = SimpleTokens()
    for number in range(3):
        tokens.assign(f"t.{number}", "alice")

    assert tokens.user_of("t.0", now=0.0, ttl_s=1.0) is None
    assert tokens.user_of("t.2", now=0.0, ttl_s=1.0) == "alice"


def test_a_token_says_at_which_entry_it_was_assigned() -> None:
    prefix = draw_prefix(SystemEntropy())

    assert len(prefix) == 16
    assert prefix.isalpha()
    assert index_of(f"{prefix}.17") == 17
    assert [index_of(text) for text in ("", "x", "x.", "x.y", "x.-1", "x.1.2", "x.²")] == [None] * 7


def pem(key: object) -> tuple[bytes, bytes]:
    private = key.private_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private, public


RSA = pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))
KEYS = {
    "RS256": RSA,
    "PS384": RSA,
    "ES256": pem(ec.generate_private_key(ec.SECP256R1())),
    "EdDSA": pem(ed25519.Ed25519PrivateKey.generate()),
    "HS256": (b"0123456789abcdef0123456789abcdef", None),
}


@pytest.mark.parametrize("method", KEYS)
def test_a_signed_token_says_who_it_is_until_it_expires(method: str) -> None:
    private, public = KEYS[method]
    keys = JwtKeys(method, private_key=private, public_key=public, ttl_s=60.0)

    token = keys.sign(USER, now=1000.0)

    assert keys.identity_of(token, now=1001.0) == USER
    assert keys.identity_of(token, now=1061.0) is None
    assert keys.identity_of(token[:-4] + "AAAA", now=1001.0) is None


def test_a_member_with_the_public_key_alone_verifies_and_does_not_sign() -> None:
    private, public = KEYS["ES256"]
    signer = JwtKeys("ES256", private_key=private, public_key=None, ttl_s=60.0)
    verifier = JwtKeys("ES256", private_key=None, public_key=public, ttl_s=60.0)

    assert verifier.identity_of(signer.sign(USER, now=0.0), now=1.0) == USER
    with pytest.raises(TokensNotIssued):
        verifier.sign(USER, now=0.0)


def test_the_public_key_may_stand_in_a_certificate() -> None:
    made = self_signed(["localhost"], now=datetime.datetime.now(datetime.UTC), days=1)
    certificate = made.certificate.public_bytes(serialization.Encoding.PEM)
    private, _ = pem(made.key)
    signer = JwtKeys("ES256", private_key=private, public_key=certificate, ttl_s=60.0)
    verifier = JwtKeys("ES256", private_key=None, public_key=certificate, ttl_s=60.0)
    assert verifier.identity_of(signer.sign(USER, now=0.0), now=1.0) == USER


def test_a_token_of_another_method_is_not_believed() -> None:
    """Whoever knows the public key could otherwise sign with it, as a secret."""
    _, public = KEYS["RS256"]
    keys = JwtKeys("RS256", private_key=None, public_key=public, ttl_s=60.0)
    claims = {"username": "root", "revision": 9}
    unsigned = jwt.encode(claims, None, algorithm="none")
    secret = jwt.encode(claims, b"x" * 32, algorithm="HS256")

    assert keys.identity_of(unsigned, now=0.0) is None
    assert keys.identity_of(secret, now=0.0) is None


@pytest.mark.parametrize(
    "claims",
    [
        {"revision": 1},
        {"username": "u"},
        {"username": 3, "revision": 1},
        {"username": "\ud800", "revision": 1},
        {"username": "u", "revision": "1"},
        {"username": "u", "revision": 1, "nbf": datetime.datetime(2050, 1, 1, tzinfo=datetime.UTC)},
    ],
)
def test_a_token_without_what_it_must_say_is_not_believed(claims: dict[str, object]) -> None:
    secret, _ = KEYS["HS256"]
    keys = JwtKeys("HS256", private_key=secret, public_key=None, ttl_s=60.0)

    assert keys.identity_of(jwt.encode(claims, secret, algorithm="HS256"), now=1.0) is None


@pytest.mark.parametrize(
    ("method", "private", "public"),
    [
        ("none", None, None),
        ("RS256", None, None),
        ("HS256", b"", None),
        ("RS256", b"no key", None),
        ("ES256", RSA[0], None),
        ("RS256", RSA[0], pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))[1]),
    ],
    ids=["method", "no key", "no secret", "no PEM", "other kind", "no pair"],
)
def test_keys_that_do_not_fit_are_refused(
    method: str, private: bytes | None, public: bytes | None
) -> None:
    with pytest.raises(JwtProblem):
        JwtKeys(method, private_key=private, public_key=public, ttl_s=1.0)


def test_a_hash_matches_its_password_and_no_other() -> None:
    stored = hashed("pass\0word", cost=4)

    assert matches("pass\0word", stored)
    assert not matches("pass", stored)
    assert not matches("", b"")
    assert decode_hash(encode_hash(stored)) == stored
    with pytest.raises(NoPasswordUser):
        decode_hash("no base64!")


def test_a_password_of_which_bcrypt_would_ignore_a_part_is_refused() -> None:
    assert matches("x" * 72, hashed("x" * 72, cost=4))
    with pytest.raises(PasswordTooLong, match="exceeds 72 bytes"):
        hashed("ü" * 37, cost=4)
