"""Which path of the JSON gateway stands for which method (the HTTP column of etcd's API)."""

from typing import NamedTuple

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from kvstore.wire.pb import rpc_pb2, v3election_pb2, v3lock_pb2

_PATHS = {
    "etcdserverpb.KV": {
        "Range": "kv/range",
        "Put": "kv/put",
        "DeleteRange": "kv/deleterange",
        "Txn": "kv/txn",
        "Compact": "kv/compaction",
    },
    "etcdserverpb.Watch": {"Watch": "watch"},
    "etcdserverpb.Lease": {
        "LeaseGrant": "lease/grant",
        "LeaseRevoke": "lease/revoke",
        "LeaseKeepAlive": "lease/keepalive",
        "LeaseTimeToLive": "lease/timetolive",
        "LeaseLeases": "lease/leases",
    },
    "etcdserverpb.Cluster": {
        "MemberAdd": "cluster/member/add",
        "MemberRemove": "cluster/member/remove",
        "MemberUpdate": "cluster/member/update",
        "MemberList": "cluster/member/list",
        "MemberPromote": "cluster/member/promote",
    },
    "etcdserverpb.Maintenance": {
        "Alarm": "maintenance/alarm",
        "Status": "maintenance/status",
        "Defragment": "maintenance/defragment",
        "Hash": "maintenance/hash",
        "HashKV": "maintenance/hashkv",
        "Snapshot": "maintenance/snapshot",
        "MoveLeader": "maintenance/transfer-leadership",
        "Downgrade": "maintenance/downgrade",
    },
    "etcdserverpb.Auth": {
        "AuthEnable": "auth/enable",
        "AuthDisable": "auth/disable",
        "AuthStatus": "auth/status",
        "Authenticate": "auth/authenticate",
        "UserAdd": "auth/user/add",
        "UserGet": "auth/user/get",
        "UserList": "auth/user/list",
        "UserDelete": "auth/user/delete",
        "UserChangePassword": "auth/user/changepw",
        "UserGrantRole": "auth/user/grant",
        "UserRevokeRole": "auth/user/revoke",
        "RoleAdd": "auth/role/add",
        "RoleGet": "auth/role/get",
        "RoleList": "auth/role/list",
        "RoleDelete": "auth/role/delete",
        "RoleGrantPermission": "auth/role/grant",
        "RoleRevokePermission": "auth/role/revoke",
    },
    "v3lockpb.Lock": {"Lock": "lock/lock", "Unlock": "lock/unlock"},
    "v3electionpb.Election": {
        "Campaign": "election/campaign",
        "Proclaim": "election/proclaim",
        "Leader": "election/leader",
        "Observe": "election/observe",
        "Resign": "election/resign",
    },
}
_OLD_PATHS = {
    f"/v3/kv/lease/{name}": f"/v3/lease/{name}" for name in ("revoke", "timetolive", "leases")
}
"""Kept for old clients."""


class GatewayRoute(NamedTuple):
    """What a path stands for."""

    method: str
    """The gRPC path."""
    request: type[Message]
    reply: type[Message]
    is_stream: bool


def _routes() -> dict[str, GatewayRoute]:
    services = {
        service.full_name: service
        for module in (rpc_pb2, v3lock_pb2, v3election_pb2)
        for service in module.DESCRIPTOR.services_by_name.values()
    }
    found = {}
    for name, paths in _PATHS.items():
        methods = services[name].methods_by_name
        for method_name, path in paths.items():
            found[f"/v3/{path}"] = _route(name, methods[method_name])
    found |= {old: found[new] for old, new in _OLD_PATHS.items()}
    return found


def _route(service: str, method: MethodDescriptor) -> GatewayRoute:
    return GatewayRoute(
        f"/{service}/{method.name}",
        GetMessageClass(method.input_type),
        GetMessageClass(method.output_type),
        method.server_streaming,
    )


ROUTES = _routes()
