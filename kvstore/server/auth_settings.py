"""How members authenticate clients, as `--auth-token` and its kin say."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kvstore.auth.passwords import COST_DEFAULT, COST_MAX, COST_MIN
from kvstore.auth.problems import TTL_DEFAULT_S, JwtProblem
from kvstore.base.clock import Clock
from kvstore.base.entropy import Entropy
from kvstore.rpc.tokens import JwtProvider, SimpleTokenProvider, TokenProvider
from kvstore.server.flags import duration_s

if TYPE_CHECKING:
    from kvstore.auth.jwt_tokens import JwtKeys

_JWT_OPTIONS = frozenset(("pub-key", "priv-key", "sign-method", "ttl"))


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthSettings:
    """What the flags say; whether authentication is on is the cluster's own state."""

    token: str = "simple"  # noqa: S105 - the name of a kind
    """`simple`, or `jwt` with its options behind commas."""
    token_ttl_s: float = 300.0
    """Of simple tokens, from their last use."""
    bcrypt_cost: int = COST_DEFAULT
    trusts_certificates: bool = False
    """The common name in a client's certificate is a user's."""

    def problems(self) -> list[str]:
        """Return what is wrong, with the key files read."""
        found = []
        if not COST_MIN <= self.bcrypt_cost <= COST_MAX:
            found.append(f"--bcrypt-cost must be from {COST_MIN} to {COST_MAX}")
        if self.token_ttl_s <= 0:
            found.append("--auth-token-ttl must be above 0")
        try:
            jwt_keys(self)
        except (JwtProblem, OSError) as problem:
            found.append(f"--auth-token: {problem}")
        return found


def jwt_keys(settings: AuthSettings) -> "JwtKeys | None":
    """Return the keys that `--auth-token=jwt,...` names, or None for simple tokens.

    Raises:
        JwtProblem: the options make no sense.
        OSError: a key file cannot be read.
    """
    kind, *pairs = settings.token.split(",")
    if kind == "simple":
        return None
    if kind != "jwt":
        raise JwtProblem(f'unknown token type "{kind}": simple or jwt')
    from kvstore.auth.jwt_tokens import JwtKeys  # noqa: PLC0415 - its libraries take 0.1 s to load

    options: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or name in options or name not in _JWT_OPTIONS:
            raise JwtProblem(f'invalid option "{name}"')
        options[name] = value
    try:
        ttl_s = duration_s(options["ttl"]) if "ttl" in options else TTL_DEFAULT_S
    except ValueError:
        raise JwtProblem(f'invalid ttl "{options["ttl"]}"') from None
    return JwtKeys(
        options.get("sign-method", ""),
        private_key=_contents(options.get("priv-key")),
        public_key=_contents(options.get("pub-key")),
        ttl_s=ttl_s,
    )


def token_provider(settings: AuthSettings, clock: Clock, entropy: Entropy) -> TokenProvider:
    """Return what makes and reads tokens, of settings without problems."""
    keys = jwt_keys(settings)
    if keys is not None:
        return JwtProvider(keys, clock)
    return SimpleTokenProvider(clock, entropy, ttl_s=settings.token_ttl_s)


def _contents(path: str | None) -> bytes | None:
    return Path(path).read_bytes() if path else None
