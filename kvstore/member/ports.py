"""What a member needs from the machine that it runs on; simulations bring their own."""

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from kvstore.backend.backend import Backend
from kvstore.base.ids import MemberId
from kvstore.raft.peer_session import Channel

_Result = TypeVar("_Result")


class Scheduler(Protocol):
    """The one event loop on which everything of a member happens."""

    def soon(self, action: Callable[[], None]) -> None:
        """Run `action` once in the next iteration of the loop."""
        ...

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        """Run `action` once after `delay_s` seconds."""
        ...


class Worker(Protocol):
    """A thread for what waits for the disk: one job after the other, in order."""

    def submit(
        self, work: Callable[[], _Result], done: Callable[[_Result | BaseException], None]
    ) -> None:
        """Run `work` off the loop, then `done` on the loop with its result or exception."""
        ...


class PeerLinks(Protocol):
    """Links to the other members. Messages may be lost, never altered or reordered."""

    def set_peers(self, peer_urls: Mapping[MemberId, tuple[str, ...]]) -> None:
        """Keep links to exactly these members."""
        ...

    def refuse(self, members: frozenset[MemberId]) -> None:
        """Talk to these members no more: they were removed, and are told so if they ask."""
        ...

    def send(self, member: MemberId, channel: Channel, payload: bytes) -> bool:
        """Queue a message; False if it was dropped: there is no link, or its queue is full."""
        ...

    def flush(self) -> None:
        """Write what was queued now: before anything else is done that takes time."""
        ...

    def has_room(self, member: MemberId, channel: Channel) -> bool:
        """Whether bulk may be queued on this channel now."""
        ...

    def is_linked(self, member: MemberId) -> bool:
        """Whether a link to `member` is up, both ways."""
        ...


class Keyspaces(Protocol):
    """Where a member's keyspace lies, one place a generation; the log names the one in force."""

    def generations(self) -> list[int]:
        """Return those that are there, whole or not, ascending."""
        ...

    def open(self, generation: int, *, is_suspect: bool = False) -> Backend:
        """Open a keyspace, an empty one where there is none. Waits for the disk.

        `is_suspect`: a sync has failed, so only the last checkpoint can be believed.

        Raises:
            CorruptKeyspace: it cannot be read.
            StorageFull: there is no space for even an empty keyspace.
        """
        ...

    def copy(self, source: Backend, generation: int) -> Backend:
        """Open a compact copy of what `source` has committed, durable, as `generation`.

        Takes as long as the disk does: to be called by a worker, while `source` is in use.

        Raises:
            StorageFull: there is no space for it.
        """
        ...

    def remove(self, generation: int) -> None:
        """Remove a keyspace that is not open, if it is there. Waits for the disk."""
        ...
