"""JSON web tokens: claims `username`, `revision` and `exp`, as etcd signs and reads them."""

from collections import OrderedDict
from typing import TypeAlias

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.x509 import load_pem_x509_certificate

from kvstore.auth.identity import Identity
from kvstore.auth.problems import JwtProblem
from kvstore.base.errors import TokensNotIssued

_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_VERIFIED_MAX = 4096
"""Tokens whose signature need not be verified again."""

Key: TypeAlias = PrivateKeyTypes | PublicKeyTypes | bytes
METHODS = frozenset(
    [f"{family}{bits}" for family in ("RS", "PS", "ES", "HS") for bits in (256, 384, 512)]
    + ["EdDSA"]
)


class JwtKeys:
    """The keys with which one cluster signs and verifies; every member has the same."""

    def __init__(
        self, method: str, *, private_key: bytes | None, public_key: bytes | None, ttl_s: float
    ) -> None:
        """Take the contents of the key files: PEM, or for HS methods the secret itself.

        Raises:
            JwtProblem: an unknown method, no key, or keys that do not fit.
        """
        if method not in METHODS:
            raise JwtProblem(f"auth: invalid auth signature method {method!r}")
        self._method = method
        self._ttl_s = ttl_s
        self._signing, self._verifying = _keys(method, private_key, public_key)
        self._verified: OrderedDict[str, tuple[Identity, float, float]] = OrderedDict()

    def sign(self, user: Identity, *, now: float) -> str:
        """Return a token for `user`; `now` in seconds since 1970.

        Raises:
            TokensNotIssued: only the public key is here.
        """
        if self._signing is None:
            raise TokensNotIssued
        claims = {
            "username": user.name,
            "revision": user.revision,
            "exp": int(now + self._ttl_s),
        }
        return jwt.encode(claims, self._signing, algorithm=self._method)  # type: ignore[arg-type]  # the method fits the key

    def identity_of(self, token: str, *, now: float) -> Identity | None:
        """Return whom a token stands for; None if anything about it is wrong."""
        known = self._verified.get(token)
        if known is None:
            known = self._verify(token)
            if known is None:
                return None
            self._verified[token] = known
            if len(self._verified) > _VERIFIED_MAX:
                self._verified.popitem(last=False)
        identity, not_before, expires = known
        return identity if not_before <= now < expires else None

    def _verify(self, token: str) -> tuple[Identity, float, float] | None:
        """Return what a token says, and from when to when it is valid."""
        try:
            claims = jwt.decode(
                token,
                self._verifying,  # type: ignore[arg-type]  # the method fits the key
                algorithms=[self._method],
                options={
                    "verify_exp": False,  # by the clock that is handed in
                    "verify_nbf": False,
                    "verify_iat": False,
                    "verify_aud": False,
                    "verify_iss": False,
                },
            )
        except jwt.PyJWTError:
            return None
        name, revision = claims.get("username"), claims.get("revision")
        expires, not_before = claims.get("exp", float("inf")), claims.get("nbf", 0)
        if (
            not isinstance(name, str)
            or not _is_utf8(name)
            or not isinstance(revision, int | float)
            or not isinstance(expires, int | float)
            or not isinstance(not_before, int | float)
        ):
            return None
        return Identity(name, max(0, int(revision))), float(not_before), float(expires)


def _is_utf8(text: str) -> bool:
    """Whether a text of JSON can be a user's name: half a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _keys(
    method: str, private_key: bytes | None, public_key: bytes | None
) -> tuple[Key | None, Key]:
    """Return what signs, and what verifies."""
    if method.startswith("HS"):
        if not private_key:
            raise JwtProblem("auth: missing key data")
        return private_key, private_key
    try:
        signing = (
            serialization.load_pem_private_key(private_key, password=None) if private_key else None
        )
        verifying = _public_key(public_key) if public_key else None
    except (ValueError, TypeError, UnsupportedAlgorithm) as problem:
        raise JwtProblem(f"auth: a key cannot be read: {problem}") from problem
    if signing is None:
        if verifying is None:
            raise JwtProblem("auth: missing key data")
        _check_fit(method, verifying)
        return None, verifying
    derived = signing.public_key()
    if verifying is not None and _encoded(verifying) != _encoded(derived):
        raise JwtProblem("auth: public and private keys don't match")
    _check_fit(method, derived)
    return signing, derived


def _public_key(pem: bytes) -> PublicKeyTypes:
    """Return the key of a PEM file, which may be a certificate's."""
    if _CERTIFICATE in pem:
        return load_pem_x509_certificate(pem).public_key()
    return serialization.load_pem_public_key(pem)


def _check_fit(method: str, key: PublicKeyTypes) -> None:
    try:
        jwt.get_algorithm_by_name(method).prepare_key(key)
    except (jwt.PyJWTError, TypeError, ValueError) as problem:
        raise JwtProblem(f"auth: the key does not fit {method}") from problem


def _encoded(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
