"""A network of nodes in a `World`.

A link between two nodes is up or not, and has an epoch that grows with each connect. Each direction
is a FIFO, as TCP's is. When a link breaks, part of what was under way may still arrive later, even
during the next epoch, as what lies in an old socket's buffer does: it is marked stale.

`unordered` repeats and reorders messages besides, which nothing but a datagram network does.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from kvstore.base.ids import MemberId
from tests.support.world import World


class Endpoint(Protocol):
    """A node, as the network sees it."""

    @property
    def is_alive(self) -> bool: ...

    def link_up(self, peer: MemberId) -> None: ...

    def link_down(self, peer: MemberId) -> None: ...

    def deliver(self, sender: MemberId, message: bytes, *, is_stale: bool) -> None: ...


@dataclass(slots=True)
class _Direction:
    queue: deque[tuple[float, int, bytes]] = field(default_factory=deque)
    last_due: float = 0.0
    stalled_until: float = 0.0
    is_pumping: bool = False


Pair = tuple[MemberId, MemberId]


def pair_of(one: MemberId, two: MemberId) -> Pair:
    """Return the link between two nodes."""
    return (one, two) if one < two else (two, one)


class SimNetwork:
    """All links."""

    def __init__(
        self,
        world: World,
        *,
        delay_s: tuple[float, float],
        leftovers: float = 0.5,
        unordered: bool = False,
    ) -> None:
        self._world = world
        self._delay_s = delay_s
        self._leftovers = leftovers
        self._unordered = unordered
        self._endpoints: dict[MemberId, Endpoint] = {}
        self._pairs = 0
        self._up: dict[Pair, int] = {}
        self._cut: set[Pair] = set()
        self._directions: dict[Pair, _Direction] = {}
        self._epoch = 0
        self.messages_sent = 0
        self.stale_messages = 0

    def attach(self, node: MemberId, endpoint: Endpoint) -> None:
        """Make a node reachable."""
        count = len(self._endpoints)
        self._pairs += count
        self._endpoints[node] = endpoint

    # --- links

    def is_up(self, one: MemberId, two: MemberId) -> bool:
        """Whether the two are connected."""
        return pair_of(one, two) in self._up

    def connect_all(self) -> None:
        """Connect what is alive and not cut."""
        if len(self._up) == self._pairs:
            return
        nodes = [node for node in sorted(self._endpoints) if self._endpoints[node].is_alive]
        for position, one in enumerate(nodes):
            for two in nodes[position + 1 :]:
                self._connect(one, two)

    def break_link(self, one: MemberId, two: MemberId, *, loses_all: bool = False) -> None:
        """End a link; it may be connected again at once."""
        pair = pair_of(one, two)
        if self._up.pop(pair, None) is None:
            return
        dice, now = self._world.dice, self._world.now
        for direction_of in ((one, two), (two, one)):
            direction = self._direction(direction_of)
            if not loses_all and direction.queue and dice.random() < self._leftovers:
                lag = dice.random() * dice.choice((0.0, 0.1, 1.0))
                kept = dice.randint(0, len(direction.queue))
                for due, epoch, message in list(direction.queue)[:kept]:
                    arrival = max(due, direction.stalled_until, now) + lag
                    self._world.at(arrival, self._hand, direction_of, epoch, message)
            self._directions[direction_of] = _Direction()
        for node, peer in ((one, two), (two, one)):
            if self._endpoints[node].is_alive:
                self._endpoints[node].link_down(peer)

    def cut(self, one: MemberId, two: MemberId, *, loses_all: bool = False) -> None:
        """End a link, and keep it down until healed."""
        self._cut.add(pair_of(one, two))
        self.break_link(one, two, loses_all=loses_all)

    def heal(self) -> None:
        """Allow all links again, and let nothing be stalled."""
        self._cut.clear()
        for direction in self._directions.values():
            direction.stalled_until = 0.0

    def stall(self, sender: MemberId, receiver: MemberId, until: float) -> None:
        """Hold up one direction: the other still flows, and nothing is lost."""
        direction = self._direction((sender, receiver))
        direction.stalled_until = max(direction.stalled_until, until)

    def drop_node(self, node: MemberId) -> None:
        """A node has died: its links end, and nothing on its way to it survives."""
        for peer in sorted(self._endpoints):
            if peer != node:
                self._directions[peer, node] = _Direction()
                self.break_link(node, peer)

    # --- messages

    def send(self, sender: MemberId, receiver: MemberId, message: bytes) -> bool:
        """Send over the link, if it is up."""
        epoch = self._up.get(pair_of(sender, receiver))
        if epoch is None:
            return False
        self.messages_sent += 1
        world, dice = self._world, self._world.dice
        delay = dice.uniform(*self._delay_s)
        direction = self._direction((sender, receiver))
        if self._unordered:
            for _ in range(2 if dice.random() < 0.05 else 1):
                late = 1 if dice.random() < 0.97 else dice.choice((3, 10, 50))
                due = max(world.now + delay * late, direction.stalled_until)
                world.at(due, self._hand, (sender, receiver), epoch, message)
            return True
        due = direction.last_due = max(direction.last_due, world.now + delay)
        direction.queue.append((due, epoch, message))
        if not direction.is_pumping:
            direction.is_pumping = True
            world.at(due, self._pump, (sender, receiver), direction)
        return True

    def send_aside(
        self, sender: MemberId, receiver: MemberId, message: bytes, delay_s: float
    ) -> None:
        """Send something long, which does not hold up the rest."""
        epoch = self._up.get(pair_of(sender, receiver))
        if epoch is not None:
            self._world.after(delay_s, self._hand, (sender, receiver), epoch, message)

    # --- inside

    def _connect(self, one: MemberId, two: MemberId) -> None:
        pair = pair_of(one, two)
        if pair in self._up or pair in self._cut:
            return
        self._epoch += 1
        self._up[pair] = self._epoch
        self._endpoints[one].link_up(two)
        self._endpoints[two].link_up(one)

    def _direction(self, direction: Pair) -> _Direction:
        found = self._directions.get(direction)
        if found is None:
            found = self._directions[direction] = _Direction()
        return found

    def _pump(self, between: Pair, direction: _Direction) -> None:
        if direction is not self._directions.get(between) or not direction.queue:
            direction.is_pumping = False
            return
        due, epoch, message = direction.queue[0]
        due = max(due, direction.stalled_until)
        if due > self._world.now:
            self._world.at(due, self._pump, between, direction)
            return
        direction.queue.popleft()
        if direction.queue:
            self._world.at(
                max(direction.queue[0][0], self._world.now), self._pump, between, direction
            )
        else:
            direction.is_pumping = False
        self._hand(between, epoch, message)

    def _hand(self, between: Pair, epoch: int, message: bytes) -> None:
        sender, receiver = between
        endpoint = self._endpoints[receiver]
        if not endpoint.is_alive:
            return
        is_stale = epoch != self._up.get(pair_of(sender, receiver))
        self.stale_messages += is_stale
        endpoint.deliver(sender, message, is_stale=is_stale)
