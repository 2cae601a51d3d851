"""Every difference from the reference that we want, with its reason; nothing else may differ.

We declare etcd 3.6; the reference is 3.5.1 from PyPI, or 3.6 where Go can build it (`make
interop`). Most entries are what a later etcd does as well: against that one they are no difference,
and both sides must answer so. With the reference on both sides no answer may differ at all.
"""

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class Difference:
    """One deliberate difference."""

    reference: str
    """What 3.5.1 does, and every later etcd before `etcd`."""
    ours: str
    reason: str
    etcd: tuple[int, int] | None = (3, 6)
    """The first release line of etcd that does as we do; None if there is none."""


class Allowed(Enum):
    """The table. Each entry is exercised by the generator and expected of ours explicitly."""

    SORT_OPTION = Difference(
        reference="an unknown sort_order is ignored, an unknown sort_target ends the process",
        ours="InvalidArgument `etcdserver: invalid sort option`",
        reason="etcd 3.6 validates both; such requests are sent to ours alone",
    )
    HASH_AT_COMPACT_REVISION = Difference(
        reference=(
            "HashKV at the compact revision is refused as compacted; 3.6 remembers the hashes from "
            "before its ten last compactions, and answers those for their revisions"
        ),
        ours="the hash of what is left at the compact revision; compacted below it",
        reason="hashes are comparable at equal compact revisions only; a restarted 3.6 answers so",
        etcd=None,
    )
    HASH_REVISION = Difference(
        reference="HashKVResponse has no hash_revision",
        ours="hash_revision is the revision that was hashed",
        reason="field added in 3.6",
    )
    TOMBSTONE_AT_COMPACT_REVISION = Difference(
        reference="a watch from the compact revision misses a delete of exactly that revision",
        ours="delivers it",
        reason="etcd issues 18089 and 19179, fixed in 3.5.16",
    )
    NEGATIVE_START_REVISION = Difference(
        reference="a watch from a negative revision is created, then cancelled or never served",
        ours="refused at create: watch id -1, created, canceled, reason with the compacted text",
        reason="checked at create since late 3.5",
    )
    PROGRESS_WITHOUT_SYNCED_WATCHERS = Difference(
        reference="a progress request is answered at once, whatever the watchers of the stream",
        ours="answered only while there are watchers and all are synced and started",
        reason="etcd issue 15220: progress must never overtake events",
    )
    ID_OF_COMPACTED_WATCH = Difference(
        reference=(
            "the id of a watch cancelled as compacted stays in use until a cancel request, "
            "which is answered by a second canceled response"
        ),
        ours="the id is free once its canceled response is sent",
        reason="a watch ends once; nothing can depend on an id that only leaks (no etcd frees it)",
        etcd=None,
    )
    TXN_AT_UNREADABLE_REVISION = Difference(
        reference=(
            "in a cluster, a writing transaction that reads a compacted or future revision is "
            "refused by the member that got it and executed by the others, which then diverge"
        ),
        ours="refused by all, without effect",
        reason="etcd issue 18667; sent to ours alone, with one member to both",
        etcd=None,
    )
    FIRST_REFUSAL_OF_TXN = Difference(
        reference="of several reasons to refuse a transaction, one of its puts is named first",
        ours="the reason of the first operation that has one",
        reason="as etcd 3.6; either way nothing is written",
    )
    TIMEOUT_WITHOUT_LEADER = Difference(
        reference=(
            "a proposal that no leader takes ends as `context deadline exceeded`: Unknown in 3.5, "
            "DeadlineExceeded in 3.6"
        ),
        ours="Unavailable `etcdserver: request timed out`, as when a leader is lost midway",
        reason="etcd leaks its own context's error; the outcome a client must assume is the same",
        etcd=None,
    )
    READ_ONLY_TXN_OVER_QUOTA = Difference(
        reference="a transaction that writes nothing is refused while the store is over its quota",
        ours="served: only what would add data is refused",
        reason="costs of zero pass since late 3.5",
    )
    STATUS_FIELDS = Difference(
        reference="StatusResponse ends at is_learner",
        ours="storageVersion, dbSizeQuota and downgradeInfo are set",
        reason="fields added in 3.6",
    )

    def remains(self, reference_version: tuple[int, int]) -> bool:
        """Whether the etcd of this release line is unlike us in this."""
        return self.value.etcd is None or reference_version < self.value.etcd

    def is_counted(self, members: int) -> bool:
        """Whether a run counts its occurrences: masked fields are in every response."""
        if self in _UNCOUNTED:
            return False
        if self is Allowed.TXN_AT_UNREADABLE_REVISION:
            return members > 1
        return True


_UNCOUNTED = frozenset(
    {
        Allowed.HASH_REVISION,
        Allowed.STATUS_FIELDS,
        Allowed.ID_OF_COMPACTED_WATCH,
        Allowed.TOMBSTONE_AT_COMPACT_REVISION,
        Allowed.TIMEOUT_WITHOUT_LEADER,
        Allowed.FIRST_REFUSAL_OF_TXN,
        Allowed.READ_ONLY_TXN_OVER_QUOTA,
    }
)


WATCH_RESPONSES_MAY_BE_MERGED = (
    "several revisions may share a watch response, and a catch-up may split them anywhere between "
    "two revisions: events are compared one by one, and that a revision is never split"
)
"""Not in the table: true of the reference as well, whose batches depend on its timers."""
