"""Who calls, and what they may do: asked before a service acts for a client.

While authentication is off this costs a look at a flag. While it is on, writes travel through the
log with the identity of their caller and are judged when they are applied; what needs no log is
judged here, against the users and roles that this member has applied.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Protocol

from kvstore.apply.command import OperationKind, as_user
from kvstore.apply.permits import Permits
from kvstore.auth import ANONYMOUS, Access, AuthStore, Identity
from kvstore.base.errors import InvalidAuthToken, RpcError, UserNameEmpty
from kvstore.base.ids import LeaseId
from kvstore.base.key_range import KeyRange
from kvstore.member import Member
from kvstore.member.proposals import Done
from kvstore.rpc.call import StreamCall, StreamHandler
from kvstore.wire.pb import rpc_pb2

_BEARER = "Bearer "


class Need(Enum):
    """What an rpc asks of its caller before anything else, while authentication is on."""

    NOTHING = "nothing"
    IDENTITY = "any identity"
    ROOT = "the role root"


class Caller(Protocol):
    """A call, as far as it tells who calls."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """Request metadata."""
        ...

    @property
    def client_name(self) -> str:
        """The common name of the client's verified certificate; empty without one."""
        ...


class Tokens(Protocol):
    """Makes identities of tokens."""

    def identity_of(self, token: str, store: AuthStore) -> Identity | None:
        """Return whom `token` stands for; None for one that is wrong, expired or not known yet."""
        ...

    def assigned_at(self, token: str) -> int:
        """Return the index of the entry without which `token` cannot be known; 0 for none."""
        ...


class AccessControl:
    """The one place where a call becomes an identity."""

    def __init__(self, member: Member, tokens: Tokens, *, trusts_certificates: bool) -> None:
        """`trusts_certificates`: the name in a client's certificate is a user's."""
        self._member = member
        self._tokens = tokens
        self._trusts_certificates = trusts_certificates

    @property
    def store(self) -> AuthStore:
        """The users and roles that this member has applied."""
        return self._member.machine.auth

    @property
    def is_on(self) -> bool:
        """Whether callers are checked at all."""
        return self._member.machine.auth.is_enabled

    # --- who

    def identity(self, caller: Caller) -> Identity:
        """Return who calls; `ANONYMOUS` if nothing tells.

        Raises:
            InvalidAuthToken: the token stands for nobody.
        """
        store = self.store
        token = _token_of(caller.metadata)
        if token is not None:
            identity = self._tokens.identity_of(token, store)
            if identity is None:
                raise InvalidAuthToken
            return identity
        if self._trusts_certificates and caller.client_name:
            return Identity(caller.client_name, store.revision)
        return ANONYMOUS

    def must_wait(self, caller: Caller) -> bool:
        """Whether the caller's token was assigned by an entry that is not applied here yet."""
        if not self.is_on:
            return False
        token = _token_of(caller.metadata)
        return token is not None and (
            self._tokens.assigned_at(token) > self._member.machine.applied.index
        )

    def when_known(self, then: Callable[[RpcError | None], None]) -> None:
        """Call `then` once every token is known here that was handed out before now."""
        self._member.read(then)

    # --- may they; each raises what refuses the caller, and does nothing while it is off

    def require(self, caller: Caller, need: Need) -> None:
        """Check what an rpc asks of every caller."""
        if need is Need.NOTHING or not self.is_on:
            return
        identity = self.identity(caller)
        if need is Need.ROOT:
            self.store.check_root(identity)
        elif identity is ANONYMOUS:
            raise UserNameEmpty

    def check_range(self, caller: Caller, keys: KeyRange) -> None:
        """A read needs READ on its whole range."""
        if self.is_on:
            self.store.check(self.identity(caller), Access.READ, keys)

    def check_txn(self, caller: Caller, request: rpc_pb2.TxnRequest) -> None:
        """Check a transaction that is not going through the log."""
        if not self.is_on:
            return
        machine = self._member.machine
        reader = machine.backend.begin_read()
        try:
            Permits(self.identity(caller), machine, reader).check_txn(request)
        finally:
            reader.close()

    def check_leases(self, caller: Caller, access: Access, *leases: LeaseId) -> None:
        """Who is known and may read or write all keys of these leases passes; root passes."""
        if not self.is_on:
            return
        identity = self.identity(caller)
        if identity is ANONYMOUS:
            raise UserNameEmpty
        machine = self._member.machine
        reader = machine.backend.begin_read()
        try:
            permits = Permits(identity, machine, reader)
            for lease in leases:
                permits.check_lease(lease, access)
        finally:
            reader.close()

    # --- acting for them

    def propose(self, caller: Caller, kind: OperationKind, payload: bytes, done: Done) -> None:
        """Put a request through the log, for its caller.

        Raises:
            InvalidAuthToken: the token stands for nobody.
        """
        if self.is_on:
            identity = self.identity(caller)
            if identity is not ANONYMOUS:
                payload = as_user(identity, kind, payload)
                kind = OperationKind.AS_USER
        self._member.propose(kind, payload, done)

    def stream(
        self, open_: Callable[[StreamCall], StreamHandler], *, needs: Need = Need.NOTHING
    ) -> Callable[[StreamCall], StreamHandler]:
        """Return what opens a stream once its caller is known and has what the rpc needs."""

        def opened(call: StreamCall) -> StreamHandler:
            if self.must_wait(call):
                return _UnknownCaller(call, self, open_checked)
            return open_checked(call)

        def open_checked(call: StreamCall) -> StreamHandler:
            try:
                self.require(call, needs)
            except RpcError as refusal:
                call.finish(refusal.code, refusal.message)
                return _NOBODY
            return open_(call)

        return opened


def _token_of(metadata: Mapping[str, str]) -> str | None:
    token = metadata.get("token")
    if token is None:
        token = metadata.get("authorization")
    return None if token is None else token.removeprefix(_BEARER)


class _Nobody:
    """Handles a stream that was refused: nothing that comes is looked at."""

    def message_received(self, message: bytes) -> None:
        pass

    def half_closed(self) -> None:
        pass

    def drained(self) -> None:
        pass

    def closed(self) -> None:
        pass


_NOBODY = _Nobody()
_MESSAGES_HELD_MAX = 64


class _UnknownCaller:
    """Holds what a stream's client sends until this member knows its token."""

    def __init__(
        self,
        call: StreamCall,
        access: AccessControl,
        open_: Callable[[StreamCall], StreamHandler],
    ) -> None:
        self._call = call
        self._open = open_
        self._held: list[bytes] = []
        self._is_half_closed = False
        self._handler: StreamHandler | None = None
        self._is_closed = False
        access.when_known(self._known)

    def message_received(self, message: bytes) -> None:
        if self._handler is not None:
            self._handler.message_received(message)
        elif len(self._held) < _MESSAGES_HELD_MAX:
            self._held.append(message)
        else:
            self._refuse(InvalidAuthToken())

    def half_closed(self) -> None:
        if self._handler is not None:
            self._handler.half_closed()
        else:
            self._is_half_closed = True

    def drained(self) -> None:
        if self._handler is not None:
            self._handler.drained()

    def closed(self) -> None:
        self._is_closed = True
        if self._handler is not None:
            self._handler.closed()

    def _known(self, error: RpcError | None) -> None:
        if self._is_closed or not self._call.is_open:
            return
        if error is not None:
            self._refuse(error)
            return
        self._handler = handler = self._open(self._call)
        held, self._held = self._held, []
        for message in held:
            if self._call.is_open:
                handler.message_received(message)
        if self._is_half_closed and self._call.is_open:
            handler.half_closed()

    def _refuse(self, error: RpcError) -> None:
        self._held.clear()
        self._handler = _NOBODY
        self._call.finish(error.code, error.message)
