"""Changes of the members and maintenance: the real etcd and ours answer alike, in order."""

from collections.abc import Callable

import pytest
from google.protobuf.message import Message

from kvstore.wire.pb import rpc_pb2
from tests.support.cluster_process import ClusterProcess, Program
from tests.support.target import Target

pytestmark = [pytest.mark.etcd, pytest.mark.slow]

UNKNOWN = 0xDEAD
URL = "http://127.0.0.1:9"

Told = list[tuple[str, str, str]]


def body(target: Target) -> Told:
    """Ask one member for all that it must refuse, and for some that it must do."""
    told: Told = []

    def ask(rpc: str, request: Message, shown: Callable[[Message], str] = lambda _: "") -> Message:
        outcome = target.call(rpc, request)
        answer = shown(outcome.response) if outcome.response is not None else ""
        told.append((f"{rpc} {request}", outcome.code, outcome.text + answer))
        return outcome.response if outcome.response is not None else request

    status = target.call("Status", rpc_pb2.StatusRequest()).response
    assert isinstance(status, rpc_pb2.StatusResponse)
    me = status.header.member_id

    def without_me(rpc: str, request: Message) -> None:
        ask(rpc, request)
        told[-1] = (f"{rpc} of itself", *told[-1][1:])

    for urls in ([], ["127.0.0.1:1"], ["http://127.0.0.1"], ["ftp://a:1"], ["http://a:1/path"]):
        ask("MemberAdd", rpc_pb2.MemberAddRequest(peerURLs=urls))
    without_me("MemberRemove", rpc_pb2.MemberRemoveRequest(ID=me))
    # In 3.5.1 a change after one that was refused while it was applied waits for its time-out: only
    # what is refused before that can be compared.

    def learner_of(answer: Message) -> str:
        assert isinstance(answer, rpc_pb2.MemberAddResponse)
        member = answer.member
        assert answer.header.revision == 0
        return f"{list(member.peerURLs)} {member.isLearner} {member.name!r} {len(answer.members)}"

    learner = rpc_pb2.MemberAddRequest(peerURLs=[URL], isLearner=True)
    added = ask("MemberAdd", learner, learner_of)
    assert isinstance(added, rpc_pb2.MemberAddResponse)
    without_me("MoveLeader", rpc_pb2.MoveLeaderRequest(targetID=added.member.ID))
    without_me("MemberRemove", rpc_pb2.MemberRemoveRequest(ID=added.member.ID))
    ask("MoveLeader", rpc_pb2.MoveLeaderRequest(targetID=UNKNOWN))
    without_me("MoveLeader", rpc_pb2.MoveLeaderRequest(targetID=me))

    def alarms(answer: Message) -> str:
        assert isinstance(answer, rpc_pb2.AlarmResponse)
        return str([(alarm.memberID, alarm.alarm) for alarm in answer.alarms])

    actions = rpc_pb2.AlarmRequest
    for action, alarm in (
        (actions.GET, rpc_pb2.NONE),
        (actions.ACTIVATE, rpc_pb2.NOSPACE),
        (actions.ACTIVATE, rpc_pb2.NOSPACE),
        (actions.GET, rpc_pb2.NONE),
        (actions.GET, rpc_pb2.CORRUPT),
        (actions.DEACTIVATE, rpc_pb2.CORRUPT),
        (actions.DEACTIVATE, rpc_pb2.NOSPACE),
        (actions.GET, rpc_pb2.NONE),
    ):
        ask("Alarm", actions(action=action, memberID=7, alarm=alarm), alarms)
    ask("Defragment", rpc_pb2.DefragmentRequest(), lambda answer: str(answer.ByteSize()))
    ask("Hash", rpc_pb2.HashRequest())
    for version in ("", "x", "3", "3.9"):
        ask("Downgrade", rpc_pb2.DowngradeRequest(version=version))
    return told


def test_members_and_maintenance_answer_alike(reference_etcd: Program, candidate: Program) -> None:
    said: list[Told] = []
    for program in (reference_etcd, candidate):
        with ClusterProcess(program, 1) as cluster:
            target = Target(program.name, cluster.endpoints)
            target.wait_until_versions_are_decided()
            said.append(body(target))
            target.close()
    theirs, ours = said
    differences = [(our, their) for our, their in zip(ours, theirs, strict=True) if our != their]
    assert not differences, "\n".join(map(str, differences))
