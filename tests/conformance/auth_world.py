"""A store with users, roles, keys and leases, made alike on a real etcd and on ours."""

from google.protobuf.message import Message

from kvstore.wire.pb import auth_pb2, rpc_pb2
from tests.support.any_rpc import Answer, AnyRpc, Metadata

PASSWORD = "s3cret"
READ, WRITE, READWRITE = (
    auth_pb2.Permission.READ,
    auth_pb2.Permission.WRITE,
    auth_pb2.Permission.READWRITE,
)
ROLES = {
    "reads_k": [(READ, b"k", b"l")],
    "writes_k": [(WRITE, b"k", b"l")],
    "other": [(READWRITE, b"x", b"y")],
    "halves": [(READWRITE, b"k", b"k5"), (READWRITE, b"k5", b"l"), (READWRITE, b"z", b"\0")],
    "root": [],
}
USERS = {
    "root": ["root"],
    "reader": ["reads_k"],
    "writer": ["writes_k"],
    "stranger": ["other"],
    "both": ["halves"],
    "nobody": [],
}
LEASE_FREE, LEASE_OF_K, LEASE_OF_X = 0x11, 0x12, 0x13


def auth(rpc: AnyRpc, name: str, request: Message, metadata: Metadata = ()) -> Answer:
    """Call one method of the Auth service."""
    return rpc.call(f"/etcdserverpb.Auth/{name}", request, metadata)


def build(rpc: AnyRpc) -> None:
    """Make the users, the roles, keys and leases; authentication stays off."""
    for role, permissions in ROLES.items():
        _ok(auth(rpc, "RoleAdd", rpc_pb2.AuthRoleAddRequest(name=role)))
        for kind, key, end in permissions:
            granted = auth_pb2.Permission(permType=kind, key=key, range_end=end)
            request = rpc_pb2.AuthRoleGrantPermissionRequest(name=role, perm=granted)
            _ok(auth(rpc, "RoleGrantPermission", request))
    for user, roles in USERS.items():
        _ok(auth(rpc, "UserAdd", rpc_pb2.AuthUserAddRequest(name=user, password=PASSWORD)))
        for role in roles:
            grant = rpc_pb2.AuthUserGrantRoleRequest(user=user, role=role)
            _ok(auth(rpc, "UserGrantRole", grant))
    for lease in (LEASE_FREE, LEASE_OF_K, LEASE_OF_X):
        grant_lease = rpc_pb2.LeaseGrantRequest(ID=lease, TTL=10_000)
        _ok(rpc.call("/etcdserverpb.Lease/LeaseGrant", grant_lease))
    for key, lease in ((b"k1", LEASE_OF_K), (b"x1", LEASE_OF_X), (b"k2", 0), (b"z1", 0)):
        put = rpc_pb2.PutRequest(key=key, value=b"v", lease=lease)
        _ok(rpc.call("/etcdserverpb.KV/Put", put))


def enable(rpc: AnyRpc) -> None:
    """Switch authentication on."""
    _ok(auth(rpc, "AuthEnable", rpc_pb2.AuthEnableRequest()))


def token(rpc: AnyRpc, user: str, password: str = PASSWORD) -> Metadata:
    """Log in; return the metadata that says so."""
    request = rpc_pb2.AuthenticateRequest(name=user, password=password)
    answer = auth(rpc, "Authenticate", request)
    assert isinstance(answer.message, rpc_pb2.AuthenticateResponse), answer
    return (("token", answer.message.token),)


def _ok(answer: Answer) -> None:
    assert answer.code == "OK", answer
