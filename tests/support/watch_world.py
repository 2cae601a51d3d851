"""A keyspace that is a list of revisions, and a client that reads as slowly as a test wants."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from kvstore.base.key_range import KeyRange
from kvstore.mvcc.event import Event
from kvstore.watch import WatchHub
from kvstore.wire.pb import kv_pb2, rpc_pb2
from kvstore.wire.protobuf import message_field, varint_field

MEMBER_ID = 7


def header(revision: int) -> bytes:
    """Return a response header's field, as the member gives it to the hub."""
    return message_field(1, varint_field(2, MEMBER_ID) + varint_field(3, revision))


_FIRST = 2
"""The first revision that changes something."""


@dataclass(frozen=True)
class Write:
    """One change of one key: `value` None deletes it."""

    key: bytes
    value: bytes | None


class ListHistory:
    """The keyspace's past as a list; the model, and the hub's `History`, at once.

    `log` is the whole past; what is compacted can't be asked for, but stays for the checkers.
    """

    def __init__(self) -> None:
        self.log: list[tuple[int, list[Event]]] = []
        self.live: dict[bytes, kv_pb2.KeyValue] = {}
        self.compact_revision = -1
        self.reads: list[tuple[int, int]] = []

    @property
    def revision(self) -> int:
        return 1 + len(self.log)

    def since(self, revision: int) -> list[tuple[int, list[Event]]]:
        """Return the part of the past that begins at `revision`, which may be before the first."""
        return self.log[max(revision - _FIRST, 0) :]

    def events_of(self, revision: int) -> list[Event]:
        """Return what one revision changed; nothing, if there is no such revision."""
        place = revision - _FIRST
        return self.log[place][1] if 0 <= place < len(self.log) else []

    def write(self, *writes: Write) -> tuple[int, list[Event]]:
        """Carry out one request that changes something; return its revision and events."""
        revision = self.revision + 1
        events = []
        for write in writes:
            before = self.live.get(write.key)
            if write.value is None:
                assert before is not None, "deleting nothing makes no revision"
                del self.live[write.key]
                now = kv_pb2.KeyValue(key=write.key, mod_revision=revision)
            else:
                now = kv_pb2.KeyValue(
                    key=write.key,
                    create_revision=before.create_revision if before else revision,
                    mod_revision=revision,
                    version=before.version + 1 if before else 1,
                    value=write.value,
                )
                self.live[write.key] = now
            events.append(
                Event(
                    write.value is None,
                    write.key,
                    now.SerializeToString(),
                    before.SerializeToString() if before else None,
                    before is None,
                )
            )
        self.log.append((revision, events))
        return self.log[-1]

    def put(self, key: bytes, value: bytes = b"v") -> tuple[int, list[Event]]:
        return self.write(Write(key, value))

    def delete(self, key: bytes) -> tuple[int, list[Event]]:
        return self.write(Write(key, None))

    def compact(self, revision: int) -> None:
        assert self.compact_revision < revision <= self.revision
        self.compact_revision = revision

    def changes(
        self, keys: KeyRange, since: int, until: int, revisions_max: int
    ) -> tuple[list[tuple[int, list[Event]]], int]:
        assert since >= self.compact_revision, "history that is gone was asked for"
        assert until <= self.revision
        reached = min(until + 1, since + revisions_max)
        self.reads.append((since, reached))
        turn = []
        for revision, events in self.log[max(since - _FIRST, 0) : max(reached - _FIRST, 0)]:
            found = [self._aged(revision, event) for event in events if event.key in keys]
            if found:
                turn.append((revision, found))
        return turn, reached

    def _aged(self, revision: int, event: Event) -> Event:
        return event if revision > self.compact_revision else event._replace(previous=None)


@dataclass
class SlowSink:
    """A stream's client that takes messages when told to."""

    messages: list[rpc_pb2.WatchResponse] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    taken: int = 0

    @property
    def unsent_bytes(self) -> int:
        return sum(self.sizes[self.taken :])

    def send(self, message: bytes) -> None:
        self.messages.append(rpc_pb2.WatchResponse.FromString(message))
        self.sizes.append(len(message))

    def take(self, count: int | None = None) -> None:
        """Read the next messages, or all."""
        self.taken = len(self.messages) if count is None else self.taken + count
        assert self.taken <= len(self.messages)

    def take_new(self) -> list[rpc_pb2.WatchResponse]:
        """Read all, and return what was read now."""
        new = self.messages[self.taken :]
        self.take()
        return new


class ManualEntropy:
    """Chance as a test wants it."""

    def __init__(self, fraction: float = 0.0, bits: int = 42) -> None:
        self._fraction = fraction
        self._bits = bits

    def fraction(self) -> float:
        return self._fraction

    def bits(self, count: int) -> int:
        return self._bits & ((1 << count) - 1)


def catch_up_fully(hub: WatchHub) -> None:
    """Serve everyone who can be served; fails if that does not end."""
    for _ in range(10_000):
        if not hub.has_backlog:
            return
        hub.catch_up()
    raise AssertionError("catching up never ends")


def revisions(responses: Sequence[rpc_pb2.WatchResponse]) -> list[int]:
    """Return the revisions of the events, in order."""
    return [event.kv.mod_revision for response in responses for event in response.events]
