"""How fast an engine beats, and how long it waits."""

from dataclasses import dataclass

_ELECTION_HEARTBEATS_MIN = 5
_ELECTION_S_MAX = 50.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RaftTiming:
    """etcd's --heartbeat-interval and --election-timeout, in seconds.

    A follower campaigns after a random time of one to two election timeouts without its leader; a
    leader that hears from no majority for one election timeout steps down.
    """

    heartbeat_s: float = 0.1
    election_s: float = 1.0

    def __post_init__(self) -> None:
        if problem := self.problem():
            raise ValueError(problem)

    @property
    def read_retry_s(self) -> float:
        """A follower asks again for a read index after this long (etcd: 500 ms)."""
        return 5 * self.heartbeat_s

    @property
    def read_timeout_s(self) -> float:
        """A read index not found for this long is given up (etcd: 5 s + 2 election timeouts)."""
        return 5.0 + 2 * self.election_s

    def problem(self) -> str | None:
        """Return why a member cannot run with this, in etcd's words, or None."""
        heartbeat_ms, election_ms = self.heartbeat_s * 1000, self.election_s * 1000
        if heartbeat_ms <= 0:
            return f"--heartbeat-interval must be >0 (set to {heartbeat_ms:.0f}ms)"
        if election_ms <= 0:
            return f"--election-timeout must be >0 (set to {election_ms:.0f}ms)"
        if _ELECTION_HEARTBEATS_MIN * self.heartbeat_s > self.election_s:
            return (
                f"--election-timeout[{election_ms:.0f}ms] should be at least as 5 times as "
                f"--heartbeat-interval[{heartbeat_ms:.0f}ms]"
            )
        if self.election_s > _ELECTION_S_MAX:
            return (
                f"--election-timeout[{election_ms:.0f}ms] is too long, "
                f"and should be set less than {_ELECTION_S_MAX * 1000:.0f}ms"
            )
        return None
