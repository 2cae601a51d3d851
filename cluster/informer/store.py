"""A local copy of a collection, with indexes. Pure: who feeds it is the reflector's business."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from cluster.kube_api.objects import JsonObject, string_at

IndexFunction = Callable[[JsonObject], Iterable[str]]
"""Returns the values under which an object is to be found."""


def key_of(value: JsonObject) -> str:
    """Return `namespace/name`, or just the name of what has no namespace."""
    namespace = string_at(value, "metadata", "namespace")
    name = string_at(value, "metadata", "name")
    return f"{namespace}/{name}" if namespace else name


def split_key(key: str) -> tuple[str, str]:
    """Return namespace and name of a key."""
    namespace, _, name = key.rpartition("/")
    return namespace, name


@dataclass(frozen=True, slots=True)
class Change:
    """What became of an object: `old` is None when it is new here, `new` when it is gone."""

    old: JsonObject | None
    new: JsonObject | None

    @property
    def object(self) -> JsonObject:
        """The latest that is known of it."""
        found = self.new if self.new is not None else self.old
        assert found is not None, "a change of nothing"
        return found


class Store:
    """Objects by key. Invariant: every index equals what its function says of the objects held."""

    def __init__(self) -> None:
        self._objects: dict[str, JsonObject] = {}
        self._functions: dict[str, IndexFunction] = {}
        self._indexes: dict[str, dict[str, set[str]]] = {}

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, key: str) -> JsonObject | None:
        """Return an object, not to be changed."""
        return self._objects.get(key)

    def all(self) -> list[JsonObject]:
        """Return every object, in the order of keys."""
        return [self._objects[key] for key in sorted(self._objects)]

    def in_namespace(self, namespace: str) -> list[JsonObject]:
        """Return the objects of one namespace, in the order of names. Cost: one index look-up."""
        self.add_index("namespace", lambda value: [string_at(value, "metadata", "namespace")])
        return self.by_index("namespace", namespace)

    def add_index(self, name: str, function: IndexFunction) -> None:
        """Keep an index from now on; of one name only the first is kept."""
        if name in self._functions:
            return
        self._functions[name] = function
        index = self._indexes[name] = {}
        for key, value in self._objects.items():
            for entry in function(value):
                index.setdefault(entry, set()).add(key)

    def by_index(self, name: str, value: str) -> list[JsonObject]:
        """Return the objects that an index has under `value`, in the order of keys."""
        return [self._objects[key] for key in sorted(self._indexes[name].get(value, ()))]

    def put(self, value: JsonObject) -> Change:
        """Add or replace an object."""
        key = key_of(value)
        old = self._objects.get(key)
        if old is not None:
            self._unindex(key, old)
        self._objects[key] = value
        for name, function in self._functions.items():
            for entry in function(value):
                self._indexes[name].setdefault(entry, set()).add(key)
        return Change(old, value)

    def remove(self, key: str) -> Change | None:
        """Forget an object; None if it was not here."""
        old = self._objects.pop(key, None)
        if old is None:
            return None
        self._unindex(key, old)
        return Change(old, None)

    def replace(self, values: Iterable[JsonObject]) -> list[Change]:
        """Hold just `values` from now on; return what differs from before."""
        wanted: Mapping[str, JsonObject] = {key_of(value): value for value in values}
        gone = [change for key in set(self._objects) - set(wanted) if (change := self.remove(key))]
        changes = [self.put(value) for value in wanted.values()]
        return gone + [change for change in changes if _differs(change)]

    def _unindex(self, key: str, value: JsonObject) -> None:
        for name, function in self._functions.items():
            index = self._indexes[name]
            for entry in function(value):
                keys = index[entry]
                keys.discard(key)
                if not keys:
                    del index[entry]


def _differs(change: Change) -> bool:
    path = ("metadata", "resourceVersion")
    return change.old is None or string_at(change.old, *path) != string_at(change.object, *path)
