"""The laws of server-side apply and of strategic merge patch."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.kube_api.apply import Manager, Writer, applied, updated
from cluster.kube_api.apply.managers import read
from cluster.kube_api.apply.structure import field_set
from cluster.kube_api.errors import ApiError
from cluster.kube_api.schema import Schema, definition
from cluster.kube_api.strategic_patch import strategic_merge_patch

WIDGET = Schema(
    {
        "type": "object",
        "properties": {
            "metadata": {"type": "object"},
            "spec": {
                "type": "object",
                "properties": {
                    "size": {"type": "integer"},
                    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                    "whole": {
                        "type": "object",
                        "additionalProperties": {"type": "string"},
                        "x-kubernetes-map-type": "atomic",
                    },
                    "set": {
                        "type": "array",
                        "items": {"type": "string"},
                        "x-kubernetes-list-type": "set",
                    },
                    "parts": {
                        "type": "array",
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["name"],
                        "items": {
                            "type": "object",
                            "properties": {
                                "name": {"type": "string"},
                                "value": {"type": "integer"},
                                "other": {"type": "integer"},
                            },
                        },
                    },
                },
            },
        },
    }
)
NAMES = st.sampled_from(["a", "b", "c"])
SMALL = st.integers(0, 2)
PARTS = st.lists(NAMES, unique=True, max_size=3).flatmap(
    lambda names: st.tuples(
        *(
            st.fixed_dictionaries(
                {"name": st.just(name)}, optional={"value": SMALL, "other": SMALL}
            )
            for name in names
        )
    ).map(list)
)
SPECS = st.fixed_dictionaries(
    {},
    optional={
        "size": SMALL,
        "labels": st.dictionaries(NAMES, NAMES, max_size=2),
        "whole": st.dictionaries(NAMES, NAMES, max_size=2),
        "set": st.lists(NAMES, unique=True, max_size=3),
        "parts": PARTS,
    },
)


def widget(spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "e.io/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec}


CONFIGS = SPECS.map(widget)


def writer(name: str, operation: str = "Apply") -> Writer:
    return Writer(Manager(name, operation, "e.io/v1"), "2026-01-01T00:00:00Z")


def apply(config: Any, live: Any, name: str, *, force: bool = True) -> dict[str, Any]:
    return applied(config, live, WIDGET, writer(name), force=force)


def owned(obj: dict[str, Any], name: str, operation: str = "Apply") -> frozenset[Any]:
    managers = read(obj["metadata"].get("managedFields"))
    found = managers.get(writer(name, operation).manager)
    return found.paths if found else frozenset()


def spec_paths(obj: dict[str, Any]) -> frozenset[Any]:
    return frozenset(path for path in field_set(obj, WIDGET) if path[0] == "f:spec")


def there(obj: dict[str, Any]) -> set[Any]:
    """Every path of the object, of what is within others and of what they are within."""
    return {path[:length] for path in spec_paths(obj) for length in range(1, len(path) + 1)}


@settings(max_examples=60, deadline=None)
@given(CONFIGS, CONFIGS, CONFIGS)
def test_applying_again_changes_nothing(first: Any, second: Any, third: Any) -> None:
    obj = apply(second, apply(first, None, "one"), "two")
    obj = apply(third, obj, "one")
    assert apply(third, obj, "one") == obj


@settings(max_examples=60, deadline=None)
@given(CONFIGS, CONFIGS)
def test_what_was_applied_is_there_and_is_what_its_manager_owns(first: Any, second: Any) -> None:
    obj = apply(second, apply(first, None, "one"), "two")
    assert owned(obj, "two") == spec_paths(second)
    assert spec_paths(second) <= there(obj)
    again = apply(second, obj, "two", force=False)  # nobody else owns another value
    assert again["spec"] == obj["spec"]


@settings(max_examples=60, deadline=None)
@given(CONFIGS, CONFIGS)
def test_what_nobody_wants_any_more_is_gone(first: Any, second: Any) -> None:
    obj = apply(second, apply(first, None, "one"), "two")
    empty = {key: value for key, value in widget({}).items() if key != "spec"}
    obj = apply(empty, apply(empty, obj, "one"), "two")
    assert not obj.get("spec")
    assert "managedFields" not in obj["metadata"]


@settings(max_examples=60, deadline=None)
@given(CONFIGS, CONFIGS)
def test_without_force_an_apply_succeeds_or_names_another_owner_of_another_value(
    first: Any, second: Any
) -> None:
    live = apply(first, None, "one")
    try:
        obj = apply(second, live, "two", force=False)
    except ApiError as refused:
        causes = (refused.details or {})["causes"]
        assert causes
        assert {cause["message"] for cause in causes} == {'conflict with "one"'}
        return
    assert owned(obj, "one") == owned(live, "one")


@settings(max_examples=60, deadline=None)
@given(CONFIGS, CONFIGS)
def test_an_update_owns_what_it_changed_and_nobody_owns_what_is_not_there(
    first: Any, second: Any
) -> None:
    live = apply(first, None, "one")
    obj = updated(second, live, WIDGET, writer("two", "Update"))
    assert not owned(obj, "one") & owned(obj, "two", "Update")
    assert owned(obj, "one") | owned(obj, "two", "Update") <= there(obj)


POD = definition("io.k8s.api.core.v1.Pod")
CONTAINERS = st.lists(NAMES, unique=True, max_size=3).map(
    lambda names: [{"name": name, "image": name} for name in names]
)
PODS = st.fixed_dictionaries(
    {
        "metadata": st.fixed_dictionaries(
            {}, optional={"labels": st.dictionaries(NAMES, NAMES), "finalizers": st.just(["a/b"])}
        ),
        "spec": st.fixed_dictionaries(
            {"containers": CONTAINERS}, optional={"nodeName": NAMES, "tolerations": st.just([])}
        ),
    }
)


@settings(max_examples=60, deadline=None)
@given(PODS, PODS)
def test_a_strategic_patch_applied_twice_is_applied_once(live: Any, patch: Any) -> None:
    once = strategic_merge_patch(live, patch, POD)
    assert strategic_merge_patch(once, patch, POD) == once


@settings(max_examples=60, deadline=None)
@given(PODS)
def test_an_object_patches_itself_to_itself_and_nothing_to_itself(pod: Any) -> None:
    assert strategic_merge_patch(pod, pod, POD) == pod
    assert strategic_merge_patch({}, pod, POD) == pod
    assert strategic_merge_patch(pod, {}, POD) == pod


@settings(max_examples=60, deadline=None)
@given(PODS, PODS)
def test_a_strategic_patch_leaves_elements_that_it_does_not_name(live: Any, patch: Any) -> None:
    merged = strategic_merge_patch(live, patch, POD)["spec"]["containers"]
    named = {one["name"] for one in (*live["spec"]["containers"], *patch["spec"]["containers"])}
    assert {one["name"] for one in merged} == named
    assert len(merged) == len(named)
