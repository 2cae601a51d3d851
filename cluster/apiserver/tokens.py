"""Tokens of service accounts: JSON Web Tokens that this server signs and believes."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from cluster.kube_api.objects import JsonObject, object_at, string_at
from kvstore.base.clock import Clock

ALGORITHM = "RS256"
TOKEN_CHARS_MAX = 64 * 1024
PRIVATE = "kubernetes.io"
"""The claim that says which account, and what the token is bound to."""


class BadToken(Exception):
    """A token is not one of ours, or not valid any more; says why."""


@dataclass(frozen=True, slots=True)
class Account:
    """Whom a token speaks for, and what it is bound to."""

    namespace: str
    name: str
    uid: str
    token_id: str = ""
    bound: Mapping[str, Mapping[str, str]] | None = None
    """`pod`, `secret` and `node`, each with name and uid."""


class TokenSigner:
    """One RSA key, its issuer and its audience."""

    def __init__(self, key_pem: bytes, *, issuer: str, clock: Clock) -> None:
        key = serialization.load_pem_private_key(key_pem, None)
        if not isinstance(key, RSAPrivateKey):
            raise ValueError("tokens are signed with an RSA key")  # noqa: TRY004  the file is wrong
        self._key = key
        self._public = key.public_key()
        self.issuer = issuer
        self.audience = issuer
        self._clock = clock
        der = self._public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.key_id = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()

    def sign(
        self, account: Account, *, audiences: Sequence[str], lifetime_s: int
    ) -> tuple[str, int]:
        """Return a token, and the Unix time of its end."""
        now = int(self._clock.unix())
        private: JsonObject = {
            "namespace": account.namespace,
            "serviceaccount": {"name": account.name, "uid": account.uid},
        } | {name: dict(bound) for name, bound in (account.bound or {}).items()}
        claims = {
            "aud": list(audiences) or [self.audience],
            "exp": now + lifetime_s,
            "iat": now,
            "iss": self.issuer,
            "jti": account.token_id,
            PRIVATE: private,
            "nbf": now,
            "sub": f"system:serviceaccount:{account.namespace}:{account.name}",
        }
        token = jwt.encode(claims, self._key, ALGORITHM, headers={"kid": self.key_id})
        return token, now + lifetime_s

    def verify(self, token: str, *, audiences: Sequence[str] = ()) -> tuple[Account, list[str]]:
        """Return whose token it is, and which of the audiences it is for.

        Whether account and bound objects still exist is not looked at.

        Raises:
            BadToken: it is none of ours, or its time is over.
        """
        wanted = list(audiences) or [self.audience]
        if len(token) > TOKEN_CHARS_MAX:
            raise BadToken("the token is too long")
        try:
            claims = jwt.decode(
                token,
                self._public,
                [ALGORITHM],
                audience=wanted,
                issuer=self.issuer,
                options={
                    "require": ["exp", "iss", "aud", "sub"],
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except jwt.PyJWTError as error:
            raise BadToken(str(error)) from error
        self._check_time(claims)
        given = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        return _account(claims), [one for one in wanted if one in given]

    def _check_time(self, claims: Mapping[str, Any]) -> None:
        """Compare with our own clock, which tests own."""
        now = self._clock.unix()
        end, start = claims.get("exp"), claims.get("nbf", 0)
        if not isinstance(end, int) or not isinstance(start, int) or not start <= now < end:
            raise BadToken("the token's time is over, or has not come")

    def key_set(self) -> JsonObject:
        """Return the JSON Web Key Set of the public key."""
        numbers = self._public.public_numbers()
        key = {
            "use": "sig",
            "kty": "RSA",
            "kid": self.key_id,
            "alg": ALGORITHM,
            "n": _unsigned(numbers.n),
            "e": _unsigned(numbers.e),
        }
        return {"keys": [key]}

    def configuration(self, key_set_url: str) -> JsonObject:
        """Return the OpenID provider's configuration."""
        return {
            "issuer": self.issuer,
            "jwks_uri": key_set_url,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
        }


def _account(claims: Mapping[str, Any]) -> Account:
    private = object_at(claims, PRIVATE)
    account = object_at(private, "serviceaccount")
    namespace, name = string_at(private, "namespace"), string_at(account, "name")
    if claims["sub"] != f"system:serviceaccount:{namespace}:{name}" or not name:
        raise BadToken("the token does not say whose it is")
    bound: dict[str, Mapping[str, str]] = {
        kind: {"name": string_at(private, kind, "name"), "uid": string_at(private, kind, "uid")}
        for kind in ("pod", "secret", "node")
        if kind in private
    }
    return Account(namespace, name, string_at(account, "uid"), str(claims.get("jti") or ""), bound)


def _unsigned(number: int) -> str:
    data = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
