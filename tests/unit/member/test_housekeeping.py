from kvstore.base.limits import Limits
from kvstore.wire.pb import rpc_pb2
from tests.simulation.members.calls import Answer
from tests.simulation.members.machine import Machine
from tests.support.sim_member_lab import MemberLab

INTERVAL_S = 5.0
RETAINED = 10
PUTS = 40


def lab_of_one(**limits: int | float) -> tuple[MemberLab, Machine]:
    lab = MemberLab(
        1,
        Limits(
            wal_segment_bytes=16 * 1024,
            checkpoint_interval_s=INTERVAL_S,
            retained_entries=RETAINED,
            snapshot_entries=20,
            **limits,  # type: ignore[arg-type]  # a test's own choice of fields
        ),
    )
    return lab, lab.leader()


def put_many(lab: MemberLab, machine: Machine) -> None:
    for number in range(PUTS):
        lab.put(machine, b"k%d" % (number % 5), b"%d" % number)


def first_index(machine: Machine) -> int:
    """Return where the log begins that the machine would find at its next start."""
    return machine.journal.first_index


def test_the_log_is_trimmed_once_a_checkpoint_holds_it_but_for_a_tail() -> None:
    lab, machine = lab_of_one()
    put_many(lab, machine)
    assert first_index(machine) == 1
    lab.elapse(INTERVAL_S + 0.1)
    applied = machine.node.member.machine.applied.index
    assert first_index(machine) == applied - RETAINED


def test_the_log_waits_for_members_that_answer_but_not_for_those_that_do_not() -> None:
    limits = Limits(
        wal_segment_bytes=16 * 1024,
        checkpoint_interval_s=0.2,
        retained_entries=1,
        snapshot_entries=1,
    )
    lab = MemberLab(3, limits)
    leader, follower = lab.leader(), lab.follower()
    follower.hold_disk(4.0)  # it answers, and acknowledges nothing new
    put_many(lab, leader)
    lab.elapse(2.0)
    assert first_index(leader) < leader.node.member.machine.applied.index - PUTS // 2
    lab.elapse(4.0)
    lab.put(leader, b"k", b"v")
    lab.elapse(1.0)
    assert first_index(leader) > PUTS
    assert lab.oracle.counts["snapshot installed"] == 0
    lab.isolate(follower)
    before = first_index(leader)
    put_many(lab, leader)
    lab.elapse(2.0)
    assert first_index(leader) > before + PUTS // 2


def test_the_log_is_bounded_whoever_lags_and_who_needs_more_is_sent_a_snapshot() -> None:
    limits = Limits(
        wal_segment_bytes=4 * 1024,
        wal_retained_bytes_max=64 * 1024,
        checkpoint_interval_s=0.2,
        retained_entries=1_000_000,
        snapshot_entries=1,
    )
    lab = MemberLab(3, limits)
    leader, follower = lab.leader(), lab.follower()
    lab.isolate(follower)
    for _ in range(200):
        lab.put(leader, b"k", b"v" * 1000)
    lab.elapse(2.0)
    assert leader.node.housekeeping.log_bytes <= 64 * 1024
    lab.network.heal()
    lab.elapse(3.0)
    assert lab.oracle.counts["snapshot installed"] == 1


def test_nothing_is_trimmed_while_the_checkpoint_waits_for_the_disk() -> None:
    lab, machine = lab_of_one()
    put_many(lab, machine)
    machine.hold_disk(2 * INTERVAL_S)
    lab.elapse(INTERVAL_S + 1.0)
    assert first_index(machine) == 1
    lab.elapse(INTERVAL_S + 1.0)
    assert first_index(machine) > 1


def test_only_what_the_checkpoint_holds_is_trimmed_not_what_was_applied_meanwhile() -> None:
    lab, machine = lab_of_one()
    put_many(lab, machine)
    held = machine.node.member.machine.applied.index
    machine._disk_worker.held_until = lab.world.now + INTERVAL_S + 1.0
    lab.elapse(INTERVAL_S + 0.5)
    put_many(lab, machine)
    assert first_index(machine) == 1
    lab.elapse(0.6)
    assert 1 < first_index(machine) <= held


def test_a_checkpoint_is_made_early_when_much_was_written() -> None:
    lab, machine = lab_of_one(checkpoint_wal_bytes=1000)
    put_many(lab, machine)
    lab.elapse(0.2)
    assert first_index(machine) > 1


def test_a_power_cut_takes_back_nothing_whatever_the_checkpoint_holds() -> None:
    lab, machine = lab_of_one()
    put_many(lab, machine)
    lab.elapse(INTERVAL_S + 0.1)
    lab.put(machine, b"late", b"1")
    machine.cut_power()
    machine.restart()
    lab.leader()
    assert lab.value(machine, b"k0") == b"%d" % (PUTS - 5)
    assert lab.value(machine, b"late") == b"1"


def test_a_checkpoint_that_fails_stops_the_member_which_returns_to_the_last_one() -> None:
    lab, machine = lab_of_one()
    put_many(lab, machine)
    machine.fail_syncs()
    lab.elapse(INTERVAL_S + 0.1)
    assert lab.oracle.counts["member stopped by its disk"] == 1
    lab.elapse(2.0)
    assert lab.value(machine, b"k0") == b"%d" % (PUTS - 5)


def compact(lab: MemberLab, machine: Machine) -> list[Answer]:
    """Ask for a compaction that is answered once its garbage is gone."""
    answers: list[Answer] = []
    request = rpc_pb2.CompactionRequest(revision=PUTS, physical=True)
    lab.ask(machine, "KV/Compact", request, answers)
    return answers


def test_a_physical_compaction_is_answered_once_everything_is_removed() -> None:
    lab, machine = lab_of_one(compaction_batch=1)
    put_many(lab, machine)
    before = machine.node.member.machine.backend.live_bytes
    answers = compact(lab, machine)
    while not answers:
        lab.elapse(0.0005)
    assert machine.node.member.machine.store.removal() is None
    assert machine.node.member.machine.backend.live_bytes < before


def test_removal_waits_for_room_on_the_disk() -> None:
    lab, machine = lab_of_one(compaction_batch=1)
    put_many(lab, machine)
    answers = compact(lab, machine)
    while machine.node.member.machine.store.compact_revision < 0:
        lab.elapse(0.0001)
    machine.fill_disk()
    lab.elapse(2.0)
    assert not answers
    machine.free_disk()
    lab.elapse(2.0)
    assert answers


def test_removal_goes_on_after_a_restart() -> None:
    lab, machine = lab_of_one(compaction_batch=1)
    put_many(lab, machine)
    compact(lab, machine)
    while machine.node.member.machine.store.compact_revision < 0:
        lab.elapse(0.0001)
    assert machine.node.member.machine.store.removal() is not None
    machine.kill()
    machine.restart()
    lab.elapse(3.0)
    assert machine.node.member.machine.store.removal() is None
