"""A gRPC status, turned into the exception that says what the caller may conclude.

The classes are those of `kvstore.base.errors`, found by etcd's text, as Go's client does; here are
those only a client meets. What matters most is the kind:

    RequestRefused   nothing changed
    Unavailable      nothing changed (or it was a read): try again later
    OutcomeUnknown   a write that may have happened, or may yet happen
"""

from kvstore.base import errors
from kvstore.base.errors import (
    Code,
    Compacted,
    KvstoreError,
    OutcomeUnknown,
    RequestRefused,
    RpcError,
    Unavailable,
)


class Refused(RequestRefused):
    """A definite refusal that has no class of its own; see `code` and `message`."""

    def __init__(self, code: Code, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__()


class Failed(Unavailable):
    """A read that did not succeed, or a write that was never sent."""

    def __init__(self, code: Code, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__()


class WriteOutcomeUnknown(OutcomeUnknown):
    """A write that was sent and not answered, or answered by a timeout."""

    def __init__(self, code: Code, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__()


class WatchCanceled(KvstoreError):
    """The server ended a watch, for a reason other than compaction."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


_NEVER_SENT = (
    "failed to connect to all addresses",
    "there is no address available",
    "there is no connection available",
)
"""Begin grpc-core's and grpc-go's descriptions of a call that never left the client."""

_STALE_TOKEN = (
    "etcdserver: invalid auth token",
    "etcdserver: user name is empty",
    "etcdserver: revision of auth store is old",
)

_INDEFINITE = frozenset(
    {
        Code.CANCELLED,
        Code.UNKNOWN,
        Code.DEADLINE_EXCEEDED,
        Code.ABORTED,
        Code.INTERNAL,
        Code.UNAVAILABLE,
        Code.DATA_LOSS,
    }
)
"""With a text that we don't know, these don't say whether a write was carried out."""


def _classes(root: type[RequestRefused]) -> dict[str, type[RequestRefused]]:
    by_text = {root.message: root} if "message" in vars(root) else {}
    for child in root.__subclasses__():
        by_text.update(_classes(child))
    return by_text


_BY_TEXT = _classes(RequestRefused)
_DEFINITE_UNAVAILABLE = {
    cls.message: cls for cls in (errors.NoLeader, errors.Stopped, errors.ApplyTooSlow)
}


def was_never_sent(code: Code, text: str) -> bool:
    """Whether the call failed before anything left this process."""
    return code is Code.UNAVAILABLE and text.startswith(_NEVER_SENT)


def token_is_stale(text: str) -> bool:
    """Whether authenticating again, and repeating the refused call, may help."""
    return text.startswith(_STALE_TOKEN)


def authentication_is_off(text: str) -> bool:
    """Whether a login was refused because the cluster asks nobody who he is: go on without one."""
    return text == errors.AuthNotEnabled.message


def error_of(code: Code, text: str, *, is_write: bool) -> RpcError:
    """Return the exception for a status other than OK."""
    found = _BY_TEXT.get(text)
    if found is Compacted:
        return Compacted()
    if found is not None:
        return found()
    if was_never_sent(code, text):
        return Failed(code, text)
    if code not in _INDEFINITE:
        return Refused(code, text)
    if is_write:
        return WriteOutcomeUnknown(code, text)
    unavailable = _DEFINITE_UNAVAILABLE.get(text)
    return unavailable() if unavailable is not None else Failed(code, text)
