"""Watch streams of both targets, their events compared with what history says must come.

A watch of the whole keyspace on each side records history. From it follows, event by event, what
every other watcher must be given. Each side is checked against that, so a run also proves that
watches are ordered, unique, reliable, resumable and never split a revision.
"""

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from kvstore.base.key_range import KeyRange
from kvstore.wire.pb import kv_pb2, rpc_pb2
from tests.conformance.differential.comparing import Identity, Mismatch, shown
from tests.conformance.differential.differences import Allowed
from tests.support.target import StreamSilent, Target

PROGRESS_ID = -1
PROGRESS_RETRY_S = 0.2
PROGRESS_TRIES = 50


def _response(message: object) -> rpc_pb2.WatchResponse:
    assert isinstance(message, rpc_pb2.WatchResponse)
    return message


class History:
    """All events of one target so far, by revision."""

    def __init__(self, target: Target) -> None:
        self._stream = target.watch(0)
        self._read = 0
        self.events: list[kv_pb2.Event] = []
        self._revisions: list[int] = []
        create = rpc_pb2.WatchCreateRequest(key=b"\0", range_end=b"\0", prev_kv=True)
        self._stream.send(rpc_pb2.WatchRequest(create_request=create))
        self._stream.wait(lambda: bool(self._stream.responses), f"{target.name}: created")
        created = _response(self._stream.responses[0])
        assert created.created, created
        self._read = 1
        self.revision = created.header.revision

    def read_to(self, revision: int) -> None:
        """Wait until history reaches `revision`."""

        def has_arrived() -> bool:
            for message in self._stream.responses[self._read :]:
                response = _response(message)
                self._read += 1
                for event in response.events:
                    self.events.append(event)
                    self._revisions.append(event.kv.mod_revision)
                    self.revision = event.kv.mod_revision
            return self.revision >= revision

        self._stream.wait(has_arrived, f"history up to revision {revision}")

    def since(self, revision: int) -> Sequence[kv_pb2.Event]:
        """All events of `revision` and later."""
        return self.events[bisect.bisect_left(self._revisions, revision) :]

    def between(self, after: int, until: int) -> Sequence[kv_pb2.Event]:
        """All events of the revisions in (after, until]."""
        start = bisect.bisect_right(self._revisions, after)
        return self.events[start : bisect.bisect_right(self._revisions, until)]

    def close(self) -> None:
        self._stream.close()


@dataclass(slots=True)
class Watcher:
    """One watcher on one side: what it asked for, what it must get, what it got."""

    request: rpc_pb2.WatchCreateRequest
    start: int
    replayed_until: int
    """Events up to this revision came from history, not live."""
    compact_revision: int
    """When it was created: older previous values are gone for what is replayed."""
    misses_tombstone: bool
    keys: KeyRange = field(init=False)
    received: list[kv_pb2.Event] = field(default_factory=list)
    checked: int = 0
    expected: list[kv_pb2.Event] = field(default_factory=list)
    next_revision: int = field(init=False)

    def __post_init__(self) -> None:
        self.keys = KeyRange.of(self.request.key or b"\0", self.request.range_end)
        self.next_revision = self.start

    def expect(self, history: History) -> None:
        """Take what history says beyond what was taken before."""
        for event in history.since(self.next_revision):
            if self._wants(event):
                self.expected.append(self._as_seen(event))
        self.next_revision = max(self.next_revision, history.revision + 1)

    def _wants(self, event: kv_pb2.Event) -> bool:
        kind = (
            rpc_pb2.WatchCreateRequest.NODELETE
            if event.type == kv_pb2.Event.DELETE
            else rpc_pb2.WatchCreateRequest.NOPUT
        )
        if kind in self.request.filters or event.kv.key not in self.keys:
            return False
        return not (
            self.misses_tombstone
            and event.type == kv_pb2.Event.DELETE
            and event.kv.mod_revision == self.compact_revision
        )

    def _as_seen(self, event: kv_pb2.Event) -> kv_pb2.Event:
        seen = kv_pb2.Event()
        seen.CopyFrom(event)
        revision = event.kv.mod_revision
        is_gone = revision <= self.replayed_until and revision - 1 < self.compact_revision
        if not self.request.prev_kv or is_gone:
            seen.ClearField("prev_kv")
        return seen


class SideStream:
    """One watch stream of one target: sorts its responses into control and watchers."""

    def __init__(self, target: Target, member: int, identity: Identity) -> None:
        self.name = f"{target.name}, member {member}"
        self._member = member
        self._identity = identity
        self._stream = target.watch(member)
        self._read = 0
        self._fragments: dict[int, list[rpc_pb2.WatchResponse]] = {}
        self.watchers: dict[int, Watcher] = {}
        self.control: list[rpc_pb2.WatchResponse] = []
        """Created and canceled responses not taken yet, masked."""
        self.progress: list[rpc_pb2.WatchResponse] = []
        self.fragmented_responses = 0

    def send(self, request: rpc_pb2.WatchRequest) -> None:
        self._stream.send(request)

    def take_control(self, what: str) -> rpc_pb2.WatchResponse:
        """Wait for the next created or canceled response."""
        self._stream.wait(lambda: self._sort_in() and bool(self.control), f"{self.name}: {what}")
        return self.control.pop(0)

    def fence(self) -> None:
        """Wait until the server has handled all that was sent: requests are answered in order."""
        empty = rpc_pb2.WatchCreateRequest(key=b"b", range_end=b"a")
        self.send(rpc_pb2.WatchRequest(create_request=empty))
        self.take_control("refusal of an empty range")

    def settle(self) -> None:
        """Wait until every watcher has what it must get, and check that nothing else came."""
        try:
            self._stream.wait(
                lambda: (
                    self._sort_in()
                    and all(len(w.received) >= len(w.expected) for w in self.watchers.values())
                ),
                f"{self.name}: events",
            )
        except StreamSilent as silence:
            raise Mismatch(f"{silence}\n{self._missing()}") from silence
        if self.control:
            raise Mismatch(f"{self.name}: unexpected\n{self.control[0]}")
        for watch_id, watcher in self.watchers.items():
            self._check(watch_id, watcher)

    def wait_for_progress(self) -> rpc_pb2.WatchResponse:
        """Ask for progress until it is answered: a request while watchers catch up is dropped."""
        before = len(self.progress)
        for _ in range(PROGRESS_TRIES):
            self.send(rpc_pb2.WatchRequest(progress_request=rpc_pb2.WatchProgressRequest()))
            try:
                self._stream.wait(
                    lambda: self._sort_in() and len(self.progress) > before,
                    f"{self.name}: progress",
                    PROGRESS_RETRY_S,
                )
            except StreamSilent:
                continue
            return self.progress[before]
        raise Mismatch(f"{self.name}: no progress though every watcher is synced")

    def answers_progress(self) -> bool:
        """Ask for progress once; whether that is answered before what is asked next."""
        self.fence()  # answers to progress requests that were repeated come before
        before = len(self.progress)
        self.send(rpc_pb2.WatchRequest(progress_request=rpc_pb2.WatchProgressRequest()))
        self.fence()
        return len(self.progress) > before

    def close(self) -> None:
        self._stream.close()

    def _missing(self) -> str:
        return "\n".join(
            f"watcher {watch_id} of\n{watcher.request}\ngot {len(watcher.received)} events of "
            f"{[(event.kv.key, event.kv.mod_revision) for event in watcher.expected]}"
            for watch_id, watcher in self.watchers.items()
            if len(watcher.received) < len(watcher.expected)
        )

    def _check(self, watch_id: int, watcher: Watcher) -> None:
        for index in range(watcher.checked, len(watcher.received)):
            received = watcher.received[index]
            if index >= len(watcher.expected):
                raise Mismatch(
                    f"{self.name}, watcher {watch_id}: one event too many\n{shown(received)}"
                )
            if received != watcher.expected[index]:
                raise Mismatch(
                    f"{self.name}, watcher {watch_id} of\n{watcher.request}\nevent {index} is\n"
                    f"{shown(received)}\nhistory says\n{shown(watcher.expected[index])}"
                )
        watcher.checked = len(watcher.received)

    def _sort_in(self) -> bool:
        """Handle what has arrived, up to a control response not taken yet; always true.

        What follows a created response waits until the caller knows of the watcher.
        """
        while not self.control and self._read < len(self._stream.responses):
            message = _response(self._stream.responses[self._read])
            self._read += 1
            response = rpc_pb2.WatchResponse()
            response.CopyFrom(message)
            self._identity.check_and_mask(response.header, self._member)
            if response.created or response.canceled:
                self.control.append(response)
            elif not response.events:
                self.progress.append(response)
            else:
                self._take_events(response)
        return True

    def _take_events(self, response: rpc_pb2.WatchResponse) -> None:
        watcher = self.watchers.get(response.watch_id)
        if watcher is None:
            raise Mismatch(f"{self.name}: events for no watcher\n{shown(response)}")
        pending = [watch_id for watch_id in self._fragments if watch_id != response.watch_id]
        if pending:
            raise Mismatch(f"{self.name}: between fragments of {pending}\n{shown(response)}")
        last = watcher.received[-1].kv.mod_revision if watcher.received else 0
        parts = self._fragments.pop(response.watch_id, [])
        if response.events[0].kv.mod_revision <= last and not parts:
            raise Mismatch(f"{self.name}: revision {last} split or repeated\n{shown(response)}")
        if parts and parts[-1].header != response.header:
            raise Mismatch(f"{self.name}: fragments with different headers")
        if response.header.revision < response.events[-1].kv.mod_revision:
            raise Mismatch(f"{self.name}: a header behind its events\n{shown(response)}")
        watcher.received.extend(response.events)
        if response.fragment:
            if not watcher.request.fragment:
                raise Mismatch(f"{self.name}: fragments not asked for\n{shown(response)}")
            self._fragments[response.watch_id] = [*parts, response]
            self.fragmented_responses += not parts


@dataclass(slots=True)
class Side:
    """One target with its history and its identity."""

    target: Target
    identity: Identity
    habits: frozenset[Allowed]
    """Entries of the table in which this target does what is said of the reference."""
    history: History


class StreamPair:
    """The watch stream of one number on both targets, with the same watchers."""

    def __init__(self, sides: Sequence[Side], member: int) -> None:
        self._sides = sides
        self._member = member
        self._streams = [SideStream(side.target, member, side.identity) for side in sides]
        self.has_unsynced = False
        self._differences = sides[0].habits - sides[-1].habits

    @property
    def watch_ids(self) -> list[int]:
        return sorted(self._streams[0].watchers)

    @property
    def fragmented_responses(self) -> int:
        """Fewest over the sides."""
        return min(stream.fragmented_responses for stream in self._streams)

    def _pairs(self) -> Iterator[tuple[Side, SideStream]]:
        return zip(self._sides, self._streams, strict=True)

    def open(
        self, request: rpc_pb2.WatchCreateRequest, compact_revision: int
    ) -> tuple[str | None, Allowed | None]:
        """Create the watcher on both; return the refusal met and the difference seen."""
        for side in self._sides:
            side.target.barrier(self._member)
        answers: list[list[rpc_pb2.WatchResponse]] = []
        is_lost = Allowed.NEGATIVE_START_REVISION in self._sides[0].habits
        if request.start_revision < 0 and is_lost:
            return self._open_at_negative(request)
        for side, stream in self._pairs():
            stream.send(rpc_pb2.WatchRequest(create_request=request))
            answers.append(self._answers(side, stream, request, compact_revision))
        if any(answer != answers[0] for answer in answers):
            raise Mismatch(f"reference: {answers[0]}\ncandidate: {answers[-1]}")
        last = answers[0][-1]
        refusal = (last.cancel_reason or "compacted after created") if last.canceled else None
        return refusal, None

    def _open_at_negative(
        self, request: rpc_pb2.WatchCreateRequest
    ) -> tuple[str | None, Allowed | None]:
        """The reference may lose events of such a watcher: only the candidate is asked."""
        difference, text = Allowed.NEGATIVE_START_REVISION, "etcdserver: mvcc: required revision"
        if difference not in self._differences:
            return None, None
        stream = self._streams[-1]
        stream.send(rpc_pb2.WatchRequest(create_request=request))
        created = stream.take_control("refusal")
        expected = rpc_pb2.WatchResponse(
            header=created.header,
            watch_id=-1,
            created=True,
            canceled=True,
            cancel_reason=f"{text} has been compacted",
        )
        if created != expected:
            raise Mismatch(f"{stream.name}: negative start revision\n{shown(created)}")
        return created.cancel_reason, difference

    def _answers(
        self,
        side: Side,
        stream: SideStream,
        request: rpc_pb2.WatchCreateRequest,
        compact_revision: int,
    ) -> list[rpc_pb2.WatchResponse]:
        created = stream.take_control("created")
        if not created.created:
            raise Mismatch(f"{stream.name}: created comes first\n{shown(created)}")
        if created.canceled:
            return [created]
        current = created.header.revision
        start = request.start_revision
        if start and start < compact_revision:
            compacted = stream.take_control("compacted")
            if Allowed.ID_OF_COMPACTED_WATCH in self._differences and side is self._sides[0]:
                cancel = rpc_pb2.WatchCancelRequest(watch_id=created.watch_id)
                stream.send(rpc_pb2.WatchRequest(cancel_request=cancel))
                stream.take_control("second canceled")
            return [created, compacted]
        is_replay = start != 0 and start <= current  # 3.5 takes a negative one for the beginning
        watcher = Watcher(
            request=request,
            start=start or current + 1,
            replayed_until=current if is_replay else 0,
            compact_revision=compact_revision,
            misses_tombstone=Allowed.TOMBSTONE_AT_COMPACT_REVISION in side.habits,
        )
        if is_replay:
            self.has_unsynced = True
        stream.watchers[created.watch_id] = watcher
        watcher.expect(side.history)
        return [created]

    def cancel(self, watch_id: int) -> None:
        """Cancel on both; an unknown id must not be answered."""
        request = rpc_pb2.WatchRequest(cancel_request=rpc_pb2.WatchCancelRequest(watch_id=watch_id))
        answers = []
        for side, stream in self._pairs():
            side.target.barrier(self._member)
            stream.send(request)
            if watch_id in stream.watchers:
                answers.append(stream.take_control("canceled"))
                del stream.watchers[watch_id]
        if answers and answers[0] != answers[-1]:
            raise Mismatch(f"reference: {answers[0]}\ncandidate: {answers[-1]}")

    def ask_progress(self, revision: int) -> Allowed | None:
        """Ask both, and compare; where no progress is due, who must be silent is checked to be."""
        watchers = self._streams[0].watchers.values()
        is_due = bool(watchers) and all(
            watcher.request.start_revision <= revision for watcher in watchers
        )
        silent = Allowed.PROGRESS_WITHOUT_SYNCED_WATCHERS
        if not is_due and silent not in self._sides[-1].habits:
            for side, stream in self._pairs():
                if silent not in side.habits and stream.answers_progress():
                    starts = sorted(watcher.request.start_revision for watcher in watchers)
                    raise Mismatch(
                        f"{stream.name}: progress at revision {revision}, watchers from {starts}"
                    )
            return silent if silent in self._differences else None
        answers = []
        for side, stream in self._pairs():
            side.target.barrier(self._member)
            answers.append(stream.wait_for_progress())
        if answers[0] != answers[-1]:
            raise Mismatch(f"reference: {answers[0]}\ncandidate: {answers[-1]}")
        return None

    def settle(self) -> int:
        """Wait for and check all events that history implies; return how many watchers have any."""
        for side, stream in self._pairs():
            for watcher in stream.watchers.values():
                watcher.expect(side.history)
            stream.settle()
        return sum(bool(watcher.received) for watcher in self._streams[0].watchers.values())

    def close(self) -> None:
        for stream in self._streams:
            stream.close()
