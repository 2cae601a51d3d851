"""Compaction by itself, on virtual time."""

from kvstore.member.auto_compaction import AutoCompaction
from kvstore.member.config import AutoCompactionConfig
from tests.simulation.members.machine import Machine
from tests.support.sim_member_lab import MemberLab


def lab_with(config: AutoCompactionConfig) -> tuple[MemberLab, Machine]:
    lab = MemberLab(1)
    machine = lab.leader()
    machine.node._auto_compaction = AutoCompaction(machine.node.member, config)
    return lab, machine


def test_history_older_than_the_retention_goes_and_younger_stays() -> None:
    lab, machine = lab_with(AutoCompactionConfig(retention=100.0))
    for _ in range(30):
        lab.put(machine, b"k", b"v")
        lab.elapse(10.0)
    store = machine.node.member.machine.store
    # A put every 10 s: about the last ten are younger than the retention.
    assert store.revision - 13 <= store.compact_revision <= store.revision - 9


def test_nothing_goes_before_the_retention_has_passed() -> None:
    lab, machine = lab_with(AutoCompactionConfig(retention=100.0))
    lab.put(machine, b"k", b"v")
    lab.elapse(95.0)
    assert machine.node.member.machine.store.compact_revision == -1


def test_the_last_revisions_stay() -> None:
    lab, machine = lab_with(AutoCompactionConfig(mode="revision", retention=5))
    for _ in range(20):
        lab.put(machine, b"k", b"v")
    lab.elapse(301.0)
    store = machine.node.member.machine.store
    assert store.compact_revision == store.revision - 5


def test_without_a_retention_nothing_goes() -> None:
    lab, machine = lab_with(AutoCompactionConfig())
    lab.put(machine, b"k", b"v")
    lab.elapse(1000.0)
    assert machine.node.member.machine.store.compact_revision == -1
