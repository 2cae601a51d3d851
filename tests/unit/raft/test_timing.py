"""kvstore.raft.timing: what a member refuses to run with."""

import pytest

from kvstore.raft.timing import RaftTiming


@pytest.mark.parametrize(
    ("heartbeat_s", "election_s", "says"),
    [
        (0.0, 1.0, "--heartbeat-interval must be >0"),
        (0.1, 0.0, "--election-timeout must be >0"),
        (0.3, 1.0, "at least as 5 times"),
        (1.0, 60.0, "too long"),
    ],
)
def test_unusable_times_are_refused(heartbeat_s: float, election_s: float, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        RaftTiming(heartbeat_s=heartbeat_s, election_s=election_s)


def test_etcds_defaults_are_ours() -> None:
    assert (RaftTiming().heartbeat_s, RaftTiming().election_s) == (0.1, 1.0)
