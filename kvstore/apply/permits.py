"""Which permissions each request needs, while authentication is on.

Decided when a request is applied or read, against the users and roles of that moment, so that all
members decide alike. Source: etcd's documented authentication rules; the order of the checks is
etcd's, because the first refusal is what the client sees.
"""

from collections.abc import Sequence
from typing import Protocol

from kvstore.apply.command import OperationKind
from kvstore.apply.requests import PutRequest, decode_put, put_of
from kvstore.auth import Access, AuthStore, Identity
from kvstore.backend.backend import Reader
from kvstore.base.ids import LeaseId
from kvstore.base.key_range import KeyRange
from kvstore.lease import Lessor
from kvstore.wire.pb import rpc_pb2

_ROOT_ONLY = frozenset(
    {
        OperationKind.AUTH_ENABLE,
        OperationKind.AUTH_DISABLE,
        OperationKind.AUTH_USER_ADD,
        OperationKind.AUTH_USER_DELETE,
        OperationKind.AUTH_USER_CHANGE_PASSWORD,
        OperationKind.AUTH_USER_GRANT_ROLE,
        OperationKind.AUTH_USER_REVOKE_ROLE,
        OperationKind.AUTH_ROLE_ADD,
        OperationKind.AUTH_ROLE_DELETE,
        OperationKind.AUTH_ROLE_GRANT_PERMISSION,
        OperationKind.AUTH_ROLE_REVOKE_PERMISSION,
    }
)


class Machine(Protocol):
    """What the state machine holds, as far as permissions depend on it."""

    @property
    def auth(self) -> AuthStore: ...

    @property
    def lessor(self) -> Lessor: ...


class Permits:
    """What one user may do, as the keyspace and the roles are now."""

    __slots__ = ("_auth", "_lessor", "_reader", "_user")

    def __init__(self, user: Identity, machine: Machine, reader: Reader) -> None:
        self._user = user
        self._auth = machine.auth
        self._lessor = machine.lessor
        self._reader = reader

    # Each raises what refuses the user: UserNameEmpty, AuthRevisionOld, PermissionDenied.

    def check_range(self, key: bytes, range_end: bytes) -> None:
        """A read needs READ on its whole range."""
        self._auth.check(self._user, Access.READ, KeyRange.of(key, range_end))

    def check_put(self, request: PutRequest) -> None:
        """A put needs WRITE on its key and on all that its lease holds, READ for `prev_kv`.

        Without the second, a user could attach a key to a lease that it cannot revoke.
        """
        self._auth.check(self._user, Access.WRITE, KeyRange.single(request.key))
        self.check_lease(LeaseId(request.lease), Access.WRITE)
        if request.prev_kv:
            self.check_range(request.key, b"")

    def check_delete(self, request: rpc_pb2.DeleteRangeRequest) -> None:
        """A delete needs WRITE on its whole range, READ for `prev_kv`."""
        keys = KeyRange.of(request.key, request.range_end)
        self._auth.check(self._user, Access.WRITE, keys)
        if request.prev_kv:
            self._auth.check(self._user, Access.READ, keys)

    def check_txn(self, request: rpc_pb2.TxnRequest) -> None:
        """A transaction needs READ for every compare, and all that both branches need.

        It would tell what it compared, and what it might have done, whichever branch is taken.
        """
        for compare in request.compare:
            self.check_range(compare.key, compare.range_end)
        for branch in (request.success, request.failure):
            self._check_branch(branch)

    def check_lease(self, lease: LeaseId, access: Access) -> None:
        """Whoever ends or prolongs a lease needs WRITE on all keys that it holds."""
        if not self._lessor.exists(lease) or self._auth.is_root(self._user):
            return
        for key in self._lessor.keys(self._reader, lease):
            self._auth.check(self._user, access, KeyRange.single(key))

    def _check_branch(self, operations: Sequence[rpc_pb2.RequestOp]) -> None:
        for operation in operations:
            match operation.WhichOneof("request"):
                case "request_range":
                    read = operation.request_range
                    self.check_range(read.key, read.range_end)
                case "request_put":
                    self.check_put(put_of(operation.request_put))
                case "request_delete_range":
                    self.check_delete(operation.request_delete_range)
                case "request_txn":
                    self.check_txn(operation.request_txn)
                case None:
                    pass  # refused before it was proposed
                case other:
                    raise AssertionError(f"transaction holds operation {other!r}")


def check_operation(
    user: Identity, kind: int, payload: bytes, machine: Machine, reader: Reader
) -> None:
    """Let an operation of the log pass, or raise what refuses it to `user`.

    What is not named here is asked of the member that received the request, or comes from members.

    Raises:
        RequestRefused: `user` may not do that.
    """
    permits = Permits(user, machine, reader)
    match kind:
        case OperationKind.PUT:
            permits.check_put(decode_put(payload))
        case OperationKind.DELETE_RANGE:
            permits.check_delete(rpc_pb2.DeleteRangeRequest.FromString(payload))
        case OperationKind.TXN:
            permits.check_txn(rpc_pb2.TxnRequest.FromString(payload))
        case OperationKind.LEASE_REVOKE:
            lease = LeaseId(rpc_pb2.LeaseRevokeRequest.FromString(payload).ID)
            permits.check_lease(lease, Access.WRITE)
        case _ if kind in _ROOT_ONLY:
            machine.auth.check_root(user)
        case _:
            pass
