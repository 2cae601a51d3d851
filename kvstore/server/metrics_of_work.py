"""Metrics of what a member has done: its meters and the tallies of its rpcs, as they stand."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from kvstore.base.errors import Code
from kvstore.base.histogram import Histogram
from kvstore.base.ids import MemberId
from kvstore.member.node import Node
from kvstore.server.listener import Listener
from kvstore.server.metric_families import (
    counter,
    counters,
    gauge,
    histogram,
    histograms,
)
from kvstore.wire.grpc.tallies import Tally

_METHOD = ("grpc_type", "grpc_service", "grpc_method")
_CLIENT_STREAMS = frozenset(("LeaseKeepAlive", "Watch"))
"""Methods whose clients send any number of messages, but for the health service's."""
_MESSAGES = "Messages on the wire"


PeerBytes = Callable[[str], Mapping[MemberId, int]]
"""Returns the bytes that links have "received" or "sent", by member."""


class WorkCollector(Collector):
    """Nothing is counted for the sake of metrics but by those who do the work."""

    def __init__(self, node: Node, listeners: Sequence[Listener], peer_bytes: PeerBytes) -> None:
        """`listeners` may grow later: it is read whenever metrics are asked for."""
        self._peer_bytes = peer_bytes
        self._node = node
        self._listeners = listeners

    def collect(self) -> Iterable[Metric]:
        """Yield every metric of work done."""
        yield from self._operations()
        yield from self._requests()
        yield from self._disk()
        yield from self._leases()
        yield from self._peers()
        yield from self._rpcs()

    def _operations(self) -> Iterable[Metric]:
        hub, counts = self._node.hub, self._node.member.meters.counts
        for name, help_text, value in (
            ("etcd_mvcc_put_total", "Puts, those of transactions included.", counts.puts),
            ("etcd_mvcc_delete_total", "Deletes, likewise.", counts.deletes),
            ("etcd_mvcc_range_total", "Ranges, likewise.", counts.ranges),
            ("etcd_mvcc_txn_total", "Transactions of several operations.", counts.txns),
            ("etcd_debugging_mvcc_events_total", "Events sent to watchers.", hub.events_sent),
        ):
            yield counter(name, help_text, value)
        yield gauge(
            "etcd_debugging_mvcc_total_put_size_in_bytes",
            "Bytes of keys and values put.",
            counts.put_bytes,
        )
        yield gauge(
            "etcd_debugging_mvcc_pending_events_total",
            "Watchers that have events to come.",
            hub.behind_count,
        )

    def _requests(self) -> Iterable[Metric]:
        member = self._node.member
        meters, proposals = member.meters, member.proposals
        yield gauge("etcd_server_proposals_pending", "Proposals that wait.", proposals.unanswered)
        for name, help_text, value in (
            ("etcd_server_proposals_failed_total", "Proposals that failed.", proposals.failed),
            ("etcd_server_slow_apply_total", "Turns of more than 100 ms.", meters.slow_applies),
            (
                "etcd_server_read_indexes_failed_total",
                "Linearizable reads that were not confirmed in time.",
                member.reads.failed,
            ),
            (
                "etcd_server_slow_read_indexes_total",
                "Always 0: a read that is not confirmed in time has failed.",
                0,
            ),
            (
                "etcd_server_heartbeat_send_failures_total",
                "Messages of consensus that found no room and were left out.",
                meters.dropped_messages,
            ),
            ("etcd_server_learner_promote_successes", "Promoted learners.", meters.promotions),
        ):
            yield counter(name, help_text, value)
        yield gauge(
            "etcd_server_snapshot_apply_in_progress_total",
            "Whether another member's snapshot is being received.",
            self._node.is_receiving_snapshot,
        )
        yield histograms(
            "etcd_server_apply_duration_seconds",
            "Time to apply what is committed, turn by turn.",
            ("version", "op", "success"),
            [(("v3", "Turn", "true"), meters.apply)],
        )

    def _disk(self) -> Iterable[Metric]:
        node = self._node
        member, meters = node.member, node.member.meters
        yield gauge(
            "etcd_disk_wal_write_bytes_total", "Bytes in the write-ahead log.", member.log_bytes
        )
        yield gauge(
            "etcd_disk_defrag_inflight",
            "Whether a defragmentation is under way.",
            node.defragmentation.is_running,
        )
        yield gauge(
            "etcd_mvcc_db_open_read_transactions",
            "Readers that hold a view for longer than a request takes.",
            member.long_reads,
        )
        for name, help_text, found in (
            (
                "etcd_disk_wal_fsync_duration_seconds",
                "Writes to the log with their syncs, which are one call.",
                meters.wal_sync,
            ),
            (
                "etcd_disk_backend_commit_duration_seconds",
                "Commits of the keyspace; they wait for no disk.",
                meters.backend_commit,
            ),
            (
                "etcd_debugging_disk_backend_commit_write_duration_seconds",
                "The same: a commit is nothing but its write.",
                meters.backend_commit,
            ),
            (
                "etcd_disk_backend_defrag_duration_seconds",
                "Defragmentations.",
                meters.defragmentation,
            ),
            ("etcd_disk_backend_snapshot_duration_seconds", "Backups.", meters.backup),
            ("etcd_mvcc_hash_duration_seconds", "Hashes of everything.", meters.hash),
            (
                "etcd_mvcc_hash_rev_duration_seconds",
                "Hashes at a revision.",
                meters.hash_at_revision,
            ),
        ):
            yield histogram(name, help_text, found)
        yield from self._compaction()

    def _compaction(self) -> Iterable[Metric]:
        meters = self._node.member.meters
        yield counter(
            "etcd_debugging_mvcc_db_compaction_keys_total",
            "Records that removals of what is compacted have looked at.",
            meters.removal_records,
        )
        yield gauge(
            "etcd_debugging_mvcc_db_compaction_last",
            "When the last compaction was removed, in seconds since 1970.",
            meters.removed_unix_s,
        )
        for name, help_text, found in (
            ("pause", "Slices of removal.", meters.removal_slices_ms),
            ("total", "Removals, from the first slice to the last.", meters.removals_ms),
        ):
            full_name = f"etcd_debugging_mvcc_db_compaction_{name}_duration_milliseconds"
            yield histogram(full_name, help_text, found)

    def _leases(self) -> Iterable[Metric]:
        meters = self._node.member.meters
        counts = meters.counts
        for name, help_text, value in (
            ("etcd_debugging_lease_granted_total", "Leases granted.", counts.leases_granted),
            ("etcd_debugging_lease_revoked_total", "Leases revoked.", counts.leases_revoked),
            (
                "etcd_debugging_lease_renewed_total",
                "Renewals, while this member led.",
                meters.leases_renewed,
            ),
            (
                "etcd_debugging_server_lease_expired_total",
                "Leases that ran out.",
                counts.leases_expired,
            ),
        ):
            yield counter(name, help_text, value)
        yield histogram("etcd_debugging_lease_ttl_total", "TTLs granted.", meters.lease_ttl)

    def _peers(self) -> Iterable[Metric]:
        member = self._node.member
        own = f"{member.id:x}"
        yield counters(
            "etcd_network_disconnected_peers_total",
            "Links to members that broke.",
            ("Local", "Remote"),
            [
                ((own, f"{other:x}"), count)
                for other, count in sorted(member.meters.lost_links.items())
            ],
        )
        for direction, label in (("received", "From"), ("sent", "To")):
            yield counters(
                f"etcd_network_peer_{direction}_bytes_total",
                f"Bytes {direction} on links to members.",
                (label,),
                [
                    ((f"{other:x}",), count)
                    for other, count in sorted(self._peer_bytes(direction).items())
                ],
            )

    def _rpcs(self) -> Iterable[Metric]:
        by_method: dict[tuple[str, ...], list[Tally]] = {}
        by_version: Counter[tuple[str, str]] = Counter()
        for listener in self._listeners:
            for path, version, tally in listener.routes.tallies.items():
                by_method.setdefault(_labels(path, tally), []).append(tally)
                by_version["stream" if tally.is_stream else "unary", version] += tally.started
        yield counters(
            "etcd_server_client_requests_total",
            "Requests by the version that the client names.",
            ("type", "client_api_version"),
            sorted(by_version.items()),
        )
        methods = sorted(by_method.items())
        for name, help_text, attribute in (
            ("started", "Rpcs begun.", "started"),
            ("msg_received", f"{_MESSAGES}, received.", "received"),
            ("msg_sent", f"{_MESSAGES}, sent.", "sent"),
        ):
            yield counters(
                f"grpc_server_{name}_total",
                help_text,
                _METHOD,
                [
                    (labels, sum(_count(one, attribute) for one in found))
                    for labels, found in methods
                ],
            )
        ended: Counter[tuple[str, ...]] = Counter()
        for labels, found in methods:
            for tally in found:
                for code, count in tally.by_code():
                    ended[*labels, _code_name(code)] += count
        yield counters(
            "grpc_server_handled_total",
            "Rpcs ended, by status.",
            (*_METHOD, "grpc_code"),
            sorted(ended.items()),
        )
        if any(tally.clock is not None for _, found in methods for tally in found):
            yield histograms(
                "grpc_server_handling_seconds",
                "Time that rpcs took.",
                _METHOD,
                [(labels, _merged([one.seconds for one in found])) for labels, found in methods],
            )


def _labels(path: str, tally: Tally) -> tuple[str, str, str]:
    _, service, method = path.split("/")
    kind = "unary"
    if tally.is_stream:
        is_both = method in _CLIENT_STREAMS and not service.startswith("grpc.")
        kind = "bidi_stream" if is_both else "server_stream"
    return kind, service, method


def _count(tally: Tally, attribute: str) -> int:
    if attribute == "received" and not tally.is_stream:
        return tally.started  # each came with its one message
    count: int = getattr(tally, attribute)
    return count


def _code_name(code: int) -> str:
    """Return a status as Go writes it: `DeadlineExceeded`."""
    if code == Code.OK:
        return "OK"
    if code == Code.CANCELLED:
        return "Canceled"
    return "".join(word.capitalize() for word in Code(code).name.split("_"))


def _merged(found: list[Histogram]) -> Histogram:
    total = Histogram(found[0].bounds)
    for one in found:
        total.sum += one.sum
        total.counts = [mine + more for mine, more in zip(total.counts, one.counts, strict=True)]
    return total
