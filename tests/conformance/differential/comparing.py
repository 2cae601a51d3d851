"""What is left of a response when all that two clusters cannot share is masked.

Masked responses are compared as bytes, so that a field neither side should set is seen as well.
"""

from collections.abc import Callable, Iterable

from google.protobuf.message import Message

from kvstore.wire.pb import kv_pb2, rpc_pb2
from tests.conformance.differential.differences import Allowed
from tests.conformance.differential.operations import Unary
from tests.support.target import Outcome

TTL_TOLERANCE_S = 20
"""Whole seconds that two answers about one lease may lie apart: the clusters granted it apart."""


class Mismatch(AssertionError):
    """An answer differs, or cannot be right by itself."""


class Identity:
    """Checks of one target's headers: ids never change, terms never fall."""

    def __init__(self) -> None:
        self._cluster_id = 0
        self._member_ids: dict[int, int] = {}
        self._terms: dict[int, int] = {}

    def check_and_mask(self, header: rpc_pb2.ResponseHeader, member: int) -> None:
        """Check the ids and the term of a header, then clear them.

        Raises:
            Mismatch: one is absent, or not what this member said before.
        """
        self._cluster_id = self._cluster_id or header.cluster_id
        known = self._member_ids.setdefault(member, header.member_id)
        term = self._terms.get(member, 1)
        if (
            not header.cluster_id
            or not header.member_id
            or header.cluster_id != self._cluster_id
            or header.member_id != known
            or header.raft_term < term
        ):
            raise Mismatch(f"header of member {member} after {known:x}, term {term}:\n{header}")
        self._terms[member] = header.raft_term
        header.ClearField("cluster_id")
        header.ClearField("member_id")
        header.ClearField("raft_term")


class Normaliser:
    """Masks the unary responses of one target."""

    def __init__(self, *, differences: frozenset[Allowed], lease_aliases: dict[int, int]) -> None:
        """Prepare for one target.

        Args:
            differences: those in which this target differs from the reference.
            lease_aliases: this target's id of a lease → the id by which both are compared.
        """
        self.identity = Identity()
        self._differences = differences
        self._lease_aliases = lease_aliases

    def normalise(self, operation: Unary, outcome: Outcome) -> Outcome:
        """Return the outcome with a masked copy of its response."""
        if outcome.response is None:
            return outcome
        response = type(outcome.response)()
        response.CopyFrom(outcome.response)
        self.identity.check_and_mask(_header(response), operation.member)
        self._mask(operation.request, response)
        return Outcome(outcome.code, outcome.text, response)

    def _mask(self, request: Message, response: Message) -> None:
        match request, response:
            case rpc_pb2.RangeRequest(), rpc_pb2.RangeResponse():
                order_ties(request, response)
            case rpc_pb2.TxnRequest(), rpc_pb2.TxnResponse():
                order_ties_of_txn(request, response)
            case rpc_pb2.LeaseGrantRequest(), rpc_pb2.LeaseGrantResponse() if request.ID == 0:
                if response.ID <= 0:
                    raise Mismatch(f"chosen lease ids are positive:\n{response}")
                response.ClearField("ID")
            case _, rpc_pb2.LeaseTimeToLiveResponse():
                self._mask_time_to_live(response)
            case _, rpc_pb2.LeaseLeasesResponse():
                leases = sorted(self._alias(lease.ID) for lease in response.leases)
                del response.leases[:]
                response.leases.extend(rpc_pb2.LeaseStatus(ID=lease) for lease in leases)
            case rpc_pb2.HashKVRequest(), rpc_pb2.HashKVResponse():
                self._mask_hash_revision(request, response)
            case _, rpc_pb2.StatusResponse():
                self._mask_status(response)
            case _, rpc_pb2.MemberListResponse():
                _mask_members(response)
            case _:
                pass

    def _alias(self, lease: int) -> int:
        return self._lease_aliases.get(lease, lease)

    def _mask_time_to_live(self, response: rpc_pb2.LeaseTimeToLiveResponse) -> None:
        response.ID = self._alias(response.ID)
        keys = sorted(response.keys)
        del response.keys[:]
        response.keys.extend(keys)

    def _mask_hash_revision(
        self, request: rpc_pb2.HashKVRequest, response: rpc_pb2.HashKVResponse
    ) -> None:
        if Allowed.HASH_REVISION not in self._differences:
            return
        if response.hash_revision != (request.revision or response.header.revision):
            raise Mismatch(f"hash_revision is not the revision hashed:\n{response}")
        response.ClearField("hash_revision")

    def _mask_status(self, response: rpc_pb2.StatusResponse) -> None:
        if not (response.dbSize > 0 and response.dbSizeInUse > 0 and response.leader):
            raise Mismatch(f"sizes and the leader are never zero:\n{response}")
        if Allowed.STATUS_FIELDS in self._differences:
            if not (response.storageVersion and response.dbSizeQuota):
                raise Mismatch(f"fields of 3.6 are absent:\n{response}")
            _clear(response, "storageVersion", "dbSizeQuota", "downgradeInfo")
        _clear(
            response,
            *("version", "dbSize", "dbSizeInUse", "leader"),
            *("raftIndex", "raftTerm", "raftAppliedIndex"),
        )


def _clear(response: Message, *fields: str) -> None:
    for name in fields:
        response.ClearField(name)


def _header(response: Message) -> rpc_pb2.ResponseHeader:
    header = getattr(response, "header")  # noqa: B009 - generated classes share no type
    assert isinstance(header, rpc_pb2.ResponseHeader)
    return header


def _mask_members(response: rpc_pb2.MemberListResponse) -> None:
    """Ids follow from ports: the order, which is by id, is checked and then replaced."""
    ids = [member.ID for member in response.members]
    if ids != sorted(set(ids)):
        raise Mismatch(f"members are sorted by id:\n{response}")
    members = sorted(response.members, key=lambda member: member.name)
    for member in members:
        if not (member.ID and len(member.peerURLs) == 1 and len(member.clientURLs) == 1):
            raise Mismatch(f"a started member has an id and urls:\n{member}")
        member.ClearField("ID")
        member.ClearField("peerURLs")
        member.ClearField("clientURLs")
    copies = [rpc_pb2.Member.FromString(member.SerializeToString()) for member in members]
    del response.members[:]
    response.members.extend(copies)


def _sort_key(target: int) -> Callable[[kv_pb2.KeyValue], bytes | int]:
    match target:
        case rpc_pb2.RangeRequest.VERSION:
            return lambda kv: kv.version
        case rpc_pb2.RangeRequest.CREATE:
            return lambda kv: kv.create_revision
        case rpc_pb2.RangeRequest.MOD:
            return lambda kv: kv.mod_revision
        case _:
            return lambda kv: kv.value


def order_ties(request: rpc_pb2.RangeRequest, response: rpc_pb2.RangeResponse) -> None:
    """Bring equal elements of a sorted range into key order; which of them comes first is open.

    Where the limit cuts a group of equal elements, which of them are in is open too: of that group
    only the sort value is kept.
    """
    if request.sort_target == rpc_pb2.RangeRequest.KEY:
        return
    value = _sort_key(request.sort_target)
    if request.keys_only and request.sort_target == rpc_pb2.RangeRequest.VALUE:
        # The values that decided the order are blanked: only the set of keys can be compared.
        kvs = sorted(response.kvs, key=lambda kv: kv.key)
        if response.more:
            kvs = [kv_pb2.KeyValue() for _ in kvs]
    else:
        kvs = list(_ordered_groups(list(response.kvs), value, is_cut=response.more))
    copies = [kv_pb2.KeyValue.FromString(kv.SerializeToString()) for kv in kvs]
    del response.kvs[:]
    response.kvs.extend(copies)


def _ordered_groups(
    kvs: list[kv_pb2.KeyValue],
    value: Callable[[kv_pb2.KeyValue], bytes | int],
    *,
    is_cut: bool,
) -> Iterable[kv_pb2.KeyValue]:
    start = 0
    while start < len(kvs):
        end = start
        while end < len(kvs) and value(kvs[end]) == value(kvs[start]):
            end += 1
        group = sorted(kvs[start:end], key=lambda kv: kv.key)
        if is_cut and end == len(kvs):
            for kv in group:
                kept = kv_pb2.KeyValue(key=b"any")
                kept.value = str(value(kv)).encode()
                yield kept
        else:
            yield from group
        start = end


def order_ties_of_txn(request: rpc_pb2.TxnRequest, response: rpc_pb2.TxnResponse) -> None:
    """As `order_ties`, for every range inside."""
    branch = request.success if response.succeeded else request.failure
    if len(branch) != len(response.responses):
        raise Mismatch(f"{len(branch)} operations, {len(response.responses)} responses")
    for op, answer in zip(branch, response.responses, strict=True):
        if op.HasField("request_range"):
            order_ties(op.request_range, answer.response_range)
        elif op.HasField("request_txn"):
            order_ties_of_txn(op.request_txn, answer.response_txn)


def compare_outcomes(reference: Outcome, candidate: Outcome) -> None:
    """Compare two normalised outcomes: code, text and every byte of the response.

    Raises:
        Mismatch: with both sides in full.
    """
    if (reference.code, reference.text) == (candidate.code, candidate.text):
        ours, theirs = candidate.response, reference.response
        if isinstance(ours, rpc_pb2.LeaseTimeToLiveResponse) and isinstance(
            theirs, rpc_pb2.LeaseTimeToLiveResponse
        ):
            _check_remaining(theirs, ours)
        if _bytes(ours) == _bytes(theirs):
            return
    raise Mismatch(f"reference: {describe(reference)}\ncandidate: {describe(candidate)}")


def _check_remaining(
    theirs: rpc_pb2.LeaseTimeToLiveResponse, ours: rpc_pb2.LeaseTimeToLiveResponse
) -> None:
    """Remaining times may lie a little apart; then they are made equal."""
    if (theirs.TTL > 0) == (ours.TTL > 0) and abs(theirs.TTL - ours.TTL) <= TTL_TOLERANCE_S:
        if ours.TTL > ours.grantedTTL > 0:
            raise Mismatch(f"more time left than was granted:\n{ours}")
        if ours.TTL > 0:
            ours.TTL = theirs.TTL


def _bytes(message: Message | None) -> bytes:
    return b"" if message is None else message.SerializeToString(deterministic=True)


def describe(outcome: Outcome) -> str:
    """The outcome in full."""
    if outcome.response is None:
        return f"{outcome.code} {outcome.text!r}"
    return f"{outcome.code} {type(outcome.response).__name__}\n{shown(outcome.response)}"


def shown(message: Message) -> str:
    """The message as text, long lines cut for the eye."""
    lines = f"{message}".split("\n")
    return "\n".join(line if len(line) < 200 else line[:200] + "…" for line in lines)
