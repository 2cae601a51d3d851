"""Clients that watch: resumed at any member where they ended, read slowly, judged at the end."""

from collections.abc import Mapping

from kvstore.base.key_range import KeyRange, prefix_end
from kvstore.watch import WatchSpec
from kvstore.wire.pb import rpc_pb2
from tests.simulation.members.calls import Status, StreamRequest
from tests.simulation.members.clients import Recorder
from tests.simulation.members.machine import Machine
from tests.simulation.members.oracle import Revision
from tests.simulation.outcome import Violation
from tests.support.watch_validators import VALIDATORS, Seen, StreamClient, WatchRecord
from tests.support.watch_world import ListHistory

_RANGES = ((b"k/", prefix_end(b"k/")), (b"k/0", b""), (b"k/1", b"k/4"), (b"\x00", b"\x00"))


class WatchClient:
    """One program that wants to know all that happens to some keys, one stream at a time."""

    def __init__(self, name: str, recorder: Recorder) -> None:
        self._name = name
        self._wire = recorder.wire
        self._records = recorder.records
        self._cluster = recorder.cluster
        self._world = recorder.world
        self._dice = dice = recorder.world.dice
        self._key, self._range_end = dice.choice(_RANGES)
        self._message_s = dice.choice((0.0001, 0.02, 0.2))
        self._has_second = dice.random() < 0.3
        self._next_revision = dice.choice((0, 1))
        self._reader = StreamClient()
        self._stream: StreamRequest | None = None
        self.finished: list[WatchRecord] = []
        self._open()
        self._restless()

    # --- the client's life

    def _open(self) -> None:
        machine = self._cluster.machines[self._cluster.any_member()]
        self._reader = StreamClient()
        self._stream = StreamRequest(
            self._wire,
            machine,
            "/etcdserverpb.Watch/Watch",
            self,
            message_s=self._message_s,
            state=lambda: _compact_revision(machine),
        )
        self._world.log(self._name, "watches at", machine.id, "from", self._next_revision)
        self._cluster.oracle.note("watch opened")
        self._watch(self._next_revision)
        if self._has_second:
            ahead = self._dice.choice((0, 0, 3))
            self._watch(self._next_revision + ahead if self._next_revision else 0)

    def _watch(self, start_revision: int) -> None:
        assert self._stream is not None
        dice = self._dice
        spec = WatchSpec(
            keys=KeyRange.of(self._key, self._range_end),
            start_revision=start_revision,
            prev_kv=dice.random() < 0.5,
            progress_notify=dice.random() < 0.3,
            fragment=dice.random() < 0.3,
            no_delete=dice.random() < 0.1,
        )
        self._reader.requested.append(spec)
        request = rpc_pb2.WatchRequest()
        create = request.create_request
        create.key, create.range_end = self._key, self._range_end
        create.start_revision = start_revision
        create.prev_kv, create.progress_notify = spec.prev_kv, spec.progress_notify
        create.fragment = spec.fragment
        if spec.no_delete:
            create.filters.append(rpc_pb2.WatchCreateRequest.NODELETE)
        self._stream.request(request.SerializeToString())

    def _restless(self) -> None:
        """Ask for progress, or go elsewhere, from time to time."""
        if self._cluster.is_quiet:
            return
        self._world.after(self._dice.uniform(0.5, 4.0), self._restless)
        if self._stream is None:
            return
        if self._dice.random() < 0.2:
            self._stream.cancel()
            self._begin_again()
        else:
            request = rpc_pb2.WatchRequest()
            request.progress_request.SetInParent()
            self._stream.request(request.SerializeToString())

    def _begin_again(self) -> None:
        self.finished += self._reader.all_watches
        self._stream = None
        self._world.after(self._dice.uniform(0.01, 0.5), self._open)

    # --- what the stream says

    def received(self, message: bytes, sent_state: int) -> None:
        response = rpc_pb2.WatchResponse.FromString(message)
        try:
            self._reader.read(response, sent_state)
        except AssertionError as broken:
            raise Violation("watch_stream", f"{self._name}: {broken!r} {response}") from broken
        if response.canceled and response.compact_revision:
            self._cluster.oracle.note("watch compacted")
            self._next_revision = max(self._next_revision, response.compact_revision)
            if self._stream is not None:
                self._stream.cancel()
                self._begin_again()
            return
        if not response.events and not response.created:
            self._cluster.oracle.note("watch progress")
        told = max((event.kv.mod_revision for event in response.events), default=0)
        if told:
            self._cluster.oracle.note("watch response")
            self._records.seen.append((self._world.now, told))
        self._advance()

    def ended(self, status: Status) -> None:
        self._world.log(self._name, "watch ended:", status.text)
        self._begin_again()

    def _advance(self) -> None:
        """Resume behind what the first watch of the stream was told."""
        if self._reader.all_watches:
            record = self._reader.all_watches[0]
            told = max([record.first_revision - 1, *(_told(seen) for seen in record.seen[-1:])])
            self._next_revision = max(self._next_revision, told + 1)

    # --- the end

    def has_seen_last(self, history: Mapping[int, Revision]) -> bool:
        """Whether each open watch was told of the last event that it wants."""
        if self._stream is None or self._reader.requested:
            return False
        return all(
            record.last_revision >= _last_wanted(record, history)
            for record in self._reader.watches.values()
        )

    def judge(self, history: ListHistory) -> None:
        """Hold every watch that ever was against the history."""
        for record in self.finished + self._reader.all_watches:
            for name, check in VALIDATORS.items():
                try:
                    check(record, history)
                except AssertionError as broken:
                    raise Violation(
                        f"watch_{name.lower()}",
                        f"{self._name}, {record.spec}, created at {record.created_revision}: "
                        f"{broken!r}",
                    ) from broken


def _last_wanted(record: WatchRecord, history: Mapping[int, Revision]) -> int:
    for revision in sorted(history, reverse=True):
        if revision < record.first_revision:
            return 0
        for event in history[revision].events:
            if event.key in record.spec.keys and not (record.spec.no_delete and event.is_delete):
                return revision
    return 0


def _told(seen: Seen) -> int:
    """Return up to which revision a response told everything."""
    return seen.events[-1].kv.mod_revision if seen.events else seen.header_revision


def _compact_revision(machine: Machine) -> int:
    return machine.node.member.machine.store.compact_revision
