"""When followers hear of a commit: with an append, at once if asked, by heartbeat at the latest."""

from kvstore.base.ids import LogIndex
from kvstore.raft import peer_message as wire
from kvstore.raft.consensus import EntryKind
from tests.support.raft_lab import Lab


def committed_by_two() -> Lab:
    """Member 1 leads, and has just heard that member 2 holds its newest entry too."""
    lab = Lab(3)
    lab.elect(1)
    lab.settle()
    lab.put(1, "x")
    lab.flow(1, 2)
    while lab.queue(2, 1):
        lab[1].engine.receive(lab.ids[1], lab.queue(2, 1).popleft())
    lab.lose(1, 2, 3)
    return lab


def commits_sent(lab: Lab, receiver: int) -> list[LogIndex]:
    decoded = [wire.decode(message) for message in lab.queue(1, receiver)]
    return [message.commit for message in decoded if isinstance(message, wire.Append)]


def test_a_commit_alone_is_not_worth_a_message_unless_the_member_says_so() -> None:
    lab = committed_by_two()

    lab[1].turn(announces_commit=False)
    assert commits_sent(lab, 2) == []
    lab[1].engine.announce_commit()
    lab[1].engine.announce_commit()

    assert commits_sent(lab, 2) == [lab[1].engine.commit_index]
    assert lab[1].engine.commit_index == lab[1].engine.last_index


def test_the_next_append_carries_the_commit() -> None:
    lab = committed_by_two()
    lab[1].turn(announces_commit=False)
    committed = lab[1].engine.commit_index

    lab[1].engine.propose(b"y")
    lab[1].turn(announces_commit=False)
    lab[1].engine.announce_commit()

    assert commits_sent(lab, 2) == [committed]


def test_a_heartbeat_carries_the_commit_if_nothing_else_did() -> None:
    lab = committed_by_two()
    lab[1].turn(announces_commit=False)

    lab.pass_time(0.11)
    lab[1].turn(announces_commit=False)

    assert commits_sent(lab, 2) == [lab[1].engine.commit_index]


def test_a_follower_that_reads_hears_of_the_commit_with_its_answer() -> None:
    """Its read waits for an index that it would learn to be committed a heartbeat later."""
    lab = committed_by_two()
    lab[1].turn(announces_commit=False)
    answers: list[object] = []
    lab[2].engine.read_index(answers.append)
    lab.turn(2)
    for _ in range(3):
        for sender, receiver in ((2, 1), (1, 2), (1, 3), (3, 1)):
            queue = lab.queue(sender, receiver)
            while queue:
                lab[receiver].engine.receive(lab.ids[sender - 1], queue.popleft())
            lab[receiver].turn(announces_commit=False)

    assert answers == [lab[1].engine.commit_index]
    assert lab[2].applied[-1].kind is EntryKind.COMMAND
    assert lab[2].commands == [b"x"]
