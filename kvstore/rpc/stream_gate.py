"""Ends streams that asked for a leader when there has been none for too long."""

from collections.abc import Callable

from kvstore.base.errors import NoLeader, RpcError, Stopped
from kvstore.rpc.call import StreamCall
from kvstore.rpc.pipeline import Gatekeeper, Pipeline
from kvstore.rpc.stream_guard import EndStream

_ELECTIONS_WITHOUT_LEADER = 3


class StreamGate:
    """The `StreamGuard` of one member."""

    def __init__(
        self, member: Gatekeeper, pipeline: Pipeline, *, election_timeout_s: float
    ) -> None:
        self._member = member
        self._pipeline = pipeline
        self._patience_s = _ELECTIONS_WITHOUT_LEADER * election_timeout_s
        self._open: dict[EndStream, bool] = {}
        """Every open stream; True if it asked for a leader."""

    def __call__(self, call: StreamCall, end: EndStream) -> Callable[[], None]:
        """Take in a new stream, or end it at once."""
        try:
            self._pipeline.check(call.metadata)
        except RpcError as refusal:
            end(refusal)
            return _nothing
        self._open[end] = call.metadata.get("hasleader") == "true"
        return lambda: self._forget(end)

    def tick(self) -> None:
        """End the streams whose client would rather go elsewhere."""
        if self._member.seconds_without_leader() >= self._patience_s:
            for end in [end for end, asked in self._open.items() if asked]:
                end(NoLeader())

    def stop(self) -> None:
        """End every stream, because this member stops."""
        for end in list(self._open):
            end(Stopped())

    def _forget(self, end: EndStream) -> None:
        self._open.pop(end, None)


def _nothing() -> None:
    """Release nothing: the stream was never taken in."""
