"""The Auth service (rpc.proto Auth): users, roles, permissions, and tokens for passwords.

Changes go through the log, reads behind a ReadIndex round. A password is hashed or compared in a
thread of its own, and never leaves this module: not into the log, nor into a log line.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from kvstore.apply import Outcome, Reply
from kvstore.apply.command import OperationKind
from kvstore.auth import Identity
from kvstore.auth.passwords import PasswordTooLong, encode_hash, hashed, matches
from kvstore.base.errors import (
    AuthenticationFailed,
    AuthRevisionOld,
    PasswordRefused,
    RpcError,
    TooManyRequests,
)
from kvstore.member import Member
from kvstore.member.ports import Worker
from kvstore.rpc.access import AccessControl
from kvstore.rpc.call import Method, UnaryCall
from kvstore.rpc.header import ResponseHeaders
from kvstore.rpc.pipeline import Pipeline, malformed
from kvstore.rpc.tokens import TokenProvider
from kvstore.wire.pb import raft_pb2, rpc_pb2
from kvstore.wire.protobuf import bytes_field

logger = logging.getLogger(__name__)

PASSWORDS_PENDING_MAX = 100
"""Passwords that may wait for the thread that hashes: a few seconds' work."""
_TOKEN_FIELD = 2

_Result = TypeVar("_Result")
_Request = TypeVar("_Request", bound=Message)

_CHANGES: dict[str, tuple[OperationKind, type[Message]]] = {
    "AuthEnable": (OperationKind.AUTH_ENABLE, rpc_pb2.AuthEnableRequest),
    "AuthDisable": (OperationKind.AUTH_DISABLE, rpc_pb2.AuthDisableRequest),
    "UserDelete": (OperationKind.AUTH_USER_DELETE, rpc_pb2.AuthUserDeleteRequest),
    "UserGrantRole": (OperationKind.AUTH_USER_GRANT_ROLE, rpc_pb2.AuthUserGrantRoleRequest),
    "UserRevokeRole": (OperationKind.AUTH_USER_REVOKE_ROLE, rpc_pb2.AuthUserRevokeRoleRequest),
    "RoleAdd": (OperationKind.AUTH_ROLE_ADD, rpc_pb2.AuthRoleAddRequest),
    "RoleDelete": (OperationKind.AUTH_ROLE_DELETE, rpc_pb2.AuthRoleDeleteRequest),
    "RoleGrantPermission": (
        OperationKind.AUTH_ROLE_GRANT_PERMISSION,
        rpc_pb2.AuthRoleGrantPermissionRequest,
    ),
    "RoleRevokePermission": (
        OperationKind.AUTH_ROLE_REVOKE_PERMISSION,
        rpc_pb2.AuthRoleRevokePermissionRequest,
    ),
}
"""Requests that are proposed as they came."""


class AuthService:
    """The handlers of `/etcdserverpb.Auth/*`."""

    def __init__(  # noqa: PLR0913 - each is one of its collaborators
        self,
        member: Member,
        headers: ResponseHeaders,
        pipeline: Pipeline,
        access: AccessControl,
        tokens: TokenProvider,
        *,
        worker: Worker,
        bcrypt_cost: int,
    ) -> None:
        self._member = member
        self._headers = headers
        self._pipeline = pipeline
        self._access = access
        self._tokens = tokens
        self._worker = worker
        self._bcrypt_cost = bcrypt_cost
        self._passwords_pending = 0

    def methods(self) -> dict[str, Method]:
        """Return the routes of this service."""
        unary = self._pipeline.unary
        handlers: dict[str, Callable[[UnaryCall, bytes], None]] = {
            name: partial(self._change, kind, request) for name, (kind, request) in _CHANGES.items()
        }
        handlers |= {
            "Authenticate": self._authenticate,
            "AuthStatus": self._reader(rpc_pb2.AuthStatusRequest, self._status),
            "UserAdd": self._user_add,
            "UserChangePassword": self._change_password,
            "UserGet": self._reader(rpc_pb2.AuthUserGetRequest, self._user_get),
            "UserList": self._reader(rpc_pb2.AuthUserListRequest, self._user_list),
            "RoleGet": self._reader(rpc_pb2.AuthRoleGetRequest, self._role_get),
            "RoleList": self._reader(rpc_pb2.AuthRoleListRequest, self._role_list),
        }
        return {f"/etcdserverpb.Auth/{name}": unary(handle) for name, handle in handlers.items()}

    # --- changes

    def _change(
        self, kind: OperationKind, request: type[Message], call: UnaryCall, raw: bytes
    ) -> None:
        _parse(request, raw)
        self._propose(call, kind, raw)

    def _user_add(self, call: UnaryCall, raw: bytes) -> None:
        request = _parse(rpc_pb2.AuthUserAddRequest, raw)
        if request.options.no_password:
            request.ClearField("password")
            request.ClearField("hashedPassword")
            self._propose(call, OperationKind.AUTH_USER_ADD, request.SerializeToString())
        else:
            self._propose_hashed(call, OperationKind.AUTH_USER_ADD, request)

    def _change_password(self, call: UnaryCall, raw: bytes) -> None:
        request = _parse(rpc_pb2.AuthUserChangePasswordRequest, raw)
        if request.password:
            self._propose_hashed(call, OperationKind.AUTH_USER_CHANGE_PASSWORD, request)
        else:
            self._propose(call, OperationKind.AUTH_USER_CHANGE_PASSWORD, raw)

    def _propose_hashed(
        self,
        call: UnaryCall,
        kind: OperationKind,
        request: "rpc_pb2.AuthUserAddRequest | rpc_pb2.AuthUserChangePasswordRequest",
    ) -> None:
        """Propose `request` with a hash in place of its password."""
        password = request.password
        request.ClearField("password")

        def done(result: bytes | BaseException) -> None:
            if isinstance(result, PasswordTooLong):
                _fail(call, PasswordRefused(str(result)))
            elif isinstance(result, BaseException):
                raise result
            else:
                request.hashedPassword = encode_hash(result)
                try:
                    self._propose(call, kind, request.SerializeToString())
                except RpcError as refusal:
                    _fail(call, refusal)

        self._off_loop(partial(hashed, password, cost=self._bcrypt_cost), done)

    def _propose(self, call: UnaryCall, kind: OperationKind, payload: bytes) -> None:
        self._access.propose(call, kind, payload, partial(self._finish, call))

    def _finish(self, call: UnaryCall, outcome: Outcome) -> None:
        if isinstance(outcome, Reply):
            header = self._headers.field(outcome.revision, self._member.consensus.term)
            call.reply(header + outcome.body)
        else:
            _fail(call, outcome)

    # --- tokens

    def _authenticate(self, call: UnaryCall, raw: bytes) -> None:
        request = _parse(rpc_pb2.AuthenticateRequest, raw)

        def confirmed(error: RpcError | None) -> None:
            if error is not None:
                _fail(call, error)
                return
            try:
                self._check_password(call, request.name, request.password)
            except RpcError as refusal:
                logger.warning("refused a login", extra={"user": request.name})
                _fail(call, refusal)

        self._member.read(confirmed)

    def _check_password(self, call: UnaryCall, name: str, password: str) -> None:
        store = self._access.store
        stored = store.password_hash(name)
        checked = Identity(name, store.revision)
        prefix = self._tokens.draw_prefix()

        def token_if_right() -> str | None:
            if not matches(password, stored):
                return None
            return "" if prefix else self._tokens.signed(checked)

        def done(token: str | BaseException | None) -> None:
            if not call.is_open:
                return
            if token is None:
                logger.warning("refused a login", extra={"user": name})
                _fail(call, AuthenticationFailed())
            elif isinstance(token, RpcError):
                _fail(call, token)
            elif isinstance(token, BaseException):
                raise token
            elif prefix:
                self._assign(call, checked, password, prefix)
            else:
                self._finish_login(call, checked, password, self._signed_reply(token))

        self._off_loop(token_if_right, done)

    def _signed_reply(self, token: str) -> Reply:
        return Reply(self._revision, bytes_field(_TOKEN_FIELD, token.encode()))

    def _assign(self, call: UnaryCall, checked: Identity, password: str, prefix: str) -> None:
        request = raft_pb2.AssignToken(
            user=checked.name, prefix=prefix, auth_revision=checked.revision
        )
        self._member.propose(
            OperationKind.AUTH_ASSIGN_TOKEN,
            request.SerializeToString(),
            partial(self._finish_login, call, checked, password),
        )

    def _finish_login(
        self, call: UnaryCall, checked: Identity, password: str, outcome: Outcome
    ) -> None:
        """Answer; or check again, if users or roles changed while the password was checked."""
        is_stale = isinstance(outcome, Reply) and self._access.store.revision != checked.revision
        if not is_stale and not isinstance(outcome, AuthRevisionOld):
            self._finish(call, outcome)
            return
        try:
            self._check_password(call, checked.name, password)
        except RpcError as refusal:
            _fail(call, refusal)

    def _off_loop(
        self, work: Callable[[], _Result], done: Callable[[_Result | BaseException], None]
    ) -> None:
        """Do what takes long in the thread for passwords.

        Raises:
            TooManyRequests: too many wait for it already.
        """
        if self._passwords_pending >= PASSWORDS_PENDING_MAX:
            raise TooManyRequests

        def finished(result: _Result | BaseException) -> None:
            self._passwords_pending -= 1
            done(result)

        self._passwords_pending += 1
        self._worker.submit(work, finished)

    # --- reads

    @property
    def _revision(self) -> int:
        return self._member.machine.store.revision

    def _reader(
        self, request: type[_Request], answer: Callable[[Identity, _Request], Message]
    ) -> Callable[[UnaryCall, bytes], None]:
        """Return the handler of a read: `answer` gets the caller and the request, after a round."""

        def handle(call: UnaryCall, raw: bytes) -> None:
            self._member.read(partial(confirmed, call, _parse(request, raw)))

        def confirmed(call: UnaryCall, asked: _Request, error: RpcError | None) -> None:
            try:
                if error is not None:
                    raise error
                identity = self._access.identity(call) if self._access.is_on else _NOBODY_ASKED
                body = answer(identity, asked)
            except RpcError as refusal:
                _fail(call, refusal)
                return
            header = self._headers.field(self._revision, self._member.consensus.term)
            call.reply(header + body.SerializeToString())

        return handle

    def _status(self, caller: Identity, _: rpc_pb2.AuthStatusRequest) -> rpc_pb2.AuthStatusResponse:
        store = self._access.store
        store.check_root(caller)
        return rpc_pb2.AuthStatusResponse(enabled=store.is_enabled, authRevision=store.revision)

    def _user_get(
        self, caller: Identity, request: rpc_pb2.AuthUserGetRequest
    ) -> rpc_pb2.AuthUserGetResponse:
        store = self._access.store
        if request.name != caller.name:
            store.check_root(caller)
        return rpc_pb2.AuthUserGetResponse(roles=store.roles_of(request.name))

    def _user_list(
        self, caller: Identity, _: rpc_pb2.AuthUserListRequest
    ) -> rpc_pb2.AuthUserListResponse:
        self._access.store.check_root(caller)
        return rpc_pb2.AuthUserListResponse(users=self._access.store.users())

    def _role_get(
        self, caller: Identity, request: rpc_pb2.AuthRoleGetRequest
    ) -> rpc_pb2.AuthRoleGetResponse:
        store = self._access.store
        if not store.has_role(caller.name, request.role):
            store.check_root(caller)
        return rpc_pb2.AuthRoleGetResponse(perm=store.permissions_of(request.role))

    def _role_list(
        self, caller: Identity, _: rpc_pb2.AuthRoleListRequest
    ) -> rpc_pb2.AuthRoleListResponse:
        self._access.store.check_root(caller)
        return rpc_pb2.AuthRoleListResponse(roles=self._access.store.roles())


_NOBODY_ASKED = Identity("", 0)
"""While authentication is off it is not looked at who asks."""


def _parse(request: type[_Request], raw: bytes) -> _Request:
    try:
        return request.FromString(raw)
    except DecodeError as error:
        raise malformed(error) from error


def _fail(call: UnaryCall, error: RpcError) -> None:
    call.fail(error.code, error.message)
