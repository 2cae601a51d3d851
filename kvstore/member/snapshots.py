"""Bringing up a member whose log lags too far: the keyspace travels, as its next generation.

    message := "c" stream (u64) number (u32) chunk       (leader -> member; numbers count from 0)
             | "a" stream (u64) number (u32)             (member -> leader: taken)
             | "f" stream (u64)                          (member -> leader: this stream has failed)

A few chunks are under way at a time, each taken in a step of its own on both sides, so heartbeats
and requests go on. The receiver builds the next generation beside its present keyspace, makes it
durable, and then the log's reset record is the switch (ADR 12): a crash on either side of it
finds one whole keyspace. Watchers go on at their next revision, from the new history.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from struct import Struct

from kvstore.apply import StateMachine, meta
from kvstore.apply.snapshot import CorruptSnapshot, SnapshotBuilder, head_of, snapshot_chunks
from kvstore.backend.backend import Backend, ReadTxn
from kvstore.base import failpoint
from kvstore.base.errors import ProtocolError, StorageFull
from kvstore.base.ids import MemberId
from kvstore.member.housekeeping import Housekeeping
from kvstore.member.member import Member
from kvstore.member.ports import Keyspaces, Worker
from kvstore.raft.membership import decode_membership
from kvstore.raft.peer_session import Channel
from kvstore.watch import History, WatchHub

logger = logging.getLogger(__name__)

_CHUNK, _TAKEN, _FAILED = b"c", b"a", b"f"
_NUMBERED = Struct("<cQI")
_FAILURE = Struct("<cQ")
_CHUNKS_UNDER_WAY_MAX = 8
_FRAME_OVERHEAD_BYTES = 64
_SILENCE_MAX_S = 30.0
_SETTLING_S = 3.0
"""A member that has taken all and still asks after this long has lost it: it is sent another."""
_AGAIN_S = 0.05
_FORMER_KEYSPACE_S = 60.0
"""Reads that began before a switch may take so long; then the former keyspace is closed."""


@dataclass(slots=True)
class _Outgoing:
    stream: int
    txn: ReadTxn
    chunks: Iterator[bytes]
    sent: int = 0
    taken: int = 0
    is_all_sent: bool = False
    heard_at: float = 0.0


@dataclass(slots=True)
class _Incoming:
    stream: int
    sender: MemberId
    generation: int
    backend: Backend
    builder: SnapshotBuilder
    next_number: int = 0
    heard_at: float = 0.0
    is_finishing: bool = False


class Snapshots:
    """Both sides of one member's snapshot transfers."""

    def __init__(
        self,
        member: Member,
        keyspaces: Keyspaces,
        generation: int,
        housekeeping: Housekeeping,
        disk_worker: Worker,
    ) -> None:
        self._member = member
        self._keyspaces = keyspaces
        self._generation = self._last_generation = generation
        self._housekeeping = housekeeping
        self._disk = disk_worker
        self._outgoing: dict[MemberId, _Outgoing] = {}
        self._incoming: _Incoming | None = None
        self._next_stream = member.incarnation
        self.before_receiving: Callable[[], None] = _nothing
        """Called before the next generation is built from another member's."""
        self._hub: WatchHub | None = None
        self._history: History | None = None
        member.receivers[Channel.SNAPSHOT] = self._receive
        member.snapshot_requests = self._wanted

    @property
    def generation(self) -> int:
        """The keyspace in force."""
        return self._generation

    def next_generation(self) -> int:
        """Return the number of a keyspace to be built: no two are built in one place."""
        self._last_generation += 1
        return self._last_generation

    @property
    def is_receiving(self) -> bool:
        """Whether the next generation is being built from another member's."""
        return self._incoming is not None

    def moved_to(self, generation: int, former: Backend) -> None:
        """The keyspace in force is another one, which this member made of its own."""
        self._retire(former, self._generation)
        self._generation = generation

    def rebase_watches(self, hub: WatchHub, history: History) -> None:
        """Name the watch hub that goes on from the new keyspace after a switch."""
        self._hub, self._history = hub, history

    def tick(self) -> None:
        """Send what there is room for; give up what has been silent for too long."""
        now = self._member.clock.monotonic()
        for to, outgoing in list(self._outgoing.items()):
            if not self._member.is_leader or now - outgoing.heard_at > _SILENCE_MAX_S:
                self._end_outgoing(to)
            else:
                self._send_chunks(to, outgoing)
        incoming = self._incoming
        if (
            incoming is not None
            and not incoming.is_finishing
            and now - incoming.heard_at > _SILENCE_MAX_S
        ):
            self._drop_incoming("the sender fell silent")

    def close(self) -> None:
        """Let go of all transfers."""
        for to in list(self._outgoing):
            self._end_outgoing(to)
        if self._incoming is not None and not self._incoming.is_finishing:
            self._drop_incoming("this member stops")

    # --- the leader's side

    def _wanted(self, to: MemberId) -> None:
        if not self._member.links.is_linked(to) or self._is_on_its_way(to):
            return
        if to in self._outgoing:
            self._end_outgoing(to)
        machine, config = self._member.machine, self._member.config
        txn = machine.backend.begin_read()
        head = head_of(txn, config.cluster_id, meta.membership(txn))
        chunk_bytes = config.limits.peer_frame_bytes_max - _FRAME_OVERHEAD_BYTES
        self._next_stream += 1
        outgoing = self._outgoing[to] = _Outgoing(
            self._next_stream,
            txn,
            snapshot_chunks(txn, head, chunk_bytes_max=chunk_bytes),
            heard_at=self._member.clock.monotonic(),
        )
        logger.info("sending a snapshot", extra={"to": f"{to:x}", "index": head.index})
        self._send_chunks(to, outgoing)

    def _is_on_its_way(self, to: MemberId) -> bool:
        """Whether a snapshot for `to` travels, or has just arrived and is being made durable."""
        outgoing = self._outgoing.get(to)
        if outgoing is None:
            return False
        if not outgoing.is_all_sent or outgoing.taken < outgoing.sent:
            return True
        return self._member.clock.monotonic() - outgoing.heard_at < _SETTLING_S

    def _send_chunks(self, to: MemberId, outgoing: _Outgoing) -> None:
        links = self._member.links
        while (
            not outgoing.is_all_sent
            and outgoing.sent - outgoing.taken < _CHUNKS_UNDER_WAY_MAX
            and links.has_room(to, Channel.SNAPSHOT)
        ):
            chunk = next(outgoing.chunks, None)
            if chunk is None:
                outgoing.is_all_sent = True
                outgoing.txn.close()
                return
            message = _NUMBERED.pack(_CHUNK, outgoing.stream, outgoing.sent) + chunk
            outgoing.sent += 1
            if not links.send(to, Channel.SNAPSHOT, message):
                self._end_outgoing(to)
                return

    def _taken(self, sender: MemberId, stream: int, number: int) -> None:
        outgoing = self._outgoing.get(sender)
        if outgoing is None or outgoing.stream != stream:
            return
        outgoing.taken = max(outgoing.taken, number + 1)
        outgoing.heard_at = self._member.clock.monotonic()
        # One slice an acknowledgement: reading chunks shall not hold the loop.
        self._member.scheduler.soon(partial(self._go_on, sender, outgoing))

    def _go_on(self, to: MemberId, outgoing: _Outgoing) -> None:
        if self._outgoing.get(to) is outgoing:
            self._send_chunks(to, outgoing)

    def _end_outgoing(self, to: MemberId) -> None:
        self._outgoing.pop(to).txn.close()

    # --- the receiver's side

    def _receive(self, sender: MemberId, message: bytes) -> None:
        kind = message[:1]
        if kind == _CHUNK and len(message) > _NUMBERED.size:
            _, stream, number = _NUMBERED.unpack_from(message)
            self._take(sender, stream, number, message[_NUMBERED.size :])
        elif kind == _TAKEN and len(message) == _NUMBERED.size:
            _, stream, number = _NUMBERED.unpack(message)
            self._taken(sender, stream, number)
        elif kind == _FAILED and len(message) == _FAILURE.size:
            _, stream = _FAILURE.unpack(message)
            outgoing = self._outgoing.get(sender)
            if outgoing is not None and outgoing.stream == stream:
                self._end_outgoing(sender)
        else:
            raise ProtocolError("unknown message on the snapshot channel")

    def _take(self, sender: MemberId, stream: int, number: int, chunk: bytes) -> None:
        incoming = self._incoming
        if number == 0:
            if incoming is not None and incoming.is_finishing:
                return  # that one is nearly in force; the leader asks again if it needs to
            if incoming is not None:
                self._drop_incoming("another one begins")
            try:
                incoming = self._incoming = self._begin(sender, stream)
            except StorageFull as problem:
                logger.warning("no room for a snapshot", extra={"why": str(problem)})
                incoming = None
        if incoming is None or (incoming.sender, incoming.stream) != (sender, stream):
            self._tell_failed(sender, stream)
            return
        try:
            if number != incoming.next_number:
                raise CorruptSnapshot(f"chunk {number} in place of {incoming.next_number}")  # noqa: TRY301
            incoming.builder.add(chunk)
        except (CorruptSnapshot, StorageFull) as problem:
            self._drop_incoming(str(problem))
            self._tell_failed(sender, stream)
            return
        incoming.next_number += 1
        incoming.heard_at = self._member.clock.monotonic()
        taken = _NUMBERED.pack(_TAKEN, stream, number)
        self._member.links.send(sender, Channel.SNAPSHOT, taken)
        if incoming.builder.is_complete:
            self._make_durable(incoming)

    def _begin(self, sender: MemberId, stream: int) -> _Incoming:
        config = self._member.config
        self.before_receiving()
        generation = self.next_generation()
        self._keyspaces.remove(generation)
        backend = self._keyspaces.open(generation)
        limits = config.limits
        builder = SnapshotBuilder(
            backend,
            config.cluster_id,
            value_bytes_max=limits.request_bytes_max + limits.request_overhead_bytes,
        )
        logger.info("receiving a snapshot", extra={"from": f"{sender:x}"})
        now = self._member.clock.monotonic()
        return _Incoming(stream, sender, generation, backend, builder, heard_at=now)

    def _make_durable(self, incoming: _Incoming) -> None:
        incoming.is_finishing = True
        checkpoint = incoming.backend.begin_checkpoint()

        def finished(result: object) -> None:
            if self._member.failure is not None:
                incoming.backend.close()
            elif isinstance(result, BaseException):
                self._member.stop(result)
            else:
                checkpoint.finish()
                self._switch(incoming)

        self._disk.submit(checkpoint.make_durable, finished)

    def _switch(self, incoming: _Incoming) -> None:
        """Make the new generation the one in force: the log's reset record decides."""
        head = incoming.builder.head
        assert head is not None
        member = self._member
        if member.is_applying:
            member.scheduler.later(_AGAIN_S, partial(self._switch, incoming))
            return
        failpoint.hit("snapshot_before_switch")
        membership = decode_membership(head.membership)
        is_installed = member.consensus.install_snapshot(
            head.index, head.term, membership, incoming.generation
        )
        failpoint.hit("snapshot_after_switch")
        self._incoming = None
        if not is_installed:
            self._discard(incoming)
            return
        former, former_generation = member.machine.backend, self._generation
        self._generation = incoming.generation
        member.replace_machine(StateMachine(incoming.backend), membership)
        self._housekeeping.keyspace_replaced(head.index)
        if self._hub is not None and self._history is not None:
            self._hub.rebase(self._history)
        logger.info("installed a snapshot", extra={"index": head.index, "term": head.term})
        self._retire(former, former_generation)

    def _retire(self, former: Backend, generation: int) -> None:
        """Remove a former keyspace once its readers have had their time."""

        def forget() -> None:
            if self._member.long_reads:
                self._member.scheduler.later(_FORMER_KEYSPACE_S, forget)
                return
            former.close()
            self._disk.submit(partial(self._keyspaces.remove, generation), _ignore)

        self._member.scheduler.later(_FORMER_KEYSPACE_S, forget)

    def _drop_incoming(self, why: str) -> None:
        incoming = self._incoming
        assert incoming is not None
        logger.warning("dropped a snapshot", extra={"why": why})
        self._incoming = None
        self._discard(incoming)

    def _discard(self, incoming: _Incoming) -> None:
        incoming.backend.close()
        self._keyspaces.remove(incoming.generation)

    def _tell_failed(self, sender: MemberId, stream: int) -> None:
        message = _FAILURE.pack(_FAILED, stream)
        self._member.links.send(sender, Channel.SNAPSHOT, message)


def _nothing() -> None:
    """There is nobody to tell."""


def _ignore(result: object) -> None:
    """Take note of nothing: what could not be removed is removed at the next start."""
    del result
