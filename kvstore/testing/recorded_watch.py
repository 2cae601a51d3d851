"""A watch that notes every response as it came, and goes on at another member where it broke off.

To the checker each stream is a watch of its own: what was promised is judged stream by stream, and
where one ended the next has to begin without a gap.
"""

import queue
import threading
from collections.abc import Iterator, Sequence

import grpc

from kvstore.base.clock import SystemClock
from kvstore.check import Event, Recorder, ResponseKind, Watch, WatchResponse
from kvstore.check.json_value import Fields
from kvstore.client import EVERYTHING, Keys, Timing
from kvstore.client.keys import on_the_wire
from kvstore.client.sync_connection import Connection
from kvstore.client.watching import PROGRESS_REQUEST, REQUIRE_LEADER, WATCH_METHOD
from kvstore.wire.pb import kv_pb2, rpc_pb2

_PAUSE_S = 0.2
"""Before the next member is tried."""


class RecordedWatch:
    """Watches from `start` to `close`, on a thread of its own."""

    def __init__(  # noqa: PLR0913 - what it watches, where, and for whom
        self,
        endpoints: Sequence[str],
        recorder: Recorder,
        name: str,
        *,
        keys: Keys = EVERYTHING,
        start_revision: int = 0,
        previous: bool = False,
        asks_progress: bool = False,
    ) -> None:
        """Prepare a watch; with `asks_progress` it asks each member at once how far it is."""
        self.name = name
        self._endpoints = endpoints
        self._recorder = recorder
        self._keys = on_the_wire(keys)
        self._next_revision = start_revision
        self._wants_previous = previous
        self._asks_progress = asks_progress
        self._connection = Connection(
            endpoints, tls=None, credentials=None, timing=Timing(), clock=SystemClock()
        )
        self._number = 0
        self._away_s, self._back = 0.0, 0
        self._is_closed = threading.Event()
        self._requests: queue.SimpleQueue[rpc_pb2.WatchRequest | None] = queue.SimpleQueue()
        self._stream: grpc.Call | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def next_revision(self) -> int:
        """All events before this revision have been told; 0: it has not begun."""
        return self._next_revision

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def request_progress(self) -> None:
        """Ask the member how far the watch is."""
        self._requests.put(PROGRESS_REQUEST)

    def move(self, *, away_s: float = 0.0, back: int = 0) -> None:
        """Break off, and go on at the next member.

        It stays away for `away_s`, and begins again `back` revisions before where it was: so it
        has to catch up with history.
        """
        self._away_s, self._back = away_s, back
        stream = self._stream
        if stream is not None:
            stream.cancel()

    def close(self) -> None:
        """End the watch."""
        self._is_closed.set()
        self.move()
        self._connection.close()
        self._requests.put(None)
        self._thread.join()

    def _run(self) -> None:
        while not self._is_closed.is_set():
            away_s, self._away_s = self._away_s, 0.0
            self._is_closed.wait(away_s)
            try:
                self._watch_once()
            except grpc.RpcError:
                self._is_closed.wait(_PAUSE_S)
            except ValueError:  # grpcio's, of a channel that was closed
                if not self._is_closed.is_set():
                    raise

    def _watch_once(self) -> None:
        endpoint = self._connection.rotation.endpoints[self._number % len(self._endpoints)]
        self._number += 1
        back, self._back = self._back, 0
        self._next_revision = max(min(self._next_revision, 1), self._next_revision - back)
        name = f"{self.name}.{self._number}"
        requests: queue.SimpleQueue[rpc_pb2.WatchRequest | None] = queue.SimpleQueue()
        requests.put(self._create_request())
        if self._asks_progress:
            requests.put(PROGRESS_REQUEST)
        self._requests = requests
        recorded = self._recorded(name)
        stream = self._connection.channel(endpoint).stream_stream(
            WATCH_METHOD,
            rpc_pb2.WatchRequest.SerializeToString,
            rpc_pb2.WatchResponse.FromString,
        )(iter(requests.get, None), metadata=(REQUIRE_LEADER,))
        self._stream = stream
        try:
            for number, response in enumerate(stream):
                if number == 0:
                    self._recorder.watch(recorded)  # a stream that never began promised nothing
                self._told(name, endpoint.name, response)
                if response.canceled:
                    return
        finally:
            requests.put(None)
            stream.cancel()

    def _create_request(self) -> rpc_pb2.WatchRequest:
        key, range_end = self._keys
        create = rpc_pb2.WatchCreateRequest(
            key=key,
            range_end=range_end,
            start_revision=self._next_revision,
            prev_kv=self._wants_previous,
            fragment=True,
        )
        return rpc_pb2.WatchRequest(create_request=create)

    def _recorded(self, name: str) -> Watch:
        key, range_end = self._keys
        return Watch(
            name=name,
            client=self.name,
            key=_text(key),
            range_end=_text(range_end),
            start_revision=self._next_revision,
            wants_previous=self._wants_previous,
        )

    def _told(self, name: str, endpoint: str, response: rpc_pb2.WatchResponse) -> None:
        kind = _kind(response)
        revision = response.header.revision
        self._recorder.told(
            name,
            WatchResponse(
                kind=kind,
                time=self._recorder.now(),
                revision=revision,
                events=tuple(self._events(response.events)),
                is_fragment=response.fragment,
                compact_revision=response.compact_revision,
                endpoint=endpoint,
            ),
        )
        match kind:
            case ResponseKind.CREATED:
                self._next_revision = self._next_revision or revision + 1
            case ResponseKind.CANCELED:
                self._next_revision = max(self._next_revision, response.compact_revision)
            case ResponseKind.PROGRESS:
                self._next_revision = max(self._next_revision, revision + 1)
            case ResponseKind.EVENTS:
                last = response.events[-1].kv.mod_revision
                # The rest of a fragmented revision is still to come.
                self._next_revision = last if response.fragment else last + 1

    def _events(self, events: Sequence[kv_pb2.Event]) -> Iterator[Event]:
        for event in events:
            yield Event(
                key=_text(event.kv.key),
                revision=event.kv.mod_revision,
                is_delete=event.type == kv_pb2.Event.DELETE,
                value=_text(event.kv.value),
                create_revision=event.kv.create_revision,
                version=event.kv.version,
                lease=event.kv.lease,
                previous=_previous(event) if self._wants_previous else None,
            )


def _kind(response: rpc_pb2.WatchResponse) -> ResponseKind:
    if response.canceled:
        return ResponseKind.CANCELED
    if response.created:
        return ResponseKind.CREATED
    return ResponseKind.EVENTS if response.events else ResponseKind.PROGRESS


def _previous(event: kv_pb2.Event) -> Fields | None:
    if not event.HasField("prev_kv"):
        return None
    return {"value": _text(event.prev_kv.value), "mod_revision": event.prev_kv.mod_revision}


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
