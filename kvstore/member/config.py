"""What a member is told when it is built; flags and files become this in `server`."""

from dataclasses import dataclass, field
from typing import Literal

from kvstore.base.ids import ClusterId, MemberId
from kvstore.base.limits import Limits

_REQUEST_TIMEOUT_BASE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoCompactionConfig:
    """When history is given up. A retention of 0: never."""

    mode: Literal["periodic", "revision"] = "periodic"
    retention: float = 0.0
    """Seconds, or a number of revisions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CorruptionConfig:
    """How members look whether their data are the same."""

    at_start: bool = False
    """Whether a member compares itself with the others before it serves clients."""
    interval_s: float = 0.0
    """Between two comparisons of everything; 0 for none."""
    compares_compactions: bool = False
    """Whether what is left at a compaction is compared."""
    compaction_interval_s: float = 60.0
    """Between two looks whether there was a compaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberConfig:
    """One member's identity and pace."""

    cluster_id: ClusterId
    member_id: MemberId
    name: str
    client_urls: tuple[str, ...]
    heartbeat_s: float = 0.1
    election_timeout_s: float = 1.0
    watch_progress_interval_s: float = 600.0
    strict_reconfiguration: bool = True
    """Whether changes of the members that could cost the quorum are refused."""
    learners_max: int = 1
    auto_compaction: AutoCompactionConfig = field(default_factory=AutoCompactionConfig)
    corruption: CorruptionConfig = field(default_factory=CorruptionConfig)
    limits: Limits = field(default_factory=Limits)

    @property
    def request_timeout_s(self) -> float:
        """How long a request may wait for the cluster (etcd: 5 s + 2 election timeouts)."""
        return _REQUEST_TIMEOUT_BASE_S + 2 * self.election_timeout_s
