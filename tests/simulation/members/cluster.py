"""A cluster of whole members: machines, clients, faults and the end, all from one seed."""

import logging
from collections import Counter
from collections.abc import Callable

from kvstore.backend.schema import Tree
from kvstore.base.errors import RpcError
from kvstore.base.ids import LogIndex, MemberId
from kvstore.mvcc import HashResult, ReadView
from kvstore.raft.consensus import Membership
from kvstore.wire.pb import rpc_pb2
from tests.simulation.members.append_clients import AppendClient, AppendRecords
from tests.simulation.members.auth_clients import Administrator, Permission, Worker
from tests.simulation.members.calls import Wire
from tests.simulation.members.clients import Client, Recorder
from tests.simulation.members.judgement import judge
from tests.simulation.members.lease_clients import LeaseClient
from tests.simulation.members.lock_clients import LockClient, LockRecords
from tests.simulation.members.machine import Machine
from tests.simulation.members.operator import Operator
from tests.simulation.members.oracle import Oracle
from tests.simulation.members.profile import Profile
from tests.simulation.members.records import Fate, Operation, Records
from tests.simulation.members.watchers import WatchClient
from tests.simulation.outcome import Outcome, Violation, run
from tests.support.sim_network import SimNetwork
from tests.support.watch_world import ListHistory
from tests.support.world import World

_CONVERGENCE_S = 120.0
_CALMING_S = 5.0
_LAST_OPERATIONS_S = 30.0
"""The last operations wait for what may still be under way: a pause, a snapshot."""
_EQUAL_TREES = (
    Tree.KEYS,
    Tree.LONG_KEYS,
    Tree.LEASES,
    Tree.LEASE_KEYS,
    Tree.MEMBERS,
    Tree.ALARMS,
    Tree.AUTH,
)
_LAST_ATTEMPTS = 3
_FINAL_KEYS = (b"k/0", b"k/1", b"k/2")


def run_seed(seed: int, *, is_traced: bool = False) -> Outcome:
    """Run one seed to its end, or to the first broken guarantee."""
    logger = logging.getLogger("kvstore")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        return run(seed, Cluster(seed, is_traced=is_traced), is_traced=is_traced)
    finally:
        logger.setLevel(level)  # other tests of this process read what is logged


class Cluster:
    """One run."""

    faults_for_s = 55.0

    def __init__(self, seed: int, *, is_traced: bool = False) -> None:
        self.world = World(seed, is_traced=is_traced)
        self.oracle = Oracle(self.world)
        self.profile = profile = Profile.draw(self.world.dice)
        self.records = Records()
        self.is_quiet = False
        self._network = SimNetwork(self.world, delay_s=profile.delay_s, leftovers=profile.leftovers)
        founders = Membership(voters=frozenset(MemberId(n + 1) for n in range(profile.voters)))
        self.machines = {
            member_id: Machine(member_id, self.world, self._network, self.oracle, profile, founders)
            for member_id in sorted(founders.voters)
        }
        for member_id, machine in self.machines.items():
            self._network.attach(member_id, machine)
        for machine in self.machines.values():
            machine.start()
        wire = Wire(self.world, profile.client_delay_s)
        self._recorder = Recorder(wire, self.records, self)
        self._faults: dict[str, Callable[[], None]] = {
            "kill": self._kill,
            "power_cut": self._cut_power,
            "power_cut_all": self._cut_power_of_all,
            "pause": self._pause,
            "partition": self._partition,
            "partial_partition": self._partial_partition,
            "one_way": self._one_way,
            "break": self._break,
            "old_leader": self._leave_with_old_leader,
            "stalled_leader": self._stall_and_depose,
            "slow_disk": self._slow_disk,
            "held_disk": self._held_disk,
            "failing_sync": self._failing_sync,
            "full_disk": self._full_disk,
            "transfer": self._transfer,
            "defragment": self._defragment,
            "bit_rot": self._turn_a_bit,
        }
        self._fault_bag = [name for name, weight in profile.weights.items() for _ in range(weight)]
        if profile.drift:
            self.oracle.note("fault: drift")
        if profile.message_loss:
            self.oracle.note("fault: message_loss")
        self._watchers: list[WatchClient] = []
        self._lists = AppendRecords()
        self._locks = LockRecords()
        self._permission = Permission()
        self._begin()

    @property
    def counts(self) -> Counter[str]:
        """How often what happened."""
        return self.oracle.counts

    @property
    def operations(self) -> int:
        """How many operations of clients were answered, and well."""
        return self.counts["operation ok"]

    def converge(self) -> None:
        """Heal everything, and hold all records against what happened."""
        try:
            self._heal_and_settle()
        except Violation:
            self._judge()  # what clients have seen says more exactly what is broken, if it does
            raise
        self._judge()

    def _judge(self) -> None:
        judge(self.records, self.oracle, drift=self.profile.drift)
        history = ListHistory()
        for revision in range(2, self.oracle.last_revision + 1):
            history.log.append((revision, self.oracle.history[revision].events))
        for watcher in self._watchers:
            watcher.judge(history)
        self._lists.judge(self.oracle)
        self._locks.judge(self.oracle)
        self._permission.judge(self.oracle)

    def any_member(self) -> MemberId:
        """Return the member that a client talks to next."""
        return self.world.dice.choice(self._present)

    def join(self, member_id: MemberId, membership: Membership) -> None:
        """Start a member that was added, with what another one told it of its cluster."""
        machine = Machine(
            member_id, self.world, self._network, self.oracle, self.profile, membership
        )
        self.machines[member_id] = machine
        self._network.attach(member_id, machine)
        machine.start()
        self.oracle.note("member joined")

    # --- what goes on all the time

    def _begin(self) -> None:
        profile, world = self.profile, self.world
        self._connect()
        for number in range(profile.clients):
            Client(f"c{number}", self._recorder)
        for number in range(profile.lease_clients):
            LeaseClient(f"l{number}", self._recorder)
        for number in range(profile.watchers):
            self._watchers.append(WatchClient(f"w{number}", self._recorder))
        for number in range(profile.append_clients):
            AppendClient(number, self._recorder, self._lists)
        for number in range(profile.lock_clients):
            LockClient(f"q{number}", self._recorder, self._locks)
        if profile.has_operator:
            Operator("operator", self._recorder)
        if profile.has_authentication:
            Administrator(self._recorder, self._permission)
            Worker(self._recorder, self._permission)
        world.after(world.dice.expovariate(profile.faults), self._fault)

    def _connect(self) -> None:
        self._network.connect_all()
        self._tell_removed()
        self.world.after(0.25, self._connect)

    def _tell_removed(self) -> None:
        """Let whoever reaches a member that knows it was removed hear of it, and stop."""
        for machine in self._alive:
            for other in self._alive:
                if other.refuses(machine.id) and self._network.is_up(machine.id, other.id):
                    machine.post(0.0, machine.hear_of_removal)
                    break

    # --- faults

    @property
    def _present(self) -> list[MemberId]:
        return [member for member, machine in self.machines.items() if not machine.is_removed]

    @property
    def _alive(self) -> list[Machine]:
        return [machine for machine in self.machines.values() if machine.is_alive]

    @property
    def _leaders(self) -> list[Machine]:
        return [machine for machine in self._alive if machine.node.member.is_leader]

    def _fault(self) -> None:
        if self.is_quiet:
            return
        dice, profile = self.world.dice, self.profile
        self.world.after(dice.expovariate(profile.faults), self._fault)
        kind = dice.choice(self._fault_bag)
        if not self._alive or (len(self._present) < 2 and kind in _FAULTS_BETWEEN):
            return
        self.world.log("fault:", kind)
        self.oracle.note(f"fault: {kind}")
        self._faults[kind]()

    def _victim(self) -> Machine:
        dice = self.world.dice
        return dice.choice(self._leaders if self._leaders and dice.random() < 0.5 else self._alive)

    def _span_s(self, *typical_s: float) -> float:
        return self.world.dice.choice(typical_s) * (0.5 + self.world.dice.random())

    def _kill(self) -> None:
        victim = self._victim()
        victim.kill()
        self.world.after(self._span_s(0.01, 0.5, 3.0), victim.restart)

    def _cut_power(self) -> None:
        victim = self._victim()
        victim.cut_power()
        self.world.after(self._span_s(0.01, 0.5, 3.0), victim.restart)

    def _cut_power_of_all(self) -> None:
        for victim in self._alive:
            victim.cut_power()
            self.world.after(self._span_s(0.01, 0.5, 3.0), victim.restart)

    def _pause(self) -> None:
        self._victim().pause(self._span_s(0.1, 1.0, 3.0, 8.0))

    def _slow_disk(self) -> None:
        self._victim().hold_disk(self._span_s(0.05, 0.2))

    def _held_disk(self) -> None:
        self._victim().hold_disk(self._span_s(1.0, 4.0))

    def _failing_sync(self) -> None:
        self._victim().fail_syncs()

    def _full_disk(self) -> None:
        victim = self._victim()
        victim.fill_disk()
        self.world.after(self._span_s(0.5, 5.0), victim.free_disk)

    def _cut(self, side: list[MemberId], chance: float) -> None:
        loses_all = self.world.dice.random() < 0.5
        for one in side:
            for two in self.machines:
                if two not in side and self.world.dice.random() < chance:
                    self._network.cut(one, two, loses_all=loses_all)
        self.world.after(self._span_s(0.2, 2.0, 8.0), self._network.heal)

    def _partition(self) -> None:
        dice, present = self.world.dice, self._present
        side = sorted(dice.sample(present, dice.randint(1, len(present) - 1)))
        self._cut(side, 1.0)

    def _partial_partition(self) -> None:
        self._cut(sorted(self.world.dice.sample(self._present, 1)), 0.6)

    def _one_way(self) -> None:
        sender, receiver = self.world.dice.sample(self._present, 2)
        self._network.stall(sender, receiver, self.world.now + self._span_s(0.2, 1.0, 4.0))

    def _break(self) -> None:
        self._network.break_link(*self.world.dice.sample(self._present, 2))

    def _leave_with_old_leader(self) -> None:
        """Cut a leader off from a majority; its clients stay with it."""
        for leader in self._leaders[:1]:
            self._cut([leader.id], 1.0)

    def _stall_and_depose(self) -> None:
        """Let a leader go on believing while its disk waits, then cut it off (etcd #15247)."""
        for leader in self._leaders[:1]:
            leader.hold_disk(self._span_s(4.0))
            self.world.after(self._span_s(1.0, 2.0), self._isolate, leader)

    def _isolate(self, machine: Machine) -> None:
        if not self.is_quiet:
            self._cut([machine.id], 1.0)

    def _transfer(self) -> None:
        for leader in self._leaders:
            consensus = leader.node.member.consensus
            target = self.world.dice.choice([None, *sorted(consensus.membership.voters)])
            leader.post(0.0, self._hand_over, leader, target)

    def _hand_over(self, leader: Machine, target: MemberId | None) -> None:
        member = leader.node.member
        if member.is_leader and len(self._present) > 1:
            try:
                member.consensus.transfer_leadership(target)
            except RpcError as refusal:
                self.oracle.note(f"transfer refused: {refusal.message}")
            member.schedule_turn()

    def _defragment(self) -> None:
        victim = self._victim()
        victim.post(0.0, victim.defragment)

    def _turn_a_bit(self) -> None:
        """Kill a member; its log is found damaged at the next start, and repaired by its owner."""
        victim = self._victim()
        victim.kill()
        if victim.turn_a_bit():
            self.oracle.note("bit turned")
        self.world.after(self._span_s(0.01, 0.5), victim.restart)

    # --- the end

    def _heal_and_settle(self) -> None:
        """Heal everything: all members agree, serve, and have lost nothing."""
        self.is_quiet = True
        self.world.log("all is healed")
        self._network.heal()
        for machine in self.machines.values():
            machine.heal()
        self.world.run(self.world.now + _CALMING_S)
        end = self.world.now + _CONVERGENCE_S
        while not self._is_calm():
            if self.world.now > end:
                self._fail_to_converge("no agreement")
            self.world.run(self.world.now + 0.5)
        self._serve_a_last_time()
        while not (self._is_calm() and self._no_lease_is_left() and self._all_is_watched()):
            if self.world.now > end:
                self._fail_to_converge("not quiet in the end")
            self.world.run(self.world.now + 0.5)
        self._check_equality()
        self.oracle.note("converged")

    def _fail_to_converge(self, why: str) -> None:
        states = "; ".join(map(_describe, self.machines.values()))
        self.oracle.fail(
            "convergence",
            f"{why}: leases gone {self._no_lease_is_left()}, "
            f"watched {[each.has_seen_last(self.oracle.history) for each in self._watchers]}, "
            f"last {self._last_write}, {states}",
        )

    _last_write = 0

    def _is_calm(self) -> bool:
        members = [machine.node.member for machine in self._alive]
        return (
            len(members) == len(self._present)
            and len(self._leaders) == 1
            and len({member.machine.applied.index for member in members}) == 1
            and len({member.consensus.commit_index for member in members}) == 1
            and len({member.consensus.leader for member in members}) == 1
        )

    def _serve_a_last_time(self) -> None:
        """Write and read through each member, into each watched range."""
        (leader,) = self._leaders
        voters = leader.node.member.applied_membership.voters
        pending = {(member, key) for member in voters for key in _FINAL_KEYS}

        def ask(member: MemberId, key: bytes, attempt: int) -> None:
            def written(operation: Operation) -> None:
                if operation.fate is Fate.OK:
                    get = rpc_pb2.RangeRequest(key=key)
                    self._recorder.ask("final", get, read, member=member)
                elif attempt < _LAST_ATTEMPTS:
                    # A member that is sent a snapshot forgets what it had asked for.
                    ask(member, key, attempt + 1)

            def read(operation: Operation) -> None:
                if operation.fate is Fate.OK:
                    pending.discard((member, key))
                    self._last_write = max(self._last_write, operation.revision)

            value = b"final.%d.%d.%s" % (member, attempt, key)
            put = rpc_pb2.PutRequest(key=key, value=value)
            self._recorder.ask("final", put, written, member=member)

        for member, key in sorted(pending):
            ask(member, key, 1)
        self._await_last(pending)
        if self._last_write > self.oracle.last_revision:
            self.oracle.fail("acknowledged_write_survives", f"revision {self._last_write}")

    def _await_last(self, pending: set[tuple[MemberId, bytes]]) -> None:
        end = self.world.now + _LAST_OPERATIONS_S
        while pending:
            if self.world.now > end:
                self.oracle.fail("convergence", f"a healed cluster did not serve {sorted(pending)}")
            self.world.run(self.world.now + 0.5)

    def _no_lease_is_left(self) -> bool:
        return all(not machine.node.member.machine.lessor.leases() for machine in self._alive)

    def _all_is_watched(self) -> bool:
        return all(watcher.has_seen_last(self.oracle.history) for watcher in self._watchers)

    def _check_equality(self) -> None:
        contents: dict[MemberId, object] = {}
        for machine in self._alive:
            member = machine.node.member
            store = member.machine.store
            view = store.view()
            hashed = _hash(view)
            txn = member.machine.backend.begin_read()
            trees = [list(txn.scan(tree)) for tree in _EQUAL_TREES]
            txn.close()
            members = member.applied_membership
            contents[machine.id] = (store.revision, store.compact_revision, hashed, trees, members)
        first, *others = contents.values()
        if any(other != first for other in others):
            self.oracle.fail("state_equality", f"members differ in the end: {contents}"[:2000])


def _hash(view: ReadView) -> HashResult:
    slices = view.hash_kv(0)
    while True:
        try:
            next(slices)
        except StopIteration as end:
            view.close()
            result: HashResult = end.value
            return result


def _describe(machine: Machine) -> str:
    if not machine.is_alive:
        return f"{machine.id} is dead"
    member = machine.node.member
    index: LogIndex = member.consensus.last_index
    return (
        f"{machine.id} {member.consensus.role.value} of {member.consensus.leader} in "
        f"{member.consensus.term}, log {index}, commit {member.consensus.commit_index}, applied "
        f"{member.machine.applied.index}, revision {member.machine.store.revision}"
    )


_FAULTS_BETWEEN = {
    "partition",
    "partial_partition",
    "one_way",
    "break",
    "old_leader",
    "stalled_leader",
    "transfer",
}
