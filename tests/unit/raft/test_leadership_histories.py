"""Directed histories of terms, membership, reads: each makes a fix necessary (F1, F5, F11-F22)."""

from collections.abc import Sequence
from random import Random

import pytest

from kvstore.base.errors import (
    BadLeaderTransferee,
    CorruptKeyspace,
    NotLeader,
    ReadLeaderChanged,
    ReadTimedOut,
    RpcError,
    TooManyRequests,
)
from kvstore.base.ids import LogIndex, MemberId, Term
from kvstore.raft import peer_message as wire
from kvstore.raft.consensus import Entry, Membership, Role
from kvstore.raft.journal import Applied
from tests.support.raft_lab import Lab

ONE, TWO, THREE, FOUR, FIVE = (MemberId(number) for number in range(1, 6))


class LosesAll(Random):
    """Dice that let nothing survive that was not synced."""

    def randint(self, a: int, b: int) -> int:
        return a


def led(members: int = 3) -> Lab:
    lab = Lab(members)
    lab.elect(1)
    lab.settle()
    return lab


def restarted(lab: Lab, member: int) -> None:
    """Cut a member's power, losing all that was not synced, and start it again."""
    lab[member].log.crash(LosesAll(0))
    lab.start(MemberId(member), lab[member].image)
    lab.link(MemberId(member))


def read_pings(lab: Lab, leader: int, voter: int) -> list[wire.ReadPing]:
    """What of a ReadIndex round is under way to a voter."""
    return [
        decoded
        for message in lab.queue(leader, voter)
        if isinstance(decoded := wire.decode(message), wire.ReadPing)
    ]


def cut(lab: Lab, one: int, *others: int) -> None:
    for other in others:
        lab[one].engine.peer_disconnected(MemberId(other))
        lab[other].engine.peer_disconnected(MemberId(one))
        lab.lose(one, other)
        lab.lose(other, one)


# --- F1, F5: votes


def test_f01_a_vote_survives_a_power_cut_right_after_it() -> None:
    lab = Lab(3, syncs=False)
    lab.say(1, 2, wire.VoteRequest(Term(5), LogIndex(9), Term(4)))
    assert [wire.decode(message) for message in lab.queue(2, 1)] == [wire.Vote(Term(5))]
    restarted(lab, 2)
    lab.say(3, 2, wire.VoteRequest(Term(5), LogIndex(9), Term(4)))
    assert not lab.queue(2, 3), "the vote of term 5 is spent"


def test_f01_a_term_survives_a_power_cut_right_after_its_campaign() -> None:
    lab = Lab(3, syncs=False)
    lab.pass_time(3)
    lab.turn(1)
    lab.flow(1, 2)
    lab.flow(2, 1)
    asked = [wire.decode(message) for message in lab.queue(1, 2)]
    (request,) = [message for message in asked if isinstance(message, wire.VoteRequest)]
    restarted(lab, 1)
    assert lab[1].engine.term == request.term, "it may have been elected in this term"
    lab.say(3, 1, wire.VoteRequest(request.term, LogIndex(9), Term(4)))
    granted = [wire.decode(message) for message in lab.queue(1, 3)]
    assert not any(isinstance(message, wire.Vote) for message in granted), "its vote is its own"


def candidate(members: int) -> Lab:
    """Member 1 campaigns, and has heard nothing yet."""
    lab = Lab(members)
    lab.pass_time(3)
    lab.turn(1)
    for voter in range(2, members + 1):
        lab.flow(1, voter)
        lab[1].engine.receive(MemberId(voter), lab.queue(voter, 1).popleft())
    lab.turn(1)
    assert lab[1].engine.role is Role.CANDIDATE
    return lab


def test_f05_a_vote_repeated_is_no_second_vote() -> None:
    lab = candidate(5)
    vote = wire.Vote(lab[1].engine.term)
    lab.say(2, 1, vote)
    lab.say(2, 1, vote)
    assert not lab[1].leads
    lab.say(3, 1, vote)
    assert lab[1].leads


def test_f05_a_strangers_vote_counts_nothing() -> None:
    lab = candidate(3)
    lab.say(9, 1, wire.Vote(lab[1].engine.term))
    assert not lab[1].leads


# --- F11, F12, F22: membership


def with_learner(lab: Lab) -> Membership:
    return Membership(voters=lab.first.voters, learners=frozenset({FOUR}))


def test_f11_a_membership_is_in_force_as_soon_as_it_is_in_the_log() -> None:
    lab = led()
    lab[1].engine.propose_membership(with_learner(lab))
    lab.turn(1)
    lab.flow(1, 2)
    assert lab[2].engine.membership == with_learner(lab)


def test_f11_an_uncommitted_membership_is_in_force_after_a_restart() -> None:
    lab = led()
    lab[1].engine.propose_membership(with_learner(lab))
    lab.turn(1)
    lab.flow(1, 2)
    restarted(lab, 2)
    assert lab[2].engine.membership == with_learner(lab)


def test_f11_a_membership_leaves_with_its_entry() -> None:
    lab = led()
    lab[1].engine.propose_membership(with_learner(lab))
    lab.turn(1)
    lab.lose(1, 2, 3)
    lab.elect(2, voters=[3])
    lab.put(2, "instead")
    lab.settle()
    assert lab[1].engine.membership == lab.first
    assert lab[1].engine.other_voters == (TWO, THREE)


def test_f11_a_joiner_learns_who_takes_part_from_the_log() -> None:
    lab = led()
    joiner = lab.join(4)
    assert joiner.engine.membership == Membership()
    lab[1].engine.propose_membership(with_learner(lab))
    lab.settle()
    assert joiner.engine.membership == with_learner(lab)
    lab.pass_time(60)
    joiner.turn()
    assert joiner.engine.term == lab[1].engine.term, "a learner does not campaign"


def test_f12_a_change_waits_for_the_one_before() -> None:
    lab = led()
    more = Membership(voters=lab.first.voters | {FOUR})
    lab[1].engine.propose_membership(more)
    with pytest.raises(TooManyRequests):
        lab[1].engine.propose_membership(Membership(voters=more.voters | {FIVE}))


def test_f12_a_change_waits_for_an_entry_of_the_leaders_own_term() -> None:
    lab = Lab(3)
    lab.elect(1)
    with pytest.raises(TooManyRequests):
        lab[1].engine.propose_membership(with_learner(lab))
    lab.settle()
    lab[1].engine.propose_membership(with_learner(lab))


def test_f22_a_leader_hands_over_before_it_is_removed() -> None:
    lab = led()
    without_me = Membership(voters=frozenset({TWO, THREE}), removed=frozenset({ONE}))
    with pytest.raises(NotLeader):
        lab[1].engine.propose_membership(without_me)
    lab.settle(periods=2)
    successor = next(lab[member] for member in (2, 3) if lab[member].leads)
    successor.engine.propose_membership(without_me)
    lab.settle([2, 3])
    assert successor.engine.commit_index == successor.engine.last_index


def test_f22_a_member_that_is_gone_counts_for_nothing() -> None:
    lab = led()
    lab[1].engine.propose_membership(
        Membership(voters=frozenset({ONE, TWO}), removed=frozenset({THREE}))
    )
    lab.settle([1, 2])
    lab.put(1, "x")
    lab.say(3, 1, wire.Ack(lab[1].engine.term, lab[1].engine.last_index))
    lab.turn(1)
    assert b"x" not in lab[1].commands


# --- F13, F14: who leads


def test_f13_a_member_that_was_cut_off_deposes_nobody() -> None:
    lab = led()
    term = lab[1].engine.term
    cut(lab, 3, 1, 2)
    for _ in range(30):
        lab.settle([1, 2], periods=1)
        lab.turn(3)
    lab.link(THREE)
    lab.settle()
    assert lab[1].leads
    assert lab[1].engine.term == term


def test_f13_no_pre_vote_is_granted_while_a_leader_is_heard() -> None:
    lab = led()
    last = lab[2].journal
    lab.say(3, 2, wire.PreVoteRequest(lab[2].engine.term, last.last_index, last.last_term))
    assert wire.decode(lab.queue(2, 3)[-1]) == wire.PreVote(
        lab[2].engine.term, lab[2].engine.term, granted=False
    )


def test_f14_a_stale_leader_is_told_and_steps_down() -> None:
    lab = led()
    old = lab[1].engine.term
    cut(lab, 1, 2, 3)
    lab.elect(2, voters=[3])
    lab.settle([2, 3])
    lab.link(ONE)
    assert lab[1].leads, "it has heard of nothing"
    lab.say(1, 3, wire.Append(old, LogIndex(1), 1, LogIndex(1), Term(0), []))
    answer = lab.queue(3, 1)[-1]
    assert wire.decode(answer) == wire.StaleTerm(lab[2].engine.term)
    lab[1].engine.receive(THREE, answer)
    assert not lab[1].leads
    assert lab[1].engine.term == lab[2].engine.term


def test_f14_a_member_of_a_higher_term_is_not_left_out() -> None:
    lab = led()
    lab.say(9, 3, wire.StaleTerm(Term(50)))
    lab.settle(periods=40)
    leaders = [member for member in lab.members.values() if member.leads]
    assert len(leaders) == 1
    assert {member.engine.term for member in lab.members.values()} == {leaders[0].engine.term}


def test_f14_a_leader_without_a_quorum_steps_down() -> None:
    lab = led()
    cut(lab, 1, 2, 3)
    for _ in range(12):
        lab.pass_time(0.1)
        lab.turn(1)
    assert not lab[1].leads
    assert lab[1].engine.leader is None


# --- F15: reads


class Reads:
    def __init__(self) -> None:
        self.outcomes: list[LogIndex | RpcError] = []

    def __call__(self, outcome: LogIndex | RpcError) -> None:
        self.outcomes.append(outcome)


def test_f15_an_isolated_leader_answers_no_read() -> None:
    lab = led()
    reads = Reads()
    lab.queue(1, 2).clear()
    lab[1].engine.read_index(reads)
    lab.turn(1)
    lab.lose(1, 2, 3)
    assert reads.outcomes == []
    lab.elect(2, voters=[3])
    lab.link(ONE)
    lab.settle()
    assert [type(outcome) for outcome in reads.outcomes] == [ReadLeaderChanged]


def test_f15_a_read_is_answered_once_a_majority_confirms() -> None:
    lab = led(5)
    lab.put(1, "x")
    lab.settle()
    reads = Reads()
    lab[1].engine.read_index(reads)
    lab.turn(1)
    lab.flow(1, 2)
    lab.flow(2, 1)
    assert reads.outcomes == []
    lab.flow(1, 3)
    lab.flow(3, 1)
    assert reads.outcomes == [lab[1].engine.commit_index]


def test_a_round_first_asks_no_more_members_than_a_majority_needs() -> None:
    lab = led(5)
    lab[1].engine.read_index(Reads())
    lab.turn(1)
    assert [len(read_pings(lab, 1, voter)) for voter in (2, 3, 4, 5)] == [1, 1, 0, 0]


def test_a_round_without_an_answer_asks_everybody() -> None:
    lab = led()
    reads = Reads()
    lab[1].engine.read_index(reads)
    lab.turn(1)
    lab.lose(1, 2, 3)
    lab.pass_time(lab[1].engine.timing.heartbeat_s / 2)
    lab.turn(1)
    assert [len(read_pings(lab, 1, voter)) for voter in (2, 3)] == [1, 1]
    lab.flow(1, 3)
    lab.flow(3, 1)
    assert len(reads.outcomes) == 1


def test_a_round_after_a_slow_answer_asks_another_member() -> None:
    lab = led()
    lab[1].engine.read_index(Reads())
    lab.turn(1)
    lab.pass_time(0.01)
    lab.flow(1, 2)
    lab.flow(2, 1)
    lab[1].engine.read_index(Reads())
    lab.turn(1)
    assert [len(read_pings(lab, 1, voter)) for voter in (2, 3)] == [0, 1]


def test_a_round_asks_whom_it_can_reach() -> None:
    lab = led()
    cut(lab, 1, 2)
    lab[1].engine.read_index(Reads())
    lab.turn(1)
    assert [len(read_pings(lab, 1, voter)) for voter in (2, 3)] == [0, 1]


def test_f15_a_read_index_is_one_that_the_leaders_own_disk_has() -> None:
    lab = led()
    lab.syncs = False
    lab.put(1, "x")
    for follower in (2, 3):
        lab.flow(1, follower)
        lab[follower].sync()
        lab.turn(follower)
        lab.flow(follower, 1)
    leader = lab[1]
    assert leader.journal.durable_index < leader.journal.last_index
    assert leader.engine.committed == leader.journal.last_index, "the followers have it"
    reads = Reads()
    leader.engine.read_index(reads)
    lab.turn(1)
    lab.flow(1, 2)
    lab.flow(2, 1)
    assert reads.outcomes == [leader.journal.durable_index]


def test_f15_the_index_is_the_one_at_the_start_of_the_round() -> None:
    lab = led()
    lab.put(1, "before")
    lab.settle()
    at_start = lab[1].engine.commit_index
    reads = Reads()
    lab[1].engine.read_index(reads)
    lab.turn(1)
    lab.put(1, "later")
    lab.settle(periods=1)
    assert lab[1].engine.commit_index > at_start
    assert reads.outcomes == [at_start]


def test_f15_a_pong_of_an_earlier_term_is_void() -> None:
    lab = led()
    reads = Reads()
    lab[1].engine.read_index(reads)
    lab.turn(1)
    (ping,) = read_pings(lab, 1, 2)
    lab.say(2, 1, wire.ReadPong(Term(ping.term - 1), ping.round))
    assert reads.outcomes == []
    lab.say(2, 1, wire.ReadPong(ping.term, ping.round))
    assert len(reads.outcomes) == 1


def test_f15_only_current_voters_confirm_a_round() -> None:
    lab = led(5)
    reads = Reads()
    lab[1].engine.read_index(reads)
    lab.turn(1)
    (ping,) = read_pings(lab, 1, 2)
    for stranger in (8, 9):
        lab.say(stranger, 1, wire.ReadPong(ping.term, ping.round))
    assert reads.outcomes == []


def test_f15_a_pong_of_a_member_that_has_left_since_is_worth_nothing() -> None:
    lab = led(5)
    reads = Reads()
    lab[1].engine.read_index(reads)
    lab.turn(1)
    (ping,) = read_pings(lab, 1, 2)
    lab.say(5, 1, wire.ReadPong(ping.term, ping.round))
    lab[1].engine.propose_membership(
        Membership(voters=frozenset({ONE, TWO, THREE, FOUR}), removed=frozenset({FIVE}))
    )
    lab.flow(1, 2)
    lab.flow(2, 1)
    assert reads.outcomes == [], "two of four voters are no majority"
    lab.flow(1, 3)
    lab.flow(3, 1)
    assert len(reads.outcomes) == 1


def test_f15_an_answer_to_an_earlier_round_is_void() -> None:
    lab = led()
    first, second = Reads(), Reads()
    lab[1].engine.read_index(first)
    lab.turn(1)
    lab.flow(1, 2)
    answer = lab.queue(2, 1)[-1]
    lab.flow(2, 1)
    lab.lose(1, 2, 3)
    lab[1].engine.read_index(second)
    lab.turn(1)
    lab[1].engine.receive(TWO, answer)
    assert (len(first.outcomes), second.outcomes) == (1, [])


def test_f15_a_new_leader_answers_only_after_an_entry_of_its_term_is_committed() -> None:
    lab = Lab(3)
    lab.elect(1, voters=[2])
    reads = Reads()
    lab[1].engine.read_index(reads)
    lab.turn(1)
    assert not any(isinstance(wire.decode(message), wire.ReadPing) for message in lab.queue(1, 3))
    lab.settle(periods=2)
    assert reads.outcomes == [lab[1].journal.last_index]


def test_f15_a_follower_asks_its_leader_and_asks_again() -> None:
    lab = led()
    reads = Reads()
    lab[3].engine.read_index(reads)
    lab[3].engine.read_index(reads)
    lab.turn(3)
    assert len(lab.queue(3, 1)) == 1, "one question for all that wait"
    lab.lose(3, 1)
    lab.settle(periods=8)
    assert reads.outcomes == [lab[1].engine.commit_index] * 2


def test_f15_a_read_that_nobody_can_answer_is_given_up() -> None:
    lab = led()
    cut(lab, 3, 1, 2)
    reads = Reads()
    lab[3].engine.read_index(reads)
    for _ in range(80):
        lab.pass_time(0.1)
        lab.turn(3)
    assert len(reads.outcomes) == 1
    assert isinstance(reads.outcomes[0], ReadLeaderChanged | ReadTimedOut)


def test_f15_a_single_member_needs_nobody() -> None:
    lab = Lab(1)
    lab.turn(1)
    reads = Reads()
    lab[1].engine.read_index(reads)
    lab.turn(1)
    assert reads.outcomes == [2]


# --- F16, F18, F19: proposals, apply, start


def test_f16_a_follower_forwards_nothing() -> None:
    lab = led()
    with pytest.raises(NotLeader):
        lab[2].engine.propose(b"x")
    assert not lab.queue(2, 1)


def test_f18_what_failed_to_apply_is_not_applied_again() -> None:
    lab = led()
    calls: list[int] = []

    def fail(entries: Sequence[Entry]) -> None:
        calls.append(len(entries))
        raise OSError("disk")

    lab[1].on_apply = fail
    lab.put(1, "x")
    lab.flow(1, 2)
    with pytest.raises(OSError, match="disk"):
        lab.flow(2, 1)
    with pytest.raises(AssertionError, match="earlier apply failed"):
        lab.turn(1)
    assert len(calls) == 1


def test_f19_a_keyspace_ahead_of_the_log_resets_it() -> None:
    lab = led()
    journal = lab[2].journal
    journal.agree_with(Applied(LogIndex(90), Term(7), lab.first, 3))
    assert (journal.first_index, journal.last_index, journal.last_term) == (90, 90, 7)
    assert lab[2].image.base.generation == 3


def test_f19_a_log_that_begins_after_the_keyspace_is_refused() -> None:
    lab = led()
    journal = lab[2].journal
    journal.reset(LogIndex(90), Term(7), lab.first, generation=3)
    with pytest.raises(CorruptKeyspace, match="applied up to 5"):
        journal.agree_with(Applied(LogIndex(5), Term(1), lab.first, 2))


def test_f19_what_was_not_known_applied_is_not_trusted_as_committed() -> None:
    lab = led()
    lab.put(1, "x")
    lab.flow(1, 2)
    restarted(lab, 2)
    assert lab[2].engine.commit_index == 1
    lab[2].turn()
    assert lab[2].commands == []


# --- F21: transfer


def test_f21_leadership_is_handed_over_under_load() -> None:
    lab = led()
    lab.put(1, "in flight")
    lab[1].engine.transfer_leadership(THREE)
    with pytest.raises(NotLeader):
        lab[1].engine.propose(b"late")
    lab.settle(periods=1)
    assert lab[3].leads
    assert lab[3].commands == [b"in flight"]


def test_f21_a_handover_that_does_not_succeed_is_given_up() -> None:
    lab = led()
    cut(lab, 1, 3)
    lab[1].engine.transfer_leadership(THREE)
    lab.settle([1, 2], periods=12)
    assert lab[1].leads
    lab.put(1, "again")


def test_f21_there_must_be_another_voter() -> None:
    lab = led()
    with pytest.raises(BadLeaderTransferee):
        lab[1].engine.transfer_leadership(FIVE)
    with pytest.raises(NotLeader):
        lab[2].engine.transfer_leadership(ONE)
