"""Directed graphs with kinds of edges, and the shortest cycles of a given make-up."""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

Node = int

_TRIES_MAX = 500
"""Edges that a search for the shortest cycle begins with."""
_LENGTH_MIN = 2


class Edge(NamedTuple):
    """Why `target` comes after `source`."""

    source: Node
    kind: str
    target: Node
    why: str


@dataclass(slots=True)
class Graph:
    """Edges by their source; the first of several alike is kept."""

    _edges: dict[Node, dict[tuple[str, Node], Edge]] = field(default_factory=dict)

    def add(self, edge: Edge) -> None:
        """Add an edge; one from a node to itself says nothing, and is left out."""
        if edge.source != edge.target:
            self._edges.setdefault(edge.source, {}).setdefault((edge.kind, edge.target), edge)
            self._edges.setdefault(edge.target, {})

    def edges_from(self, node: Node, kinds: Collection[str]) -> Iterator[Edge]:
        """Yield the edges of these kinds that leave `node`."""
        return (edge for edge in self._edges.get(node, {}).values() if edge.kind in kinds)

    def knots(self, kinds: Collection[str]) -> list[frozenset[Node]]:
        """Return the strongly connected components that hold a cycle of these kinds (Tarjan)."""
        walk = _Walk(lambda node: self.edges_from(node, kinds))
        for start in self._edges:
            walk.visit(start)
        return walk.knots

    def shortest_path(
        self, start: Node, goal: Node, kinds: Collection[str], inside: Collection[Node]
    ) -> list[Edge] | None:
        """Return the fewest edges of these kinds from `start` to `goal` that stay `inside`."""
        if start == goal:
            return []
        came_by: dict[Node, Edge] = {}
        queue = deque([start])
        while queue:
            node = queue.popleft()
            for edge in self.edges_from(node, kinds):
                target = edge.target
                if target not in inside or target in came_by or target == start:
                    continue
                came_by[target] = edge
                if target == goal:
                    return _way_back(came_by, start, goal)
                queue.append(target)
        return None

    def short_cycle(self, first: Collection[str], rest: Collection[str]) -> list[Edge] | None:
        """Return a cycle of one edge of a kind in `first`, the others in `rest`; None if none is.

        In a very tangled graph it may not be the shortest, and where `rest` lacks kinds of `first`
        it may be missed.
        """
        best: list[Edge] | None = None
        tries = _TRIES_MAX
        for knot in self.knots({*first, *rest}):
            for edge in self._inside(knot, first):
                path = self.shortest_path(edge.target, edge.source, rest, knot)
                if path is not None and (best is None or len(path) + 1 < len(best)):
                    best = [edge, *path]
                tries -= 1
                if tries == 0 or (best is not None and len(best) == _LENGTH_MIN):
                    return best
        return best

    def _inside(self, knot: frozenset[Node], kinds: Collection[str]) -> Iterable[Edge]:
        for node in sorted(knot):
            for edge in self.edges_from(node, kinds):
                if edge.target in knot:
                    yield edge


def _way_back(came_by: dict[Node, Edge], start: Node, goal: Node) -> list[Edge]:
    path = []
    node = goal
    while node != start:
        path.append(came_by[node])
        node = came_by[node].source
    return path[::-1]


class _Walk:
    """Tarjan's walk, without recursion: a long cycle would be too deep for it."""

    def __init__(self, edges_from: Callable[[Node], Iterator[Edge]]) -> None:
        self.knots: list[frozenset[Node]] = []
        self._edges_from = edges_from
        self._index: dict[Node, int] = {}
        self._low: dict[Node, int] = {}
        self._waiting: dict[Node, None] = {}
        """A stack whose members are quickly found: its order is that of arrival."""
        self._path: list[tuple[Node, Iterator[Edge]]] = []

    def visit(self, start: Node) -> None:
        """Walk all that can be reached from `start` and was not visited yet."""
        if start not in self._index:
            self._enter(start)
        while self._path:
            node, edges = self._path[-1]
            for edge in edges:
                if edge.target not in self._index:
                    self._enter(edge.target)
                    break
                if edge.target in self._waiting:
                    self._low[node] = min(self._low[node], self._index[edge.target])
            else:
                self._leave(node)

    def _enter(self, node: Node) -> None:
        self._index[node] = self._low[node] = len(self._index)
        self._waiting[node] = None
        self._path.append((node, self._edges_from(node)))

    def _leave(self, node: Node) -> None:
        self._path.pop()
        if self._path:
            parent = self._path[-1][0]
            self._low[parent] = min(self._low[parent], self._low[node])
        if self._low[node] == self._index[node]:
            knot = [self._waiting.popitem()[0]]
            while knot[-1] != node:
                knot.append(self._waiting.popitem()[0])
            if len(knot) > 1:
                self.knots.append(frozenset(knot))
