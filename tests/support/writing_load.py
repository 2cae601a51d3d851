"""A load of puts with unique values, and what must be true of them whatever broke meanwhile.

Each put is acknowledged, refused or of unknown outcome. Afterwards the whole history is read by a
watch from its beginning, on every member: an acknowledged value is in it once, at the revision that
the answer named; any other value at most once; nothing else is in it; and all members agree.
"""

import threading
import time
from dataclasses import dataclass, field

from kvstore.wire.pb import kv_pb2, rpc_pb2
from tests.support.target import Stream, StreamEnded, StreamSilent, Target

PREFIX = b"load/"
PREFIX_END = b"load0"
KEYS_PER_WRITER = 10
PUT_TIMEOUT_S = 3.0


@dataclass(slots=True)
class Answers:
    """What the load was told, by value."""

    acknowledged: dict[bytes, int] = field(default_factory=dict)
    """Value → the revision of the answer."""
    unknown: set[bytes] = field(default_factory=set)
    failures: dict[str, int] = field(default_factory=dict)


class WritingLoad:
    """Writers in threads, each at one member after the other; a context manager."""

    def __init__(self, target: Target, writers: int = 4) -> None:
        self.answers = Answers()
        self._target = target
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._write, args=(number,)) for number in range(writers)
        ]

    def __enter__(self) -> "WritingLoad":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    @property
    def acknowledged(self) -> int:
        """How many puts were acknowledged so far."""
        return len(self.answers.acknowledged)

    def wait_for_progress(self, puts: int = 20, timeout_s: float = 30.0) -> None:
        """Wait until this many more puts are acknowledged: the fault must meet a live load."""
        goal = self.acknowledged + puts
        deadline = time.monotonic() + timeout_s
        while self.acknowledged < goal:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no progress in {timeout_s} s: {self.answers.failures}")
            time.sleep(0.01)

    def _write(self, writer: int) -> None:
        members = len(self._target.endpoints)
        member = writer % members
        number = 0
        while not self._stopping.is_set():
            number += 1
            value = b"%d-%d" % (writer, number)
            request = rpc_pb2.PutRequest(
                key=PREFIX + b"%d-%d" % (writer, number % KEYS_PER_WRITER), value=value
            )
            outcome = self._target.start(
                "Put", request, member, timeout_s=PUT_TIMEOUT_S, wait_for_ready=False
            ).outcome()
            with self._lock:
                if isinstance(outcome.response, rpc_pb2.PutResponse):
                    self.answers.acknowledged[value] = outcome.response.header.revision
                    continue
                # Even a refusal of the connection is kept as unknown: the check is the weaker.
                self.answers.unknown.add(value)
                failure = f"{outcome.code} {outcome.text}"[:80]
                self.answers.failures[failure] = self.answers.failures.get(failure, 0) + 1
            member = (member + 1) % members
            time.sleep(0.02)


def read_history(target: Target, member: int, until: int) -> list[kv_pb2.Event]:
    """All events under the load's prefix from revision 1 up to `until`, as `member` tells them."""
    stream: Stream = target.watch(member)
    create = rpc_pb2.WatchCreateRequest(key=PREFIX, range_end=PREFIX_END, start_revision=1)
    stream.send(rpc_pb2.WatchRequest(create_request=create))
    events: list[kv_pb2.Event] = []
    read = 0

    def has_all() -> bool:
        nonlocal read
        for response in stream.responses[read:]:
            assert isinstance(response, rpc_pb2.WatchResponse)
            read += 1
            events.extend(response.events)
        return bool(events) and events[-1].kv.mod_revision >= until

    try:
        stream.wait(has_all, f"history of member {member} up to revision {until}", 60)
    except (StreamEnded, StreamSilent) as error:
        last = events[-1].kv.mod_revision if events else None
        raise AssertionError(f"member {member}: {error}; last event at {last}") from error
    finally:
        stream.close()
    return events


def check_history(events: list[kv_pb2.Event], answers: Answers) -> None:
    """Check the claims of this module on one member's history."""
    revision_of: dict[bytes, int] = {}
    last = 0
    for event in events:
        value, revision = event.kv.value, event.kv.mod_revision
        assert revision > last, f"revision {revision} after {last}"
        last = revision
        assert value not in revision_of, (
            f"{value!r} applied twice: {revision_of[value]}, {revision}"
        )
        revision_of[value] = revision
    lost = answers.acknowledged.keys() - revision_of.keys()
    assert not lost, f"{len(lost)} acknowledged puts lost, such as {sorted(lost)[:5]}"
    for value, revision in answers.acknowledged.items():
        assert revision_of[value] == revision, f"{value!r} answered {revision}, is elsewhere"
    invented = revision_of.keys() - answers.acknowledged.keys() - answers.unknown
    assert not invented, f"values that nobody put: {sorted(invented)[:5]}"


def check_members_agree(target: Target, answers: Answers) -> None:
    """Check every member's history and that their hashes at one revision are equal."""
    members = range(len(target.endpoints))
    revision = max(target.barrier(member) for member in members)
    for member in members:
        check_history(read_history(target, member, _last_put(target)), answers)
    hashes = set()
    for member in members:
        target.barrier(member)
        outcome = target.call("HashKV", rpc_pb2.HashKVRequest(revision=revision), member)
        assert isinstance(outcome.response, rpc_pb2.HashKVResponse), outcome
        hashes.add((outcome.response.hash, outcome.response.compact_revision))
    assert len(hashes) == 1, f"members differ at revision {revision}: {hashes}"


def _last_put(target: Target) -> int:
    request = rpc_pb2.RangeRequest(
        key=PREFIX,
        range_end=PREFIX_END,
        sort_order=rpc_pb2.RangeRequest.DESCEND,
        sort_target=rpc_pb2.RangeRequest.MOD,
        limit=1,
    )
    outcome = target.call("Range", request)
    assert isinstance(outcome.response, rpc_pb2.RangeResponse), outcome
    return outcome.response.kvs[0].mod_revision
