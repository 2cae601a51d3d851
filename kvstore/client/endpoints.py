"""Where calls go, and what to do when one fails: pure decisions, no I/O.

`Rotation` is shared by all calls of a client: it stays with the endpoint that works and moves on
when one fails. `Attempts` is the life of one call. The rules are those of etcd's Go client, but
stricter: a call that may have changed something is repeated only if it was never sent, or if the
server refused it before looking at it (a stale token).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from kvstore.base import errors
from kvstore.base.errors import Code
from kvstore.client.calls import Effect
from kvstore.client.errors import Failed, error_of, token_is_stale, was_never_sent

PAUSE_S_MIN = 0.025
PAUSE_S_MAX = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """How to trust the servers, and who we are to them. Everything is PEM."""

    ca: bytes | None = None
    """None: the authorities that grpcio ships with."""
    certificate: bytes | None = None
    key: bytes | None = None
    server_name: str | None = None
    """The name to find in the server's certificate, if it is not the endpoint's host."""
    verifies: bool = True
    """False: take every server at its word (`kvstore.client.unverified`); blocking client only."""

    @classmethod
    def from_files(
        cls,
        *,
        ca: Path | str | None = None,
        certificate: Path | str | None = None,
        key: Path | str | None = None,
        server_name: str | None = None,
        verifies: bool = True,
    ) -> Self:
        """Read the PEM files now."""
        return cls(
            ca=Path(ca).read_bytes() if ca else None,
            certificate=Path(certificate).read_bytes() if certificate else None,
            key=Path(key).read_bytes() if key else None,
            server_name=server_name,
            verifies=verifies,
        )


@dataclass(frozen=True, slots=True)
class Endpoint:
    name: str
    """As the caller wrote it."""
    target: str
    """As grpcio wants it."""
    is_tls: bool

    @classmethod
    def parse(cls, text: str, *, tls: bool) -> Self:
        """Read `host:port`, `http://…`, `https://…`, `unix:…`; `tls` decides if no scheme does.

        Raises:
            ValueError: it is none of these.
        """
        scheme, separator, rest = text.partition("://")
        if not separator:
            if not text:
                raise ValueError("an endpoint is empty")
            return cls(text, text, tls)
        if scheme in {"unix", "unixs"}:
            return cls(text, f"unix:{rest}", scheme == "unixs")
        if scheme not in {"http", "https"} or not rest.strip("/"):
            raise ValueError(f"not an endpoint: {text!r}")
        return cls(text, rest.rstrip("/"), scheme == "https")


def split_endpoints(endpoints: str | Sequence[str]) -> Sequence[str]:
    """Return the endpoints of a list, or of a text with commas between them."""
    return endpoints.split(",") if isinstance(endpoints, str) else endpoints


class Rotation:
    """Which endpoint the next call goes to: the same for all, until it fails."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        if not endpoints:
            raise ValueError("a client needs at least one endpoint")
        self.endpoints = tuple(endpoints)
        self._index = 0

    @property
    def current(self) -> Endpoint:
        """The endpoint in use."""
        return self.endpoints[self._index]

    def leave(self, failed: Endpoint) -> None:
        """Move on from `failed`, unless another call has done so already."""
        if self.current is failed:
            self._index = (self._index + 1) % len(self.endpoints)


class Attempts:
    """One call, from its first attempt to its answer, its error or its deadline."""

    def __init__(self, effect: Effect, rotation: Rotation, *, now: float, timeout_s: float) -> None:
        self.endpoint = rotation.current
        self.needs_token = False
        self._effect = effect
        self._rotation = rotation
        self._deadline = now + timeout_s
        self._failures = 0
        self._token_was_renewed = False

    def remaining_s(self, now: float) -> float:
        """Return how long the next attempt may take; never 0, which grpcio takes for unlimited."""
        return max(self._deadline - now, 0.001)

    def failed(self, code: Code, text: str, *, now: float) -> float:
        """Return the seconds to wait before the next attempt.

        Raises:
            RpcError: there is none; what it means is said in `kvstore.client.errors`.
        """
        error = error_of(code, text, is_write=self._effect is Effect.ONCE)
        if token_is_stale(text) and not self._token_was_renewed:
            self.needs_token = self._token_was_renewed = True
            return 0.0
        if not self._may_repeat(error, code, text):
            if code is Code.UNAVAILABLE:
                self._rotation.leave(self.endpoint)
            raise error
        self._rotation.leave(self.endpoint)
        self.endpoint = self._rotation.current
        self._failures += 1
        rounds = self._failures // len(self._rotation.endpoints)
        pause_s = _pause_s(rounds)
        if now + pause_s >= self._deadline:
            raise error
        return pause_s

    def _may_repeat(self, error: errors.RpcError, code: Code, text: str) -> bool:
        if was_never_sent(code, text):
            return True
        if isinstance(error, errors.LearnerRefused):
            return len(self._rotation.endpoints) > 1
        return (
            self._effect is Effect.NONE
            and isinstance(error, Failed | errors.Unavailable)
            and (code is Code.UNAVAILABLE)
        )


class Reconnection:
    """The life of a stream that is opened again, on another endpoint, whenever it breaks."""

    def __init__(self, rotation: Rotation) -> None:
        self.endpoint = rotation.current
        self.needs_token = False
        self._rotation = rotation
        self._failures = 0
        self._token_was_renewed = False

    def opened(self) -> None:
        """Note that the stream works; pauses start small again."""
        self._failures = 0
        self._token_was_renewed = False

    def failed(self, code: Code, text: str) -> float:
        """Return the seconds to wait before the stream is opened again.

        Raises:
            RequestRefused: another endpoint would say the same.
        """
        if token_is_stale(text) and not self._token_was_renewed:
            self.needs_token = self._token_was_renewed = True
            return 0.0
        error = error_of(code, text, is_write=False)
        if isinstance(error, errors.RequestRefused) and not isinstance(
            error, errors.LearnerRefused
        ):
            raise error
        self._rotation.leave(self.endpoint)
        self.endpoint = self._rotation.current
        self._failures += 1
        rounds = self._failures // len(self._rotation.endpoints)
        return _pause_s(rounds)


def _pause_s(rounds: int) -> float:
    """Return the pause after every endpoint has failed `rounds` times."""
    return min(PAUSE_S_MIN * 2 ** (rounds - 1), PAUSE_S_MAX) if rounds else 0.0
