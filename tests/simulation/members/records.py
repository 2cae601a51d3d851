"""What clients remember of each operation: the history that is judged."""

from dataclasses import dataclass, field
from enum import Enum

from kvstore.wire.pb import rpc_pb2

Request = (
    rpc_pb2.PutRequest
    | rpc_pb2.DeleteRangeRequest
    | rpc_pb2.TxnRequest
    | rpc_pb2.RangeRequest
    | rpc_pb2.CompactionRequest
    | rpc_pb2.LeaseGrantRequest
    | rpc_pb2.LeaseRevokeRequest
)
Response = (
    rpc_pb2.PutResponse
    | rpc_pb2.DeleteRangeResponse
    | rpc_pb2.TxnResponse
    | rpc_pb2.RangeResponse
    | rpc_pb2.CompactionResponse
    | rpc_pb2.LeaseGrantResponse
    | rpc_pb2.LeaseRevokeResponse
)


class Fate(Enum):
    """What a client knows in the end."""

    OK = "ok"
    REFUSED = "refused"
    """Certainly nothing was changed, now or later."""
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Operation:
    """One rpc of one client."""

    client: str
    member: int
    request: Request
    invoked: float
    returned: float = float("inf")
    fate: Fate = Fate.UNKNOWN
    response: Response | None = None
    why: str = ""

    @property
    def revision(self) -> int:
        assert self.response is not None
        return self.response.header.revision

    @property
    def is_linearizable(self) -> bool:
        return not (isinstance(self.request, rpc_pb2.RangeRequest) and self.request.serializable)

    def __str__(self) -> str:
        request = " ".join(str(self.request).split())[:150]
        result = self.why or (f"revision {self.revision}" if self.response is not None else "")
        return (
            f"{self.client} at {self.member} {type(self.request).__name__} {request}: "
            f"{self.fate.value} {result}"
        )


@dataclass(slots=True)
class LeaseRecord:
    """What a client knows of a lease that it was granted."""

    lease: int
    ttl_s: int
    granted: float
    """When the grant was asked for."""
    renewals: list[tuple[float, float]] = field(default_factory=list)
    """(asked, answered) of each that succeeded."""
    may_be_revoked: bool = False
    """Whether a revoke was ever asked for."""

    def promised_until(self, instant: float, *, drift: float) -> float:
        """Return the earliest end that the answers up to `instant` allow."""
        begun = [asked for asked, answered in self.renewals if answered <= instant]
        return max([self.granted, *begun]) + self.ttl_s / (1 + drift)


@dataclass(slots=True)
class Records:
    """All that the clients of a run remember."""

    operations: list[Operation] = field(default_factory=list)
    seen: list[tuple[float, int]] = field(default_factory=list)
    """(instant, revision) that some client was told by a watch."""
    leases: dict[int, LeaseRecord] = field(default_factory=dict)
