"""Calls that operators make: members, leadership, defragmentation. Replies are left as they are."""

from collections.abc import Sequence
from typing import TypeVar

from google.protobuf.message import Message

from kvstore.client.calls import Call, Effect
from kvstore.wire.pb import rpc_pb2

Reply = TypeVar("Reply", bound=Message)


def _as_it_is(reply: Reply) -> Reply:
    return reply


def _once(method: str, request: Message, reply_type: type[Reply]) -> Call[Reply, Reply]:
    return Call(f"/etcdserverpb.{method}", request, reply_type, _as_it_is, effect=Effect.ONCE)


def member_add(
    peer_urls: Sequence[str], *, is_learner: bool
) -> Call[rpc_pb2.MemberAddResponse, rpc_pb2.MemberAddResponse]:
    request = rpc_pb2.MemberAddRequest(peerURLs=peer_urls, isLearner=is_learner)
    return _once("Cluster/MemberAdd", request, rpc_pb2.MemberAddResponse)


def member_remove(
    member: int,
) -> Call[rpc_pb2.MemberRemoveResponse, rpc_pb2.MemberRemoveResponse]:
    request = rpc_pb2.MemberRemoveRequest(ID=member)
    return _once("Cluster/MemberRemove", request, rpc_pb2.MemberRemoveResponse)


def member_update(
    member: int, peer_urls: Sequence[str]
) -> Call[rpc_pb2.MemberUpdateResponse, rpc_pb2.MemberUpdateResponse]:
    request = rpc_pb2.MemberUpdateRequest(ID=member, peerURLs=peer_urls)
    return _once("Cluster/MemberUpdate", request, rpc_pb2.MemberUpdateResponse)


def member_promote(
    member: int,
) -> Call[rpc_pb2.MemberPromoteResponse, rpc_pb2.MemberPromoteResponse]:
    request = rpc_pb2.MemberPromoteRequest(ID=member)
    return _once("Cluster/MemberPromote", request, rpc_pb2.MemberPromoteResponse)


def move_leader(target: int) -> Call[rpc_pb2.MoveLeaderResponse, rpc_pb2.MoveLeaderResponse]:
    request = rpc_pb2.MoveLeaderRequest(targetID=target)
    return _once("Maintenance/MoveLeader", request, rpc_pb2.MoveLeaderResponse)


def defragment() -> Call[rpc_pb2.DefragmentResponse, rpc_pb2.DefragmentResponse]:
    return _once("Maintenance/Defragment", rpc_pb2.DefragmentRequest(), rpc_pb2.DefragmentResponse)


def downgrade(
    action: rpc_pb2.DowngradeRequest.DowngradeAction.ValueType, version: str
) -> Call[rpc_pb2.DowngradeResponse, rpc_pb2.DowngradeResponse]:
    request = rpc_pb2.DowngradeRequest(action=action, version=version)
    return _once("Maintenance/Downgrade", request, rpc_pb2.DowngradeResponse)
