"""An operator who changes the members all the time: adds, starts, promotes and removes them."""

from collections.abc import Mapping

from google.protobuf.message import Message

from kvstore.base.ids import MemberId
from kvstore.wire.pb import rpc_pb2
from tests.simulation.members.calls import Answer, Status
from tests.simulation.members.clients import Recorder
from tests.simulation.members.machine import Machine

_PATIENCE_S = (0.5, 3.0)
_MORE_MAX = 2
"""So many members may be there beyond those that the cluster began with."""
_NAMES = {
    rpc_pb2.MemberAddRequest: "MemberAdd",
    rpc_pb2.MemberPromoteRequest: "MemberPromote",
    rpc_pb2.MemberRemoveRequest: "MemberRemove",
}


class Operator:
    """Looks who is there, and decides by dice what is to change; never trusts a lost answer."""

    def __init__(self, name: str, recorder: Recorder) -> None:
        self._name = name
        self._recorder = recorder
        self._cluster = recorder.cluster
        self._world = recorder.world
        self._dice = recorder.world.dice
        self._addresses = 0
        self._usual = len(self._cluster.machines)
        self._look_soon()

    def _look_soon(self) -> None:
        self._world.after(self._dice.uniform(*_PATIENCE_S), self._look)

    def _look(self) -> None:
        if self._cluster.is_quiet:
            return
        request = rpc_pb2.MemberListRequest(linearizable=True)

        def listed(answer: Answer) -> None:
            if self._cluster.is_quiet:
                return
            if isinstance(answer, Status):
                self._look_soon()
                return
            members = rpc_pb2.MemberListResponse.FromString(answer).members
            present = {MemberId(member.ID): member for member in members}
            self._start_those_added(present, asked)
            self._change(self._wanted(present))

        path = "/etcdserverpb.Cluster/MemberList"
        asked = self._recorder.send(self._name, path, request, listed)

    def _start_those_added(
        self, present: Mapping[MemberId, rpc_pb2.Member], asked: Machine
    ) -> None:
        """Start whom nobody has started yet, with what the member that was asked knows."""
        if not asked.is_alive:
            return
        membership = asked.node.member.applied_membership
        for member in present:
            if member in membership.members and member not in self._cluster.machines:
                self._cluster.join(member, membership)

    def _wanted(self, present: Mapping[MemberId, rpc_pb2.Member]) -> Message:
        dice = self._dice
        learners = [member for member in present if present[member].isLearner]
        if learners and dice.random() < 0.7:
            return rpc_pb2.MemberPromoteRequest(ID=learners[0])
        has_room = len(present) < self._usual + _MORE_MAX
        if len(present) < self._usual or (has_room and dice.random() < 0.5):
            self._addresses += 1
            url = f"http://added-{self._addresses}:2380"
            return rpc_pb2.MemberAddRequest(peerURLs=[url], isLearner=dice.random() < 0.5)
        return rpc_pb2.MemberRemoveRequest(ID=dice.choice(sorted(present)))

    def _change(self, request: Message) -> None:
        name = _NAMES[type(request)]

        def changed(answer: Answer) -> None:
            note = self._cluster.oracle.note
            note(f"refused: {answer.text}" if isinstance(answer, Status) else f"done: {name}")
            self._look_soon()

        self._recorder.send(self._name, f"/etcdserverpb.Cluster/{name}", request, changed)
