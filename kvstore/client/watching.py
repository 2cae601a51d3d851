"""A watch that outlives its connections: what to ask next, and what a response means. No I/O.

Guarantees, whatever happens to endpoints in between: events come in revision order, none twice,
none missing; those of one revision come together.
"""

from dataclasses import dataclass

from kvstore.base.errors import Compacted
from kvstore.client import decoding
from kvstore.client.errors import WatchCanceled
from kvstore.client.keys import Keys, on_the_wire
from kvstore.client.values import Event, WatchBatch
from kvstore.wire.pb import rpc_pb2


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOptions:
    start_revision: int = 0
    """The first revision wanted; 0: what happens from now on."""
    previous: bool = False
    progress_notify: bool = False
    no_puts: bool = False
    no_deletes: bool = False


class WatchProgress:
    """How far one watch has come, over all the streams that served it."""

    def __init__(self, keys: Keys, options: WatchOptions) -> None:
        self.next_revision = options.start_revision
        self.is_created = False
        self._keys = keys
        self._options = options
        self._fragments: list[Event] = []

    def create_request(self) -> rpc_pb2.WatchRequest:
        """Return what opens the watch, on a new stream, where the last one ended."""
        self.is_created = False
        self._fragments.clear()
        key, range_end = on_the_wire(self._keys)
        create = rpc_pb2.WatchCreateRequest(
            key=key,
            range_end=range_end,
            start_revision=self.next_revision,
            prev_kv=self._options.previous,
            progress_notify=self._options.progress_notify,
            fragment=True,
        )
        if self._options.no_puts:
            create.filters.append(rpc_pb2.WatchCreateRequest.NOPUT)
        if self._options.no_deletes:
            create.filters.append(rpc_pb2.WatchCreateRequest.NODELETE)
        return rpc_pb2.WatchRequest(create_request=create)

    def receive(self, response: rpc_pb2.WatchResponse) -> WatchBatch | None:
        """Return what `response` adds, if anything is complete.

        Raises:
            Compacted: the history that the watch needs is gone; it cannot go on.
            WatchCanceled: the server ended it, and says why.
        """
        if response.canceled:
            if response.compact_revision:
                raise Compacted(response.compact_revision)
            raise WatchCanceled(response.cancel_reason or "etcdserver: watch canceled")
        if response.created:
            self.is_created = True
            # From here on "from now on" has a number: a later stream must begin there, or what
            # happens between the two streams would be lost.
            self.next_revision = self.next_revision or response.header.revision + 1
            return None
        if not response.events:
            self.next_revision = max(self.next_revision, response.header.revision + 1)
            return WatchBatch(decoding.header(response.header), response.header.revision, ())
        self._fragments += map(decoding.event, response.events)
        if response.fragment:
            return None
        events = tuple(self._fragments)
        self._fragments.clear()
        last = events[-1].kv.mod_revision
        self.next_revision = last + 1
        return WatchBatch(decoding.header(response.header), last, events)


PROGRESS_REQUEST = rpc_pb2.WatchRequest(progress_request=rpc_pb2.WatchProgressRequest())

WATCH_METHOD = "/etcdserverpb.Watch/Watch"

REQUIRE_LEADER = ("hasleader", "true")
"""Metadata: a member that lost its leader ends the stream, so that we move on to another one."""
