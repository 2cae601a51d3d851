"""Every unary call as a value: what is sent, how its reply is read, whether it may be repeated.

Both shells (`Client`, `AsyncClient`) carry these; neither builds a request or reads a reply.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Generic, Literal, TypeVar

from google.protobuf.message import Message

from kvstore.client import decoding, values
from kvstore.client.keys import Keys, Text
from kvstore.client.operations import (
    Comparison,
    Delete,
    Get,
    Operation,
    Put,
    Txn,
    delete_request,
    get_request,
    put_request,
    txn_request,
)
from kvstore.wire.pb import rpc_pb2

Reply = TypeVar("Reply", bound=Message)
Result_co = TypeVar("Result_co", covariant=True)
SortTarget = Literal["key", "version", "create", "mod", "value"]


class Effect(Enum):
    """What a second execution of the call would do."""

    NONE = 1
    """A read, or a write that says the same twice: repeated on another endpoint when one fails."""
    ONCE = 2
    """A write: never repeated once it was sent, since nobody knows whether it happened."""


@dataclass(frozen=True, slots=True)
class Call(Generic[Reply, Result_co]):
    method: str
    """The gRPC path."""
    request: Message
    reply_type: type[Reply]
    decode: Callable[[Reply], Result_co]
    effect: Effect = Effect.NONE
    is_stream: bool = False
    """The method is a bidirectional stream, of which one request and one reply are used."""


def get(
    keys: Keys, *, revision: int, serializable: bool
) -> Call[rpc_pb2.RangeResponse, values.KeyValue | None]:
    request = get_request(Get(keys, revision=revision, limit=1))
    request.serializable = serializable
    return Call("/etcdserverpb.KV/Range", request, rpc_pb2.RangeResponse, decoding.first)


def range_call(request: rpc_pb2.RangeRequest) -> Call[rpc_pb2.RangeResponse, values.RangeResult]:
    return Call("/etcdserverpb.KV/Range", request, rpc_pb2.RangeResponse, decoding.range_result)


def range_request(
    get: Get,
    *,
    serializable: bool = False,
    sort_by: SortTarget | None = None,
    descending: bool = False,
) -> rpc_pb2.RangeRequest:
    request = get_request(get)
    request.serializable = serializable
    if sort_by is not None:
        request.sort_target = rpc_pb2.RangeRequest.SortTarget.Value(sort_by.upper())
    if sort_by is not None or descending:
        kind = rpc_pb2.RangeRequest
        request.sort_order = kind.DESCEND if descending else kind.ASCEND
    return request


def put(
    key: Text, value: Text, *, lease: int, previous: bool
) -> Call[rpc_pb2.PutResponse, values.PutResult]:
    return put_call(put_request(Put(key, value, lease=lease, previous=previous)))


def put_call(request: rpc_pb2.PutRequest) -> Call[rpc_pb2.PutResponse, values.PutResult]:
    return Call(
        "/etcdserverpb.KV/Put", request, rpc_pb2.PutResponse, decoding.put_result, Effect.ONCE
    )


def delete(keys: Keys, *, previous: bool) -> Call[rpc_pb2.DeleteRangeResponse, values.DeleteResult]:
    return delete_call(delete_request(Delete(keys, previous=previous)))


def delete_call(
    request: rpc_pb2.DeleteRangeRequest,
) -> Call[rpc_pb2.DeleteRangeResponse, values.DeleteResult]:
    return Call(
        "/etcdserverpb.KV/DeleteRange",
        request,
        rpc_pb2.DeleteRangeResponse,
        decoding.delete_result,
        Effect.ONCE,
    )


def txn(
    compare: Sequence[Comparison], success: Sequence[Operation], failure: Sequence[Operation]
) -> Call[rpc_pb2.TxnResponse, values.TxnResult]:
    return txn_call(txn_request(Txn(compare, success, failure)))


def txn_call(request: rpc_pb2.TxnRequest) -> Call[rpc_pb2.TxnResponse, values.TxnResult]:
    effect = Effect.NONE if _only_reads(request) else Effect.ONCE
    return Call("/etcdserverpb.KV/Txn", request, rpc_pb2.TxnResponse, decoding.txn_result, effect)


def _only_reads(request: rpc_pb2.TxnRequest) -> bool:
    """Whether neither branch could change anything."""
    return all(
        operation.HasField("request_range")
        or (operation.HasField("request_txn") and _only_reads(operation.request_txn))
        for branch in (request.success, request.failure)
        for operation in branch
    )


def compact(revision: int, *, physical: bool) -> Call[rpc_pb2.CompactionResponse, values.Header]:
    return Call(
        "/etcdserverpb.KV/Compact",
        rpc_pb2.CompactionRequest(revision=revision, physical=physical),
        rpc_pb2.CompactionResponse,
        decoding.compaction,
        Effect.ONCE,
    )


def grant(ttl_s: int, *, lease_id: int) -> Call[rpc_pb2.LeaseGrantResponse, values.GrantedLease]:
    return Call(
        "/etcdserverpb.Lease/LeaseGrant",
        rpc_pb2.LeaseGrantRequest(TTL=ttl_s, ID=lease_id),
        rpc_pb2.LeaseGrantResponse,
        decoding.granted_lease,
        Effect.ONCE,
    )


def revoke(lease_id: int) -> Call[rpc_pb2.LeaseRevokeResponse, values.Header]:
    return Call(
        "/etcdserverpb.Lease/LeaseRevoke",
        rpc_pb2.LeaseRevokeRequest(ID=lease_id),
        rpc_pb2.LeaseRevokeResponse,
        decoding.revocation,
        Effect.ONCE,
    )


def keep_alive(lease_id: int) -> Call[rpc_pb2.LeaseKeepAliveResponse, int]:
    return Call(
        "/etcdserverpb.Lease/LeaseKeepAlive",
        rpc_pb2.LeaseKeepAliveRequest(ID=lease_id),
        rpc_pb2.LeaseKeepAliveResponse,
        decoding.remaining_ttl,
        is_stream=True,
    )


def time_to_live(
    lease_id: int, *, keys: bool
) -> Call[rpc_pb2.LeaseTimeToLiveResponse, values.LeaseState]:
    return Call(
        "/etcdserverpb.Lease/LeaseTimeToLive",
        rpc_pb2.LeaseTimeToLiveRequest(ID=lease_id, keys=keys),
        rpc_pb2.LeaseTimeToLiveResponse,
        decoding.lease_state,
    )


def leases() -> Call[rpc_pb2.LeaseLeasesResponse, tuple[int, ...]]:
    return Call(
        "/etcdserverpb.Lease/LeaseLeases",
        rpc_pb2.LeaseLeasesRequest(),
        rpc_pb2.LeaseLeasesResponse,
        decoding.lease_ids,
    )


def member_list(
    *, linearizable: bool
) -> Call[rpc_pb2.MemberListResponse, tuple[values.ClusterMember, ...]]:
    return Call(
        "/etcdserverpb.Cluster/MemberList",
        rpc_pb2.MemberListRequest(linearizable=linearizable),
        rpc_pb2.MemberListResponse,
        decoding.members,
    )


def status() -> Call[rpc_pb2.StatusResponse, values.MemberStatus]:
    return Call(
        "/etcdserverpb.Maintenance/Status",
        rpc_pb2.StatusRequest(),
        rpc_pb2.StatusResponse,
        decoding.status,
    )


def hash_kv(revision: int) -> Call[rpc_pb2.HashKVResponse, values.KeyspaceHash]:
    return Call(
        "/etcdserverpb.Maintenance/HashKV",
        rpc_pb2.HashKVRequest(revision=revision),
        rpc_pb2.HashKVResponse,
        decoding.keyspace_hash,
    )


def alarms() -> Call[rpc_pb2.AlarmResponse, tuple[values.Alarm, ...]]:
    return Call(
        "/etcdserverpb.Maintenance/Alarm",
        rpc_pb2.AlarmRequest(action=rpc_pb2.AlarmRequest.GET),
        rpc_pb2.AlarmResponse,
        decoding.alarms,
    )


def disarm(alarm: values.Alarm) -> Call[rpc_pb2.AlarmResponse, tuple[values.Alarm, ...]]:
    return Call(
        "/etcdserverpb.Maintenance/Alarm",
        rpc_pb2.AlarmRequest(
            action=rpc_pb2.AlarmRequest.DEACTIVATE,
            memberID=alarm.member_id,
            alarm=rpc_pb2.AlarmType.Value(alarm.kind),
        ),
        rpc_pb2.AlarmResponse,
        decoding.alarms,
        Effect.ONCE,
    )


def authenticate(name: str, password: str) -> Call[rpc_pb2.AuthenticateResponse, str]:
    return Call(
        "/etcdserverpb.Auth/Authenticate",
        rpc_pb2.AuthenticateRequest(name=name, password=password),
        rpc_pb2.AuthenticateResponse,
        decoding.token,
    )
