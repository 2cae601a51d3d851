"""The metrics of a member, under the names that etcd's dashboards look for."""

from collections.abc import Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from kvstore.backend.schema import Tree
from kvstore.base.key_range import KeyRange
from kvstore.member import Member
from kvstore.member.node import Node
from kvstore.mvcc import RangeQuery
from kvstore.rpc.health_checks import HealthChecks
from kvstore.rpc.maintenance import ALARM_NAMES, SERVER_VERSION, STORAGE_VERSION
from kvstore.server.listener import Listener
from kvstore.server.metric_families import counter, gauge, labelled
from kvstore.server.metrics_fixed import FixedCollector
from kvstore.server.metrics_of_work import PeerBytes, WorkCollector
from kvstore.watch import WatchHub

_CLUSTER_VERSION = STORAGE_VERSION.rpartition(".")[0]
"""As etcd labels it: without the patch level."""


_KEYS_COUNTED_MAX = 10_000
"""Up to so many keys are counted one by one when metrics are asked for: a few milliseconds."""


class MemberCollector(Collector):
    """Reads a member's state when it is asked for: the hot path counts nothing."""

    def __init__(
        self,
        member: Member,
        hub: WatchHub,
        checks: HealthChecks,
        listeners: Sequence[Listener],
    ) -> None:
        """`listeners` may grow later: it is read whenever metrics are asked for."""
        self._member = member
        self._hub = hub
        self._checks = checks
        self._listeners = listeners

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
        yield from self._identity()
        yield from self._health()
        yield from self._keyspace()
        yield from self._network()

    def _identity(self) -> Iterable[Metric]:
        member = self._member
        for name, help_text, label, value in (
            ("etcd_server_id", "This member's id.", "server_id", f"{member.id:x}"),
            ("etcd_server_version", "This member's version.", "server_version", SERVER_VERSION),
            ("etcd_cluster_version", "The cluster's version.", "cluster_version", _CLUSTER_VERSION),
        ):
            yield labelled(name, help_text, {label: value}, 1.0)

    def _health(self) -> Iterable[Metric]:
        checks = self._checks
        for name, help_text, is_healthy in (
            ("etcd_server_health_success", "Good answers of /health.", True),
            ("etcd_server_health_failures", "Bad answers of /health.", False),
        ):
            yield counter(name, help_text, checks.health_counts[is_healthy])
        last = GaugeMetricFamily(
            "etcd_server_healthcheck", "Whether a check passed last.", labels=("type", "name")
        )
        for check, has_passed in sorted(checks.last.items()):
            last.add_metric(check, float(has_passed))
        yield last
        counts = CounterMetricFamily(
            "etcd_server_healthchecks", "Checks by result.", labels=("type", "name", "status")
        )
        for labels, count in sorted(checks.counts.items()):
            counts.add_metric(labels, float(count))
        yield counts

    def _keyspace(self) -> Iterable[Metric]:
        machine = self._member.machine
        yield gauge(
            "etcd_debugging_mvcc_keys_total",
            "Keys; where there are many, deleted ones that are not compacted yet are counted.",
            self._keys(),
        )
        yield GaugeMetricFamily(
            "etcd_debugging_auth_revision", "The auth revision.", value=float(machine.auth.revision)
        )
        alarms = GaugeMetricFamily(
            "etcd_debugging_server_alarms",
            "Alarms that are raised.",
            labels=("server_id", "alarm_type"),
        )
        for member_id, alarm in machine.alarms.raised():
            alarms.add_metric((f"{member_id:x}", ALARM_NAMES[alarm]), 1.0)
        yield alarms

    def _keys(self) -> int:
        machine = self._member.machine
        stored = machine.backend.begin_read()
        try:
            found = stored.count(Tree.KEYS) + stored.count(Tree.LONG_KEYS)
        finally:
            stored.close()
        if found > _KEYS_COUNTED_MAX:
            return found
        everything = RangeQuery(keys=KeyRange(b"\x00", None), count_only=True)
        return self._member.view().range(everything).count

    def _network(self) -> Iterable[Metric]:
        for direction in ("received", "sent"):
            count = sum(getattr(one, f"bytes_{direction}") for one in self._listeners)
            yield CounterMetricFamily(
                f"etcd_network_client_grpc_{direction}_bytes",
                f"Bytes {direction} on the client ports.",
                value=float(count),
            )
        member = self._member
        others = sorted(member.consensus.membership.members - {member.id})
        for name, help_text, is_counted in (
            ("etcd_network_known_peers", "Members that are known.", lambda _: True),
            ("etcd_network_active_peers", "Members that are linked.", member.links.is_linked),
        ):
            peers = GaugeMetricFamily(name, help_text, labels=("Local", "Remote"))
            for other in filter(is_counted, others):
                peers.add_metric((f"{member.id:x}", f"{other:x}"), 1.0)
            yield peers


def metrics_text(
    node: Node,
    checks: HealthChecks,
    listeners: Sequence[Listener],
    features: Mapping[str, bool],
    peer_bytes: PeerBytes,
) -> "MetricsText":
    """Return what serves `/metrics` for this member."""
    registry = CollectorRegistry()
    registry.register(MemberCollector(node.member, node.hub, checks, listeners))
    registry.register(WorkCollector(node, listeners, peer_bytes))
    registry.register(FixedCollector(features))
    ProcessCollector(registry=registry)
    return MetricsText(registry)


class MetricsText:
    """The text of all metrics, made when it is called."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def __call__(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return generate_latest(self._registry)
