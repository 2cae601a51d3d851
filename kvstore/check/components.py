"""Which things belong together: the connected components that shared names make."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def components(
    things: Sequence[Item], names_of: Callable[[Item], Iterable[str]]
) -> list[tuple[str, list[Item]]]:
    """Group `things` so that those which share a name, directly or by others, are together.

    Each group comes with its first name; groups and their things keep the order given.
    """
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    firsts = []
    for thing in things:
        names = list(names_of(thing)) or [""]
        firsts.append(names[0])
        for name in names:
            parent[root(name)] = root(names[0])
    groups: dict[str, tuple[str, list[Item]]] = {}
    for thing, first in zip(things, firsts, strict=True):
        groups.setdefault(root(first), (first, []))[1].append(thing)
    return list(groups.values())
