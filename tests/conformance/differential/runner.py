"""Runs a seeded series of operations against two targets in lock step."""

from google.protobuf.message import Message

from kvstore.wire.pb import rpc_pb2
from tests.conformance.differential.comparing import (
    Mismatch,
    Normaliser,
    compare_outcomes,
    describe,
    shown,
)
from tests.conformance.differential.differences import Allowed
from tests.conformance.differential.generator import STREAMS, Generator, Known
from tests.conformance.differential.operations import (
    AskProgress,
    CancelWatch,
    KeepAlive,
    OpenWatch,
    Operation,
    ReopenStream,
    Unary,
)
from tests.conformance.differential.statistics import Statistics
from tests.conformance.differential.watching import History, Side, StreamPair
from tests.support.target import Outcome, Target

CONSENSUS = frozenset({"Put", "DeleteRange", "Txn", "Compact", "LeaseGrant", "LeaseRevoke"})
"""Decided by the log; all else may answer from a member's own state, so a barrier goes first."""

COMPACTED = ("OUT_OF_RANGE", "etcdserver: mvcc: required revision has been compacted")
COMPACTIONS_KEPT = 10
REFUSALS_OF_TXN = frozenset(
    {
        COMPACTED,
        ("OUT_OF_RANGE", "etcdserver: mvcc: required revision is a future revision"),
        ("INVALID_ARGUMENT", "etcdserver: key not found"),
        ("NOT_FOUND", "etcdserver: requested lease not found"),
    }
)
"""What may stop a transaction once its shape was found to be right."""


class Run:
    """Two targets, everything known about them, and the watch streams open on both."""

    def __init__(
        self,
        reference: Target,
        candidate: Target,
        statistics: Statistics,
        *,
        is_compared_with_itself: bool,
    ) -> None:
        """Open the streams of both.

        Args:
            reference: a cluster of the real etcd.
            candidate: the cluster under test.
            statistics: what is counted in.
            is_compared_with_itself: whether both are the same program.
        """
        version = reference.version()
        remaining = frozenset(entry for entry in Allowed if entry.remains(version))
        differences = frozenset[Allowed]() if is_compared_with_itself else remaining
        self._statistics = statistics
        self.differences = differences
        self.habits = remaining - differences
        """Entries of the table in which both sides do what the old reference does."""
        self._remaining = remaining
        self._aliases: dict[int, int] = {}
        """The candidate's id of a lease that servers named themselves → the reference's."""
        self._targets = (reference, candidate)
        self._normalisers = (
            Normaliser(differences=frozenset(), lease_aliases={}),
            Normaliser(differences=differences, lease_aliases=self._aliases),
        )
        self.known = Known(member_count=len(reference.endpoints))
        self._sides = [
            Side(target, normaliser.identity, habits, History(target))
            for target, normaliser, habits in zip(
                self._targets, self._normalisers, (remaining, self.habits), strict=True
            )
        ]
        self._compactions: list[int] = []
        """Revisions of which etcd 3.6 may still know the hash from before their compaction."""
        self._compared_revision = 0
        self._closed_fragments = 0
        self._streams = [self._new_stream(number) for number in range(STREAMS)]

    def run(self, seed: int, operations: int) -> None:
        """Run at least this many operations.

        Raises:
            Mismatch: naming seed and operation.
        """
        generator = Generator(seed, self.known)
        last = self._statistics.operations + operations
        recent: list[Operation] = []
        while self._statistics.operations < last:
            for operation in generator.next():
                recent = [*recent[-4:], operation]
                try:
                    self.step(operation)
                except Exception as error:
                    number = self._statistics.operations
                    context = "\n".join(f"  {_brief(before)}" for before in recent)
                    raise Mismatch(
                        f"seed {seed}, operation {number}:\n{error}\nlast operations:\n{context}"
                    ) from error

    def step(self, operation: Operation) -> None:
        """Run one operation on both targets, compare, and wait for the events it caused."""
        self._execute(operation)
        self._settle()

    def _execute(self, operation: Operation) -> None:
        match operation:
            case Unary():
                self._unary(operation)
            case KeepAlive():
                self._keep_alive(operation)
            case OpenWatch():
                self._open_watch(operation)
            case CancelWatch():
                request: Message = rpc_pb2.WatchCancelRequest(watch_id=operation.watch_id)
                self._statistics.count_request("Watch.cancel", request)
                self._streams[operation.stream].cancel(operation.watch_id)
                self._note_watch_ids(operation.stream)
            case AskProgress():
                self._statistics.count_request("Watch.progress", rpc_pb2.WatchProgressRequest())
                seen = self._streams[operation.stream].ask_progress(self.known.revision)
                if seen is not None:
                    self._statistics.differences[seen] += 1
            case ReopenStream():
                self._statistics.count_request("Watch.reopen", rpc_pb2.WatchRequest())
                self._close_stream(operation.stream)
                self._streams[operation.stream] = self._new_stream(operation.stream)
                self._note_watch_ids(operation.stream)

    def close(self) -> None:
        """Close every stream; the targets stay open."""
        for number in range(STREAMS):
            self._close_stream(number)
        for side in self._sides:
            side.history.close()

    # --- unary

    def _unary(self, operation: Unary) -> None:
        self._statistics.count_request(operation.rpc, operation.request)
        if operation.instead is not None and operation.instead[0] in self._remaining:
            self._expect_ours(operation, *operation.instead)
            return
        if isinstance(operation.request, rpc_pb2.CompactionRequest):
            # A watcher still catching up would be cancelled on one side or on both.
            for target in self._targets:
                target.wait_until_watchers_are_synced()
        if operation.rpc not in CONSENSUS or _is_local_txn(operation.request):
            for target in self._targets:
                target.barrier(operation.member)
        reference, candidate = self._ask_both(operation)
        if self._is_hash_of_compaction(operation):
            self._expect_hash(operation.request, candidate)
        elif not self._is_other_refusal_of_txn(operation, reference, candidate):
            compare_outcomes(
                self._normalisers[0].normalise(operation, reference),
                self._normalisers[1].normalise(operation, candidate),
            )
        if not reference.is_ok:
            self._statistics.errors[f"{reference.code} {_generic(reference.text)}"] += 1
        self._learn(operation.request, reference, candidate)

    def _ask_both(self, operation: Unary) -> tuple[Outcome, Outcome]:
        reference, candidate = self._targets
        pending = reference.start(operation.rpc, operation.request, operation.member)
        translated = self._translate(operation.request)
        other = candidate.start(operation.rpc, translated, operation.member)
        return pending.outcome(), other.outcome()

    def _expect_ours(self, operation: Unary, difference: Allowed, expected: Outcome) -> None:
        if difference not in self.differences:
            return
        outcome = self._targets[1].call(operation.rpc, operation.request, operation.member)
        compare_outcomes(expected, outcome)
        self._statistics.differences[difference] += 1
        self._statistics.errors[f"{outcome.code} {outcome.text}"] += 1

    def _is_other_refusal_of_txn(
        self, operation: Unary, reference: Outcome, candidate: Outcome
    ) -> bool:
        difference = Allowed.FIRST_REFUSAL_OF_TXN
        if (
            difference not in self.differences
            or operation.rpc != "Txn"
            or reference == candidate
            or not REFUSALS_OF_TXN.issuperset(
                ((reference.code, reference.text), (candidate.code, candidate.text))
            )
        ):
            return False
        self._statistics.differences[difference] += 1
        return True

    def _is_hash_of_compaction(self, operation: Unary) -> bool:
        return (
            Allowed.HASH_AT_COMPACT_REVISION in self.differences
            and isinstance(operation.request, rpc_pb2.HashKVRequest)
            and operation.request.revision in self._compactions
        )

    def _expect_hash(self, request: Message, candidate: Outcome) -> None:
        assert isinstance(request, rpc_pb2.HashKVRequest)
        compacted, response = self.known.compact_revision, candidate.response
        if 0 < request.revision < compacted:
            is_right = (candidate.code, candidate.text) == COMPACTED
        else:
            is_right = (
                isinstance(response, rpc_pb2.HashKVResponse)
                and bool(response.hash)
                and response.compact_revision == compacted
                and response.hash_revision == (request.revision or self.known.revision)
            )
        if not is_right:
            raise Mismatch(f"HashKV at a compacted revision: {describe(candidate)}")
        self._statistics.differences[Allowed.HASH_AT_COMPACT_REVISION] += 1

    def _translate(self, request: Message) -> Message:
        """The request as the candidate must get it: its own id of a lease it named itself."""
        match request:
            case rpc_pb2.LeaseRevokeRequest():
                return rpc_pb2.LeaseRevokeRequest(ID=self._candidate_lease(request.ID))
            case rpc_pb2.LeaseTimeToLiveRequest():
                own = self._candidate_lease(request.ID)
                return rpc_pb2.LeaseTimeToLiveRequest(ID=own, keys=request.keys)
            case _:
                return request

    def _candidate_lease(self, reference_lease: int) -> int:
        for ours, theirs in self._aliases.items():
            if theirs == reference_lease:
                return ours
        return reference_lease

    def _learn(self, request: Message, reference: Outcome, candidate: Outcome) -> None:
        if reference.response is None:
            return
        known = self.known
        header = getattr(reference.response, "header")  # noqa: B009 - no shared type
        known.revision = max(known.revision, header.revision)
        match request, reference.response, candidate.response:
            case rpc_pb2.CompactionRequest(), _, _:
                known.compact_revision = request.revision
                self._compactions = [*self._compactions, request.revision][-COMPACTIONS_KEPT:]
            case rpc_pb2.LeaseGrantRequest(), rpc_pb2.LeaseGrantResponse() as theirs, ours:
                assert isinstance(ours, rpc_pb2.LeaseGrantResponse)
                if request.ID:
                    known.leases.add(request.ID)
                else:
                    self._aliases[ours.ID] = theirs.ID
                    known.chosen_leases.append(theirs.ID)
            case rpc_pb2.LeaseRevokeRequest(), _, _:
                known.leases.discard(request.ID)
                if request.ID in known.chosen_leases:
                    known.chosen_leases.remove(request.ID)
            case _:
                pass

    # --- streams

    def _keep_alive(self, operation: KeepAlive) -> None:
        for lease in operation.leases:
            request = rpc_pb2.LeaseKeepAliveRequest(ID=lease)
            self._statistics.count_request("LeaseKeepAlive", request)
        reference, candidate = (
            self._kept_alive(number, operation) for number in range(len(self._targets))
        )
        if reference != candidate:
            raise Mismatch(f"reference: {reference}\ncandidate: {candidate}")

    def _kept_alive(
        self, number: int, operation: KeepAlive
    ) -> list[rpc_pb2.LeaseKeepAliveResponse]:
        """The masked answers of one target, one a lease."""
        target, identity = self._targets[number], self._normalisers[number].identity
        target.barrier(operation.member)
        stream = target.keep_alive(operation.member)
        for lease in operation.leases:
            own = self._candidate_lease(lease) if number else lease
            stream.send(rpc_pb2.LeaseKeepAliveRequest(ID=own))
        count = len(operation.leases)
        stream.wait(
            lambda: len(stream.responses) >= count, f"{target.name}: {count} answers in a stream"
        )
        masked = []
        for lease, message in zip(operation.leases, stream.responses, strict=True):
            response = rpc_pb2.LeaseKeepAliveResponse.FromString(message.SerializeToString())
            identity.check_and_mask(response.header, operation.member)
            if number and response.ID == self._candidate_lease(lease):  # noqa: SIM300
                response.ID = lease
            masked.append(response)
        stream.close()
        return masked

    def _open_watch(self, operation: OpenWatch) -> None:
        self._statistics.count_request("Watch.create", operation.request)
        refusal, seen = self._streams[operation.stream].open(
            operation.request, self.known.compact_revision
        )
        if refusal is not None:
            self._statistics.errors[f"watch: {refusal}"] += 1
        if seen is not None:
            self._statistics.differences[seen] += 1
        self._note_watch_ids(operation.stream)

    def _new_stream(self, number: int) -> StreamPair:
        return StreamPair(self._sides, number % self.known.member_count)

    def _close_stream(self, number: int) -> None:
        stream = self._streams[number]
        self._closed_fragments += stream.fragmented_responses
        stream.close()

    def _note_watch_ids(self, stream: int) -> None:
        self.known.watch_ids[stream] = self._streams[stream].watch_ids

    def _settle(self) -> None:
        """Bring history and all watchers up to the last revision, and compare both histories."""
        new = []
        for side in self._sides:
            side.history.read_to(self.known.revision)
            # One side may have read further already; that is compared when both have.
            new.append(side.history.between(self._compared_revision, self.known.revision))
        if new[0] != new[1]:
            sides = ["\n".join(shown(event) for event in events) for events in new]
            raise Mismatch(f"reference: {sides[0]}\ncandidate: {sides[1]}")
        self._compared_revision = self.known.revision
        self._statistics.events += len(new[0])
        for stream in self._streams:
            stream.settle()
        self._statistics.fragmented_responses = self._closed_fragments + sum(
            stream.fragmented_responses for stream in self._streams
        )


def _is_local_txn(request: Message) -> bool:
    """Whether a member answers this transaction from what it has: no barrier, no log."""
    return isinstance(request, rpc_pb2.TxnRequest) and all(
        op.request_range.serializable for op in (*request.success, *request.failure)
    )


def _generic(text: str) -> str:
    """The text without the one number in it that depends on the request."""
    if text.startswith("grpc: received message larger than max"):
        return "grpc: received message larger than max"
    return text


def _brief(operation: Operation) -> str:
    text = " ".join(f"{operation}".split())
    return text if len(text) < 600 else text[:600] + "…"
