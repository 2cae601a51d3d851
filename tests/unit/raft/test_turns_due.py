"""Which news is worth a turn: most acknowledgements only confirm what is known."""

from kvstore.base.limits import Limits
from tests.support.raft_lab import Lab


def taken(lab: Lab, sender: int) -> list[bool]:
    """Give the leader what `sender` answered; return whether a turn is due for each message."""
    queue = lab.queue(sender, 1)
    return [lab[1].engine.receive(lab.ids[sender - 1], queue.popleft()) for _ in range(len(queue))]


def led(limits: Limits | None = None) -> Lab:
    lab = Lab(3, limits=limits)
    lab.elect(1)
    lab.settle()
    return lab


def test_only_the_acknowledgement_that_commits_is_worth_a_turn() -> None:
    lab = led()
    lab.put(1, "x")
    for follower in (2, 3):
        lab.flow(1, follower)

    assert any(taken(lab, 2))
    lab[1].turn()
    assert lab[1].commands[-1] == b"x"
    assert not any(taken(lab, 3))


def test_an_acknowledgement_that_makes_room_for_more_is_worth_a_turn() -> None:
    lab = led(Limits(peer_frame_bytes_max=100, peer_window_bytes=100))
    lab.put(1, *("x" * 90 for _ in range(4)))
    for follower in (2, 3):
        lab.flow(1, follower)
    taken(lab, 2)
    lab[1].engine.apply()

    assert any(taken(lab, 3))
    lab[1].turn()
    assert lab.queue(1, 3)


def test_a_sync_that_commits_nothing_is_not_worth_a_turn() -> None:
    lab = Lab(3, syncs=False)
    lab.elect(1)
    lab.settle()
    for member in lab.members:
        lab[member].sync()
    lab.settle()
    lab.put(1, "x")
    lab[1].log.sync()

    assert not lab[1].engine.log_durable()
