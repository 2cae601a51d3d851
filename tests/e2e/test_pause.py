"""SIGSTOP of the leader for longer than a lease lives: it wakes up deposed, and must know it."""

import threading
import time

import pytest

from kvstore.wire.pb import rpc_pb2
from tests.support.cluster_process import ClusterProcess, Program
from tests.support.target import StreamEnded, StreamSilent, Target

pytestmark = [pytest.mark.slow]

LEASE = 77
TTL_S = 4
FULL_BEYOND_S = 10.0
SMALL_BEYOND_S = 2.0
LEASED = b"leased"
COUNTER = b"counter"


class Keeper:
    """Keeps the lease alive and rewrites a key, through members that are not paused.

    What a read may not be behind is the revision of an answer, not the value: a put of unknown
    outcome may be applied as late as when the paused leader wakes.
    """

    def __init__(self, target: Target, members: list[int]) -> None:
        self._target = target
        self._members = members
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._keep_alive),
            threading.Thread(target=self._count),
        ]
        self.renewals = 0
        self.acknowledged = 0
        self.expired_answers = 0
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _keep_alive(self) -> None:
        turn = 0
        while not self._stopping.wait(0.3):
            turn += 1
            stream = self._target.keep_alive(self._members[turn % len(self._members)])
            stream.send(rpc_pb2.LeaseKeepAliveRequest(ID=LEASE))
            try:
                stream.wait(lambda stream=stream: bool(stream.responses), "keep-alive", 1.0)  # type: ignore[misc]
            except (StreamEnded, StreamSilent):
                continue  # no leader yet: the next try may find one
            finally:
                stream.close()
            (response,) = stream.responses
            assert isinstance(response, rpc_pb2.LeaseKeepAliveResponse)
            if response.TTL > 0:
                self.renewals += 1
            else:
                self.expired_answers += 1

    def _count(self) -> None:
        number = 0
        while not self._stopping.is_set():
            number += 1
            request = rpc_pb2.PutRequest(key=COUNTER, value=b"%d" % number)
            outcome = self._target.start(
                "Put", request, self._members[0], timeout_s=2, wait_for_ready=False
            ).outcome()
            if isinstance(outcome.response, rpc_pb2.PutResponse):
                self.acknowledged = outcome.response.header.revision
            time.sleep(0.005)


def read_revision(target: Target, member: int) -> int | None:
    """The mod_revision of the key as `member` reads it; None if it does not answer in time."""
    request = rpc_pb2.RangeRequest(key=COUNTER)
    response = target.start("Range", request, member, timeout_s=2).outcome().response
    if not isinstance(response, rpc_pb2.RangeResponse):
        return None
    return response.kvs[0].mod_revision


def test_a_leader_that_slept_serves_nothing_stale_and_revokes_no_live_lease(
    candidate: Program, *, full: bool
) -> None:
    with ClusterProcess(candidate, 3) as cluster:
        target = Target("candidate", cluster.endpoints)
        grant = rpc_pb2.LeaseGrantRequest(ID=LEASE, TTL=TTL_S)
        assert target.call("LeaseGrant", grant).is_ok
        assert target.call("Put", rpc_pb2.PutRequest(key=LEASED, lease=LEASE)).is_ok
        assert target.call("Put", rpc_pb2.PutRequest(key=COUNTER, value=b"0")).is_ok
        leader = target.leader()
        keeper = Keeper(target, [member for member in range(3) if member != leader])
        try:
            time.sleep(1)
            cluster.members[leader].pause()
            try:
                time.sleep(TTL_S + (FULL_BEYOND_S if full else SMALL_BEYOND_S))
                renewals_before = keeper.renewals
                # Waiting in the socket when it wakes: answered by the deposed leader, if by anyone.
                at_least = keeper.acknowledged
                request = rpc_pb2.RangeRequest(key=COUNTER)
                waiting = [target.start("Range", request, leader, timeout_s=10) for _ in range(20)]
                time.sleep(0.1)
            finally:
                cluster.members[leader].resume()
            for pending in waiting:
                response = pending.outcome().response
                if isinstance(response, rpc_pb2.RangeResponse):
                    assert response.kvs[0].mod_revision >= at_least, "stale linearizable read"
            until = time.monotonic() + TTL_S + 2
            answered = 0
            while time.monotonic() < until:
                at_least = keeper.acknowledged
                for member in range(3):
                    revision = read_revision(target, member)
                    assert revision is None or revision >= at_least, (
                        f"stale read from member {member}"
                    )
                    answered += revision is not None
        finally:
            keeper.stop()
        assert answered > 10
        assert renewals_before > TTL_S, "too few keep-alives got through for this to mean anything"
        assert keeper.renewals > renewals_before
        assert not keeper.expired_answers, "a live lease was reported as expired"
        leased = target.call("Range", rpc_pb2.RangeRequest(key=LEASED))
        assert isinstance(leased.response, rpc_pb2.RangeResponse)
        assert [kv.version for kv in leased.response.kvs] == [1], "a live lease was revoked"
        target.close()
