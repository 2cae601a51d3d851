"""When to renew a lease, and when it must be taken for lost. No I/O; `now` is monotonic seconds."""

RENEWALS_PER_TTL = 3
RETRY_S = 0.5


class Renewal:
    """The client's view of one lease, never more hopeful than the server's.

    A renewal counts from the instant it was *sent*: the server's clock for it started later.
    """

    def __init__(self, ttl_s: int, *, granted_at: float) -> None:
        self.is_lost = False
        self._ttl_s = ttl_s
        self._deadline = granted_at + ttl_s
        self._next = granted_at + ttl_s / RENEWALS_PER_TTL

    def wait_s(self, now: float) -> float:
        """Return the seconds until the next renewal should be sent."""
        return max(self._next - now, 0.0)

    @property
    def attempt_timeout_s(self) -> float:
        """Seconds after which one renewal is given up, so that there is time for another."""
        return self._ttl_s / RENEWALS_PER_TTL

    def remaining_s(self, now: float) -> float:
        """Return the seconds for which the lease surely lives, if nothing is renewed."""
        return 0.0 if self.is_lost else max(self._deadline - now, 0.0)

    def renewed(self, ttl_s: int, *, sent_at: float) -> None:
        """Take the server's answer; a TTL of 0 means that the lease is gone."""
        if ttl_s <= 0:
            self.is_lost = True
            return
        self._ttl_s = ttl_s
        self._deadline = sent_at + ttl_s
        self._next = sent_at + ttl_s / RENEWALS_PER_TTL

    def failed(self, now: float) -> None:
        """Plan another attempt, or give the lease up once its last TTL is over."""
        self._next = now + RETRY_S
        if now >= self._deadline:
            self.is_lost = True
