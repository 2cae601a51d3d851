"""Compaction by itself, on the leader: etcd's --auto-compaction-mode and -retention.

*periodic*: keep what is younger than the retention; the revision of every tenth of it (of an
hour, if it is longer) is remembered, and the one as old as the retention is compacted. *revision*:
every five minutes, keep the last so many revisions. Source: etcd's v3compactor.
"""

import logging
from collections import deque

from kvstore.apply import Outcome, Reply
from kvstore.apply.command import OperationKind
from kvstore.base.errors import Compacted
from kvstore.member.config import AutoCompactionConfig
from kvstore.member.member import Member
from kvstore.wire.pb import rpc_pb2

logger = logging.getLogger(__name__)

_SAMPLES_PER_PERIOD = 10
_PERIOD_MAX_S = 3600.0
_REVISIONS_INTERVAL_S = 300.0


class AutoCompaction:
    """One member's clockwork; it compacts while the member leads."""

    def __init__(self, member: Member, config: AutoCompactionConfig) -> None:
        self._member = member
        self._config = config
        self._samples: deque[tuple[float, int]] = deque()
        self._due = member.clock.monotonic()
        self._compacted = 0
        if config.mode == "periodic":
            self._interval_s = min(config.retention, _PERIOD_MAX_S) / _SAMPLES_PER_PERIOD
        else:
            self._interval_s = _REVISIONS_INTERVAL_S
            self._due += self._interval_s

    def tick(self) -> None:
        """Look at the clock, and compact what is due."""
        now = self._member.clock.monotonic()
        if self._config.retention <= 0 or now < self._due:
            return
        self._due = now + self._interval_s
        revision = self._member.machine.store.revision
        if self._config.mode == "revision":
            target = revision - int(self._config.retention)
        else:
            target = self._revision_before(now - self._config.retention)
            self._samples.append((now, revision))
        if self._member.is_leader and target > max(self._compacted, 0):
            self._compact(target)

    def _revision_before(self, instant: float) -> int:
        """Return the newest remembered revision that is that old; 0 for none."""
        found = 0
        while self._samples and self._samples[0][0] <= instant:
            found = self._samples.popleft()[1]
        return found

    def _compact(self, revision: int) -> None:
        logger.info("starting auto compaction", extra={"revision": revision})

        def done(outcome: Outcome) -> None:
            if isinstance(outcome, Reply | Compacted):
                self._compacted = max(self._compacted, revision)
            else:
                logger.warning(
                    "auto compaction failed",
                    extra={"revision": revision, "why": outcome.message},
                )

        request = rpc_pb2.CompactionRequest(revision=revision)
        self._member.propose(OperationKind.COMPACT, request.SerializeToString(), done)
