"""Linearizability, by search: is there an order of the operations that explains what was seen?

The algorithm is Wing and Gong's, with Lowe's cache of configurations ("Testing for
linearizability", 2017) and Horn and Kroening's P-compositionality ("Faster linearizability
checking", 2015): a model says into which parts a history may be cut, and each is searched alone.

A configuration is the set of operations placed so far and the state they lead to. Placing goes on
with any operation that was invoked before every operation that is not yet placed had returned.
Three things keep the search small, and lose nothing:

* An operation that leaves the state as it is, and whose result fits, is placed at once: whatever
  order exists with it later exists with it now.
* Operations of unknown outcome never have to be placed: as few as possible come before a known one.
* A configuration is not entered if one with the same state, the same known operations and a subset
  of the unknown ones was entered before: that one could do all that this one can.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from kvstore.check.history import FOREVER, Operation, Outcome
from kvstore.check.verdict import Budget, Finding, Verdict

State = TypeVar("State")


@dataclass(frozen=True, slots=True)
class Call(Generic[State]):
    """An operation as the search sees it."""

    index: int | None
    """Of the operation; None for what the store does by itself."""
    invoked: float
    completed: float
    """`FOREVER`: the outcome is unknown, so it need not be placed."""
    step: Callable[[State], State | None]
    """The state after it, or None if it cannot have had its result in this state. Returns the
    state it was given, or an equal one, if it changes nothing."""
    text: str = ""
    """What happens by itself, in words; empty for an operation."""


@dataclass(frozen=True, slots=True)
class Part(Generic[State]):
    """Operations that are independent of all others, and the state they begin with."""

    name: str
    initial: State
    calls: tuple[Call[State], ...]


class Model(Protocol[State]):
    """What the store promises to be when it is asked one thing at a time.

    States are immutable and hashable.
    """

    name: str

    def parts(self, operations: Sequence[Operation]) -> list[Part[State]]:
        """Cut the operations (none refused) into independent parts.

        Raises:
            MalformedHistory: an operation is none of this model's.
        """
        ...

    def describe(self, state: State) -> str:
        """Return the state in words, for reports."""
        ...


class _Node(NamedTuple, Generic[State]):
    """A configuration: the required calls below `base` and those in `window` are placed."""

    base: int
    window: int
    """A bit for each required call from `base` on."""
    taken: int
    """The optional calls placed, a bit each."""
    state: State


_Move: TypeAlias = tuple[tuple[Call[State], ...], _Node[State]]
"""What to place next, and where it leads."""


@dataclass(frozen=True, slots=True)
class Placed(Generic[State]):
    """How far a search came."""

    verdict: Verdict
    order: tuple[Call[State], ...]
    """An explanation if it holds; else the longest beginning of one that was found."""
    state: State
    """After `order`."""
    stuck: tuple[Call[State], ...]
    """The calls one of which would have to come next, and cannot."""


class Search(Generic[State]):
    """One part's search; `run` once."""

    def __init__(self, part: Part[State], budget: Budget) -> None:
        calls = sorted(part.calls, key=lambda call: call.invoked)
        self._required = [call for call in calls if call.completed != FOREVER]
        self._optional = [call for call in calls if call.completed == FOREVER]
        self._invoked = [call.invoked for call in self._required]
        self._completed = [call.completed for call in self._required]
        self._initial = part.initial
        self._budget = budget
        # (base, window, state) -> the minimal sets of optional calls it was entered with
        self._entered: dict[tuple[int, int, State], list[int]] = {}

    def run(self) -> Placed[State]:
        """Search until an order is found, none is left to try, or the budget is spent."""
        count = len(self._required)
        node = _Node(0, 0, 0, self._initial)
        path: list[tuple[Call[State], ...]] = []
        best: tuple[int, tuple[Call[State], ...], _Node[State]] = (-1, (), node)
        stack = [(node, self._moves(node))]
        while stack:
            node, moves = stack[-1]
            if node.base == count:
                return Placed(Verdict.HOLDS, tuple(chain.from_iterable(path)), node.state, ())
            for calls, child in moves:
                if self._is_new(child):
                    path.append(calls)
                    stack.append((child, self._moves(child)))
                    break
            else:
                depth = node.base + node.window.bit_count()
                if depth > best[0]:
                    best = (depth, tuple(chain.from_iterable(path)), node)
                if self._budget.is_spent:
                    return self._ended(Verdict.UNKNOWN, best)
                stack.pop()
                if path:
                    path.pop()
        return self._ended(Verdict.VIOLATED, best)

    def _ended(
        self, verdict: Verdict, best: tuple[int, tuple[Call[State], ...], _Node[State]]
    ) -> Placed[State]:
        _, order, node = best
        places, _ = self._next_required(node)
        return Placed(verdict, order, node.state, tuple(self._required[i] for i in places))

    def _moves(self, node: _Node[State]) -> Iterator[_Move[State]]:
        """Yield each next required call, after none, one, two ... optional calls that lead to it.

        Ends early when the budget does.
        """
        places, bound = self._next_required(node)
        queue: deque[_Move[State]] = deque([((), node)])
        while queue:
            calls, current = queue.popleft()
            changing, is_settled = [], False
            for place in places:
                if not self._budget.spend():
                    return
                call = self._required[place]
                after = call.step(current.state)
                if after is None:
                    continue
                move = ((*calls, call), self._place(current, place, after))
                if after == current.state:
                    yield move
                    is_settled = True
                    break
                changing.append(move)
            if not is_settled:
                yield from changing
                queue += self._optional_moves(calls, current, bound)

    def _optional_moves(
        self, calls: tuple[Call[State], ...], node: _Node[State], bound: float
    ) -> Iterator[_Move[State]]:
        for number, call in enumerate(self._optional):
            bit = 1 << number
            if call.invoked > bound or not self._budget.spend():
                return
            if node.taken & bit:
                continue
            after = call.step(node.state)
            if after is not None and after != node.state:
                child = _Node(node.base, node.window, node.taken | bit, after)
                if self._is_new(child):
                    yield (*calls, call), child

    def _next_required(self, node: _Node[State]) -> tuple[list[int], float]:
        """Return the required calls that no other unplaced one precedes, and their first return."""
        invoked, completed = self._invoked, self._completed
        pending, bound, found = ~node.window, FOREVER, []
        while True:
            lowest = pending & -pending
            place = node.base + lowest.bit_length() - 1
            if place >= len(invoked) or invoked[place] > bound:
                break
            found.append(place)
            bound = min(bound, completed[place])
            pending ^= lowest
        return [place for place in found if invoked[place] <= bound], bound

    def _place(self, node: _Node[State], place: int, state: State) -> _Node[State]:
        window = node.window | 1 << (place - node.base)
        ones = (~window & (window + 1)).bit_length() - 1
        return _Node(node.base + ones, window >> ones, node.taken, state)

    def _is_new(self, node: _Node[State]) -> bool:
        entered = self._entered.setdefault((node.base, node.window, node.state), [])
        if any(taken & ~node.taken == 0 for taken in entered):
            return False
        entered[:] = [taken for taken in entered if node.taken & ~taken]
        entered.append(node.taken)
        return True


def linearizable(
    operations: Sequence[Operation], model: Model[State], budget: Budget
) -> tuple[Finding, Part[State] | None]:
    """Judge the operations; with a violation comes the part that shows it.

    Raises:
        MalformedHistory: an operation is none of the model's.
    """
    guarantee = f"linearizable ({model.name})"
    parts = model.parts([o for o in operations if o.outcome is not Outcome.REFUSED])
    undecided = []
    for part in parts:
        placed = Search(part, budget).run()
        if placed.verdict is Verdict.VIOLATED:
            return _violation(guarantee, model, part, placed), part
        if placed.verdict is Verdict.UNKNOWN:
            undecided.append(part.name)
    if undecided:
        return Finding(
            guarantee=guarantee,
            verdict=Verdict.UNKNOWN,
            summary=f"unknown: the budget was spent with {len(undecided)} of {len(parts)} parts "
            f"undecided, the first being {undecided[0]}",
        ), None
    count = sum(len(part.calls) for part in parts)
    return Finding(
        guarantee=guarantee,
        verdict=Verdict.HOLDS,
        summary=f"an order was found for {count} operations in {len(parts)} independent parts",
    ), None


def _violation(
    guarantee: str, model: Model[State], part: Part[State], placed: Placed[State]
) -> Finding:
    shown = placed.order[-3:]
    indexes = [call.index for call in (*shown, *placed.stuck) if call.index is not None]
    return Finding(
        guarantee=guarantee,
        verdict=Verdict.VIOLATED,
        summary=f"no order of the operations on {part.name} explains their results",
        operations=tuple(dict.fromkeys(indexes)),
        steps=(
            f"at best {len(placed.order)} of {len(part.calls)} operations can be placed, "
            f"and lead to: {model.describe(placed.state)}",
            "one of these would have to come next, and none fits: "
            + ", ".join(f"#{call.index}" for call in placed.stuck),
        ),
    )
