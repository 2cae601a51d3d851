"""The metrics of a member, under the names that etcd's dashboards look for."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from kvstore.member import Member
from kvstore.watch import WatchHub


class MemberCollector(Collector):
    """Reads a member's state when it is asked for: the hot path counts nothing."""

    def __init__(self, member: Member, hub: WatchHub) -> None:
        self._member = member
        self._hub = hub

    def collect(self) -> Iterable[Metric]:
        """Yield every metric of the member."""
        member, consensus = self._member, self._member.consensus
        store, backend = member.machine.store, member.machine.backend
        for name, help_text, value in (
            ("etcd_server_has_leader", "Whether a leader is known.", consensus.leader is not None),
            ("etcd_server_is_leader", "Whether this member leads.", member.is_leader),
            ("etcd_server_is_learner", "Whether this member is a learner.", member.is_learner),
            (
                "etcd_server_proposals_committed_total",
                "Index of the last committed entry.",
                consensus.commit_index,
            ),
            (
                "etcd_server_proposals_applied_total",
                "Index of the last applied entry.",
                member.machine.applied.index,
            ),
            (
                "etcd_server_quota_backend_bytes",
                "The space quota.",
                member.config.limits.quota_bytes,
            ),
            (
                "etcd_mvcc_db_total_size_in_bytes",
                "Bytes of the keyspace on disk.",
                backend.size_bytes,
            ),
            (
                "etcd_mvcc_db_total_size_in_use_in_bytes",
                "Bytes of the keyspace in use.",
                backend.live_bytes,
            ),
            (
                "etcd_debugging_mvcc_current_revision",
                "The store's revision.",
                store.revision,
            ),
            (
                "etcd_debugging_mvcc_compact_revision",
                "The last compacted revision.",
                store.compact_revision,
            ),
            (
                "etcd_debugging_mvcc_watcher_total",
                "Watchers on this member.",
                self._hub.watcher_count,
            ),
            (
                "etcd_debugging_mvcc_watch_stream_total",
                "Watch streams on this member.",
                self._hub.stream_count,
            ),
            (
                "etcd_debugging_mvcc_slow_watcher_total",
                "Watchers that are fed from history.",
                self._hub.behind_count,
            ),
        ):
            yield GaugeMetricFamily(name, help_text, value=float(value))
        yield CounterMetricFamily(
            "etcd_server_leader_changes_seen",
            "Changes of leader seen here.",
            value=member.leader_changes,
        )


def metrics_text(member: Member, hub: WatchHub) -> "MetricsText":
    """Return what serves `/metrics` for this member."""
    registry = CollectorRegistry()
    registry.register(MemberCollector(member, hub))
    ProcessCollector(registry=registry)
    return MetricsText(registry)


class MetricsText:
    """The text of all metrics, made when it is called."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def __call__(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return generate_latest(self._registry)
