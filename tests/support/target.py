"""One cluster as a client sees it: endpoints, rpcs by name, streams read in threads."""

import queue
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import grpc
from google.protobuf.message import Message

from kvstore.wire.pb import rpc_pb2

RPC_TIMEOUT_S = 20.0
LEADER_CHANGED = "etcdserver: leader changed"
_CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
)
_UNSYNCED_GAUGE = "etcd_debugging_mvcc_slow_watcher_total"


@dataclass(frozen=True, slots=True)
class Rpc:
    """A unary method: its path and its message types."""

    path: str
    request: type[Message]
    response: type[Message]


def _rpc(service: str, method: str, request: type[Message], response: type[Message]) -> Rpc:
    return Rpc(f"/etcdserverpb.{service}/{method}", request, response)


RPCS = {
    "Range": _rpc("KV", "Range", rpc_pb2.RangeRequest, rpc_pb2.RangeResponse),
    "Put": _rpc("KV", "Put", rpc_pb2.PutRequest, rpc_pb2.PutResponse),
    "DeleteRange": _rpc(
        "KV", "DeleteRange", rpc_pb2.DeleteRangeRequest, rpc_pb2.DeleteRangeResponse
    ),
    "Txn": _rpc("KV", "Txn", rpc_pb2.TxnRequest, rpc_pb2.TxnResponse),
    "Compact": _rpc("KV", "Compact", rpc_pb2.CompactionRequest, rpc_pb2.CompactionResponse),
    "LeaseGrant": _rpc(
        "Lease", "LeaseGrant", rpc_pb2.LeaseGrantRequest, rpc_pb2.LeaseGrantResponse
    ),
    "LeaseRevoke": _rpc(
        "Lease", "LeaseRevoke", rpc_pb2.LeaseRevokeRequest, rpc_pb2.LeaseRevokeResponse
    ),
    "LeaseTimeToLive": _rpc(
        "Lease", "LeaseTimeToLive", rpc_pb2.LeaseTimeToLiveRequest, rpc_pb2.LeaseTimeToLiveResponse
    ),
    "LeaseLeases": _rpc(
        "Lease", "LeaseLeases", rpc_pb2.LeaseLeasesRequest, rpc_pb2.LeaseLeasesResponse
    ),
    "HashKV": _rpc("Maintenance", "HashKV", rpc_pb2.HashKVRequest, rpc_pb2.HashKVResponse),
    "Status": _rpc("Maintenance", "Status", rpc_pb2.StatusRequest, rpc_pb2.StatusResponse),
    "Alarm": _rpc("Maintenance", "Alarm", rpc_pb2.AlarmRequest, rpc_pb2.AlarmResponse),
    "MemberList": _rpc(
        "Cluster", "MemberList", rpc_pb2.MemberListRequest, rpc_pb2.MemberListResponse
    ),
    "MemberAdd": _rpc("Cluster", "MemberAdd", rpc_pb2.MemberAddRequest, rpc_pb2.MemberAddResponse),
    "MemberRemove": _rpc(
        "Cluster", "MemberRemove", rpc_pb2.MemberRemoveRequest, rpc_pb2.MemberRemoveResponse
    ),
    "MemberUpdate": _rpc(
        "Cluster", "MemberUpdate", rpc_pb2.MemberUpdateRequest, rpc_pb2.MemberUpdateResponse
    ),
    "MemberPromote": _rpc(
        "Cluster", "MemberPromote", rpc_pb2.MemberPromoteRequest, rpc_pb2.MemberPromoteResponse
    ),
    "MoveLeader": _rpc(
        "Maintenance", "MoveLeader", rpc_pb2.MoveLeaderRequest, rpc_pb2.MoveLeaderResponse
    ),
    "Defragment": _rpc(
        "Maintenance", "Defragment", rpc_pb2.DefragmentRequest, rpc_pb2.DefragmentResponse
    ),
    "Hash": _rpc("Maintenance", "Hash", rpc_pb2.HashRequest, rpc_pb2.HashResponse),
    "Downgrade": _rpc(
        "Maintenance", "Downgrade", rpc_pb2.DowngradeRequest, rpc_pb2.DowngradeResponse
    ),
    "NoSuchMethod": _rpc("KV", "NoSuchMethod", rpc_pb2.RangeRequest, rpc_pb2.RangeResponse),
    "NoSuchService": _rpc("Nothing", "Range", rpc_pb2.RangeRequest, rpc_pb2.RangeResponse),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended: a status, and the response if that is OK."""

    code: str
    text: str
    response: Message | None

    @property
    def is_ok(self) -> bool:
        return self.code == "OK"


class Pending:
    """A call on its way."""

    def __init__(self, future: "grpc.Future[Message]", call: grpc.Call) -> None:
        self._future = future
        self._call = call

    @property
    def is_done(self) -> bool:
        """Whether the call has ended."""
        return self._future.done()

    def outcome(self) -> Outcome:
        """Wait for the end of the call."""
        error = self._future.exception()
        if error is not None:
            return Outcome(self._call.code().name, self._call.details() or "", None)
        return Outcome("OK", "", self._future.result())


class ResponseIterator(Protocol):
    """What grpc returns for a streaming call."""

    def __iter__(self) -> Iterator[Message]: ...
    def cancel(self) -> bool: ...
    def code(self) -> grpc.StatusCode: ...
    def details(self) -> str | None: ...


class StreamEnded(Exception):
    """A stream ended where an answer had to come."""


class StreamSilent(Exception):
    """A stream stayed open, and nothing came in time."""


class Stream:
    """One bidirectional stream: requests go in, responses pile up in a list in their order."""

    def __init__(self, multi_callable: Callable[[Iterator[Message]], ResponseIterator]) -> None:
        self._requests: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._arrived = threading.Condition()
        self._ended: str | None = None
        self.responses: list[Message] = []
        self._call = multi_callable(iter(self._requests.get, None))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def send(self, request: Message) -> None:
        """Queue a request."""
        self._requests.put(request)

    def wait(self, condition: Callable[[], bool], what: str, timeout_s: float = 10.0) -> None:
        """Wait until `condition` holds of the responses.

        Raises:
            StreamEnded: the stream ended first.
            StreamSilent: `timeout_s` passed.
        """
        deadline = time.monotonic() + timeout_s
        with self._arrived:
            while not condition():
                left = deadline - time.monotonic()
                if self._ended is not None:
                    raise StreamEnded(f"waited for {what}: {self._ended}")
                if left <= 0:
                    raise StreamSilent(f"waited {timeout_s} s for {what}")
                self._arrived.wait(left)

    def close(self) -> None:
        """Cancel the stream and wait for its reader."""
        self._requests.put(None)
        self._call.cancel()
        self._reader.join()

    def _read(self) -> None:
        try:
            for response in self._call:
                with self._arrived:
                    self.responses.append(response)
                    self._arrived.notify_all()
            ended = "the server ended the stream"
        except grpc.RpcError:
            ended = f"{self._call.code()}: {self._call.details()}"
        with self._arrived:
            self._ended = ended
            self._arrived.notify_all()


class Target:
    """A cluster by its endpoints; calls are to a member by its number."""

    def __init__(self, name: str, endpoints: Sequence[str]) -> None:
        self.name = name
        self.endpoints = list(endpoints)
        self._channels = [
            grpc.insecure_channel(endpoint, options=_CHANNEL_OPTIONS) for endpoint in endpoints
        ]
        self._methods: dict[tuple[int, str], grpc.UnaryUnaryMultiCallable[Message, Message]] = {}

    def start(  # noqa: PLR0913 - the options of a grpc call
        self,
        rpc: str,
        request: Message,
        member: int = 0,
        *,
        timeout_s: float = RPC_TIMEOUT_S,
        metadata: tuple[tuple[str, str], ...] = (),
        wait_for_ready: bool = True,
    ) -> Pending:
        """Send a unary request; the answer is waited for by `Pending.outcome`."""
        method = self._methods.get((member, rpc))
        if method is None:
            shape = RPCS[rpc]
            method = self._methods[member, rpc] = self._channels[member].unary_unary(
                shape.path,
                request_serializer=shape.request.SerializeToString,
                response_deserializer=shape.response.FromString,
            )
        call = method.future(
            request, timeout=timeout_s, metadata=metadata, wait_for_ready=wait_for_ready
        )
        return Pending(call, call)

    def call(self, rpc: str, request: Message, member: int = 0) -> Outcome:
        """Send a unary request and wait for its outcome."""
        return self.start(rpc, request, member).outcome()

    def leader(self) -> int:
        """The number of the member that leads, as some member sees it; waits for one."""
        deadline = time.monotonic() + RPC_TIMEOUT_S
        while time.monotonic() < deadline:
            ids, leaders = {}, set[int]()
            for member in range(len(self.endpoints)):
                call = self.start(
                    "Status", rpc_pb2.StatusRequest(), member, timeout_s=1, wait_for_ready=False
                )
                response = call.outcome().response
                if isinstance(response, rpc_pb2.StatusResponse):
                    ids[response.header.member_id] = member
                    leaders.add(response.leader)
            if len(leaders) == 1 and (leader := leaders.pop()) in ids:
                return ids[leader]
            time.sleep(0.05)
        raise TimeoutError(f"{self.name}: no leader that all running members agree on")

    def barrier(self, member: int) -> int:
        """Wait until `member` has applied all that was answered so far; return its revision."""
        deadline = time.monotonic() + RPC_TIMEOUT_S
        while True:
            outcome = self.call("Range", rpc_pb2.RangeRequest(key=b"\0", count_only=True), member)
            # An election may fall into a long run: what it interrupts here only reads.
            if outcome.text != LEADER_CHANGED or time.monotonic() > deadline:
                break
        assert isinstance(outcome.response, rpc_pb2.RangeResponse), outcome
        return outcome.response.header.revision

    def watch(self, member: int) -> Stream:
        """Open a watch stream."""
        return Stream(
            self._channels[member].stream_stream(
                "/etcdserverpb.Watch/Watch",
                request_serializer=rpc_pb2.WatchRequest.SerializeToString,
                response_deserializer=rpc_pb2.WatchResponse.FromString,
            )
        )

    def keep_alive(self, member: int) -> Stream:
        """Open a lease keep-alive stream."""
        return Stream(
            self._channels[member].stream_stream(
                "/etcdserverpb.Lease/LeaseKeepAlive",
                request_serializer=rpc_pb2.LeaseKeepAliveRequest.SerializeToString,
                response_deserializer=rpc_pb2.LeaseKeepAliveResponse.FromString,
            )
        )

    def version(self) -> tuple[int, int]:
        """Major and minor of the version that Status claims."""
        outcome = self.call("Status", rpc_pb2.StatusRequest())
        assert isinstance(outcome.response, rpc_pb2.StatusResponse), outcome
        major, minor, _ = outcome.response.version.split(".", 2)
        return int(major), int(minor)

    def wait_until_versions_are_decided(self, timeout_s: float = 20.0) -> None:
        """Wait until every member says the storage version of its release, if it says any.

        A fresh etcd cluster starts with that of the release before, for the first seconds.
        """
        deadline = time.monotonic() + timeout_s
        for member in range(len(self.endpoints)):
            while True:
                response = self.call("Status", rpc_pb2.StatusRequest(), member).response
                assert isinstance(response, rpc_pb2.StatusResponse), response
                line = response.version.rpartition(".")[0]
                if response.storageVersion in ("", f"{line}.0"):
                    break
                assert time.monotonic() < deadline, f"{self.name}: {response.storageVersion}"
                time.sleep(0.1)

    def wait_until_watchers_are_synced(self, timeout_s: float = 10.0) -> None:
        """Wait until no watcher of any member still catches up from history."""
        deadline = time.monotonic() + timeout_s
        for endpoint in self.endpoints:
            while (unsynced := _gauge(endpoint, _UNSYNCED_GAUGE)) != 0:
                if unsynced is None:
                    time.sleep(0.3)
                    break
                assert time.monotonic() < deadline, f"{endpoint}: {unsynced} unsynced watchers"
                time.sleep(0.02)

    def close(self) -> None:
        """Close every connection."""
        for channel in self._channels:
            channel.close()


def _gauge(endpoint: str, name: str) -> float | None:
    with urllib.request.urlopen(f"http://{endpoint}/metrics", timeout=5) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(name + " "):
                return float(line.rpartition(" ")[2])
    return None
