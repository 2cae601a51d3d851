"""How defaults are set: where nothing is there, in place."""

from collections.abc import Callable, Iterator

from cluster.kube_api.objects import JsonObject, JsonValue

Setter = Callable[[JsonObject], None]


def default(obj: JsonObject, **values: JsonValue) -> None:
    """Give the fields that are absent or null their values."""
    for name, value in values.items():
        if obj.get(name) is None:
            obj[name] = value


def struct(obj: JsonObject, name: str) -> JsonObject:
    """Return the struct `name` of `obj`, made if it is absent."""
    found = obj.get(name)
    if not isinstance(found, dict):
        found = obj[name] = {}
    return found


def each(obj: JsonObject, name: str) -> Iterator[JsonObject]:
    """Return the structs of the list `name`, if there is one."""
    yield from (one for one in obj.get(name) or () if isinstance(one, dict))
