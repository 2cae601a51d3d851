"""Generated operations into the real etcd and into ours: see `tests.conformance.differential`."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from kvstore.wire.pb import rpc_pb2
from tests.conformance.differential.differences import Allowed
from tests.conformance.differential.errors import (
    ERRORS_OF_DIFFERENCES,
    OCCURRENCES_MIN,
    SERVED_ERRORS,
)
from tests.conformance.differential.operations import OpenWatch, Operation, Unary
from tests.conformance.differential.runner import Run
from tests.conformance.differential.statistics import Statistics
from tests.support.cluster_process import ClusterProcess, Program
from tests.support.target import Target

pytestmark = [pytest.mark.etcd, pytest.mark.slow, pytest.mark.timeout(1800)]

FULL_OPERATIONS = 20_000
SMALL_OPERATIONS = 600


@contextmanager
def target_of(name: str, program: Program, members: int) -> Iterator[Target]:
    """A fresh cluster and connections to it."""
    with ClusterProcess(program, members) as cluster:
        target = Target(name, cluster.endpoints)
        try:
            target.wait_until_versions_are_decided()
            yield target
        finally:
            target.close()


@contextmanager
def running(
    reference: Program, candidate: Program, members: int, statistics: Statistics
) -> Iterator[Run]:
    """Two fresh clusters and a run over them."""
    with ExitStack() as stack:
        theirs = stack.enter_context(target_of("reference", reference, members))
        ours = stack.enter_context(target_of("candidate", candidate, members))
        is_itself = reference == candidate
        run = Run(theirs, ours, statistics, is_compared_with_itself=is_itself)
        stack.callback(run.close)
        yield run


@pytest.mark.parametrize("members", [1, 3])
def test_generated_operations_have_the_same_answers_and_hashes(
    reference_etcd: Program, candidate: Program, members: int, *, full: bool
) -> None:
    operations = int(
        os.environ.get("KVSTORE_DIFFERENTIAL_OPS", FULL_OPERATIONS if full else SMALL_OPERATIONS)
    )
    seed = int(os.environ.get("KVSTORE_DIFFERENTIAL_SEED", members))
    statistics = Statistics()
    with running(reference_etcd, candidate, members, statistics) as run:
        try:
            run.run(seed, operations)
        finally:
            print(statistics.report())
        if operations >= FULL_OPERATIONS:
            expected = [
                *SERVED_ERRORS,
                *(text for entry, text in ERRORS_OF_DIFFERENCES.items() if entry not in run.habits),
            ]
            rare = {
                text: n for text in expected if (n := statistics.errors[text]) < OCCURRENCES_MIN
            }
            assert statistics.fragmented_responses >= OCCURRENCES_MIN
            assert not rare, f"errors met fewer than {OCCURRENCES_MIN} times: {rare}"
            unmet = {
                entry.name
                for entry in run.differences
                if not statistics.differences[entry] and entry.is_counted(members)
            }
            assert not unmet, f"entries of the table of differences that nothing exercised: {unmet}"


def _unary(rpc: str, request: object) -> Operation:
    assert isinstance(
        request,
        rpc_pb2.RangeRequest
        | rpc_pb2.CompactionRequest
        | rpc_pb2.HashKVRequest
        | rpc_pb2.PutRequest
        | rpc_pb2.TxnRequest,
    )
    return Unary(rpc=rpc, request=request, member=0)


FRESH_STORE: tuple[Operation, ...] = (
    _unary("Range", rpc_pb2.RangeRequest(key=b"\0", range_end=b"\0")),
    _unary("Range", rpc_pb2.RangeRequest(key=b"a", revision=1)),
    _unary("Range", rpc_pb2.RangeRequest(key=b"a", revision=2)),
    _unary("HashKV", rpc_pb2.HashKVRequest()),
    _unary("HashKV", rpc_pb2.HashKVRequest(revision=1)),
    _unary("HashKV", rpc_pb2.HashKVRequest(revision=2)),
    _unary("Txn", rpc_pb2.TxnRequest()),
    OpenWatch(stream=0, request=rpc_pb2.WatchCreateRequest(key=b"a", start_revision=1)),
    _unary("Compact", rpc_pb2.CompactionRequest(revision=-1)),
    _unary("Compact", rpc_pb2.CompactionRequest(revision=0)),
    _unary("Compact", rpc_pb2.CompactionRequest(revision=0)),
    _unary("HashKV", rpc_pb2.HashKVRequest()),
    _unary("Compact", rpc_pb2.CompactionRequest(revision=1)),
    _unary("Compact", rpc_pb2.CompactionRequest(revision=1)),
    _unary("Compact", rpc_pb2.CompactionRequest(revision=2)),
    _unary("Put", rpc_pb2.PutRequest(key=b"a", value=b"first")),
    _unary("Put", rpc_pb2.PutRequest(key=b"a", value=b"first")),
    _unary("Range", rpc_pb2.RangeRequest(key=b"a", revision=1)),
    _unary("HashKV", rpc_pb2.HashKVRequest()),
)


def test_a_fresh_store_answers_its_first_requests_alike(
    reference_etcd: Program, candidate: Program
) -> None:
    with running(reference_etcd, candidate, 1, Statistics()) as run:
        for operation in FRESH_STORE:
            run.step(operation)


def test_the_reference_compared_with_itself_differs_in_nothing(reference_etcd: Program) -> None:
    """The harness itself: whatever it reports of ours is not noise of its own."""
    with running(reference_etcd, reference_etcd, 1, Statistics()) as run:
        assert run.differences == frozenset[Allowed]()
        run.run(seed=0, operations=SMALL_OPERATIONS)
