"""The generated messages are etcd's, name by name and number by number, in a pool of their own."""

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, FileDescriptor

from kvstore.wire.pb import pool, rpc_pb2

# Names are relative to the package. A field is `name=number [repeated] type`; types are relative
# to it too.
MESSAGES = """
package etcdserverpb
ResponseHeader: cluster_id=1 uint64; member_id=2 uint64; revision=3 int64; raft_term=4 uint64
RangeRequest: key=1 bytes; range_end=2 bytes; limit=3 int64; revision=4 int64; sort_order=5
  RangeRequest.SortOrder; sort_target=6 RangeRequest.SortTarget; serializable=7 bool;
  keys_only=8 bool; count_only=9 bool; min_mod_revision=10 int64; max_mod_revision=11 int64;
  min_create_revision=12 int64; max_create_revision=13 int64
enum RangeRequest.SortOrder: NONE=0, ASCEND=1, DESCEND=2
enum RangeRequest.SortTarget: KEY=0, VERSION=1, CREATE=2, MOD=3, VALUE=4
RangeResponse: header=1 ResponseHeader; kvs=2 repeated mvccpb.KeyValue; more=3 bool; count=4
  int64
PutRequest: key=1 bytes; value=2 bytes; lease=3 int64; prev_kv=4 bool; ignore_value=5 bool;
  ignore_lease=6 bool
PutResponse: header=1 ResponseHeader; prev_kv=2 mvccpb.KeyValue
DeleteRangeRequest: key=1 bytes; range_end=2 bytes; prev_kv=3 bool
DeleteRangeResponse: header=1 ResponseHeader; deleted=2 int64; prev_kvs=3 repeated
  mvccpb.KeyValue
RequestOp: oneof request { request_range=1 RangeRequest | request_put=2 PutRequest |
  request_delete_range=3 DeleteRangeRequest | request_txn=4 TxnRequest }
ResponseOp: oneof response { response_range=1 RangeResponse | response_put=2 PutResponse |
  response_delete_range=3 DeleteRangeResponse | response_txn=4 TxnResponse }
Compare: result=1 Compare.CompareResult; target=2 Compare.CompareTarget; key=3 bytes; oneof
  target_union { version=4 int64 | create_revision=5 int64 | mod_revision=6 int64 | value=7
  bytes | lease=8 int64 }; range_end=64 bytes
enum Compare.CompareResult: EQUAL=0, GREATER=1, LESS=2, NOT_EQUAL=3
enum Compare.CompareTarget: VERSION=0, CREATE=1, MOD=2, VALUE=3, LEASE=4
TxnRequest: compare=1 repeated Compare; success=2 repeated RequestOp; failure=3 repeated
  RequestOp
TxnResponse: header=1 ResponseHeader; succeeded=2 bool; responses=3 repeated ResponseOp
CompactionRequest: revision=1 int64; physical=2 bool
CompactionResponse: header=1 ResponseHeader
RangeStreamResponse: range_response=1 RangeResponse
HashRequest:
HashKVRequest: revision=1 int64
HashKVResponse: header=1 ResponseHeader; hash=2 uint32; compact_revision=3 int64;
  hash_revision=4 int64
HashResponse: header=1 ResponseHeader; hash=2 uint32
SnapshotRequest:
SnapshotResponse: header=1 ResponseHeader; remaining_bytes=2 uint64; blob=3 bytes; version=4
  string
WatchRequest: oneof request_union { create_request=1 WatchCreateRequest | cancel_request=2
  WatchCancelRequest | progress_request=3 WatchProgressRequest }
WatchCreateRequest: key=1 bytes; range_end=2 bytes; start_revision=3 int64; progress_notify=4
  bool; filters=5 repeated WatchCreateRequest.FilterType; prev_kv=6 bool; watch_id=7 int64;
  fragment=8 bool
enum WatchCreateRequest.FilterType: NOPUT=0, NODELETE=1
WatchCancelRequest: watch_id=1 int64
WatchProgressRequest:
WatchResponse: header=1 ResponseHeader; watch_id=2 int64; created=3 bool; canceled=4 bool;
  compact_revision=5 int64; cancel_reason=6 string; fragment=7 bool; events=11 repeated
  mvccpb.Event
LeaseGrantRequest: TTL=1 int64; ID=2 int64
LeaseGrantResponse: header=1 ResponseHeader; ID=2 int64; TTL=3 int64; error=4 string
LeaseRevokeRequest: ID=1 int64
LeaseRevokeResponse: header=1 ResponseHeader
LeaseCheckpoint: ID=1 int64; remaining_TTL=2 int64
LeaseCheckpointRequest: checkpoints=1 repeated LeaseCheckpoint
LeaseCheckpointResponse: header=1 ResponseHeader
LeaseKeepAliveRequest: ID=1 int64
LeaseKeepAliveResponse: header=1 ResponseHeader; ID=2 int64; TTL=3 int64
LeaseTimeToLiveRequest: ID=1 int64; keys=2 bool
LeaseTimeToLiveResponse: header=1 ResponseHeader; ID=2 int64; TTL=3 int64; grantedTTL=4 int64;
  keys=5 repeated bytes
LeaseLeasesRequest:
LeaseStatus: ID=1 int64
LeaseLeasesResponse: header=1 ResponseHeader; leases=2 repeated LeaseStatus
Member: ID=1 uint64; name=2 string; peerURLs=3 repeated string; clientURLs=4 repeated string;
  isLearner=5 bool
MemberAddRequest: peerURLs=1 repeated string; isLearner=2 bool
MemberAddResponse: header=1 ResponseHeader; member=2 Member; members=3 repeated Member
MemberRemoveRequest: ID=1 uint64
MemberRemoveResponse: header=1 ResponseHeader; members=2 repeated Member
MemberUpdateRequest: ID=1 uint64; peerURLs=2 repeated string
MemberUpdateResponse: header=1 ResponseHeader; members=2 repeated Member
MemberListRequest: linearizable=1 bool
MemberListResponse: header=1 ResponseHeader; members=2 repeated Member
MemberPromoteRequest: ID=1 uint64
MemberPromoteResponse: header=1 ResponseHeader; members=2 repeated Member
enum AlarmType: NONE=0, NOSPACE=1, CORRUPT=2
DefragmentRequest:
DefragmentResponse: header=1 ResponseHeader
MoveLeaderRequest: targetID=1 uint64
MoveLeaderResponse: header=1 ResponseHeader
AlarmRequest: action=1 AlarmRequest.AlarmAction; memberID=2 uint64; alarm=3 AlarmType
enum AlarmRequest.AlarmAction: GET=0, ACTIVATE=1, DEACTIVATE=2
AlarmMember: memberID=1 uint64; alarm=2 AlarmType
AlarmResponse: header=1 ResponseHeader; alarms=2 repeated AlarmMember
DowngradeRequest: action=1 DowngradeRequest.DowngradeAction; version=2 string
enum DowngradeRequest.DowngradeAction: VALIDATE=0, ENABLE=1, CANCEL=2
DowngradeResponse: header=1 ResponseHeader; version=2 string
DowngradeVersionTestRequest: ver=1 string
StatusRequest:
StatusResponse: header=1 ResponseHeader; version=2 string; dbSize=3 int64; leader=4 uint64;
  raftIndex=5 uint64; raftTerm=6 uint64; raftAppliedIndex=7 uint64; errors=8 repeated string;
  dbSizeInUse=9 int64; isLearner=10 bool; storageVersion=11 string; dbSizeQuota=12 int64;
  downgradeInfo=13 DowngradeInfo
DowngradeInfo: enabled=1 bool; targetVersion=2 string
AuthEnableRequest:
AuthDisableRequest:
AuthStatusRequest:
AuthenticateRequest: name=1 string; password=2 string
AuthUserAddRequest: name=1 string; password=2 string; options=3 authpb.UserAddOptions;
  hashedPassword=4 string
AuthUserGetRequest: name=1 string
AuthUserDeleteRequest: name=1 string
AuthUserChangePasswordRequest: name=1 string; password=2 string; hashedPassword=3 string
AuthUserGrantRoleRequest: user=1 string; role=2 string
AuthUserRevokeRoleRequest: name=1 string; role=2 string
AuthRoleAddRequest: name=1 string
AuthRoleGetRequest: role=1 string
AuthUserListRequest:
AuthRoleListRequest:
AuthRoleDeleteRequest: role=1 string
AuthRoleGrantPermissionRequest: name=1 string; perm=2 authpb.Permission
AuthRoleRevokePermissionRequest: role=1 string; key=2 bytes; range_end=3 bytes
AuthEnableResponse: header=1 ResponseHeader
AuthDisableResponse: header=1 ResponseHeader
AuthStatusResponse: header=1 ResponseHeader; enabled=2 bool; authRevision=3 uint64
AuthenticateResponse: header=1 ResponseHeader; token=2 string
AuthUserAddResponse: header=1 ResponseHeader
AuthUserGetResponse: header=1 ResponseHeader; roles=2 repeated string
AuthUserDeleteResponse: header=1 ResponseHeader
AuthUserChangePasswordResponse: header=1 ResponseHeader
AuthUserGrantRoleResponse: header=1 ResponseHeader
AuthUserRevokeRoleResponse: header=1 ResponseHeader
AuthRoleAddResponse: header=1 ResponseHeader
AuthRoleGetResponse: header=1 ResponseHeader; perm=2 repeated authpb.Permission
AuthRoleListResponse: header=1 ResponseHeader; roles=2 repeated string
AuthUserListResponse: header=1 ResponseHeader; users=2 repeated string
AuthRoleDeleteResponse: header=1 ResponseHeader
AuthRoleGrantPermissionResponse: header=1 ResponseHeader
AuthRoleRevokePermissionResponse: header=1 ResponseHeader
package mvccpb
KeyValue: key=1 bytes; create_revision=2 int64; mod_revision=3 int64; version=4 int64; value=5
  bytes; lease=6 int64
Event: type=1 Event.EventType; kv=2 KeyValue; prev_kv=3 KeyValue
enum Event.EventType: PUT=0, DELETE=1
package authpb
UserAddOptions: no_password=1 bool
User: name=1 bytes; password=2 bytes; roles=3 repeated string; options=4 UserAddOptions
Permission: permType=1 Permission.Type; key=2 bytes; range_end=3 bytes
enum Permission.Type: READ=0, WRITE=1, READWRITE=2
Role: name=1 bytes; keyPermission=2 repeated Permission
package v3lockpb
LockRequest: name=1 bytes; lease=2 int64
LockResponse: header=1 etcdserverpb.ResponseHeader; key=2 bytes
UnlockRequest: key=1 bytes
UnlockResponse: header=1 etcdserverpb.ResponseHeader
package v3electionpb
CampaignRequest: name=1 bytes; lease=2 int64; value=3 bytes
CampaignResponse: header=1 etcdserverpb.ResponseHeader; leader=2 LeaderKey
LeaderKey: name=1 bytes; key=2 bytes; rev=3 int64; lease=4 int64
LeaderRequest: name=1 bytes
LeaderResponse: header=1 etcdserverpb.ResponseHeader; kv=2 mvccpb.KeyValue
ResignRequest: leader=1 LeaderKey
ResignResponse: header=1 etcdserverpb.ResponseHeader
ProclaimRequest: leader=1 LeaderKey; value=2 bytes
ProclaimResponse: header=1 etcdserverpb.ResponseHeader
package grpc.health.v1
HealthCheckRequest: service=1 string
HealthCheckResponse: status=1 HealthCheckResponse.ServingStatus
enum HealthCheckResponse.ServingStatus: UNKNOWN=0, SERVING=1, NOT_SERVING=2, SERVICE_UNKNOWN=3
"""

SERVICES = """
service etcdserverpb.KV
Range: unary RangeRequest RangeResponse
RangeStream: server-stream RangeRequest RangeStreamResponse
Put: unary PutRequest PutResponse
DeleteRange: unary DeleteRangeRequest DeleteRangeResponse
Txn: unary TxnRequest TxnResponse
Compact: unary CompactionRequest CompactionResponse
service etcdserverpb.Watch
Watch: bidi-stream WatchRequest WatchResponse
service etcdserverpb.Lease
LeaseGrant: unary LeaseGrantRequest LeaseGrantResponse
LeaseRevoke: unary LeaseRevokeRequest LeaseRevokeResponse
LeaseKeepAlive: bidi-stream LeaseKeepAliveRequest LeaseKeepAliveResponse
LeaseTimeToLive: unary LeaseTimeToLiveRequest LeaseTimeToLiveResponse
LeaseLeases: unary LeaseLeasesRequest LeaseLeasesResponse
service etcdserverpb.Cluster
MemberAdd: unary MemberAddRequest MemberAddResponse
MemberRemove: unary MemberRemoveRequest MemberRemoveResponse
MemberUpdate: unary MemberUpdateRequest MemberUpdateResponse
MemberList: unary MemberListRequest MemberListResponse
MemberPromote: unary MemberPromoteRequest MemberPromoteResponse
service etcdserverpb.Maintenance
Alarm: unary AlarmRequest AlarmResponse
Status: unary StatusRequest StatusResponse
Defragment: unary DefragmentRequest DefragmentResponse
Hash: unary HashRequest HashResponse
HashKV: unary HashKVRequest HashKVResponse
Snapshot: server-stream SnapshotRequest SnapshotResponse
MoveLeader: unary MoveLeaderRequest MoveLeaderResponse
Downgrade: unary DowngradeRequest DowngradeResponse
service etcdserverpb.Auth
AuthEnable: unary AuthEnableRequest AuthEnableResponse
AuthDisable: unary AuthDisableRequest AuthDisableResponse
AuthStatus: unary AuthStatusRequest AuthStatusResponse
Authenticate: unary AuthenticateRequest AuthenticateResponse
UserAdd: unary AuthUserAddRequest AuthUserAddResponse
UserGet: unary AuthUserGetRequest AuthUserGetResponse
UserList: unary AuthUserListRequest AuthUserListResponse
UserDelete: unary AuthUserDeleteRequest AuthUserDeleteResponse
UserChangePassword: unary AuthUserChangePasswordRequest AuthUserChangePasswordResponse
UserGrantRole: unary AuthUserGrantRoleRequest AuthUserGrantRoleResponse
UserRevokeRole: unary AuthUserRevokeRoleRequest AuthUserRevokeRoleResponse
RoleAdd: unary AuthRoleAddRequest AuthRoleAddResponse
RoleGet: unary AuthRoleGetRequest AuthRoleGetResponse
RoleList: unary AuthRoleListRequest AuthRoleListResponse
RoleDelete: unary AuthRoleDeleteRequest AuthRoleDeleteResponse
RoleGrantPermission: unary AuthRoleGrantPermissionRequest AuthRoleGrantPermissionResponse
RoleRevokePermission: unary AuthRoleRevokePermissionRequest AuthRoleRevokePermissionResponse
service v3lockpb.Lock
Lock: unary LockRequest LockResponse
Unlock: unary UnlockRequest UnlockResponse
service v3electionpb.Election
Campaign: unary CampaignRequest CampaignResponse
Proclaim: unary ProclaimRequest ProclaimResponse
Leader: unary LeaderRequest LeaderResponse
Observe: server-stream LeaderRequest LeaderResponse
Resign: unary ResignRequest ResignResponse
service grpc.health.v1.Health
Check: unary HealthCheckRequest HealthCheckResponse
Watch: server-stream HealthCheckRequest HealthCheckResponse
"""

MODULES = ("kv_pb2", "auth_pb2", "rpc_pb2", "v3lock_pb2", "v3election_pb2", "health_pb2")

Fields = dict[str, tuple[int, str, str | None]]
"""By name: the number, the type, and the oneof that the field is in."""


def files() -> Iterator[FileDescriptor]:
    for module in MODULES:
        yield import_module(f"kvstore.wire.pb.{module}").DESCRIPTOR


def entries(table: str) -> Iterator[str]:
    """Yield the lines of `table`, continuation lines joined."""
    return (line.replace("\n  ", " ") for line in re.split(r"\n(?! )", table.strip()))


def fields_written(text: str) -> Fields:
    fields: Fields = {}
    oneof = None
    for word in re.split(r"[;|] |(?<=\{) | (?=\})", text):
        if opened := re.fullmatch(r"oneof (\w+) \{", word):
            oneof = opened[1]
            continue
        if word.startswith("}"):
            oneof = None
            continue
        name, number, kind = re.fullmatch(r"(\w+)=(\d+) ([\w. ]+)", word).groups()  # type: ignore[union-attr]
        fields[name] = (int(number), kind.strip(), oneof)
    return fields


def fields_defined(message: Descriptor, package: str) -> Fields:
    return {
        field.name: (
            field.number,
            ("repeated " if field.is_repeated else "") + type_name(field, package),
            field.containing_oneof.name if field.containing_oneof else None,
        )
        for field in message.fields
    }


def type_name(field: FieldDescriptor, package: str) -> str:
    kind: Descriptor | EnumDescriptor | None = field.message_type or field.enum_type
    if kind:
        return str(kind.full_name).removeprefix(f"{package}.")
    scalars = {
        FieldDescriptor.TYPE_BYTES: "bytes",
        FieldDescriptor.TYPE_STRING: "string",
        FieldDescriptor.TYPE_BOOL: "bool",
        FieldDescriptor.TYPE_INT64: "int64",
        FieldDescriptor.TYPE_UINT64: "uint64",
        FieldDescriptor.TYPE_UINT32: "uint32",
    }
    return scalars[field.type]


def messages_written() -> tuple[dict[str, Fields], dict[str, dict[str, int]]]:
    messages: dict[str, Fields] = {}
    enums: dict[str, dict[str, int]] = {}
    package = ""
    for entry in entries(MESSAGES):
        if entry.startswith("package "):
            package = entry.removeprefix("package ")
            continue
        name, _, text = entry.partition(":")
        if name.startswith("enum "):
            values = (value.split("=") for value in text.strip().split(", "))
            enums[f"{package}.{name.removeprefix('enum ')}"] = {n: int(v) for n, v in values}
        else:
            messages[f"{package}.{name}"] = fields_written(text.strip()) if text else {}
    return messages, enums


def test_messages_have_etcds_fields_with_etcds_numbers_and_types() -> None:
    defined = {
        message.full_name: fields_defined(message, file.package)
        for file in files()
        for message in file.message_types_by_name.values()
    }
    assert defined == messages_written()[0]


def test_enums_have_etcds_values() -> None:
    defined: dict[str, dict[str, int]] = {}
    for file in files():
        nested = [e for m in file.message_types_by_name.values() for e in m.enum_types]
        for enum in [*file.enum_types_by_name.values(), *nested]:
            defined[enum.full_name] = {value.name: value.number for value in enum.values}
    assert defined == messages_written()[1]


def test_services_have_etcds_methods() -> None:
    kinds = {
        (False, False): "unary",
        (False, True): "server-stream",
        (True, True): "bidi-stream",
    }
    defined: list[str] = []
    for file in files():
        for service in file.services_by_name.values():
            defined.append(f"service {service.full_name}")
            defined += (
                f"{method.name}: {kinds[method.client_streaming, method.server_streaming]}"
                f" {method.input_type.name} {method.output_type.name}"
                for method in service.methods
            )
    assert sorted(defined) == sorted(entries(SERVICES))


def test_every_message_lives_in_our_pool_only() -> None:
    for file in files():
        assert file.pool is pool.POOL
        for name in file.message_types_by_name:
            with pytest.raises(KeyError):
                descriptor_pool.Default().FindMessageTypeByName(f"{file.package}.{name}")


def test_a_message_survives_the_wire_with_its_nested_messages() -> None:
    request = rpc_pb2.TxnRequest(
        compare=[rpc_pb2.Compare(key=b"k", target=rpc_pb2.Compare.LEASE, lease=7, range_end=b"l")],
        success=[rpc_pb2.RequestOp(request_put=rpc_pb2.PutRequest(key=b"k", value=b"\xff\x00"))],
    )
    assert rpc_pb2.TxnRequest.FromString(request.SerializeToString()) == request
    assert request.compare[0].SerializeToString() == b"\x10\x04\x1a\x01k\x40\x07\x82\x04\x01l"


FOREIGN_CLIENT = """
from google.protobuf import descriptor_pool, descriptor_pb2
def register():
    for name, package in (("rpc.proto", "etcdserverpb"), ("kv.proto", "mvccpb"),
                          ("auth.proto", "authpb"), ("health.proto", "grpc.health.v1")):
        file = descriptor_pb2.FileDescriptorProto(name=name, package=package, syntax="proto3")
        file.message_type.add(name="PutRequest").field.add(
            name="different", number=1, type=3, label=1)
        descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
"""
OURS = """
def ours():
    from kvstore.wire.pb import rpc_pb2, kv_pb2, auth_pb2, health_pb2
    assert rpc_pb2.PutRequest(key=b"k").SerializeToString() == b"\\n\\x01k"
"""


@pytest.mark.slow
@pytest.mark.parametrize("order", ["register(); ours()", "ours(); register()"])
@pytest.mark.parametrize("implementation", ["upb", "python"])
def test_another_etcd_package_in_the_process_does_not_clash(
    order: str,
    implementation: str,
    monkeypatch: pytest.MonkeyPatch,
    pytestconfig: pytest.Config,
) -> None:
    monkeypatch.setenv("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", implementation)
    program = FOREIGN_CLIENT + OURS + order
    subprocess.run([sys.executable, "-c", program], check=True, cwd=pytestconfig.rootpath)


def test_message_classes_know_their_module() -> None:
    message: Any = rpc_pb2.PutRequest
    assert message.__module__ == "kvstore.wire.pb.rpc_pb2"
