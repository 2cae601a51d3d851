import json
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from kvstore.apply import meta
from kvstore.base.errors import CorruptKeyspace, WrongDataDirectory
from kvstore.base.ids import ClusterId, LogIndex, MemberId, Term
from kvstore.base.limits import Limits
from kvstore.member.bootstrap import (
    Identity,
    OpenedMember,
    open_member,
    store_identity,
    stored_identity,
)
from kvstore.raft.consensus import Entry, EntryKind, Membership
from kvstore.raft.membership import encode_membership
from kvstore.wal.directory import note_failure
from tests.support.sim_disk import SimDisk
from tests.support.sim_member import PowerCut, SimKeyspaces
from tests.support.world import SeededEntropy

IDENTITY = Identity(cluster_id=ClusterId(0xC1), member_id=MemberId(0xA1), birth=7)
FOUNDERS = Membership(voters=frozenset({MemberId(0xA1), MemberId(0xA2)}))
STRANGERS = Membership(voters=frozenset({MemberId(0xB1)}))
WAL = Path("/wal")


@dataclass
class Bench:
    """One member's disks, opened as often as wanted."""

    disk: SimDisk = field(default_factory=SimDisk)
    keyspaces: SimKeyspaces = field(default_factory=SimKeyspaces)

    def open(self, founders: Membership = FOUNDERS) -> OpenedMember:
        return open_member(
            IDENTITY,
            self.keyspaces,
            WAL,
            disk=self.disk,
            founders=founders,
            limits=Limits(wal_segment_bytes=4000),
            entropy=SeededEntropy(Random(1)),
        )

    def apply_up_to(self, index: int, *, generation: int = 1) -> None:
        """Make the keyspace say so."""
        txn = self.keyspaces.open(generation).begin_write()
        meta.set_membership(txn, encode_membership(FOUNDERS))
        meta.set_applied(txn, meta.Applied(LogIndex(index), Term(1)))
        txn.commit()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def append(opened: OpenedMember, count: int) -> None:
    journal = opened.journal
    for _ in range(count):
        index = LogIndex(journal.last_index + 1)
        journal.append(Entry(index, Term(1), EntryKind.NOOP, b""))
    opened.wal.sync()


# --- the identity


def test_an_identity_is_found_as_it_was_stored(tmp_path: Path) -> None:
    assert stored_identity(tmp_path) is None
    store_identity(tmp_path, IDENTITY)
    assert stored_identity(tmp_path) == IDENTITY


@pytest.mark.parametrize("text", ["", "{}", '{"format": 1, "cluster_id": "xyz"}', "[]"])
def test_a_damaged_identity_is_refused(tmp_path: Path, text: str) -> None:
    store_identity(tmp_path, IDENTITY)
    (tmp_path / "member" / "identity.json").write_text(text)
    with pytest.raises(WrongDataDirectory, match="damaged"):
        stored_identity(tmp_path)


def test_a_directory_of_another_format_is_refused(tmp_path: Path) -> None:
    store_identity(tmp_path, IDENTITY)
    path = tmp_path / "member" / "identity.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(WrongDataDirectory, match="format 99"):
        stored_identity(tmp_path)


# --- the log and the keyspace


def test_a_new_member_starts_with_the_founders_and_nothing_applied(bench: Bench) -> None:
    opened = bench.open()
    assert opened.journal.membership == FOUNDERS
    assert (opened.applied.index, opened.applied.membership) == (1, FOUNDERS)
    assert opened.journal.last_index == 1


def test_what_is_on_disk_wins_over_the_founders_named_later(bench: Bench) -> None:
    bench.open().wal.close()
    opened = bench.open(STRANGERS)
    assert opened.journal.membership == opened.applied.membership == FOUNDERS


def test_a_power_cut_at_any_step_of_the_founding_leaves_a_member_that_starts() -> None:
    for steps in range(1, 1000):
        bench = Bench()
        left = steps

        def cut(operation: str, path: Path) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise PowerCut

        bench.disk.fault = cut
        try:
            bench.open()
        except PowerCut:
            bench.disk.fault = None
            bench.disk.crash(SeededEntropy(Random(steps)))
            bench.keyspaces.crash()
            assert bench.open().applied.membership == FOUNDERS
            continue
        assert steps > 5
        return


def test_a_keyspace_without_a_log_is_not_started_over(bench: Bench) -> None:
    bench.keyspaces.open(3)
    with pytest.raises(WrongDataDirectory, match="holds keyspace"):
        bench.open()


def test_a_keyspace_ahead_of_its_log_is_refused(bench: Bench) -> None:
    append(bench.open(), 2)
    bench.apply_up_to(3)
    bench.open()
    bench.apply_up_to(4)
    with pytest.raises(CorruptKeyspace, match="up to 4, but the log ends at 3"):
        bench.open()


def test_only_the_generation_that_the_log_names_is_kept(bench: Bench) -> None:
    opened = bench.open()
    opened.journal.reset(LogIndex(9), Term(1), FOUNDERS, generation=2)
    bench.apply_up_to(9, generation=2)
    bench.keyspaces.open(3)
    again = bench.open()
    assert bench.keyspaces.generations() == [2]
    assert (again.applied.index, again.applied.generation) == (9, 2)


def test_after_a_failed_sync_only_the_checkpoint_is_believed(bench: Bench) -> None:
    append(bench.open(), 5)
    bench.apply_up_to(3)
    backend = bench.keyspaces.open(1)
    backend.begin_checkpoint().make_durable()
    bench.apply_up_to(5)
    note_failure(bench.disk, WAL, "a sync failed")
    assert bench.open().applied.index == 3
    bench.apply_up_to(5)
    assert bench.open().applied.index == 5
