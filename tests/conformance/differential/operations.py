"""What one step of a run may be."""

from dataclasses import dataclass

from google.protobuf.message import Message

from kvstore.wire.pb import rpc_pb2
from tests.conformance.differential.differences import Allowed
from tests.support.target import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Unary:
    """A unary call to a member."""

    rpc: str
    request: Message
    member: int
    instead: tuple[Allowed, Outcome] | None = None
    """Set: where this difference applies only the candidate is asked, and must answer so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepAlive:
    """One keep-alive stream: these leases in order, one answer each, then closed."""

    leases: tuple[int, ...]
    member: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenWatch:
    """A create request on the watch stream of this number."""

    stream: int
    request: rpc_pb2.WatchCreateRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelWatch:
    """A cancel request; unknown ids are ignored by the server."""

    stream: int
    watch_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AskProgress:
    """A progress request."""

    stream: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReopenStream:
    """The stream is cut with all its watchers, and opened anew."""

    stream: int


Operation = Unary | KeepAlive | OpenWatch | CancelWatch | AskProgress | ReopenStream
