"""What a peer may do how often before its connection is ended (ENHANCE_YOUR_CALM)."""

PING_STRIKES_MAX = 2
PING_WITHOUT_STREAM_INTERVAL_S = 7200.0
"""Pings with no stream open are not permitted: grpc-go counts those closer than two hours."""


class RateLimit:
    """Counts events in windows of one second."""

    __slots__ = ("_count", "_max", "_since")

    def __init__(self, per_second_max: int) -> None:
        self._max = per_second_max
        self._since = float("-inf")
        self._count = 0

    def is_exceeded(self, now: float) -> bool:
        """Count one event at `now`; whether that is one too many."""
        if now - self._since >= 1.0:
            self._since = now
            self._count = 0
        self._count += 1
        return self._count > self._max


class PingPolicy:
    """grpc-go's enforcement (internal/transport/http2_server.go handlePing).

    A ping too soon is a strike, and a response sent to the client forgives its strikes, so that
    pings which measure bandwidth while data flows are free.
    """

    __slots__ = ("_interval_min_s", "_last_ping", "_strikes")

    def __init__(self, interval_min_s: float) -> None:
        self._interval_min_s = interval_min_s
        self._last_ping = float("-inf")
        self._strikes = 0

    def is_violated(self, now: float, *, has_streams: bool, has_responded: bool) -> bool:
        """Judge a ping at `now`; whether the client must go.

        `has_responded`: HEADERS or DATA have been sent to it since the last ping.
        """
        since = now - self._last_ping
        self._last_ping = now
        if has_responded:
            self._strikes = 0
            return False
        interval_s = self._interval_min_s if has_streams else PING_WITHOUT_STREAM_INTERVAL_S
        if since < interval_s:
            self._strikes += 1
        return self._strikes > PING_STRIKES_MAX
