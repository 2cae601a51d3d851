"""A long list as the answer of a unary call, without holding all of it.

Everything happens in slices at one pinned view, so that nothing else waits. First the list is read
for its size, which a message begins with. A short one is kept meanwhile and answered at once; of a
longer one only the size is, and it is read again and sent as fast as the client takes it.
"""

from collections.abc import Sequence

from kvstore.apply.reply import range_body, range_kvs
from kvstore.base.errors import Code, RpcError
from kvstore.base.limits import MIB
from kvstore.member import Member
from kvstore.mvcc import RangeQuery, RangeResult, RangeTail
from kvstore.rpc.call import UnaryCall
from kvstore.rpc.header import ResponseHeaders
from kvstore.wire.plain import Body
from kvstore.wire.protobuf import encode_varint

KEPT_BYTES_MAX = 4 * MIB
"""A list of up to this size is held whole."""
MESSAGE_BYTES_MAX = 2**31 - 1
"""grpc-go's default for what a server sends."""
_SMALL, _MEDIUM = 1 << 7, 1 << 14
"""From here on a length takes two bytes, three bytes."""


class ListReply:
    """One list. Sorted and filtered ones are held whole: their order is known at the end only."""

    def __init__(
        self, member: Member, headers: ResponseHeaders, call: UnaryCall, query: RangeQuery
    ) -> None:
        """Raises RpcError: the query's revision cannot be read."""
        self._member = member
        self._headers = headers
        self._call = call
        self._query = query
        self._view = member.machine.store.view()  # a pin of its own: the member's moves on
        try:
            self._slices = self._view.range_slices(query)
        except RpcError:
            self._view.close()
            raise
        self._kept_bytes_max = (
            MESSAGE_BYTES_MAX if query.is_sorted or query.has_filters else KEPT_BYTES_MAX
        )
        self._kvs: list[bytes] | None = []
        """All of it so far; None once it is too long."""
        self._kvs_bytes = 0
        """As they stand in the answer."""
        self._end = b""
        """What follows the keys in the answer."""
        self._body: Body | None = None
        self._is_waiting = False
        # The sender says when so much is left and no more.
        self._unsent_bytes_max = member.config.limits.watch_unsent_bytes_max // 4

    def step(self) -> None:
        """Read one slice for its size; answer after the last one, or begin to."""
        if not self._call.is_open:
            self._view.close()
            return
        try:
            found = next(self._slices)
        except StopIteration as end:
            self._answer(end.value)
            return
        self._kvs_bytes += kvs_bytes(found)
        if self._kvs is not None:
            if self._kvs_bytes > self._kept_bytes_max:
                self._kvs = None
            else:
                self._kvs += found
        self._member.scheduler.soon(self.step)

    def _answer(self, tail: RangeTail) -> None:
        revision = self._view.revision
        header = self._headers.field(revision, self._member.consensus.term)
        if self._kvs is not None:
            self._view.close()
            result = RangeResult(self._kvs, tail.count, tail.more, revision)
            self._call.reply(header + range_body(result))
            return
        self._end = range_body(RangeResult([], tail.count, tail.more, revision))
        size = len(header) + self._kvs_bytes + len(self._end)
        if size > MESSAGE_BYTES_MAX:
            self._view.close()
            text = f"trying to send message larger than max ({size} vs. {MESSAGE_BYTES_MAX})"
            self._call.fail(Code.RESOURCE_EXHAUSTED, text)
            return
        self._member.long_reads += 1
        self._body = self._call.begin(size, self)
        self._body.write(header)
        self._slices = self._view.range_slices(self._query)
        self._send()

    def _send(self) -> None:
        """Send one slice, unless the client is behind."""
        body = self._body
        if body is None:
            return
        if body.unsent_bytes > self._unsent_bytes_max:
            self._is_waiting = True
            return
        try:
            found = next(self._slices)
        except StopIteration:
            body.write(self._end)
            body.end()
            self.closed()
            return
        body.write(range_kvs(found))
        self._member.scheduler.soon(self._send)

    # --- what the wire tells while the answer is under way

    def drained(self) -> None:
        """The client has caught up."""
        if self._is_waiting:
            self._is_waiting = False
            self._member.scheduler.soon(self._send)

    def closed(self) -> None:
        """Nothing more is to be sent."""
        if self._body is not None:
            self._body = None
            self._view.close()
            self._member.long_reads -= 1


def kvs_bytes(kvs: Sequence[bytes]) -> int:
    """Return the length of `range_kvs` of the same."""
    lengths = list(map(len, kvs))
    heads = [
        2 if length < _SMALL else 3 if length < _MEDIUM else 1 + len(encode_varint(length))
        for length in lengths
    ]
    return sum(lengths) + sum(heads)
