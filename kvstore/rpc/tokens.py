"""The two kinds of token that a cluster may use, as `--auth-token` names them."""

from typing import TYPE_CHECKING, Protocol

from kvstore.auth import AuthStore, Identity
from kvstore.auth.simple_tokens import draw_prefix, index_of
from kvstore.base.clock import Clock
from kvstore.base.entropy import Entropy
from kvstore.base.errors import TokensNotIssued

if TYPE_CHECKING:
    from kvstore.auth.jwt_tokens import JwtKeys


class TokenProvider(Protocol):
    """Makes tokens of users, and identities of tokens."""

    def identity_of(self, token: str, store: AuthStore) -> Identity | None:
        """Return whom `token` stands for; None for one that is wrong, expired or not known yet."""
        ...

    def assigned_at(self, token: str) -> int:
        """Return the index of the entry without which `token` cannot be known; 0 for none."""
        ...

    def draw_prefix(self) -> str:
        """Return what a token begins with that the log assigns; empty if none goes through it."""
        ...

    def signed(self, user: Identity) -> str:
        """Return a token that needs no log.

        Raises:
            TokensNotIssued: this member can only verify tokens.
        """
        ...

    def tick(self, store: AuthStore) -> None:
        """Forget what has expired; called now and then."""
        ...


class SimpleTokenProvider:
    """Random tokens that every member remembers; each use starts their time again."""

    def __init__(self, clock: Clock, entropy: Entropy, *, ttl_s: float) -> None:
        self._clock = clock
        self._entropy = entropy
        self._ttl_s = ttl_s

    def identity_of(self, token: str, store: AuthStore) -> Identity | None:
        """Return whom `token` stands for, as of now: changed roles do not make it void."""
        user = store.tokens.user_of(token, now=self._clock.monotonic(), ttl_s=self._ttl_s)
        return None if user is None else Identity(user, store.revision)

    def assigned_at(self, token: str) -> int:
        """Return the number that the token ends with."""
        return index_of(token) or 0

    def draw_prefix(self) -> str:
        """Return 16 random letters."""
        return draw_prefix(self._entropy)

    def signed(self, user: Identity) -> str:
        """Never: these tokens go through the log."""
        raise TokensNotIssued

    def tick(self, store: AuthStore) -> None:
        """Forget what has expired."""
        store.tokens.sweep(now=self._clock.monotonic(), ttl_s=self._ttl_s)


class JwtProvider:
    """Signed tokens that say themselves whom they stand for, at which auth revision."""

    def __init__(self, keys: "JwtKeys", clock: Clock) -> None:
        self._keys = keys
        self._clock = clock

    def identity_of(self, token: str, store: AuthStore) -> Identity | None:
        """Return what the token says, if its signature and its dates are right."""
        del store  # an old auth revision is refused where permissions are checked
        return self._keys.identity_of(token, now=self._clock.unix())

    def assigned_at(self, token: str) -> int:
        """Return 0: whoever has the key can tell."""
        del token
        return 0

    def draw_prefix(self) -> str:
        """Return nothing: the log is not needed."""
        return ""

    def signed(self, user: Identity) -> str:
        """Return a token for `user`."""
        return self._keys.sign(user, now=self._clock.unix())

    def tick(self, store: AuthStore) -> None:
        """Nothing is remembered."""
