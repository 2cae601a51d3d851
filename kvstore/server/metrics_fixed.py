"""Metrics of etcd's that never change here: what is on, and what there is nothing of."""

import platform
import resource
from collections.abc import Iterable, Mapping
from pathlib import Path

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from kvstore.base.histogram import DISK_BOUNDS_S, Histogram
from kvstore.server.feature_gates import FEATURES
from kvstore.server.metric_families import counter, gauge, gauges, histogram, labelled

_NOTHING_HERE = "Always 0: there is no such thing in this server."
ZERO_HISTOGRAMS = (
    "etcd_debugging_disk_backend_commit_rebalance_duration_seconds",
    "etcd_debugging_disk_backend_commit_spill_duration_seconds",
    "etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds",
    "etcd_debugging_snap_save_marshalling_duration_seconds",
    "etcd_debugging_snap_save_total_duration_seconds",
    "etcd_snap_db_fsync_duration_seconds",
    "etcd_snap_db_save_total_duration_seconds",
    "etcd_snap_fsync_duration_seconds",
)
"""Of bbolt's trees, of an index in memory, and of snapshot files: we have none of them."""
ZERO_COUNTERS = (
    "etcd_debugging_store_expires_total",
    "etcd_debugging_store_reads_total",
    "etcd_debugging_store_watch_requests_total",
    "etcd_debugging_store_writes_total",
    "etcd_grpc_proxy_events_coalescing_total",
)
"""Of the version 2 store and of the proxy."""
ZERO_GAUGES = (
    "etcd_debugging_store_watchers",
    "etcd_grpc_proxy_cache_hits_total",
    "etcd_grpc_proxy_cache_keys_total",
    "etcd_grpc_proxy_cache_misses_total",
    "etcd_grpc_proxy_watchers_coalescing_total",
)


def _open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


class FixedCollector(Collector):
    """Dashboards find the names they look for."""

    def __init__(self, features: Mapping[str, bool]) -> None:
        self._features = features

    def collect(self) -> Iterable[Metric]:
        """Yield them."""
        yield gauges(
            "etcd_server_feature_enabled",
            "Whether a feature gate is on.",
            ("name", "stage"),
            [
                ((name, FEATURES[name].stage.value), float(is_on))
                for name, is_on in sorted(self._features.items())
            ],
        )
        runtime = f"none ({platform.python_implementation()} {platform.python_version()})"
        name, help_text = "etcd_server_go_version", "What runs the server: no Go here."
        yield labelled(name, help_text, {"server_go_version": runtime}, 1.0)
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        yield gauge("os_fd_limit", "Files that may be open.", limit)
        yield gauge("os_fd_used", "Files that are open.", _open_files())
        for name in ZERO_HISTOGRAMS:
            yield histogram(name, _NOTHING_HERE, Histogram(DISK_BOUNDS_S))
        for name in ZERO_COUNTERS:
            yield counter(name, _NOTHING_HERE, 0.0)
        for name in ZERO_GAUGES:
            yield gauge(name, _NOTHING_HERE, 0.0)
