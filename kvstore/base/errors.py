"""What can go wrong, in five kinds.

KvstoreError
├─ RequestRefused   definite: nothing changed; carries the gRPC code and etcd's exact text
├─ Unavailable      definite: not now, try again
├─ OutcomeUnknown   may or may not have happened: only the caller knows if a retry is safe
├─ ProtocolError    a peer or client broke the protocol: its connection is closed
└─ MemberFailed     this member must stop, with its evidence kept

The texts are matched by clients (Go's rpctypes maps by description), so they are etcd's own.
"""

from enum import IntEnum


class Code(IntEnum):
    """gRPC status codes."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class KvstoreError(Exception):
    """The root of everything raised on purpose."""


class RpcError(KvstoreError):
    """An error that reaches a client as a gRPC status: `code` and `message` are the contract."""

    code: Code = Code.UNKNOWN
    message: str = "etcdserver: unknown error"

    def __init__(self, detail: str = "") -> None:
        super().__init__(f"{self.message} ({detail})" if detail else self.message)


class RequestRefused(RpcError):
    """Definite: nothing changed, on any member."""


class Unavailable(RpcError):
    """Definite: nothing changed; the same request may succeed later."""

    code = Code.UNAVAILABLE


class OutcomeUnknown(RpcError):
    """The request may or may not take effect, now or later."""

    code = Code.UNAVAILABLE


class ProtocolError(KvstoreError):
    """A remote side broke a protocol."""


class MemberFailed(KvstoreError):
    """This member must stop: continuing could break a promise."""


# --- RequestRefused: validation -------------------------------------------------------------------


class KeyNotProvided(RequestRefused):
    code = Code.INVALID_ARGUMENT
    message = "etcdserver: key is not provided"


class KeyNotFound(RequestRefused):
    code = Code.INVALID_ARGUMENT
    message = "etcdserver: key not found"


class ValueProvided(RequestRefused):
    code = Code.INVALID_ARGUMENT
    message = "etcdserver: value is provided"


class LeaseProvided(RequestRefused):
    code = Code.INVALID_ARGUMENT
    message = "etcdserver: lease is provided"


class TooManyOperations(RequestRefused):
    code = Code.INVALID_ARGUMENT
    message = "etcdserver: too many operations in txn request"


class DuplicateKey(RequestRefused):
    code = Code.INVALID_ARGUMENT
    message = "etcdserver: duplicate key given in txn request"


class InvalidClientApiVersion(RequestRefused):
    code = Code.INVALID_ARGUMENT
    message = "etcdserver: invalid client api version"


class InvalidSortOption(RequestRefused):
    code = Code.INVALID_ARGUMENT
    message = "etcdserver: invalid sort option"


class RequestTooLarge(RequestRefused):
    code = Code.INVALID_ARGUMENT
    message = "etcdserver: request is too large"


class WrongDowngradeFormat(RequestRefused):
    code = Code.INVALID_ARGUMENT
    message = "etcdserver: wrong downgrade target version format"


class InvalidDowngradeTarget(RequestRefused):
    code = Code.INVALID_ARGUMENT
    message = "etcdserver: invalid downgrade target version"


class InvalidRequest(RequestRefused):
    """The message is not the protobuf that the rpc takes."""

    code = Code.INTERNAL
    message = "grpc: error unmarshalling request"


# --- RequestRefused: the keyspace -----------------------------------------------------------------


class Compacted(RequestRefused):
    """The revision asked for is older than the last compaction."""

    code = Code.OUT_OF_RANGE
    message = "etcdserver: mvcc: required revision has been compacted"

    def __init__(self, compact_revision: int = 0) -> None:
        super().__init__(f"{compact_revision=}")
        self.compact_revision = compact_revision


class FutureRevision(RequestRefused):
    code = Code.OUT_OF_RANGE
    message = "etcdserver: mvcc: required revision is a future revision"


class SpaceExceeded(RequestRefused):
    code = Code.RESOURCE_EXHAUSTED
    message = "etcdserver: mvcc: database space exceeded"


class Corrupt(RequestRefused):
    code = Code.DATA_LOSS
    message = "etcdserver: corrupt cluster"


# --- RequestRefused: leases -----------------------------------------------------------------------


class LeaseNotFound(RequestRefused):
    code = Code.NOT_FOUND
    message = "etcdserver: requested lease not found"


class LeaseExists(RequestRefused):
    code = Code.FAILED_PRECONDITION
    message = "etcdserver: lease already exists"


class LeaseTtlTooLarge(RequestRefused):
    code = Code.OUT_OF_RANGE
    message = "etcdserver: too large lease TTL"


class NotPrimaryLessor(RequestRefused):
    code = Code.UNKNOWN
    message = "not a primary lessor"


# --- RequestRefused: authentication ---------------------------------------------------------------


class RootUserMissing(RequestRefused):
    code = Code.FAILED_PRECONDITION
    message = "etcdserver: root user does not exist"


class RootRoleMissing(RequestRefused):
    code = Code.FAILED_PRECONDITION
    message = "etcdserver: root user does not have root role"


class UserExists(RequestRefused):
    code = Code.FAILED_PRECONDITION
    message = "etcdserver: user name already exists"


class UserNameEmpty(RequestRefused):
    """No name in a request about a user; or nobody is known to have sent the request."""

    code = Code.INVALID_ARGUMENT
    message = "etcdserver: user name is empty"


class UserNotFound(RequestRefused):
    code = Code.FAILED_PRECONDITION
    message = "etcdserver: user name not found"


class RoleExists(RequestRefused):
    code = Code.FAILED_PRECONDITION
    message = "etcdserver: role name already exists"


class RoleNotFound(RequestRefused):
    code = Code.FAILED_PRECONDITION
    message = "etcdserver: role name not found"


class RoleNameEmpty(RequestRefused):
    code = Code.INVALID_ARGUMENT
    message = "etcdserver: role name is empty"


class AuthenticationFailed(RequestRefused):
    code = Code.INVALID_ARGUMENT
    message = "etcdserver: authentication failed, invalid user ID or password"


class NoPasswordUser(RequestRefused):
    """A password was given for a user that has none; etcd has no status for it."""

    code = Code.UNKNOWN
    message = "auth: authentication failed, password was given for no password user"


class PermissionNotGiven(RequestRefused):
    code = Code.INVALID_ARGUMENT
    message = "etcdserver: permission not given"


class PermissionDenied(RequestRefused):
    code = Code.PERMISSION_DENIED
    message = "etcdserver: permission denied"


class RoleNotGranted(RequestRefused):
    code = Code.FAILED_PRECONDITION
    message = "etcdserver: role is not granted to the user"


class PermissionNotGranted(RequestRefused):
    code = Code.FAILED_PRECONDITION
    message = "etcdserver: permission is not granted to the role"


class AuthNotEnabled(RequestRefused):
    code = Code.FAILED_PRECONDITION
    message = "etcdserver: authentication is not enabled"


class InvalidAuthToken(RequestRefused):
    code = Code.UNAUTHENTICATED
    message = "etcdserver: invalid auth token"


class InvalidAuthManagement(RequestRefused):
    code = Code.INVALID_ARGUMENT
    message = "etcdserver: invalid auth management"


class AuthRevisionOld(RequestRefused):
    """The caller was identified before users or roles changed; it should authenticate again."""

    code = Code.INVALID_ARGUMENT
    message = "etcdserver: revision of auth store is old"


class TokensNotIssued(RequestRefused):
    """This member can verify tokens and not make any: it was given a public key only."""

    code = Code.UNKNOWN
    message = "auth: token signing attempted with verify-only key"


class PasswordRefused(RequestRefused):
    """bcrypt takes no such password; the text is its own."""

    code = Code.UNKNOWN

    def __init__(self, message: str) -> None:
        self.message = message
        super().__init__()


# --- RequestRefused: the cluster ------------------------------------------------------------------


class NotLeader(RequestRefused):
    code = Code.FAILED_PRECONDITION
    message = "etcdserver: not leader"


class NotCapable(RequestRefused):
    code = Code.FAILED_PRECONDITION
    message = "etcdserver: not capable"


class LearnerRefused(RequestRefused):
    code = Code.FAILED_PRECONDITION
    message = "etcdserver: rpc not supported for learner"


class MemberNotFound(RequestRefused):
    code = Code.NOT_FOUND
    message = "etcdserver: member not found"


class MemberExists(RequestRefused):
    code = Code.FAILED_PRECONDITION
    message = "etcdserver: member ID already exist"


class PeerUrlExists(RequestRefused):
    code = Code.FAILED_PRECONDITION
    message = "etcdserver: Peer URLs already exists"


class BadMemberUrls(RequestRefused):
    code = Code.INVALID_ARGUMENT
    message = "etcdserver: given member URLs are invalid"


class NotEnoughStartedMembers(RequestRefused):
    """etcd sends it with code Unknown, and clients match the text."""

    code = Code.UNKNOWN
    message = "etcdserver: re-configuration failed due to not enough started members"


class MemberNotLearner(RequestRefused):
    code = Code.FAILED_PRECONDITION
    message = "etcdserver: can only promote a learner member"


class LearnerNotReady(RequestRefused):
    code = Code.FAILED_PRECONDITION
    message = "etcdserver: can only promote a learner member which is in sync with leader"


class TooManyLearners(RequestRefused):
    code = Code.FAILED_PRECONDITION
    message = "etcdserver: too many learner members in cluster"


class BadLeaderTransferee(RequestRefused):
    code = Code.FAILED_PRECONDITION
    message = "etcdserver: bad leader transferee"


class TooManyRequests(RequestRefused):
    """Backpressure; etcd sends it with code Unknown, and clients match the text."""

    code = Code.UNKNOWN
    message = "etcdserver: too many requests"


class Unimplemented(RequestRefused):
    """The rpc exists in etcd but not here, or nowhere."""

    code = Code.UNIMPLEMENTED

    def __init__(self, message: str) -> None:
        self.message = message
        super().__init__()


# --- Unavailable ----------------------------------------------------------------------------------


class NoLeader(Unavailable):
    message = "etcdserver: no leader"


class Unhealthy(Unavailable):
    """A change of the members now could cost the cluster its quorum."""

    message = "etcdserver: unhealthy cluster"


class Stopped(Unavailable):
    message = "etcdserver: server stopped"


class ReadTimedOut(Unavailable):
    """A read barrier did not complete in time; nothing was changed by it."""

    message = "etcdserver: request timed out"


class ReadLeaderChanged(Unavailable):
    message = "etcdserver: leader changed"


class ApplyTooSlow(Unavailable):
    message = "etcdserver: request timed out, waiting for the applied index took too long"


# --- OutcomeUnknown -------------------------------------------------------------------------------


class ProposalTimedOut(OutcomeUnknown):
    message = "etcdserver: request timed out"


class ProposalLeaderLost(OutcomeUnknown):
    message = "etcdserver: request timed out, possibly due to previous leader failure"


class ProposalConnectionLost(OutcomeUnknown):
    message = "etcdserver: request timed out, possibly due to connection lost"


class TransferTimedOut(OutcomeUnknown):
    """etcd sends it with code Unknown."""

    code = Code.UNKNOWN
    message = "etcdserver: request timed out, leader transfer took too long"


# --- MemberFailed ---------------------------------------------------------------------------------


class WalFailed(MemberFailed):
    """A write or sync of the write-ahead log failed; it is never retried."""


class CorruptWal(MemberFailed):
    """Damage before a promised offset of the write-ahead log."""


class CorruptKeyspace(MemberFailed):
    """The keyspace on disk contradicts itself or the log."""


class Diverged(MemberFailed):
    """A leader contradicts an entry that this member knows committed."""


class WrongDataDirectory(MemberFailed):
    """The data directory belongs to another member, cluster or format version."""


class MemberRemoved(MemberFailed):
    """This member was removed from its cluster, for good: it stops, as it was asked to."""


class StorageFull(KvstoreError):
    """The filesystem cannot give the space that the next write needs; nothing was written."""
