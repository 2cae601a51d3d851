"""Maintenance/Snapshot: a backup of one pinned commit, streamed between requests."""

from collections.abc import Iterator

from kvstore.apply import meta
from kvstore.apply.backup_file import DIGEST_BYTES, framed
from kvstore.apply.snapshot import head_of, snapshot_chunks
from kvstore.base.errors import Stopped
from kvstore.base.limits import KIB, MIB
from kvstore.member import Member
from kvstore.rpc.access import Need
from kvstore.rpc.call import Method, StreamCall, StreamHandler
from kvstore.rpc.maintenance import STORAGE_VERSION
from kvstore.rpc.pipeline import Pipeline
from kvstore.wire.pb import rpc_pb2

_BLOB_BYTES = 32 * KIB
"""etcd's size of a blob."""
_FRAME_BYTES = 64
_UNSENT_BYTES_MAX = 1 * MIB
_SLICE_S = 0.002
_PAUSE_S = 0.010
"""Between two slices: requests have five sixths of the time to themselves."""
_DRAIN_LOOK_S = 0.05


class SnapshotService:
    """Opens the streams of `/etcdserverpb.Maintenance/Snapshot`."""

    def __init__(self, member: Member, pipeline: Pipeline) -> None:
        self._member = member
        self._pipeline = pipeline

    def methods(self) -> dict[str, Method]:
        """Return the routes of this service; a learner serves it, too."""
        open_ = self._pipeline.stream(self._open, needs=Need.ROOT)
        return {"/etcdserverpb.Maintenance/Snapshot": open_}

    def _open(self, call: StreamCall) -> StreamHandler:
        return _Backup(self._member, call)


class _Backup:
    """One stream. It holds the commit that it began with until it ends."""

    def __init__(self, member: Member, call: StreamCall) -> None:
        self._member = member
        self._call = call
        self._pieces: Iterator[bytes] | None = None
        self._is_over = False
        self._sent = 0
        self._expected = 0

    def message_received(self, message: bytes) -> None:
        """Begin: the request says nothing."""
        del message
        if self._pieces is not None or self._is_over:
            return
        member = self._member
        if member.failure is not None:
            self._call.finish(Stopped.code, Stopped.message)
            return
        self._txn = member.machine.backend.begin_read()
        member.long_reads += 1
        self._started = member.clock.monotonic()
        head = head_of(self._txn, member.config.cluster_id, meta.membership(self._txn))
        chunks = snapshot_chunks(self._txn, head, chunk_bytes_max=_BLOB_BYTES - _FRAME_BYTES)
        self._pieces = framed(chunks)
        self._expected = member.machine.backend.live_bytes
        self._send_slice()

    def half_closed(self) -> None:
        """The request is whole: there is nothing more to come."""

    def drained(self) -> None:
        """The next slice looks for itself."""

    def closed(self) -> None:
        """The client is gone."""
        self._end()

    def _send_slice(self) -> None:
        if self._is_over or self._pieces is None:
            return
        member, call = self._member, self._call
        if member.failure is not None:
            self._end()
            call.finish(Stopped.code, Stopped.message)
            return
        if call.unsent_bytes > _UNSENT_BYTES_MAX:
            member.scheduler.later(_DRAIN_LOOK_S, self._send_slice)
            return
        deadline = member.clock.monotonic() + _SLICE_S
        for piece in self._pieces:
            self._sent += len(piece)
            is_digest = len(piece) == DIGEST_BYTES
            # What is left is known at the end only: until then it is a guess that never says none.
            left = 0 if is_digest else max(self._expected - self._sent, _BLOB_BYTES)
            message = rpc_pb2.SnapshotResponse(
                remaining_bytes=left, blob=piece, version=STORAGE_VERSION
            )
            call.send(message.SerializeToString())
            if member.clock.monotonic() >= deadline or call.unsent_bytes > _UNSENT_BYTES_MAX:
                member.scheduler.later(_PAUSE_S, self._send_slice)
                return
        self._end()
        call.finish()

    def _end(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        if self._pieces is not None:
            self._txn.close()
            self._member.long_reads -= 1
            took_s = self._member.clock.monotonic() - self._started
            self._member.meters.backup.observe(took_s)
