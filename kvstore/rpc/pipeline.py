"""What every rpc passes before its handler, in etcd's order: learner, client version, leader."""

from collections.abc import Callable, Mapping
from typing import Protocol

from kvstore.base.errors import (
    InvalidClientApiVersion,
    InvalidRequest,
    LearnerRefused,
    NoLeader,
    RpcError,
)
from kvstore.rpc.call import UnaryCall, UnaryMethod

Handler = Callable[[UnaryCall, bytes], None]


class Gatekeeper(Protocol):
    """What the pipeline asks of the member."""

    @property
    def is_learner(self) -> bool: ...

    def seconds_without_leader(self) -> float: ...


class Pipeline:
    """The checks that are the same for every rpc of a member."""

    def __init__(self, member: Gatekeeper) -> None:
        self._member = member

    def unary(self, handle: Handler, *, on_learner: bool = False) -> UnaryMethod:
        """Return `handle` behind the checks; what it raises becomes the call's status."""

        def checked(call: UnaryCall, message: bytes) -> None:
            try:
                self.check(call.metadata, on_learner=on_learner)
                handle(call, message)
            except RpcError as error:
                call.fail(error.code, error.message)

        return UnaryMethod(checked)

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

    def check_voter(self) -> None:
        """Raise what refuses a call on a learner."""
        if self._member.is_learner:
            raise LearnerRefused


def malformed(error: Exception) -> InvalidRequest:
    """Return the refusal of a message that is not the rpc's protobuf."""
    return InvalidRequest(str(error))


def _is_utf8(text: str) -> bool:
    try:
        text.encode("latin-1").decode()
    except (UnicodeEncodeError, UnicodeDecodeError):
        return False
    return True
