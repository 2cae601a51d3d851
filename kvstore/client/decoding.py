"""Protobuf replies, turned into values."""

from collections.abc import Iterable

from kvstore.client import values
from kvstore.wire.pb import kv_pb2, rpc_pb2


def header(message: rpc_pb2.ResponseHeader) -> values.Header:
    return values.Header(message.cluster_id, message.member_id, message.revision, message.raft_term)


def key_value(message: kv_pb2.KeyValue) -> values.KeyValue:
    return values.KeyValue(
        message.key,
        message.value,
        message.create_revision,
        message.mod_revision,
        message.version,
        message.lease,
    )


def event(message: kv_pb2.Event) -> values.Event:
    return values.Event(
        message.type == kv_pb2.Event.DELETE,
        key_value(message.kv),
        key_value(message.prev_kv) if message.HasField("prev_kv") else None,
    )


def range_result(message: rpc_pb2.RangeResponse) -> values.RangeResult:
    return values.RangeResult(
        header(message.header),
        tuple(map(key_value, message.kvs)),
        message.more,
        message.count,
    )


def first(message: rpc_pb2.RangeResponse) -> values.KeyValue | None:
    return key_value(message.kvs[0]) if message.kvs else None


def put_result(message: rpc_pb2.PutResponse) -> values.PutResult:
    return values.PutResult(
        header(message.header),
        key_value(message.prev_kv) if message.HasField("prev_kv") else None,
    )


def delete_result(message: rpc_pb2.DeleteRangeResponse) -> values.DeleteResult:
    return values.DeleteResult(
        header(message.header), message.deleted, tuple(map(key_value, message.prev_kvs))
    )


def txn_result(message: rpc_pb2.TxnResponse) -> values.TxnResult:
    return values.TxnResult(
        header(message.header), message.succeeded, tuple(map(_operation_result, message.responses))
    )


def _operation_result(message: rpc_pb2.ResponseOp) -> values.OperationResult:
    match message.WhichOneof("response"):
        case "response_range":
            return range_result(message.response_range)
        case "response_put":
            return put_result(message.response_put)
        case "response_delete_range":
            return delete_result(message.response_delete_range)
        case _:
            return txn_result(message.response_txn)


def compaction(message: rpc_pb2.CompactionResponse) -> values.Header:
    return header(message.header)


def granted_lease(message: rpc_pb2.LeaseGrantResponse) -> values.GrantedLease:
    return values.GrantedLease(message.ID, message.TTL)


def revocation(message: rpc_pb2.LeaseRevokeResponse) -> values.Header:
    return header(message.header)


def lease_state(message: rpc_pb2.LeaseTimeToLiveResponse) -> values.LeaseState:
    return values.LeaseState(message.ID, message.TTL, message.grantedTTL, tuple(message.keys))


def remaining_ttl(message: rpc_pb2.LeaseKeepAliveResponse) -> int:
    return message.TTL


def lease_ids(message: rpc_pb2.LeaseLeasesResponse) -> tuple[int, ...]:
    return tuple(lease.ID for lease in message.leases)


def members(message: rpc_pb2.MemberListResponse) -> tuple[values.ClusterMember, ...]:
    return tuple(
        values.ClusterMember(
            member.ID,
            member.name,
            tuple(member.peerURLs),
            tuple(member.clientURLs),
            member.isLearner,
        )
        for member in message.members
    )


def status(message: rpc_pb2.StatusResponse) -> values.MemberStatus:
    return values.MemberStatus(
        header=header(message.header),
        version=message.version,
        storage_version=message.storageVersion,
        leader=message.leader,
        is_learner=message.isLearner,
        raft_term=message.raftTerm,
        raft_index=message.raftIndex,
        raft_applied_index=message.raftAppliedIndex,
        db_size=message.dbSize,
        db_size_in_use=message.dbSizeInUse,
        db_size_quota=message.dbSizeQuota,
        errors=tuple(message.errors),
    )


def keyspace_hash(message: rpc_pb2.HashKVResponse) -> values.KeyspaceHash:
    return values.KeyspaceHash(
        header(message.header), message.hash, message.compact_revision, message.hash_revision
    )


def alarms(message: rpc_pb2.AlarmResponse) -> tuple[values.Alarm, ...]:
    return tuple(_alarms(message.alarms))


def _alarms(messages: Iterable[rpc_pb2.AlarmMember]) -> Iterable[values.Alarm]:
    for message in messages:
        yield values.Alarm(message.memberID, rpc_pb2.AlarmType.Name(message.alarm))


def token(message: rpc_pb2.AuthenticateResponse) -> str:
    return message.token
