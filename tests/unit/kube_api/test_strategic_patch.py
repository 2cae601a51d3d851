"""Strategic merge patch: the cases that clients send."""

from typing import Any

import pytest

from cluster.kube_api.errors import ApiError
from cluster.kube_api.schema import definition
from cluster.kube_api.strategic_patch import strategic_merge_patch

POD = definition("io.k8s.api.core.v1.Pod")
DEPLOYMENT = definition("io.k8s.api.apps.v1.Deployment")
SERVICE = definition("io.k8s.api.core.v1.Service")


def containers(*names: str) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": name, "image": name} for name in names]}}


def names(pod: dict[str, Any]) -> list[str]:
    return [container["name"] for container in pod["spec"]["containers"]]


def test_elements_are_found_by_their_key_merged_and_appended() -> None:
    patch = {"spec": {"containers": [{"name": "b", "image": "new"}, {"name": "c"}]}}
    pod = strategic_merge_patch(containers("a", "b"), patch, POD)
    assert pod["spec"]["containers"] == [
        {"name": "a", "image": "a"},
        {"name": "b", "image": "new"},
        {"name": "c"},
    ]


def test_an_element_is_removed_by_a_directive() -> None:
    patch = {"spec": {"containers": [{"$patch": "delete", "name": "a"}]}}
    assert names(strategic_merge_patch(containers("a", "b"), patch, POD)) == ["b"]


def test_a_list_or_an_object_is_replaced_by_a_directive() -> None:
    patch: dict[str, Any] = {"spec": {"containers": [{"$patch": "replace"}, {"name": "z"}]}}
    assert names(strategic_merge_patch(containers("a", "b"), patch, POD)) == ["z"]
    patch = {"metadata": {"labels": {"$patch": "replace", "b": "2"}}}
    live = {"metadata": {"labels": {"a": "1"}}}
    assert strategic_merge_patch(live, patch, POD) == {"metadata": {"labels": {"b": "2"}}}


def test_set_image_of_kubectl_keeps_the_order_it_names_and_the_place_of_others() -> None:
    patch = {
        "spec": {
            "$setElementOrder/containers": [{"name": "c"}, {"name": "a"}],
            "containers": [{"name": "a", "image": "new"}],
        }
    }
    pod = strategic_merge_patch(containers("a", "x", "c"), patch, POD)
    assert names(pod) == ["x", "c", "a"]  # x stood before c


def test_the_job_controller_takes_its_finalizer_from_a_pod() -> None:
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["b/c"]}}
    live = {"metadata": {"finalizers": ["a/b", "b/c"]}}
    assert strategic_merge_patch(live, patch, POD) == {"metadata": {"finalizers": ["a/b"]}}


def test_finalizers_are_united_and_tolerations_replaced() -> None:
    live = {"metadata": {"finalizers": ["a/b"]}, "spec": {"tolerations": [{"key": "x"}]}}
    patch = {
        "metadata": {"finalizers": ["a/b", "c/d"]},
        "spec": {"tolerations": [{"key": "y"}]},
    }
    assert strategic_merge_patch(live, patch, POD) == patch


def test_a_strategy_keeps_only_what_is_retained() -> None:
    live = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic_merge_patch(live, patch, DEPLOYMENT) == {
        "spec": {"strategy": {"type": "Recreate"}}
    }


def test_ports_are_found_by_the_first_key_only() -> None:
    live = {"spec": {"ports": [{"port": 80, "protocol": "TCP", "name": "a"}]}}
    patch = {"spec": {"ports": [{"port": 80, "protocol": "UDP"}]}}
    assert strategic_merge_patch(live, patch, SERVICE) == {
        "spec": {"ports": [{"port": 80, "protocol": "UDP", "name": "a"}]}
    }


def test_an_owner_reference_is_released_by_its_uid() -> None:
    live = {"metadata": {"ownerReferences": [{"uid": "1"}, {"uid": "2"}]}}
    patch = {"metadata": {"ownerReferences": [{"$patch": "delete", "uid": "1"}]}}
    assert strategic_merge_patch(live, patch, POD) == {
        "metadata": {"ownerReferences": [{"uid": "2"}]}
    }


def test_nulls_and_directives_of_what_was_not_there_leave_nothing() -> None:
    patch = {"spec": {"nodeName": None, "affinity": {"$patch": "delete", "podAffinity": None}}}
    assert strategic_merge_patch({}, patch, POD) == {"spec": {"affinity": {}}}


@pytest.mark.parametrize(
    "patch",
    [
        [],
        {"$patch": "nonsense"},
        {"spec": {"containers": [{"image": "without a key"}]}},
        {"spec": {"$setElementOrder/containers": {"name": "a"}}},
        {"spec": {"$retainKeys": "containers"}},
    ],
)
def test_a_patch_that_makes_no_sense_is_refused(patch: Any) -> None:
    with pytest.raises(ApiError) as refused:
        strategic_merge_patch(containers("a"), patch, POD)
    assert refused.value.code == 400
