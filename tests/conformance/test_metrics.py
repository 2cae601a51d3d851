"""The names in `/metrics`: all of a real etcd's, but those that are left out on purpose."""

import re
import urllib.request
from collections.abc import Iterator

import pytest

from kvstore.client import Client
from tests.support.cluster_process import KVSTORED, ClusterProcess, Program

pytestmark = [pytest.mark.slow, pytest.mark.etcd]

ABSENT = {
    "go_": "of Go's runtime",
    "promhttp_": "of Go's metrics handler",
    "process_network_": "of the whole machine's network, where there are no containers",
    "process_virtual_memory_max_bytes": "a limit that nobody sets",
    "etcd_debugging_mvcc_range_total": "of 3.5, which also has etcd_mvcc_range_total",
    "etcd_server_range_duration_seconds": "time of single ranges: they are answered together",
    "etcd_network_peer_round_trip_time_seconds": "no probes are sent between members",
}
"""Beginnings of names, and why no such metric is here."""


@pytest.fixture(scope="module")
def texts(reference_etcd: Program) -> Iterator[tuple[str, str]]:
    with ClusterProcess(KVSTORED, 1) as ours, ClusterProcess(reference_etcd, 1) as theirs:
        yield used_metrics(ours.endpoints[0]), used_metrics(theirs.endpoints[0])


def used_metrics(endpoint: str) -> str:
    """Return the metrics after each kind of request."""
    with Client(endpoint) as client:
        client.put("k", "v")
        client.range("k")
        client.delete("k")
        with client.lease(60):
            client.compact(client.put("k", "w").header.revision)
    with urllib.request.urlopen(f"http://{endpoint}/metrics", timeout=20) as answer:
        return str(answer.read().decode())


def names(text: str) -> set[str]:
    return set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))


def test_every_metric_of_etcd_is_here_or_left_out_with_a_reason(texts: tuple[str, str]) -> None:
    ours, theirs = map(names, texts)
    missing = {name for name in theirs - ours if not name.startswith(tuple(ABSENT))}
    assert missing == set()


def test_what_is_left_out_is_not_here(texts: tuple[str, str]) -> None:
    assert [name for name in names(texts[0]) if name.startswith(tuple(ABSENT))] == []


@pytest.mark.parametrize(
    "sample",
    [
        r"etcd_mvcc_put_total 2",
        r"etcd_mvcc_delete_total 1",
        r"etcd_debugging_mvcc_keys_total 1",
        r"etcd_debugging_lease_granted_total 1",
        r'grpc_server_handled_total{grpc_code="OK",grpc_method="Put",grpc_service="etcdserverpb.KV"'
        r',grpc_type="unary"} 2',
        r'grpc_server_msg_received_total{grpc_method="Range",grpc_service="etcdserverpb.KV"'
        r',grpc_type="unary"} 1',
    ],
)
def test_counts_are_etcd_s(texts: tuple[str, str], sample: str) -> None:
    for text in texts:
        assert re.search(f"^{re.escape(sample)}(\\.0)?$", text, re.MULTILINE)
