"""JSON Patch and JSON Merge Patch."""

from typing import Any

import pytest

from cluster.kube_api.errors import ApiError
from cluster.kube_api.patches import json_patch, merge_patch


@pytest.mark.parametrize(
    ("operations", "result"),
    [
        ([{"op": "add", "path": "/c", "value": 1}], {"a": [1, 2], "b": {"x/y": 1}, "c": 1}),
        ([{"op": "add", "path": "/a/-", "value": 3}], {"a": [1, 2, 3], "b": {"x/y": 1}}),
        ([{"op": "add", "path": "/a/0", "value": 0}], {"a": [0, 1, 2], "b": {"x/y": 1}}),
        ([{"op": "remove", "path": "/b/x~1y"}], {"a": [1, 2], "b": {}}),
        ([{"op": "move", "from": "/a/0", "path": "/b/z"}], {"a": [2], "b": {"x/y": 1, "z": 1}}),
        ([{"op": "copy", "from": "/a", "path": "/b"}], {"a": [1, 2], "b": [1, 2]}),
        ([{"op": "replace", "path": "", "value": 5}], 5),
        ([{"op": "test", "path": "/none", "value": None}], {"a": [1, 2], "b": {"x/y": 1}}),
    ],
)
def test_operations_change_a_copy(operations: list[Any], result: Any) -> None:
    target = {"a": [1, 2], "b": {"x/y": 1}}
    assert json_patch(target, operations) == result
    assert target == {"a": [1, 2], "b": {"x/y": 1}}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/none"},
        {"op": "replace", "path": "/none", "value": 1},
        {"op": "add", "path": "/none/x", "value": 1},
        {"op": "add", "path": "/a/9", "value": 1},
        {"op": "add", "path": "/a/x", "value": 1},
        {"op": "test", "path": "/one", "value": True},
        {"op": "nonsense", "path": "/a"},
        {"op": "add", "path": "a", "value": 1},
        {"op": "add", "path": "/a"},
        {"op": "move", "from": "/b", "path": "/b/c"},
    ],
)
def test_an_operation_that_does_not_fit_is_unprocessable(operation: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as refused:
        json_patch({"a": [1, 2], "b": {}, "one": 1}, [operation])
    assert refused.value.code == 422
    assert refused.value.message == "the server rejected our request due to an error in our request"


def test_copies_of_copies_end_at_a_bound() -> None:
    doubling = [{"op": "copy", "from": "", "path": f"/{at}"} for at in range(64)]
    with pytest.raises(ApiError) as refused:
        json_patch({"a": 1}, doubling)
    assert refused.value.code == 413


def test_a_merge_patch_removes_by_null_and_replaces_lists() -> None:
    target = {"a": {"b": 1, "c": 2}, "l": [1]}
    assert merge_patch(target, {"a": {"b": None}, "l": [2], "n": {"x": None}}) == {
        "a": {"c": 2},
        "l": [2],
        "n": {},
    }
