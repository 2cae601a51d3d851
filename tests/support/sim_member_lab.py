"""A few simulated members for directed tests: calm weather, and every fault by hand."""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import TypeVar

from google.protobuf.message import Message

from kvstore.base.ids import MemberId
from kvstore.base.limits import Limits
from kvstore.raft.consensus import Membership
from kvstore.raft.timing import RaftTiming
from kvstore.wire.pb import rpc_pb2
from tests.simulation.members.calls import Answer, Status, StreamRequest, UnaryRequest, Wire
from tests.simulation.members.machine import Machine
from tests.simulation.members.oracle import Oracle
from tests.simulation.members.profile import Profile
from tests.support.sim_member import SimKeyspaces
from tests.support.sim_network import SimNetwork
from tests.support.world import World

_Response = TypeVar("_Response", bound=Message)

ELECTION_S = 0.5
_PATIENCE_S = 30.0
_CALM_SEED = 1
_HEALTHY_S = 6.0
"""After so long without a fault, changes of the members are allowed."""


def calm_profile(members: int, limits: Limits) -> Profile:
    """Return a world without accidents."""
    return replace(
        Profile.draw(Random(_CALM_SEED)),
        voters=members,
        timing=RaftTiming(heartbeat_s=0.1, election_s=ELECTION_S),
        iteration_s=0.00005,
        ticks=2,
        delay_s=(0.001, 0.002),
        client_delay_s=(0.0001, 0.0002),
        leftovers=0.0,
        message_loss=0.0,
        drift=0.0,
        has_operator=False,
        disk_s=(0.0005, 0.001),
        limits=limits,
        start_cuts=0.0,
        switch_cuts=0.0,
    )


class MemberLab:
    """Members on virtual time; `call` waits for an answer, nothing else passes time by itself."""

    def __init__(
        self,
        members: int = 3,
        limits: Limits | None = None,
        *,
        seed: int = _CALM_SEED,
        keyspaces: Callable[[MemberId], SimKeyspaces] | None = None,
    ) -> None:
        """`keyspaces` makes those of each machine; in memory without it."""
        self._profile = profile = calm_profile(
            members, limits or Limits(wal_segment_bytes=16 * 1024)
        )
        self.world = World(seed)
        self.oracle = Oracle(self.world)
        self.network = SimNetwork(self.world, delay_s=profile.delay_s)
        self._wire = Wire(self.world, profile.client_delay_s)
        voters = frozenset(MemberId(number + 1) for number in range(members))
        self.machines = [
            Machine(
                member_id,
                self.world,
                self.network,
                self.oracle,
                profile,
                Membership(voters=voters),
                keyspaces(member_id) if keyspaces is not None else None,
            )
            for member_id in sorted(voters)
        ]
        for machine in self.machines:
            self.network.attach(machine.id, machine)
        for machine in self.machines:
            machine.start()
        self._connect()

    def publish(self) -> None:
        """Let every member tell its name, and wait until the cluster allows changes."""
        for machine in self.machines:
            machine.publish_name()
        self.elapse(_HEALTHY_S)

    def join(self, member_id: MemberId) -> Machine:
        """Start a member that was added, as one does that asked another for its cluster."""
        membership = self.leader().node.member.applied_membership
        machine = Machine(
            member_id, self.world, self.network, self.oracle, self._profile, membership
        )
        self.machines.append(machine)
        self.network.attach(member_id, machine)
        machine.start()
        machine.publish_name()
        return machine

    def heal(self) -> None:
        """Allow all links again."""
        self.network.heal()

    def elapse(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.world.run(self.world.now + seconds)

    def leader(self) -> Machine:
        """Wait for the leader of the newest term, and return it."""
        for _ in range(100):
            leaders = [each for each in self.machines if each.is_alive and each.leads]
            if leaders:
                return max(leaders, key=lambda each: each.node.member.consensus.term)
            self.elapse(0.1)
        raise AssertionError("no leader")

    def follower(self) -> Machine:
        """Return a member that does not lead."""
        leader = self.leader()
        return next(each for each in self.machines if each.is_alive and each is not leader)

    def isolate(self, machine: Machine) -> None:
        """Cut a machine off from all others."""
        for other in self.machines:
            if other is not machine:
                self.network.cut(machine.id, other.id, loses_all=True)

    def call(
        self, machine: Machine, path: str, request: Message, response: type[_Response]
    ) -> _Response | Status:
        """Make one unary rpc, and wait for its end."""
        answers: list[Answer] = []
        self.ask(machine, path, request, answers)
        for _ in range(int(_PATIENCE_S / 0.01)):
            if answers:
                break
            self.elapse(0.01)
        (answer,) = answers
        return answer if isinstance(answer, Status) else response.FromString(answer)

    def ask(self, machine: Machine, path: str, request: Message, answers: list[Answer]) -> None:
        """Make one unary rpc, and go on; its answer is added to `answers`."""
        UnaryRequest(
            self._wire,
            machine,
            f"/etcdserverpb.{path}",
            request.SerializeToString(),
            answers.append,
            timeout_s=_PATIENCE_S,
        )

    def put(self, machine: Machine, key: bytes, value: bytes, lease: int = 0) -> None:
        """Put a key; it must work."""
        request = rpc_pb2.PutRequest(key=key, value=value, lease=lease)
        answer = self.call(machine, "KV/Put", request, rpc_pb2.PutResponse)
        assert isinstance(answer, rpc_pb2.PutResponse), answer

    def value(self, machine: Machine, key: bytes) -> bytes | None:
        """Read a key; it must work."""
        request = rpc_pb2.RangeRequest(key=key)
        answer = self.call(machine, "KV/Range", request, rpc_pb2.RangeResponse)
        assert isinstance(answer, rpc_pb2.RangeResponse), answer
        return answer.kvs[0].value if answer.kvs else None

    def grant(self, machine: Machine, lease: int, ttl_s: int) -> None:
        """Grant a lease; it must work."""
        request = rpc_pb2.LeaseGrantRequest(ID=lease, TTL=ttl_s)
        answer = self.call(machine, "Lease/LeaseGrant", request, rpc_pb2.LeaseGrantResponse)
        assert isinstance(answer, rpc_pb2.LeaseGrantResponse), answer

    def watch(self, machine: Machine, request: rpc_pb2.WatchCreateRequest) -> "Watched":
        """Watch, from the moment at which the watch is known to be there."""
        watched = Watched()
        stream = StreamRequest(
            self._wire, machine, "/etcdserverpb.Watch/Watch", watched, message_s=0.0001
        )
        stream.request(rpc_pb2.WatchRequest(create_request=request).SerializeToString())
        while not watched.responses:
            self.elapse(0.001)
        return watched

    def renew(self, machine: Machine, lease: int) -> int:
        """Renew a lease; return the TTL that is answered."""
        reader = _OneMessage()
        stream = StreamRequest(
            self._wire, machine, "/etcdserverpb.Lease/LeaseKeepAlive", reader, message_s=0.0001
        )
        stream.request(rpc_pb2.LeaseKeepAliveRequest(ID=lease).SerializeToString())
        for _ in range(int(_PATIENCE_S / 0.01)):
            if reader.message is not None or reader.status is not None:
                break
            self.elapse(0.01)
        assert reader.message is not None, reader.status
        stream.cancel()
        return rpc_pb2.LeaseKeepAliveResponse.FromString(reader.message).TTL

    def _connect(self) -> None:
        self.network.connect_all()
        self.world.after(0.05, self._connect)


class _OneMessage:
    """Reads one message of a stream."""

    def __init__(self) -> None:
        self.message: bytes | None = None
        self.status: Status | None = None

    def received(self, message: bytes, sent_state: int) -> None:
        self.message = message

    def ended(self, status: Status) -> None:
        self.status = status


class Watched:
    """Reads a watch stream, and keeps everything."""

    def __init__(self) -> None:
        self.responses: list[rpc_pb2.WatchResponse] = []
        self.status: Status | None = None

    @property
    def values(self) -> list[bytes]:
        """The values of the events, in order."""
        return [event.kv.value for response in self.responses for event in response.events]

    def received(self, message: bytes, sent_state: int) -> None:
        self.responses.append(rpc_pb2.WatchResponse.FromString(message))

    def ended(self, status: Status) -> None:
        self.status = status
