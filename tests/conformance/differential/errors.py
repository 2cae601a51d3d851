"""The error texts that a full run must have met, each often enough to mean something.

Those that time, size of the disk or loss of quorum decide are not here: `test_quota` and
`test_without_quorum` compare them.
"""

from tests.conformance.differential.differences import Allowed

OCCURRENCES_MIN = 10

_MVCC = "OUT_OF_RANGE etcdserver: mvcc: required revision"

SERVED_ERRORS = (
    "INVALID_ARGUMENT etcdserver: key is not provided",
    "INVALID_ARGUMENT etcdserver: key not found",
    "INVALID_ARGUMENT etcdserver: value is provided",
    "INVALID_ARGUMENT etcdserver: lease is provided",
    "INVALID_ARGUMENT etcdserver: too many operations in txn request",
    "INVALID_ARGUMENT etcdserver: duplicate key given in txn request",
    "INVALID_ARGUMENT etcdserver: request is too large",
    f"{_MVCC} has been compacted",
    f"{_MVCC} is a future revision",
    "NOT_FOUND etcdserver: requested lease not found",
    "FAILED_PRECONDITION etcdserver: lease already exists",
    "OUT_OF_RANGE etcdserver: too large lease TTL",
    "RESOURCE_EXHAUSTED grpc: received message larger than max",
    "UNIMPLEMENTED unknown method NoSuchMethod for service etcdserverpb.KV",
    "UNIMPLEMENTED unknown service etcdserverpb.Nothing",
    "watch: mvcc: watcher range is empty",
    "watch: mvcc: duplicate watch ID provided on the WatchStream",
    "watch: compacted after created",
)

ERRORS_OF_DIFFERENCES = {
    Allowed.SORT_OPTION: "INVALID_ARGUMENT etcdserver: invalid sort option",
    Allowed.NEGATIVE_START_REVISION: (
        "watch: etcdserver: mvcc: required revision has been compacted"
    ),
}
