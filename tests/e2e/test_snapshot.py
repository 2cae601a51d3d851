"""A follower away until the log it needs is trimmed: it comes back by snapshot, and complete."""

import time

import pytest

from kvstore.wire.pb import kv_pb2, rpc_pb2
from tests.support.cluster_process import ClusterProcess, Program
from tests.support.target import Stream, Target
from tests.support.writing_load import WritingLoad, check_members_agree

pytestmark = [pytest.mark.slow]

KEPT_ENTRIES = 50
TRIMMING_FLAGS = (
    *("--snapshot-count", "100"),
    *("--snapshot-catchup-entries", str(KEPT_ENTRIES)),
)
ENTRIES_MISSED = 1000
TRIMMED_AFTER_S = 12.0
"""A checkpoint makes entries durable elsewhere, so that they can go: every 10 s by default."""
FULL_ROUNDS = 5
SMALL_ROUNDS = 1
INSTALLED = ("applied snapshot", "installed a snapshot")
"""etcd's words and ours, in the log of a member that took a snapshot."""


def has_installed_snapshot(log: str) -> bool:
    return any(words in log for words in INSTALLED)


def put_one_by_one(target: Target, member: int, count: int) -> None:
    """Each put waits for the one before, so that each is an entry of its own."""
    for number in range(count):
        request = rpc_pb2.PutRequest(key=b"missed/%d" % (number % 50), value=b"%d" % number)
        outcome = target.call("Put", request, member)
        assert outcome.is_ok, outcome


@pytest.mark.parametrize("is_killed", [False, True], ids=["paused", "killed"])
def test_a_follower_returns_by_snapshot_and_its_watchers_miss_nothing(
    candidate: Program, *, is_killed: bool, full: bool
) -> None:
    with ClusterProcess(candidate, 3, flags=TRIMMING_FLAGS) as cluster:
        target = Target("candidate", cluster.endpoints)
        with WritingLoad(target, writers=2) as load:
            load.wait_for_progress()
        for _ in range(FULL_ROUNDS if full else SMALL_ROUNDS):
            leader = target.leader()
            away = (leader + 1) % 3
            watch = Watch(target, away)
            member = cluster.members[away]
            if is_killed:
                member.kill()
            else:
                member.pause()
            put_one_by_one(target, leader, ENTRIES_MISSED)
            time.sleep(TRIMMED_AFTER_S)
            if is_killed:
                member.start()
                cluster.wait_until_healthy()
                watch.reopen()
            else:
                member.resume()
            assert target.call("Put", rpc_pb2.PutRequest(key=b"missed/last"), leader).is_ok
            watch.check(until=target.barrier(away))
            assert has_installed_snapshot(member.log()), f"no snapshot in {member.log_file}"
        check_members_agree(target, load.answers)
        target.close()


class Watch:
    """A watch of all keys on one member that is resumed where it ended, as clients do."""

    def __init__(self, target: Target, member: int) -> None:
        self._target = target
        self._member = member
        self._events: list[kv_pb2.Event] = []
        self._first = target.barrier(member) + 1
        self._stream = self._open(self._first)
        self._read = 0

    def _open(self, start: int) -> Stream:
        stream = self._target.watch(self._member)
        create = rpc_pb2.WatchCreateRequest(key=b"\0", range_end=b"\0", start_revision=start)
        stream.send(rpc_pb2.WatchRequest(create_request=create))
        return stream

    def reopen(self) -> None:
        """Resume on a new stream after the last event seen."""
        self._take()
        self._stream.close()
        last = self._events[-1].kv.mod_revision if self._events else self._first - 1
        self._stream, self._read = self._open(last + 1), 0

    def check(self, until: int) -> None:
        """Wait for revision `until`; every revision before it must be there exactly once."""
        self._stream.wait(lambda: self._take() >= until, f"revision {until}", 60)
        seen = [event.kv.mod_revision for event in self._events]
        assert seen == list(range(self._first, until + 1))
        self._stream.close()

    def _take(self) -> int:
        for response in self._stream.responses[self._read :]:
            assert isinstance(response, rpc_pb2.WatchResponse)
            assert not response.canceled, response
            self._read += 1
            self._events.extend(response.events)
        return self._events[-1].kv.mod_revision if self._events else 0
