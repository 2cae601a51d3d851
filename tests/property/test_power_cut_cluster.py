"""Power cuts of whole members over real LMDB files: one machine's, or that of all at once.

Members run in the simulated world, with their keyspaces on disk and their logs on a disk in memory;
clients keep writing, the power goes at any moment, also within a sync, a checkpoint or the taking
over of a snapshot. Each image of (data file, log) must open at exactly the state that the model had
at its applied index; and when the members are back, every acknowledged write is there.

`make power-cuts` cuts the power 1,000 times of each kind; the tests here do so less often.
"""

import os
import subprocess
import sys
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import lmdb
import pytest

from kvstore.base.errors import MemberFailed
from kvstore.base.ids import MemberId
from kvstore.base.limits import Limits
from kvstore.mvcc import RangeQuery, decode_key_value
from kvstore.wire.pb import rpc_pb2
from tests.simulation.members.calls import Answer
from tests.simulation.members.machine import Machine
from tests.support.keyspace import EVERYTHING
from tests.support.power_cut_keyspaces import PowerCutKeyspaces, small_data_files
from tests.support.sim_member_lab import MemberLab

CUTS_PER_WORLD = 12
KINDS = (("a member alone", 1, True), ("one of three", 3, False), ("all three at once", 3, True))
CONTROL_WORLDS = 3
WRONG_IMAGE = 3
"""How a control process ends that found one; a signal's number below 0 is as good."""
KEYS = [b"key/%02d" % number for number in range(30)]
SIZES = (0, 10, 300, 2000, 9000)
_LIMITS = Limits(
    wal_segment_bytes=64 * 1024,
    checkpoint_interval_s=0.15,
    checkpoint_wal_bytes=20_000,
    retained_entries=5,
    snapshot_entries=5,
    compaction_batch=20,
    quota_bytes=1 << 30,
)

State = dict[bytes, bytes]
"""key -> encoded KeyValue."""


class World:
    """One cluster, its clients' writes, and the model of what must be there."""

    def __init__(self, directory: Path, seed: int, members: int, *, is_pinned: bool = True) -> None:
        self.dice = dice = Random(seed)
        self.keyspaces: list[PowerCutKeyspaces] = []

        def make(member: MemberId) -> PowerCutKeyspaces:
            place = directory / f"member.{member}"
            made = PowerCutKeyspaces(place, _LIMITS, dice, is_pinned=is_pinned)
            self.keyspaces.append(made)
            return made

        self.lab = MemberLab(members, _LIMITS, keyspaces=make, seed=seed)
        self.acknowledged: dict[bytes, list[tuple[int, bytes]]] = {key: [] for key in KEYS}
        """Of each key the writes that were answered: (revision, value)."""
        self._numbers = 0
        self._states: list[State] = [{}, {}]
        """By revision."""

    def run(self, cuts: int, *, of_all: bool) -> None:
        """Write, cut, come back, compare, again and again."""
        lab = self.lab
        for _ in range(cuts):
            lab.leader()
            for _ in range(self.dice.randint(3, 40)):
                self._write()
                lab.elapse(self.dice.choice((0.0001, 0.002, 0.02)))
            victims = list(lab.machines) if of_all else [self.dice.choice(lab.machines)]
            for victim in victims:
                self._cut(victim)
            for victim in victims:
                victim.restart()
                self._check_state(victim)
            self._check_acknowledged()
        for keyspaces in self.keyspaces:
            keyspaces.kill()

    def _write(self) -> None:
        machine = self.dice.choice(self.lab.machines)
        key = self.dice.choice(KEYS)
        self._numbers += 1
        if self.dice.random() < 0.1:
            revision = self.lab.oracle.last_revision - 5
            self.lab.ask(machine, "KV/Compact", rpc_pb2.CompactionRequest(revision=revision), [])
        request = rpc_pb2.TxnRequest()
        put = request.success.add().request_put
        put.key = key
        put.value = b"%d " % self._numbers + self.dice.randbytes(self.dice.choice(SIZES))
        if self.dice.random() < 0.2:
            request.success.add().request_delete_range.key = self.dice.choice(KEYS) + b"/none"
        noted = _Acknowledged(self.acknowledged[key], put.value)
        self.lab.ask(machine, "KV/Txn", request, noted)

    def _cut(self, machine: Machine) -> None:
        keyspaces = self.keyspaces[machine.id - 1]
        keyspaces.is_cutting = True
        machine.cut_power()
        keyspaces.is_cutting = False

    def _check_state(self, machine: Machine) -> None:
        """Compare a keyspace, before its log is replayed, with the model at its revision."""
        store = machine.node.member.machine.store
        view = store.view()
        found = {
            decode_key_value(kv).key: kv
            for kvs in view.range_slices(RangeQuery(keys=EVERYTHING))
            for kv in kvs
        }
        view.close()
        assert found == self._state(store.revision), f"at revision {store.revision}"

    def _state(self, revision: int) -> State:
        while len(self._states) <= revision:
            state = dict(self._states[-1])
            for event in self.lab.oracle.history[len(self._states)].events:
                if event.is_delete:
                    state.pop(event.key, None)
                else:
                    state[event.key] = event.key_value
            self._states.append(state)
        return self._states[revision]

    def _check_acknowledged(self) -> None:
        """Every answered write has its revision for good, and its key is at that one or later."""
        leader = self.lab.leader()
        answered = {key: list(writes) for key, writes in self.acknowledged.items()}
        request = rpc_pb2.RangeRequest(key=b"\0", range_end=b"\0")
        answer = self.lab.call(leader, "KV/Range", request, rpc_pb2.RangeResponse)
        assert isinstance(answer, rpc_pb2.RangeResponse), answer
        found = {kv.key: kv.mod_revision for kv in answer.kvs}
        for key, writes in answered.items():
            for revision, value in writes:
                assert found[key] >= revision
                assert decode_key_value(self._state(revision)[key]).value == value


class _Acknowledged(list[Answer]):
    """Where the answer to a write goes."""

    def __init__(self, writes: list[tuple[int, bytes]], value: bytes) -> None:
        super().__init__()
        self._writes = writes
        self._value = value

    def append(self, answer: Answer) -> None:
        if isinstance(answer, bytes):
            revision = rpc_pb2.TxnResponse.FromString(answer).header.revision
            self._writes.append((revision, self._value))


def run_world(
    seed: int, members: int, cuts: int = CUTS_PER_WORLD, *, of_all: bool, is_pinned: bool = True
) -> int:
    """Run one world; return how many images of data files there were."""
    with small_data_files(), TemporaryDirectory(prefix="kvstore-power-cut-") as directory:
        world = World(Path(directory), seed, members, is_pinned=is_pinned)
        world.run(cuts, of_all=of_all)
        return sum(keyspaces.images for keyspaces in world.keyspaces)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("members", "of_all"), [kind[1:] for kind in KINDS], ids=[kind[0] for kind in KINDS]
)
def test_a_power_cut_at_any_moment_loses_nothing_acknowledged(
    members: int, *, of_all: bool
) -> None:
    images = run_world(2, members, of_all=of_all)
    assert images >= CUTS_PER_WORLD * (members if of_all else 1)


@pytest.mark.slow
def test_without_the_pin_the_same_images_show_that_it_is_needed() -> None:
    """The control: what it opens may be broken in any way, so it runs in processes of its own."""
    outcomes = [
        subprocess.run(
            [sys.executable, "-m", "tests.property.test_power_cut_cluster", "--control", str(seed)],
            capture_output=True,
            check=False,
            timeout=120,
        ).returncode
        for seed in range(CONTROL_WORLDS)
    ]
    wrong = [code for code in outcomes if code == WRONG_IMAGE or code < 0]
    assert wrong, f"an unpinned checkpoint was never found wrong: {outcomes}"


def main() -> int:
    """`--control SEED`, or how many cuts of each kind."""
    if sys.argv[1] == "--control":
        try:
            run_world(int(sys.argv[2]), 3, of_all=True, is_pinned=False)
        except (AssertionError, lmdb.Error, MemberFailed):
            os._exit(WRONG_IMAGE)
        return 0
    cuts = int(sys.argv[1])
    for what, members, of_all in KINDS:
        images = sum(
            run_world(seed, members, of_all=of_all)
            for seed in range(1000, 1000 + -(-cuts // CUTS_PER_WORLD))
        )
        print(f"power cuts of {what}: at least {cuts}, {images} images of data files: ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
