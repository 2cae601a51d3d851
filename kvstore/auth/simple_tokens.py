"""Simple tokens: random names of logged-in users, known to every member, lost when it restarts.

A token is `prefix.index`: 16 random letters drawn by the member that was asked to authenticate, and
the index of the log entry that assigned it, so that a member that lags can tell that it has not
heard of it yet.
"""

from kvstore.base.entropy import Entropy

PREFIX_LETTERS = 16
TOKENS_MAX = 100_000
"""A login costs a password check, so only an operator's mistake comes near this."""

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_INDEX_DIGITS_MAX = 20


def draw_prefix(entropy: Entropy) -> str:
    """Return the random part of a new token."""
    # The bias of one modulo over 64 bits is below one in 10^17.
    return "".join(_LETTERS[entropy.bits(64) % len(_LETTERS)] for _ in range(PREFIX_LETTERS))


def index_of(token: str) -> int | None:
    """Return the index of the entry that assigned `token`; None for what cannot be one."""
    _, dot, index = token.partition(".")
    if not dot or not index.isascii() or not index.isdigit() or len(index) > _INDEX_DIGITS_MAX:
        return None
    return int(index)


class SimpleTokens:
    """The tokens that one member knows. Apply assigns them, without a clock; use starts theirs."""

    def __init__(self) -> None:
        self._users: dict[str, str] = {}
        self._deadlines: dict[str, float] = {}
        """Of the tokens that were looked at; the others are fresh."""

    def __len__(self) -> int:
        """The number of tokens, expired ones included until `sweep`."""
        return len(self._users)

    def assign(self, token: str, user: str) -> None:
        """Let `token` stand for `user`. Beyond `TOKENS_MAX` the oldest one is forgotten."""
        self._users[token] = user
        if len(self._users) > TOKENS_MAX:
            self._forget(next(iter(self._users)))

    def user_of(self, token: str, *, now: float, ttl_s: float) -> str | None:
        """Return whom `token` stands for, and start its time again; None if it is not known."""
        user = self._users.get(token)
        if user is None:
            return None
        if self._deadlines.get(token, now) < now:
            self._forget(token)
            return None
        self._deadlines[token] = now + ttl_s
        return user

    def sweep(self, *, now: float, ttl_s: float) -> None:
        """Forget what has expired, and start the time of what is fresh."""
        for token in list(self._users):
            if self._deadlines.setdefault(token, now + ttl_s) < now:
                self._forget(token)

    def invalidate(self, user: str) -> None:
        """Forget every token of `user`."""
        for token in [token for token, name in self._users.items() if name == user]:
            self._forget(token)

    def clear(self) -> None:
        """Forget everything."""
        self._users.clear()
        self._deadlines.clear()

    def _forget(self, token: str) -> None:
        del self._users[token]
        self._deadlines.pop(token, None)
