"""A whole cluster in one thread: clients, faults and the end, all from one seed."""

from collections import Counter
from collections.abc import Callable
from functools import partial

from kvstore.base.ids import MemberId
from kvstore.raft.consensus import Membership
from tests.simulation.checkers import Checkers
from tests.simulation.disks import MemoryDisk, SectorDisk
from tests.simulation.node import HashChainMember
from tests.simulation.outcome import FAULTS_MIN, Outcome, faults_in, is_ahead, run
from tests.simulation.profile import Profile
from tests.support.sim_network import SimNetwork
from tests.support.world import START, World

_CONVERGENCE_S = 300.0
_MEMBERS_MAX = 6
_READS_AT_ONCE = 3
_MERCY = 0.75
"""Chance that a fault does not happen in a run that lacks nothing but operations."""
_BACKLOG_MAX = 200
"""Entries that may wait for a quorum; a real member refuses more as well."""


def run_seed(seed: int, *, is_traced: bool = False) -> Outcome:
    """Run one seed to its end, or to the first broken guarantee."""
    return run(seed, Cluster(seed, is_traced=is_traced), is_traced=is_traced)


class Cluster:
    """One run."""

    faults_for_s = 58.0

    def __init__(self, seed: int, *, is_traced: bool = False) -> None:
        self.world = World(seed, is_traced=is_traced)
        self.checkers = Checkers(self.world)
        self.profile = Profile.draw(self.world.dice)
        self.network = SimNetwork(
            self.world,
            delay_s=self.profile.delay_s,
            leftovers=self.profile.leftovers,
            unordered=self.profile.unordered,
        )
        self.members: dict[MemberId, HashChainMember] = {}
        self._commands = 0
        self._is_quiet = False
        self._faults: dict[str, Callable[[list[MemberId]], None]] = {
            "crash": self._crash_one,
            "crash_all": self._crash_all,
            "partition": self._partition,
            "break": self._break,
            "stall": self._stall,
            "slow_disk": self._slow_disk,
            "pause": self._pause,
            "old_leader": self._leave_with_old_leader,
        }
        first = frozenset(MemberId(number + 1) for number in range(self.profile.voters))
        for node_id in sorted(first):
            self._add(node_id, Membership(voters=first))
        for member in self.members.values():
            member.start()
        self._begin()

    @property
    def counts(self) -> Counter[str]:
        """How often what happened."""
        return self.checkers.counts

    @property
    def operations(self) -> int:
        """How many operations of clients were answered."""
        return self.counts["write acknowledged"] + self.counts["read answered"]

    # --- machines

    def _add(self, node_id: MemberId, first: Membership) -> HashChainMember:
        dice = self.world.dice
        member = HashChainMember(
            node_id,
            self.world,
            self.network,
            self.checkers,
            self.profile,
            first,
            SectorDisk(node_id, dice) if self.profile.real_log else MemoryDisk(dice),
        )
        member.on_crash = lambda member, why: self._check_durability(why)
        member.on_commit = self._committed
        self.members[node_id] = member
        self.network.attach(node_id, member)
        return member

    @property
    def _alive(self) -> list[HashChainMember]:
        return [member for member in self.members.values() if member.is_alive]

    @property
    def _awake(self) -> list[HashChainMember]:
        return [member for member in self._alive if not member.is_paused]

    @property
    def _leaders(self) -> list[HashChainMember]:
        return [member for member in self._awake if member.is_leader]

    def _restart(self, member: HashChainMember) -> None:
        if not member.is_alive and not member.is_removed:
            member.start()

    def _committed(self, member: HashChainMember) -> None:
        self._check_durability(f"commit by {member.node_id}")
        for gone in member.state.membership.removed:
            removed = self.members[gone]
            if not removed.is_removed and self.world.dice.random() < 0.1:
                # A peer refuses it, and it stops for good.
                removed.is_removed = True
                self.world.after(0.0, removed.crash)

    def _check_durability(self, why: str) -> None:
        committed = self.checkers.committed
        holders = frozenset(
            node_id
            for node_id in committed.voters
            if self.members[node_id].holds(committed.index, committed.term)
        )
        self.checkers.durable_on(holders, why)

    # --- what goes on all the time

    def _begin(self) -> None:
        profile = self.profile
        self._every(lambda: 0.25, self.network.connect_all, is_for_ever=True)
        self._at_rate(profile.proposals, self._propose)
        self._at_rate(profile.reads, self._read)
        self._at_rate(profile.compactions, self._compact)
        self._at_rate(profile.faults, self._fault)
        self._at_rate(profile.transfers, self._transfer)
        self._at_rate(profile.memberships, self._change_membership)

    def _at_rate(self, rate: float, action: Callable[[], None]) -> None:
        if rate:
            self._every(partial(self.world.dice.expovariate, rate), action)

    def _every(
        self, wait_s: Callable[[], float], action: Callable[[], None], *, is_for_ever: bool = False
    ) -> None:
        def act() -> None:
            if self._is_quiet and not is_for_ever:
                return
            self.world.after(wait_s(), act)
            action()

        self.world.after(wait_s(), act)

    def _propose(self) -> None:
        if is_ahead(self):
            return
        for leader in self._leaders:
            if leader.backlog > _BACKLOG_MAX:
                continue
            for _ in range(self.world.dice.randint(1, self.profile.burst)):
                leader.propose(self._next_command())

    def _next_command(self) -> bytes:
        self._commands += 1
        return b"command %d" % self._commands + b"." * self.profile.command_bytes

    def _read(self) -> None:
        # Half of them at whoever believes to lead: an old leader must not answer.
        asked = self._leaders if self.world.dice.random() < 0.5 else self._awake
        if asked:
            member = self.world.dice.choice(asked)
            for _ in range(self.world.dice.randint(1, _READS_AT_ONCE)):
                member.read()

    def _compact(self) -> None:
        for member in self._awake:
            if self.world.dice.random() < 0.5:
                member.compact(self.world.dice.randint(0, self.profile.retained_entries))

    def _transfer(self) -> None:
        for leader in self._leaders:
            if leader.hand_over():
                self.checkers.note("fault: transfer")

    # --- membership

    def _change_membership(self) -> None:
        dice = self.world.dice
        if not self._leaders:
            return
        leader = dice.choice(self._leaders)
        now = leader.membership
        voters, learners, removed = now.voters, now.learners, now.removed
        newcomer: MemberId | None = None
        what = dice.random()
        if what < 0.5 and len(now.members) < _MEMBERS_MAX:
            newcomer = MemberId(max(self.members) + 1)
            if what < 0.3:
                learners |= {newcomer}
            else:
                voters |= {newcomer}
        elif what < 0.75 and learners:
            promoted = dice.choice(sorted(learners))
            voters, learners = voters | {promoted}, learners - {promoted}
        elif len(voters) > 2:
            gone = dice.choice(sorted(now.members))
            voters, learners, removed = voters - {gone}, learners - {gone}, removed | {gone}
        else:
            return
        changed = Membership(voters=voters, learners=learners, removed=removed)
        if leader.propose_membership(changed) and newcomer is not None:
            self._add(newcomer, Membership()).start()

    # --- faults

    def _fault(self) -> None:
        dice, weights = self.world.dice, self.profile.weights
        is_late = self.world.now - START > self.faults_for_s
        if is_late and faults_in(self.counts) >= FAULTS_MIN and dice.random() < _MERCY:
            return
        kind = dice.choice([name for name, weight in weights.items() for _ in range(weight)])
        present = sorted(node_id for node_id, each in self.members.items() if not each.is_removed)
        if not self._alive or (len(present) < 2 and kind not in _LONELY_FAULTS):
            return
        self.checkers.note(f"fault: {kind}")
        self._faults[kind](present)

    def _crash_one(self, present: list[MemberId]) -> None:
        dice = self.world.dice
        victim = dice.choice(self._alive)
        if self._leaders and dice.random() < 0.5:
            victim = dice.choice(self._leaders)
        self._crash([victim])

    def _crash_all(self, present: list[MemberId]) -> None:
        self._crash(self._alive)

    def _break(self, present: list[MemberId]) -> None:
        self.network.break_link(*self.world.dice.sample(present, 2))

    def _stall(self, present: list[MemberId]) -> None:
        dice = self.world.dice
        sender, receiver = dice.sample(present, 2)
        until = self.world.now + dice.choice((0.1, 1.0, 5.0)) * dice.random()
        self.network.stall(sender, receiver, until)

    def _slow_disk(self, present: list[MemberId]) -> None:
        dice = self.world.dice
        dice.choice(self._alive).stall_disk(dice.choice((0.1, 1.0, 3.0)) * dice.random())

    def _pause(self, present: list[MemberId]) -> None:
        dice = self.world.dice
        dice.choice(self._alive).pause(dice.choice((0.1, 1.0, 3.0)) * dice.random())

    def _crash(self, victims: list[HashChainMember]) -> None:
        dice = self.world.dice
        for victim in victims:
            victim.crash()
            down_s = dice.choice((0.01, 0.5, 3.0)) * (0.5 + dice.random())
            self.world.after(down_s, self._restart, victim)

    def _partition(self, present: list[MemberId]) -> None:
        dice = self.world.dice
        side = sorted(dice.sample(present, dice.randint(1, len(present) - 1)))
        loses_all = dice.random() < 0.5
        is_partial = dice.random() < 0.3
        for one in side:
            for two in present:
                if two not in side and (not is_partial or dice.random() < 0.6):
                    self.network.cut(one, two, loses_all=loses_all)
        self.world.after(dice.choice((0.2, 1.0, 6.0)) * (0.5 + dice.random()), self.network.heal)

    def _leave_with_old_leader(self, present: list[MemberId]) -> None:
        """Cut a leader off with one follower, whose answers are stuck on their way."""
        dice = self.world.dice
        if not self._leaders:
            return
        leader = dice.choice(self._leaders).node_id
        follower = dice.choice([node_id for node_id in present if node_id != leader])
        self.network.stall(follower, leader, self.world.now + dice.uniform(1.0, 8.0))
        for one in (leader, follower):
            for two in present:
                if two not in {leader, follower}:
                    self.network.cut(one, two)
        self.world.after(dice.uniform(1.0, 5.0), self.network.heal)

    # --- the end

    def converge(self) -> None:
        """Heal everything: one leader, one more command on every member, nothing lost."""
        self._is_quiet = True
        self.world.log("all is healed")
        self.network.heal()
        for member in self.members.values():
            member.heal()
            self._restart(member)
        end = self.world.now + _CONVERGENCE_S
        while self.world.now < end:
            self.world.run(self.world.now + 1.0)
            if len(self._leaders) == 1 and self._agrees_with(self._leaders[0]):
                self.checkers.note("converged")
                return
        states = ", ".join(member.describe() for member in self.members.values())
        self.checkers.fail("convergence", f"not after {_CONVERGENCE_S:.0f} s: {states}")

    def _agrees_with(self, leader: HashChainMember) -> bool:
        before = self.checkers.counts["write acknowledged"]
        leader.propose(self._next_command())
        self.world.run(self.world.now + 1.0)
        if not leader.is_leader or self.checkers.counts["write acknowledged"] == before:
            return False
        last = leader.applied_index
        if last < self.checkers.acknowledged_index:
            self.checkers.fail("commit_durability", "an acknowledged write is gone")
        self.world.run(self.world.now + 1.0)
        members = [self.members[node_id] for node_id in leader.membership.members]
        return all(
            member.is_removed or (member.is_alive and member.applied_index >= last)
            for member in members
        )


_LONELY_FAULTS = {"crash", "crash_all", "slow_disk", "pause"}
