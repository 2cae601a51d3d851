"""Changes of users and roles, as requests of rpc.proto Auth, carried out in one turn's transaction.

A password is hashed before it comes here, so none is ever in the log.
"""

from collections.abc import Callable

from kvstore.apply.command import OperationKind
from kvstore.apply.reply import Reply
from kvstore.auth import AuthStore
from kvstore.auth.passwords import decode_hash
from kvstore.backend.backend import WriteTxn
from kvstore.wire.pb import raft_pb2, rpc_pb2
from kvstore.wire.protobuf import bytes_field

_TOKEN_FIELD = 2


class AuthOperations:
    """The operations of one turn on `store`; `current` returns (store revision, entry's index)."""

    def __init__(
        self, txn: WriteTxn, store: AuthStore, current: Callable[[], tuple[int, int]]
    ) -> None:
        self._txn = txn
        self._store = store
        self._current = current

    def methods(self) -> dict[int, Callable[[bytes], Reply]]:
        """Return what carries out each kind of operation."""
        return {
            OperationKind.AUTH_ENABLE: self._enable,
            OperationKind.AUTH_DISABLE: self._disable,
            OperationKind.AUTH_ASSIGN_TOKEN: self._assign_token,
            OperationKind.AUTH_USER_ADD: self._add_user,
            OperationKind.AUTH_USER_DELETE: self._delete_user,
            OperationKind.AUTH_USER_CHANGE_PASSWORD: self._change_password,
            OperationKind.AUTH_USER_GRANT_ROLE: self._grant_role,
            OperationKind.AUTH_USER_REVOKE_ROLE: self._revoke_role,
            OperationKind.AUTH_ROLE_ADD: self._add_role,
            OperationKind.AUTH_ROLE_DELETE: self._delete_role,
            OperationKind.AUTH_ROLE_GRANT_PERMISSION: self._grant_permission,
            OperationKind.AUTH_ROLE_REVOKE_PERMISSION: self._revoke_permission,
        }

    def _done(self) -> Reply:
        revision, _ = self._current()
        return Reply(revision, b"")

    def _enable(self, _: bytes) -> Reply:
        self._store.enable(self._txn)
        return self._done()

    def _disable(self, _: bytes) -> Reply:
        self._store.disable(self._txn)
        return self._done()

    def _assign_token(self, payload: bytes) -> Reply:
        request = raft_pb2.AssignToken.FromString(payload)
        revision, index = self._current()
        token = f"{request.prefix}.{index}"
        self._store.assign_token(request.user, token, checked_revision=request.auth_revision)
        return Reply(revision, bytes_field(_TOKEN_FIELD, token.encode()))

    def _add_user(self, payload: bytes) -> Reply:
        request = rpc_pb2.AuthUserAddRequest.FromString(payload)
        password = decode_hash(request.hashedPassword)
        self._store.add_user(
            self._txn, request.name, password, no_password=request.options.no_password
        )
        return self._done()

    def _delete_user(self, payload: bytes) -> Reply:
        self._store.delete_user(self._txn, rpc_pb2.AuthUserDeleteRequest.FromString(payload).name)
        return self._done()

    def _change_password(self, payload: bytes) -> Reply:
        request = rpc_pb2.AuthUserChangePasswordRequest.FromString(payload)
        self._store.change_password(self._txn, request.name, decode_hash(request.hashedPassword))
        return self._done()

    def _grant_role(self, payload: bytes) -> Reply:
        request = rpc_pb2.AuthUserGrantRoleRequest.FromString(payload)
        self._store.grant_role(self._txn, request.user, request.role)
        return self._done()

    def _revoke_role(self, payload: bytes) -> Reply:
        request = rpc_pb2.AuthUserRevokeRoleRequest.FromString(payload)
        self._store.revoke_role(self._txn, request.name, request.role)
        return self._done()

    def _add_role(self, payload: bytes) -> Reply:
        self._store.add_role(self._txn, rpc_pb2.AuthRoleAddRequest.FromString(payload).name)
        return self._done()

    def _delete_role(self, payload: bytes) -> Reply:
        self._store.delete_role(self._txn, rpc_pb2.AuthRoleDeleteRequest.FromString(payload).role)
        return self._done()

    def _grant_permission(self, payload: bytes) -> Reply:
        request = rpc_pb2.AuthRoleGrantPermissionRequest.FromString(payload)
        permission = request.perm if request.HasField("perm") else None
        self._store.grant_permission(self._txn, request.name, permission)
        return self._done()

    def _revoke_permission(self, payload: bytes) -> Reply:
        request = rpc_pb2.AuthRoleRevokePermissionRequest.FromString(payload)
        self._store.revoke_permission(self._txn, request.role, request.key, request.range_end)
        return self._done()
