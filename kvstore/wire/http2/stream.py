"""One stream of a connection, and what its owner must be able to hear."""

from collections import deque
from typing import Protocol

from kvstore.wire.http2.header_encoder import Fields
from kvstore.wire.http2.request_head import RequestHead


class Consumer(Protocol):
    """Who receives the body of one request."""

    expects_end: bool
    """Whether the peer owes us the rest of a body: if it stalls, the stream is reset."""

    def data(self, payload: bytes) -> None:
        """Take a part of the body, of any length."""
        ...

    def ended(self) -> None:
        """Nothing more will come. May be the last call, if the answer has gone out."""
        ...

    def drained(self) -> None:
        """`queued_bytes` fell to the low mark after having been above it."""
        ...

    def released(self) -> None:
        """The stream is closed, whoever ended it: hold nothing of its body any more.

        Not called for a stream that is answered at once after its whole body has come.
        """
        ...

    def aborted(self) -> None:
        """The stream is gone, by the peer or with the connection. The last call."""
        ...


class Stream:
    """The state of one stream; the connection and its sender change it, nobody else.

    Invariants: in `sender.streams` exactly while `is_open`; `pending` is sent in order before
    `trailers`; `queued_bytes` is the sum of `pending` less `offset`.
    """

    # What most streams never change is an attribute of the class: making a stream costs half.
    is_open = True
    has_headers = False
    """Response headers have been sent."""
    head: RequestHead | None = None
    """What was asked, while it waits for its body without a consumer."""
    consumer: Consumer | None = None
    content_length: int | None = None
    received_bytes = 0
    unacknowledged_bytes = 0
    pending: deque[bytes] | None = None
    offset = 0
    """Bytes of `pending[0]` that have been sent."""
    queued_bytes = 0
    trailers: Fields | None = None
    """What ends the stream after `pending`; `()` is a bare END_STREAM."""
    was_full = False
    stalled_since: float | None = None
    """When the peer was last seen owing us progress; None while it owes nothing."""

    def __init__(self, stream_id: int, window: int, *, is_remote_closed: bool = False) -> None:
        self.id = stream_id
        self.window = window
        """What the peer still takes; negative after it shrank its initial window."""
        self.is_remote_closed = is_remote_closed
        """The peer has sent END_STREAM."""

    def has_wrong_length(self, *, is_end: bool) -> bool:
        """Whether the body received contradicts `content-length` (RFC 9113 §8.1.1)."""
        expected = self.content_length
        return expected is not None and (
            self.received_bytes > expected or (is_end and self.received_bytes < expected)
        )
