"""What every rpc passes before its handler, in etcd's order: learner, client version, leader."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol, TypeVar

from google.protobuf.message import DecodeError, Message

from kvstore.base.errors import (
    InvalidClientApiVersion,
    InvalidRequest,
    LearnerRefused,
    NoLeader,
    RpcError,
)
from kvstore.rpc.access import AccessControl, Need
from kvstore.rpc.call import (
    StreamCall,
    StreamHandler,
    StreamMethod,
    UnaryCall,
    UnaryCalls,
    UnaryMethod,
)

_Request = TypeVar("_Request", bound=Message)

Handler = Callable[[UnaryCall, bytes], None]
HandlerOfMany = Callable[[UnaryCalls, list[bytes]], None]


class Gatekeeper(Protocol):
    """What the pipeline asks of the member."""

    @property
    def is_learner(self) -> bool: ...

    def seconds_without_leader(self) -> float: ...


class Pipeline:
    """The checks that are the same for every rpc of a member."""

    def __init__(self, member: Gatekeeper, access: AccessControl | None = None) -> None:
        """Without `access` nobody is asked who they are."""
        self._member = member
        self._access = access

    def unary(
        self,
        handle: Handler,
        handle_each: HandlerOfMany | None = None,
        *,
        on_learner: bool = False,
        needs: Need = Need.NOTHING,
    ) -> UnaryMethod:
        """Return `handle` behind the checks; what it raises becomes the call's status.

        `handle_each` does the same for calls that arrived together, while nobody is asked who they
        are; such a method needs nothing.
        """
        assert handle_each is None or needs is Need.NOTHING

        def checked(call: UnaryCall, message: bytes) -> None:
            try:
                self.check(call.metadata, on_learner=on_learner)
                # Without metadata there is no token that could be waited for.
                if self._access is not None and (call.metadata or needs is not Need.NOTHING):
                    self._identified(handle, needs, call, message)
                else:
                    handle(call, message)
            except RpcError as error:
                call.fail(error.code, error.message)

        if handle_each is None:
            return UnaryMethod(checked)

        def checked_each(calls: UnaryCalls, messages: list[bytes]) -> None:
            if self._access is not None and self._access.is_on:
                for index, message in enumerate(messages):
                    checked(calls.one(index), message)
                return
            try:
                self.check(calls.metadata, on_learner=on_learner)
                handle_each(calls, messages)
            except RpcError as error:
                calls.fail(error.code, error.message)

        return UnaryMethod(checked, checked_each)

    def stream(
        self, open_: Callable[[StreamCall], StreamHandler], *, needs: Need = Need.NOTHING
    ) -> StreamMethod:
        """Return a streaming method that is opened once its caller is known, and may."""
        if self._access is None:
            return StreamMethod(open_)
        return StreamMethod(self._access.stream(open_, needs=needs))

    def check(self, metadata: Mapping[str, str], *, on_learner: bool = False) -> None:
        """Raise what refuses a call with this metadata."""
        if not on_learner:
            self.check_voter()
        if not metadata:
            return
        version = metadata.get("client-api-version")
        if version is not None and not _is_utf8(version):
            raise InvalidClientApiVersion
        if metadata.get("hasleader") == "true" and self._member.seconds_without_leader() > 0:
            raise NoLeader

    def require(self, call: UnaryCall, needs: Need) -> None:
        """Raise what refuses the caller, where a handler has to look at the request first."""
        if self._access is not None:
            self._access.require(call, needs)

    def _identified(self, handle: Handler, needs: Need, call: UnaryCall, message: bytes) -> None:
        """Go on once the caller's token is known here, if the caller has what the rpc needs."""
        access = self._access
        assert access is not None
        if access.must_wait(call):
            access.when_known(partial(self._known, handle, needs, call, message))
            return
        access.require(call, needs)
        handle(call, message)

    def _known(
        self,
        handle: Handler,
        needs: Need,
        call: UnaryCall,
        message: bytes,
        error: RpcError | None,
    ) -> None:
        try:
            if error is not None:
                raise error
            assert self._access is not None
            self._access.require(call, needs)
            handle(call, message)
        except RpcError as refusal:
            call.fail(refusal.code, refusal.message)

    def check_voter(self) -> None:
        """Raise what refuses a call on a learner."""
        if self._member.is_learner:
            raise LearnerRefused


def decoded(kind: type[_Request], raw: bytes) -> _Request:
    """Return the request that `raw` holds.

    Raises:
        InvalidRequest: it is none of this kind.
    """
    try:
        return kind.FromString(raw)
    except DecodeError as error:
        raise malformed(error) from error


def malformed(error: Exception) -> InvalidRequest:
    """Return the refusal of a message that is not the rpc's protobuf."""
    return InvalidRequest(str(error))


def _is_utf8(text: str) -> bool:
    try:
        text.encode("latin-1").decode()
    except (UnicodeEncodeError, UnicodeDecodeError):
        return False
    return True
