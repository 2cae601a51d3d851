"""Every rpc of the wire reference, with a request that it grants: the content of each answer.

One story that needs no more than one member: whoever is asked starts empty, and each answer is
compared field by field with the real etcd's, but for ids, addresses, sizes, versions and tokens.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from kvstore.wire.pb import auth_pb2, rpc_pb2, v3election_pb2, v3lock_pb2
from tests.support.any_rpc import METHODS, Answer, AnyRpc
from tests.support.cluster_process import KVSTORED, ClusterProcess, Program

pytestmark = [pytest.mark.slow, pytest.mark.etcd]

RANGE_STREAM = "/etcdserverpb.KV/RangeStream"
"""etcd has it since 3.7: compared with Range."""
NEW_MEMBER = "http://127.0.0.1:1"
MASKED = frozenset(
    (
        *("cluster_id", "member_id", "raft_term", "ID", "id", "peerURLs", "clientURLs", "name"),
        *("version", "dbSize", "dbSizeInUse", "raftIndex", "raftAppliedIndex", "raftTerm"),
        *("leader_id", "leader", "token", "blob", "memberID", "TTL"),
    )
)
SINCE_3_6 = frozenset(("dbSizeQuota", "storageVersion", "downgradeInfo", "hash_revision"))
OF_SNAPSHOTS = frozenset(("remaining_bytes", "version"))
LEFT_OUT = {
    "/etcdserverpb.Maintenance/Hash": frozenset(("hash",)),
    "/etcdserverpb.Maintenance/Snapshot": OF_SNAPSHOTS,
}
"""Fields of single rpcs: both are of the storage engine's own records."""


@dataclass(slots=True)
class Told:
    """What earlier answers said that later requests need."""

    member: int = 0
    own: rpc_pb2.Member = field(default_factory=rpc_pb2.Member)
    """The one that is asked."""
    leader: v3election_pb2.LeaderKey = field(default_factory=v3election_pb2.LeaderKey)
    lock: bytes = b""


Step = tuple[str, Message | Callable[[Told], Message]]


def op_put(key: bytes) -> rpc_pb2.RequestOp:
    return rpc_pb2.RequestOp(request_put=rpc_pb2.PutRequest(key=key, value=b"v"))


TXN = rpc_pb2.TxnRequest(
    compare=[
        rpc_pb2.Compare(
            key=b"a", target=rpc_pb2.Compare.VERSION, result=rpc_pb2.Compare.EQUAL, version=1
        )
    ],
    success=[
        op_put(b"b"),
        rpc_pb2.RequestOp(request_range=rpc_pb2.RangeRequest(key=b"a", range_end=b"z")),
        rpc_pb2.RequestOp(request_delete_range=rpc_pb2.DeleteRangeRequest(key=b"a", prev_kv=True)),
    ],
)
PERMISSION = auth_pb2.Permission(permType=auth_pb2.Permission.READ, key=b"a", range_end=b"b")


def service(name: str, **requests: Message | Callable[[Told], Message]) -> list[Step]:
    return [(f"/{name}/{method}", request) for method, request in requests.items()]


STORY: list[Step] = [
    *service("etcdserverpb.Lease", LeaseGrant=rpc_pb2.LeaseGrantRequest(TTL=100, ID=77)),
    *service(
        "etcdserverpb.KV",
        Put=rpc_pb2.PutRequest(key=b"a", value=b"1", lease=77, prev_kv=True),
        Range=rpc_pb2.RangeRequest(key=b"a", range_end=b"z", limit=5),
        RangeStream=rpc_pb2.RangeRequest(key=b"a", range_end=b"z"),
        Txn=TXN,
        DeleteRange=rpc_pb2.DeleteRangeRequest(key=b"b", prev_kv=True),
    ),
    *service(
        "etcdserverpb.Watch",
        Watch=rpc_pb2.WatchRequest(
            create_request=rpc_pb2.WatchCreateRequest(key=b"a", start_revision=1, watch_id=5)
        ),
    ),
    *service(
        "etcdserverpb.Lease",
        LeaseKeepAlive=rpc_pb2.LeaseKeepAliveRequest(ID=77),
        LeaseTimeToLive=rpc_pb2.LeaseTimeToLiveRequest(ID=77, keys=True),
        LeaseLeases=rpc_pb2.LeaseLeasesRequest(),
        LeaseRevoke=rpc_pb2.LeaseRevokeRequest(ID=77),
    ),
    *service("etcdserverpb.Lease", LeaseGrant=rpc_pb2.LeaseGrantRequest(TTL=100, ID=88)),
    *service(
        "v3lockpb.Lock",
        Lock=v3lock_pb2.LockRequest(name=b"lock", lease=88),
        Unlock=lambda told: v3lock_pb2.UnlockRequest(key=told.lock),
    ),
    *service(
        "v3electionpb.Election",
        Campaign=v3election_pb2.CampaignRequest(name=b"e", lease=88, value=b"1"),
        Proclaim=lambda told: v3election_pb2.ProclaimRequest(leader=told.leader, value=b"2"),
        Leader=v3election_pb2.LeaderRequest(name=b"e"),
        Observe=v3election_pb2.LeaderRequest(name=b"e"),
        Resign=lambda told: v3election_pb2.ResignRequest(leader=told.leader),
    ),
    *service(
        "etcdserverpb.Cluster",
        MemberAdd=rpc_pb2.MemberAddRequest(peerURLs=[NEW_MEMBER], isLearner=True),
        MemberList=rpc_pb2.MemberListRequest(linearizable=True),
        MemberUpdate=lambda told: rpc_pb2.MemberUpdateRequest(
            ID=told.own.ID, peerURLs=told.own.peerURLs
        ),
        MemberPromote=lambda told: rpc_pb2.MemberPromoteRequest(ID=told.member),
        MemberRemove=lambda told: rpc_pb2.MemberRemoveRequest(ID=told.member),
    ),
    *service(
        "etcdserverpb.Maintenance",
        Status=rpc_pb2.StatusRequest(),
        Alarm=rpc_pb2.AlarmRequest(action=rpc_pb2.AlarmRequest.ACTIVATE, alarm=rpc_pb2.NOSPACE),
        Hash=rpc_pb2.HashRequest(),
        HashKV=rpc_pb2.HashKVRequest(),
        Snapshot=rpc_pb2.SnapshotRequest(),
        Defragment=rpc_pb2.DefragmentRequest(),
        MoveLeader=rpc_pb2.MoveLeaderRequest(targetID=1),
        Downgrade=rpc_pb2.DowngradeRequest(version="1.0"),
    ),
    *service(
        "etcdserverpb.Maintenance",
        Alarm=rpc_pb2.AlarmRequest(action=rpc_pb2.AlarmRequest.DEACTIVATE, alarm=rpc_pb2.NOSPACE),
    ),
    *service("etcdserverpb.KV", Compact=rpc_pb2.CompactionRequest(revision=3, physical=True)),
    *service("etcdserverpb.Maintenance", HashKV=rpc_pb2.HashKVRequest()),
    *service(
        "etcdserverpb.Auth",
        AuthStatus=rpc_pb2.AuthStatusRequest(),
        UserAdd=rpc_pb2.AuthUserAddRequest(name="root", password="pw"),
        UserGet=rpc_pb2.AuthUserGetRequest(name="root"),
        UserList=rpc_pb2.AuthUserListRequest(),
        UserChangePassword=rpc_pb2.AuthUserChangePasswordRequest(name="root", password="new"),
        RoleAdd=rpc_pb2.AuthRoleAddRequest(name="root"),
        RoleList=rpc_pb2.AuthRoleListRequest(),
        UserGrantRole=rpc_pb2.AuthUserGrantRoleRequest(user="root", role="root"),
        AuthEnable=rpc_pb2.AuthEnableRequest(),
        Authenticate=rpc_pb2.AuthenticateRequest(name="root", password="new"),
    ),
]
"""The rest asks as root."""
AS_ROOT: list[Step] = [
    *service("etcdserverpb.Auth", RoleAdd=rpc_pb2.AuthRoleAddRequest(name="r")),
    *service(
        "etcdserverpb.Auth",
        RoleGrantPermission=rpc_pb2.AuthRoleGrantPermissionRequest(name="r", perm=PERMISSION),
        RoleGet=rpc_pb2.AuthRoleGetRequest(role="r"),
        RoleRevokePermission=rpc_pb2.AuthRoleRevokePermissionRequest(
            role="r", key=b"a", range_end=b"b"
        ),
        UserAdd=rpc_pb2.AuthUserAddRequest(name="u", password="u"),
        UserGrantRole=rpc_pb2.AuthUserGrantRoleRequest(user="u", role="r"),
        UserRevokeRole=rpc_pb2.AuthUserRevokeRoleRequest(name="u", role="r"),
        UserDelete=rpc_pb2.AuthUserDeleteRequest(name="u"),
        RoleDelete=rpc_pb2.AuthRoleDeleteRequest(role="r"),
        AuthDisable=rpc_pb2.AuthDisableRequest(),
    ),
]


def told(endpoint: str) -> Iterator[tuple[str, object]]:
    """Tell one server the story; yield each rpc and what it said."""
    rpc = AnyRpc(endpoint)
    known = Told()
    token = ""
    try:
        for steps, is_root in ((STORY, False), (AS_ROOT, True)):
            for path, step in steps:
                request = step if isinstance(step, Message) else step(known)
                metadata = (("token", token),) if is_root else ()
                answer = rpc.call(path, request, metadata)
                token = _learn(known, answer) or token
                yield path, shown(path, answer)
    finally:
        rpc.close()


def _learn(known: Told, answer: Answer) -> str:
    """Note what later steps need; return a token, if there is one."""
    match answer.message:
        case rpc_pb2.MemberAddResponse():
            known.member = answer.message.member.ID
            known.own.CopyFrom(next(one for one in answer.message.members if one.name))
        case v3lock_pb2.LockResponse():
            known.lock = answer.message.key
        case v3election_pb2.CampaignResponse():
            known.leader.CopyFrom(answer.message.leader)
        case rpc_pb2.AuthenticateResponse():
            return answer.message.token
        case _:
            pass
    return ""


def shown(path: str, answer: Answer) -> object:
    if answer.message is None:
        return answer.decision
    found = MessageToDict(answer.message, preserving_proto_field_name=True)
    found = _masked(found, SINCE_3_6 | LEFT_OUT.get(path, frozenset()))
    if "members" in found:
        found["members"].sort(key=str)  # the order is that of their ids
    return found


def _masked(value: Any, left_out: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {
            key: "masked" if key in MASKED else _masked(item, left_out)
            for key, item in value.items()
            if key not in left_out
        }
    if isinstance(value, list):
        return [_masked(item, left_out) for item in value]
    return value


def test_the_story_calls_every_rpc() -> None:
    assert {path for path, _ in (*STORY, *AS_ROOT)} == METHODS.keys()


def test_every_answer_says_what_etcd_s_does(candidate: Program, reference_etcd: Program) -> None:
    with ClusterProcess(candidate, 1) as ours, ClusterProcess(reference_etcd, 1) as theirs:
        found = list(told(ours.endpoints[0]))
        expected = list(told(theirs.endpoints[0]))
    differing = [
        (path, mine, etcds)
        for (path, mine), (_, etcds) in zip(found, expected, strict=True)
        if path != RANGE_STREAM and mine != etcds
    ]
    assert differing == []


def test_a_range_that_is_streamed_says_what_a_range_says() -> None:
    with ClusterProcess(KVSTORED, 1) as ours:
        rpc = AnyRpc(ours.endpoints[0])
        for number in range(3):
            rpc.call("/etcdserverpb.KV/Put", rpc_pb2.PutRequest(key=b"k%d" % number, value=b"v"))
        request = rpc_pb2.RangeRequest(key=b"k", range_end=b"l")
        streamed = rpc.call(RANGE_STREAM, request).message
        whole = rpc.call("/etcdserverpb.KV/Range", request).message
        rpc.close()
    assert isinstance(streamed, rpc_pb2.RangeStreamResponse)
    assert streamed.range_response == whole
