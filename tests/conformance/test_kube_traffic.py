"""What a real kube-apiserver asks of its store, recorded once and asked again: equal answers.

The recording is of a whole life of kube-apiserver 1.33 on an empty cluster: its start, three
configmaps created, listed in pages, changed and deleted. `tools/interop/kube_apiserver/record.py`
makes such a recording.
"""

import base64
import gzip
import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.message import Message

from kvstore.wire.pb import rpc_pb2, rpc_pb2_grpc
from tests.support.cluster_process import KVSTORED, ClusterProcess, Program

pytestmark = [pytest.mark.slow, pytest.mark.etcd]

RECORDING = Path(__file__).parent / "recorded" / "kube_apiserver_1_33.txt.gz"
TIMEOUT_S = 30.0
WATCH = "/etcdserverpb.Watch/Watch"
LAST = b"~the last key of all"
"""Behind the names of every prefix that is watched: when it comes, all has come."""


def requests() -> list[tuple[str, bytes]]:
    lines = gzip.decompress(RECORDING.read_bytes()).decode().splitlines()
    pairs = (line.partition(" ") for line in lines)
    return [(method, base64.b64decode(request)) for method, _, request in pairs]


class Store:
    """One server that is asked all of it, in order."""

    def __init__(self, endpoint: str) -> None:
        self._channel = grpc.insecure_channel(endpoint)
        self._kv = rpc_pb2_grpc.KVStub(self._channel)  # type: ignore[no-untyped-call]
        self._maintenance = rpc_pb2_grpc.MaintenanceStub(self._channel)  # type: ignore[no-untyped-call]
        self._watch_stub = rpc_pb2_grpc.WatchStub(self._channel)  # type: ignore[no-untyped-call]
        self._watches: list[tuple[rpc_pb2.WatchRequest, Iterator[rpc_pb2.WatchResponse]]] = []
        self._ends: list[queue.Queue[rpc_pb2.WatchRequest | None]] = []

    def ask(self, method: str, raw: bytes) -> Message | None:
        """Return the answer, without what differs between any two servers."""
        match method.rpartition("/")[2]:
            case "Range":
                return masked(self._kv.Range(rpc_pb2.RangeRequest.FromString(raw), TIMEOUT_S))
            case "Txn":
                return masked(self._kv.Txn(rpc_pb2.TxnRequest.FromString(raw), TIMEOUT_S))
            case "Status":
                status = self._maintenance.Status(rpc_pb2.StatusRequest(), TIMEOUT_S)
                assert status.dbSize > 0
                assert status.version.startswith("3.")
                return None
            case "Watch":
                self._watch(rpc_pb2.WatchRequest.FromString(raw))
                return None
            case _:
                raise AssertionError(f"{method} is not replayed")

    def _watch(self, request: rpc_pb2.WatchRequest) -> None:
        if not request.HasField("create_request"):
            return
        asked: queue.Queue[rpc_pb2.WatchRequest | None] = queue.Queue()
        asked.put(request)
        stream = self._watch_stub.Watch(
            iter(asked.get, None), timeout=2 * TIMEOUT_S, metadata=(("hasleader", "true"),)
        )
        assert next(stream).created
        self._ends.append(asked)
        self._watches.append((request, stream))

    def events(self) -> list[tuple[bytes, list[str]]]:
        """Return what each watch was told, up to now."""
        for key in sorted({request.create_request.key for request, _ in self._watches}):
            self._kv.Put(rpc_pb2.PutRequest(key=key + LAST), TIMEOUT_S)
        return [
            (request.create_request.key, list(told(stream))) for request, stream in self._watches
        ]

    def close(self) -> None:
        for end in self._ends:
            end.put(None)
        self._channel.close()


def told(stream: Iterator[rpc_pb2.WatchResponse]) -> Iterator[str]:
    for response in stream:
        assert not response.canceled, response
        for event in response.events:
            if event.kv.key.endswith(LAST):
                return
            yield str(event)


def masked(answer: "rpc_pb2.RangeResponse | rpc_pb2.TxnResponse") -> Message:
    for field in ("cluster_id", "member_id", "raft_term"):
        answer.header.ClearField(field)
    return answer


@pytest.fixture
def stores(reference_etcd: Program) -> Iterator[list[Store]]:
    with ClusterProcess(KVSTORED, 1) as ours, ClusterProcess(reference_etcd, 1) as theirs:
        both = [Store(ours.endpoints[0]), Store(theirs.endpoints[0])]
        try:
            yield both
        finally:
            for store in both:
                store.close()


def test_a_kube_apiserver_is_answered_as_by_etcd(stores: list[Store]) -> None:
    ours, theirs = stores
    recorded = requests()
    for number, (method, raw) in enumerate(recorded):
        assert ours.ask(method, raw) == theirs.ask(method, raw), (number, method)
    found: dict[str, list[tuple[bytes, list[str]]]] = {}
    threads = [
        threading.Thread(target=lambda name=name, store=store: found.update({name: store.events()}))
        for name, store in (("ours", ours), ("theirs", theirs))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(3 * TIMEOUT_S)
    assert found["ours"] == found["theirs"]
    changed = [key for key, events in found["ours"] if len(events) > 2]
    assert b"/registry/configmaps/" in changed, "the recording shows how things change"
