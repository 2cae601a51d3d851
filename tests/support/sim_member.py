"""What a simulated machine gives its member: keyspaces, workers, a scheduler, links.

`Gate` decides whether a machine may act at all: what arrives while it is paused waits, and what
belongs to an earlier life of its process is forgotten.
"""

from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol, TypeVar

from kvstore.backend.backend import Backend
from kvstore.backend.memory_backend import MemoryBackend, MemoryCheckpoint
from kvstore.base.errors import MemberFailed, StorageFull
from kvstore.base.ids import MemberId
from kvstore.raft.peer_session import Channel
from tests.support.sim_network import SimNetwork
from tests.support.world import World

_Result = TypeVar("_Result")
_HANDOVER_S = 0.00005
"""What a thread takes to give a result back to the loop."""
_HELD_POLL_S = 0.02


class PowerCut(BaseException):
    """The machine stops in the middle of a step."""


class Gate(Protocol):
    """A machine's permission to act."""

    def post(self, delay_s: float, action: Callable[..., None], *arguments: object) -> None:
        """Run `action` in this life of the machine, in `delay_s`, or when its pause ends."""
        ...


class _SimCheckpoint(MemoryCheckpoint):
    """A checkpoint whose sync may fail."""

    def __init__(self, backend: "SimBackend", inner: MemoryCheckpoint) -> None:
        self._of = backend
        self._inner = inner

    def make_durable(self) -> None:
        if self._of.syncs_fail:
            self._of.is_suspect = True
            raise MemberFailed("the keyspace could not be synced")
        self._inner.make_durable()

    def finish(self) -> None:
        self._inner.finish()


class SimBackend(MemoryBackend):
    """A keyspace in memory that can be killed, lose power, fill up and fail to sync."""

    def __init__(self) -> None:
        super().__init__()
        self.is_full = False
        self.syncs_fail = False
        self.is_suspect = False

    def reserve(self, upcoming_bytes: int, changes: int) -> None:
        if self.is_full:
            raise StorageFull("the simulated disk is full")

    def begin_checkpoint(self) -> MemoryCheckpoint:
        return _SimCheckpoint(self, super().begin_checkpoint())

    def kill(self) -> None:
        """End the process: commits stay, the open transaction does not."""
        self._is_writing = False


class SimKeyspaces:
    """`Keyspaces` in memory."""

    def __init__(self) -> None:
        self._backends: dict[int, SimBackend] = {}
        self._is_full = False
        self._syncs_fail = False

    def generations(self) -> list[int]:
        return sorted(self._backends)

    def open(self, generation: int, *, is_suspect: bool = False) -> SimBackend:
        backend = self._backends.get(generation)
        if backend is None:
            if self._is_full:
                raise StorageFull("the simulated disk is full")
            backend = self._backends[generation] = SimBackend()
            backend.syncs_fail = self._syncs_fail
        if is_suspect or backend.is_suspect:
            backend.crash()
            backend.is_suspect = False
        return backend

    def copy(self, source: Backend, generation: int) -> SimBackend:
        assert isinstance(source, SimBackend)
        backend = self.open(generation)
        if self._syncs_fail:
            backend.is_suspect = True
            raise MemberFailed("the copy could not be synced")
        backend.take_from(source)
        return backend

    def remove(self, generation: int) -> None:
        self._backends.pop(generation, None)

    # --- faults

    def kill(self) -> None:
        for backend in self._backends.values():
            backend.kill()

    def crash(self) -> None:
        """Cut the power: each goes back to its last checkpoint."""
        for backend in self._backends.values():
            backend.crash()
            backend.is_suspect = False

    def fill(self, *, is_full: bool) -> None:
        self._is_full = is_full
        for backend in self._backends.values():
            backend.is_full = is_full

    def fail_syncs(self, *, syncs_fail: bool) -> None:
        self._syncs_fail = syncs_fail
        for backend in self._backends.values():
            backend.syncs_fail = syncs_fail


class SimScheduler:
    """`Scheduler` on virtual time, by the machine's own clock."""

    def __init__(self, gate: Gate, rate: float, iteration_s: float) -> None:
        self._gate = gate
        self._rate = rate
        self._iteration_s = iteration_s

    def soon(self, action: Callable[[], None]) -> None:
        self._gate.post(self._iteration_s, action)

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        self._gate.post(delay_s / self._rate, action)


_Job = tuple[Callable[[], object], Callable[[object], None]]


class SimWorker:
    """`Worker` that takes virtual time; it can be held up."""

    def __init__(self, world: World, gate: Gate, duration_s: Callable[[], float]) -> None:
        self._world = world
        self._gate = gate
        self._duration_s = duration_s
        self._jobs: deque[_Job] = deque()
        self.held_until = 0.0

    def submit(
        self, work: Callable[[], _Result], done: Callable[[_Result | BaseException], None]
    ) -> None:
        self._jobs.append((work, done))  # type: ignore[arg-type]  # each `done` fits its `work`
        if len(self._jobs) == 1:
            self._gate.post(self._duration_s(), self._run)

    def cut_off(self) -> None:
        """Begin the job under way, and never come to its end: the power is gone."""
        if self._jobs:
            with suppress(PowerCut, Exception):
                self._jobs[0][0]()
        self._jobs.clear()

    def _run(self) -> None:
        if self._world.now < self.held_until:
            self._gate.post(_HELD_POLL_S, self._run)
            return
        work, done = self._jobs[0]
        result: object
        try:
            result = work()
        except Exception as problem:  # the loop is told, as by a thread
            result = problem
        self._jobs.popleft()
        if self._jobs:
            self._gate.post(self._duration_s(), self._run)
        self._gate.post(_HANDOVER_S, done, result)


class SimLinks:
    """`PeerLinks` over the simulated network."""

    def __init__(self, me: MemberId, world: World, network: SimNetwork, loss: float) -> None:
        self._me = me
        self._world = world
        self._network = network
        self.loss = loss
        """Chance that a message is dropped as if its queue were full."""
        self.linked: set[MemberId] = set()
        self.refused: frozenset[MemberId] = frozenset()
        self.dropped = 0

    def set_peers(self, peer_urls: Mapping[MemberId, tuple[str, ...]]) -> None:
        """Take note of nothing: everybody is connected with everybody."""

    def refuse(self, members: frozenset[MemberId]) -> None:
        """Remember who was removed."""
        self.refused = members

    def send(self, member: MemberId, channel: Channel, payload: bytes) -> bool:
        if self.loss and self._world.dice.random() < self.loss:
            self.dropped += 1
            return False
        return self._network.send(self._me, member, bytes((channel,)) + payload)

    def flush(self) -> None:
        """Nothing: what is sent is under way at once."""

    def has_room(self, member: MemberId, channel: Channel) -> bool:
        return True

    def is_linked(self, member: MemberId) -> bool:
        return member in self.linked
