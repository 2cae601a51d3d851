"""Directed histories of log replication: each makes one fix of the library necessary (F2-F10)."""

import pytest

from kvstore.base.errors import Diverged, ProtocolError
from kvstore.base.ids import LogIndex, MemberId, Term
from kvstore.base.limits import Limits
from kvstore.raft import peer_message as wire
from kvstore.raft.consensus import Entry, EntryKind
from tests.support.raft_lab import Lab

ONE, TWO, THREE = MemberId(1), MemberId(2), MemberId(3)


def appends(lab: Lab, sender: int, receiver: int) -> list[wire.Append]:
    decoded = [wire.decode(message) for message in lab.queue(sender, receiver)]
    return [message for message in decoded if isinstance(message, wire.Append)]


def entries_under_way(lab: Lab, sender: int, receiver: int) -> int:
    return sum(len(append.entries) for append in appends(lab, sender, receiver))


def led(members: int = 3, **limits: int) -> Lab:
    """A settled cluster led by member 1."""
    lab = Lab(members, limits=Limits(**limits))
    lab.elect(1)
    lab.settle()
    return lab


def divergent() -> Lab:
    """Member 2 led once and has two entries that nobody else has; member 1 leads now."""
    lab = Lab(3, limits=Limits(peer_frame_bytes_max=1))
    lab.elect(2)
    lab.settle()
    lab.put(2, "bad 1", "bad 2")
    lab.lose(2, 1, 3)
    lab.elect(1, voters=[3])
    return lab


def test_f02_a_follower_acknowledges_only_what_its_disk_has() -> None:
    lab = led()
    lab.syncs = False
    lab.put(1, "x")
    index = lab[1].engine.last_index
    lab.flow(1, 2)
    lab.flow(2, 1)
    assert lab[2].engine.last_index == index
    assert lab[1].engine.match_index(TWO) < index
    lab[2].sync()
    lab.flow(2, 1)
    assert lab[1].engine.match_index(TWO) == index


def test_f03_a_single_member_commits_only_what_its_disk_has() -> None:
    lab = Lab(1)
    lab.turn(1)
    lab.syncs = False
    lab.put(1, "x")
    lab.turn(1)
    assert lab[1].commands == []
    lab[1].sync()
    lab.turn(1)
    assert lab[1].commands == [b"x"]


def test_f03_a_leader_does_not_count_its_own_log_before_its_disk_has_it() -> None:
    lab = led(5)
    lab.syncs = False
    lab.put(1, "x")
    for follower in (2, 3):
        lab.flow(1, follower)
        lab[follower].sync()
        lab.flow(follower, 1)
    assert b"x" not in lab[1].commands, "on two disks of five"
    lab[1].sync()
    lab.turn(1)
    assert b"x" in lab[1].commands


def test_f04_an_acknowledgement_of_an_earlier_term_counts_nothing() -> None:
    lab = led()
    before = lab[1].engine.term
    lab.elect(2)
    lab.settle()
    lab.elect(1)
    lab.put(1, "x")
    lab.lose(1, 2, 3)
    lab.say(2, 1, wire.Ack(before, lab[1].engine.last_index))
    lab.turn(1)
    assert b"x" not in lab[1].commands


def test_f05_an_acknowledgement_of_a_stranger_counts_nothing() -> None:
    lab = led()
    lab.put(1, "x")
    lab.say(9, 1, wire.Ack(lab[1].engine.term, lab[1].engine.last_index))
    lab.turn(1)
    assert b"x" not in lab[1].commands


def test_an_acknowledgement_of_what_was_never_sent_is_refused() -> None:
    lab = led()
    with pytest.raises(ProtocolError, match="never sent"):
        lab.say(2, 1, wire.Ack(lab[1].engine.term, LogIndex(1000)))


def test_f06_an_older_append_does_not_take_back_what_a_newer_one_brought() -> None:
    lab = led(peer_frame_bytes_max=1)
    lab.put(1, "a", "b", "c")
    old = lab.queue(1, 2)[0]
    lab.flow(1, 2)
    assert lab[2].log_commands == [b"a", b"b", b"c"]
    lab[2].engine.receive(ONE, old)
    assert lab[2].log_commands == [b"a", b"b", b"c"]


def test_f06_a_leader_that_contradicts_a_committed_entry_stops_the_member() -> None:
    lab = led()
    lab.put(1, "committed")
    lab.settle()
    journal = lab[2].journal
    term = Term(lab[2].engine.term + 1)
    index = lab[2].engine.commit_index
    previous = LogIndex(index - 1)
    previous_term = journal.term_at(previous)
    assert previous_term is not None
    forged = Entry(index, term, EntryKind.COMMAND, b"other")
    with pytest.raises(Diverged):
        lab.say(3, 2, wire.Append(term, index, 1, previous, previous_term, [forged]))
    with pytest.raises(Diverged):
        lab.say(3, 2, wire.Append(term, index, 1, index, term, []))


def test_f07_a_stale_tail_is_not_committed_by_a_leaders_higher_commit_index() -> None:
    lab = divergent()
    lab.put(1, "good 1", "good 2", "good 3")
    lab.lose(1, 2)
    lab.settle([1, 3])
    lab.lose(1, 2)
    # A heartbeat at the last position that is equal in both logs.
    common = LogIndex(2)
    common_term = lab[1].journal.term_at(common)
    assert common_term is not None
    commit = lab[1].engine.commit_index
    lab.say(1, 2, wire.Append(lab[1].engine.term, commit, 99, common, common_term, []))
    lab.turn(2)
    assert lab[2].commands == []
    assert lab[2].engine.commit_index <= common


def test_f08_an_acknowledgement_does_not_make_the_leader_send_again() -> None:
    lab = led(peer_frame_bytes_max=1)
    lab.put(1, *[f"v{number}" for number in range(9)])
    assert entries_under_way(lab, 1, 2) == 9
    lab.flow(1, 2, count=1)
    lab.flow(2, 1)
    assert entries_under_way(lab, 1, 2) == 8


@pytest.mark.parametrize("message_bytes", [1, 1 << 16])
def test_f08_a_conflict_with_a_backlog_converges(message_bytes: int) -> None:
    lab = divergent()
    for command in range(40):
        lab.put(1, f"good {command}")
    lab.lose(1, 2)
    lab.lose(2, 1)
    lab.settle(periods=3)
    assert lab[2].log_commands == lab[1].log_commands


def test_f08_a_conflict_of_many_entries_takes_few_round_trips() -> None:
    lab = Lab(3)
    lab.elect(2)
    lab.settle()
    lab.put(2, *[f"bad {number}" for number in range(300)])
    lab.lose(2, 1, 3)
    lab.elect(1, voters=[3])
    lab.put(1, *[f"good {number}" for number in range(400)])
    lab.settle([1, 3])
    # Elected again, it begins to send at the end of its log.
    lab.say(3, 1, wire.StaleTerm(Term(lab[1].engine.term + 1)))
    lab.elect(1, voters=[3])
    trips = 0
    while lab[2].log_commands != lab[1].log_commands:
        trips += 1
        assert trips < 10
        lab.pass_time(0.11)
        lab.turn(1)
        lab.flow(1, 2)
        lab.flow(2, 1)


def test_f08_a_lost_message_is_noticed_by_the_next_heartbeat() -> None:
    lab = led()
    lab.put(1, "lost")
    lab.lose(1, 2)
    lab.settle(periods=2)
    assert lab[2].commands == [b"lost"]


def test_f09_what_is_in_flight_stays_within_the_window() -> None:
    lab = led(peer_frame_bytes_max=1000, peer_window_bytes=5000)
    lab.put(1, *["." * 900 for _ in range(50)])
    assert 5 <= entries_under_way(lab, 1, 2) <= 6
    lab.settle(periods=8)
    assert len(lab[2].commands) == 50


def behind() -> Lab:
    """Member 2 missed entries that the leader has compacted away."""
    lab = led()
    lab[1].engine.peer_disconnected(TWO)
    lab.put(1, "a", "b", "c")
    lab.settle([1, 3])
    lab[1].engine.compact(lab[1].engine.applied_index)
    lab[1].engine.peer_connected(TWO)
    return lab


def test_f09_a_peer_that_needs_a_snapshot_gets_one_message_a_heartbeat() -> None:
    lab = behind()
    lab.settle(periods=2)
    lab.lose(1, 2)
    for _ in range(10):
        lab.turn(1)
    lab.pass_time(0.11)
    lab.turn(1)
    assert len(lab.queue(1, 2)) == 1
    assert TWO in lab[1].snapshots_wanted


def test_f10_a_peer_that_waits_for_a_snapshot_keeps_the_leader_its_quorum() -> None:
    lab = behind()
    term = lab[1].engine.term
    lab[1].engine.peer_disconnected(THREE)
    lab[3].engine.peer_disconnected(ONE)
    lab.settle([1, 2], periods=30)
    assert lab[1].leads
    assert lab[1].engine.term == term


def test_f10_a_snapshot_older_than_the_log_is_ignored() -> None:
    lab = led()
    lab.put(1, "a", "b", "c")
    lab.settle()
    engine, journal = lab[2].engine, lab[2].journal
    before = journal.last_index
    index = LogIndex(before - 1)
    term = journal.term_at(index)
    assert term is not None
    assert not engine.install_snapshot(index, term, lab.first, generation=2)
    assert (journal.first_index, journal.last_index) == (1, before)
    assert engine.applied_index == before


def test_f10_a_snapshot_that_the_log_contains_only_moves_the_commit_index() -> None:
    lab = led()
    lab.put(1, "a", "b")
    lab.flow(1, 2)
    engine = lab[2].engine
    assert not engine.install_snapshot(engine.last_index, engine.term, lab.first, generation=2)
    lab.turn(2)
    assert lab[2].commands == [b"a", b"b"]


def test_f10_after_a_snapshot_replication_goes_on_from_there() -> None:
    lab = behind()
    lab.settle(periods=2)
    leader = lab[1].engine
    term = lab[1].journal.term_at(leader.applied_index)
    assert term is not None
    assert lab[2].engine.install_snapshot(leader.applied_index, term, lab.first, generation=2)
    assert lab[2].image.base.generation == 2
    lab.put(1, "after")
    lab.settle(periods=3)
    assert lab[2].commands == [b"after"]


def test_f20_a_large_entry_travels_whole() -> None:
    lab = led(peer_frame_bytes_max=1000)
    lab.put(1, "x" * 3_000_000)
    lab.settle(periods=2)
    assert [len(command) for command in lab[3].commands] == [3_000_000]
