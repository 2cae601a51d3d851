"""A store and its indexes always say the same."""

from hypothesis import given
from hypothesis import strategies as st

from cluster.informer.store import Store, key_of
from cluster.kube_api.objects import JsonObject


def thing(name: str, version: int, color: str = "red") -> JsonObject:
    metadata = {"namespace": "n", "name": name, "resourceVersion": str(version)}
    return {"metadata": metadata, "color": color}


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["put", "remove", "replace"]),
        st.sampled_from("abcd"),
        st.sampled_from(["red", "blue"]),
    )
)


@given(OPERATIONS)
def test_an_index_equals_a_search_of_all_objects(operations: list[tuple[str, str, str]]) -> None:
    store = Store()
    store.add_index("color", lambda one: [one["color"]])
    model: dict[str, JsonObject] = {}
    for version, (operation, name, color) in enumerate(operations):
        value = thing(name, version, color)
        if operation == "put":
            store.put(value)
            model[key_of(value)] = value
        elif operation == "remove":
            change = store.remove(key_of(value))
            assert (change is None) == (model.pop(key_of(value), None) is None)
        else:
            store.replace([value])
            model = {key_of(value): value}
    assert store.all() == [model[key] for key in sorted(model)]
    for color in ("red", "blue"):
        expected = [model[key] for key in sorted(model) if model[key]["color"] == color]
        assert store.by_index("color", color) == expected


def test_replacing_tells_what_is_new_what_changed_and_what_went() -> None:
    store = Store()
    store.replace([thing("same", 1), thing("changed", 2), thing("gone", 3)])
    changes = store.replace([thing("same", 1), thing("changed", 4), thing("new", 5)])
    told = {
        change.object["metadata"]["name"]: (change.old is not None, change.new is not None)
        for change in changes
    }
    assert told == {"changed": (True, True), "gone": (True, False), "new": (False, True)}
