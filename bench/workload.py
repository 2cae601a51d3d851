"""Workloads as data: what is asked, how often at once, and the question behind it."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from random import Random

from google.protobuf.message import Message

from kvstore.wire.pb import rpc_pb2

_KEY_DIGITS = 8
WORKLOADS = Path(__file__).parent / "workloads"


class Shape(Enum):
    """The request that is repeated."""

    PUT = "put"
    RANGE = "range"
    SERIALIZABLE_RANGE = "serializable-range"
    TXN = "compare-and-put"
    LIST = "list"
    """All keys of the workload, by their prefix; `list_fields` says more."""
    DELETE = "delete"
    """Of one key, there or not."""
    LEASE_GRANT = "lease-grant"


class Driver(Enum):
    """What generates the load."""

    H2LOAD = "h2load"
    """One fixed body; compiled, nearly free."""
    OWN = "own"
    """A body per request from random keys; its CPU time is reported beside the servers'."""


class To(Enum):
    """The member that is asked."""

    LEADER = "leader"
    FOLLOWER = "follower"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One workload file."""

    name: str
    question: str
    shape: Shape
    driver: Driver = Driver.H2LOAD
    to: To = To.LEADER
    keys: int = 1
    value_bytes: int = 128
    members: int = 3
    """Of the clusters that are compared."""
    list_fields: dict[str, int] = field(default_factory=dict)
    """More fields of a list's RangeRequest: a limit, keys only, count only."""
    in_flight: tuple[int, ...] = (1, 64, 256, 1000)
    connections: int | None = None
    """How many the requests in flight are spread over; None: few, as a busy client has."""
    default_in_flight: tuple[int, ...] = ()
    """What of `in_flight` is measured when nothing is named; empty: not this workload."""
    goals: dict[int, float] = field(default_factory=dict)
    """Requests in flight → least ratio to etcd's rate."""

    @property
    def path(self) -> str:
        """The gRPC method."""
        match self.shape:
            case Shape.PUT:
                return "/etcdserverpb.KV/Put"
            case Shape.TXN:
                return "/etcdserverpb.KV/Txn"
            case Shape.RANGE | Shape.SERIALIZABLE_RANGE | Shape.LIST:
                return "/etcdserverpb.KV/Range"
            case Shape.DELETE:
                return "/etcdserverpb.KV/DeleteRange"
            case Shape.LEASE_GRANT:
                return "/etcdserverpb.Lease/LeaseGrant"

    def key(self, number: int) -> bytes:
        """The key of this number; all have one length."""
        return b"bench/%s/%0*d" % (self.name.encode(), _KEY_DIGITS, number)

    def request(self, number: int) -> Message:  # noqa: PLR0911 - a case a shape
        """The request on the key of this number."""
        key, value = self.key(number), b"x" * self.value_bytes
        match self.shape:
            case Shape.PUT:
                return rpc_pb2.PutRequest(key=key, value=value)
            case Shape.RANGE:
                return rpc_pb2.RangeRequest(key=key)
            case Shape.SERIALIZABLE_RANGE:
                return rpc_pb2.RangeRequest(key=key, serializable=True)
            case Shape.LIST:
                prefix = self.key(0)[:-_KEY_DIGITS]
                end = prefix[:-1] + bytes((prefix[-1] + 1,))
                return rpc_pb2.RangeRequest(
                    key=prefix,
                    range_end=end,
                    limit=self.list_fields.get("limit", 0),
                    keys_only=bool(self.list_fields.get("keys_only")),
                    count_only=bool(self.list_fields.get("count_only")),
                )
            case Shape.DELETE:
                return rpc_pb2.DeleteRangeRequest(key=key)
            case Shape.LEASE_GRANT:
                return rpc_pb2.LeaseGrantRequest(TTL=600)
            case Shape.TXN:
                request = rpc_pb2.TxnRequest()
                request.compare.add(
                    key=key,
                    target=rpc_pb2.Compare.VERSION,
                    result=rpc_pb2.Compare.GREATER,
                    version=0,
                )
                put = request.success.add().request_put
                put.key, put.value = key, value
                return request

    def bodies(self, seed: int) -> Iterator[bytes]:
        """Framed requests on random keys, without end."""
        dice = Random(seed)
        prepared = [framed(self.request(number)) for number in range(min(self.keys, 10_000))]
        while True:
            number = dice.randrange(self.keys)
            yield prepared[number] if number < len(prepared) else framed(self.request(number))


def framed(message: Message) -> bytes:
    """The message as gRPC sends it: not compressed, length, bytes."""
    data = message.SerializeToString()
    return b"\0" + len(data).to_bytes(4, "big") + data


def load_workloads() -> dict[str, Workload]:
    """Every workload file by its name."""
    return {path.stem: _load(path) for path in sorted(WORKLOADS.glob("*.toml"))}


def _load(path: Path) -> Workload:
    fields = tomllib.loads(path.read_text())
    workload = Workload(
        name=path.stem,
        question=str(fields.pop("question")),
        shape=Shape(fields.pop("shape")),
        driver=Driver(fields.pop("driver", "h2load")),
        to=To(fields.pop("to", "leader")),
        keys=int(fields.pop("keys", 1)),
        value_bytes=int(fields.pop("value_bytes", 128)),
        members=int(fields.pop("members", 3)),
        list_fields={name: int(value) for name, value in fields.pop("list_fields", {}).items()},
        in_flight=tuple(fields.pop("in_flight", (1, 64, 256, 1000))),
        connections=fields.pop("connections", None),
        default_in_flight=tuple(fields.pop("default_in_flight", ())),
        goals={int(count): float(ratio) for count, ratio in fields.pop("goals", {}).items()},
    )
    if fields:
        raise ValueError(f"{path}: unknown names {sorted(fields)}")
    return workload
