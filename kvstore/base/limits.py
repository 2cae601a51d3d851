"""Every bound on what a client or a peer can make grow, in one value."""

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds of one member; simulations draw them at extremes."""

    # --- the client port
    request_bytes_max: int = 1_572_864
    """etcd's --max-request-bytes: the largest proposal."""
    request_overhead_bytes: int = 512 * KIB
    """A gRPC message may exceed `request_bytes_max` by this much before it is refused unread."""
    txn_ops_max: int = 128
    header_list_bytes_max: int = 64 * KIB
    continuation_frames_max: int = 32
    concurrent_streams_max: int = 4_294_967_295
    peer_resets_per_s_max: int = 200
    handshake_timeout_s: float = 10.0
    stalled_stream_timeout_s: float = 30.0
    ping_interval_min_s: float = 5.0
    connection_unsent_bytes_max: int = 64 * MIB
    """Above this we stop reading the connection."""
    watch_unsent_bytes_max: int = 4 * MIB
    """Above this a watch stream is sent nothing more until it drains; its watchers fall behind."""
    watchers_per_stream_max: int = 100_000

    # --- one turn and the log
    entry_bytes_max: int = 4 * MIB
    entry_operations_max: int = 4096
    entries_in_flight_max: int = 4
    unapplied_entries_max: int = 5000
    forwarded_bytes_max: int = 64 * MIB
    peer_frame_bytes_max: int = 256 * KIB
    peer_window_bytes: int = 4 * MIB
    wal_segment_bytes: int = 64 * MIB
    wal_retained_bytes_max: int = 1 * GIB
    """The log's files, or twice the quota if that is less; who needs more is sent a snapshot."""
    journal_bytes_max: int = 128 * MIB
    """Entries in memory, likewise."""
    retained_entries: int = 5000
    """Entries kept behind the applied index for members that lag."""
    snapshot_entries: int = 10_000
    """etcd's --snapshot-count: entries between two trims of the log."""

    # --- storage
    quota_bytes: int = 2 * GIB
    reserve_bytes: int = 64 * MIB
    """Disk space kept back, so that term, vote and an orderly stop can still be written."""
    checkpoint_wal_bytes: int = 32 * MIB
    checkpoint_interval_s: float = 5.0
    """Until a checkpoint is durable, every page that changes is kept twice."""
    compaction_batch: int = 1000
    """Revisions removed per slice of background compaction."""
    slice_s: float = 0.010
    """Longest single step of a long task on the event loop (nothing may hold it over 20 ms)."""
    catch_up_revisions_max: int = 1000
    """Revisions in one catch-up response to a watcher."""
