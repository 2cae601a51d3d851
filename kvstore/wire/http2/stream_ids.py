"""Which streams of a client are idle, open or closed, by id alone (RFC 9113 §5.1)."""

_REMEMBERED_MAX = 1024


class StreamIds:
    """Tells how a stream without state came to have none: each way is another error, or none.

    Ids are used in rising order, so only skipped ranges and our own resets need memory; both are
    bounded, and what is forgotten counts as closed in the usual way.
    """

    __slots__ = ("_reset", "_skipped", "last")

    def __init__(self) -> None:
        self.last = 0
        """The highest id that a client has opened."""
        self._skipped: list[range] = []
        self._reset: dict[int, None] = {}

    def open(self, stream_id: int) -> None:
        """Note a new stream; `stream_id` is above `last`."""
        assert stream_id > self.last
        if stream_id != self.last + 2:
            self._skipped.append(range(self.last + 1, stream_id))
            if len(self._skipped) > _REMEMBERED_MAX:
                del self._skipped[: _REMEMBERED_MAX // 2]
        self.last = stream_id

    def is_idle(self, stream_id: int) -> bool:
        """Whether no client can have used `stream_id` yet."""
        return stream_id > self.last or not stream_id & 1

    def was_skipped(self, stream_id: int) -> bool:
        """Whether a higher id was opened first, which closed this one unused."""
        return any(stream_id in skipped for skipped in self._skipped)

    def note_reset(self, stream_id: int) -> None:
        """Remember that we reset the stream: what the client sent before it knew is no error."""
        self._reset[stream_id] = None
        if len(self._reset) > _REMEMBERED_MAX:
            del self._reset[next(iter(self._reset))]

    def was_reset(self, stream_id: int) -> bool:
        """Whether we reset the stream not long ago."""
        return stream_id in self._reset
