"""Server-side apply: recorded cases of a real API server."""

import json
from typing import Any

import pytest

from cluster.kube_api.apply import Manager, Writer, applied, configuration, updated
from cluster.kube_api.catalogue import BY_PLURAL
from cluster.kube_api.decoding import decoded
from cluster.kube_api.defaults import defaulted
from cluster.kube_api.errors import ApiError
from cluster.kube_api.schema import Schema, definition

CONFIG_MAP = definition("io.k8s.api.core.v1.ConfigMap")
DEPLOYMENT = definition("io.k8s.api.apps.v1.Deployment")
NOW = "2026-11-25T12:00:00Z"


def applier(name: str, *, subresource: str = "", version: str = "v1") -> Writer:
    return Writer(Manager(name, "Apply", version, subresource), NOW)


def updater(name: str, *, version: str = "v1", subresource: str = "") -> Writer:
    return Writer(Manager(name, "Update", version, subresource), NOW)


def config_map(**data: str) -> dict[str, Any]:
    body: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}}
    return body | ({"data": data} if data else {})


def fields(obj: dict[str, Any]) -> dict[str, Any]:
    return {entry["manager"]: entry["fieldsV1"] for entry in obj["metadata"]["managedFields"]}


def apply(
    config: dict[str, Any],
    live: Any,
    name: str,
    *,
    force: bool = False,
    schema: Schema = CONFIG_MAP,
) -> dict[str, Any]:
    return applied(config, live, schema, applier(name), force=force)


def test_two_managers_of_a_config_map() -> None:
    obj = apply(config_map(x="1", y="1"), None, "a")
    with pytest.raises(ApiError) as refused:
        apply(config_map(x="2"), obj, "b")
    assert refused.value.status() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'Apply failed with 1 conflict: conflict with "a": .data.x',
        "reason": "Conflict",
        "details": {
            "causes": [
                {
                    "reason": "FieldManagerConflict",
                    "message": 'conflict with "a"',
                    "field": ".data.x",
                }
            ]
        },
        "code": 409,
    }
    obj = apply(config_map(x="2"), obj, "b", force=True)
    assert obj["data"] == {"x": "2", "y": "1"}
    assert fields(obj) == {"a": {"f:data": {"f:y": {}}}, "b": {"f:data": {"f:x": {}}}}
    obj = apply(config_map(x="2", y="1"), obj, "b")
    assert fields(obj)["b"] == {"f:data": {"f:x": {}, "f:y": {}}}
    obj = apply(config_map(), obj, "a")
    assert obj["data"] == {"x": "2", "y": "1"}
    obj = apply(config_map(), obj, "b")
    assert "data" not in obj
    assert "managedFields" not in obj["metadata"]


def test_a_created_deployment_is_owned_as_kubectl_create_owns_it() -> None:
    resource = BY_PLURAL["apps", "v1", "deployments"]
    body = {
        "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "nginx", "image": "nginx"}]},
            },
        },
    }
    obj, _ = decoded(body, DEPLOYMENT, resource.gvk)
    obj = updated(
        defaulted(resource.gvk, obj), None, DEPLOYMENT, updater("kubectl-create", version="apps/v1")
    )
    assert obj["metadata"]["managedFields"] == [
        {
            "manager": "kubectl-create",
            "operation": "Update",
            "apiVersion": "apps/v1",
            "time": NOW,
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                "f:spec": {
                    "f:progressDeadlineSeconds": {},
                    "f:replicas": {},
                    "f:revisionHistoryLimit": {},
                    "f:selector": {},
                    "f:strategy": {
                        "f:rollingUpdate": {".": {}, "f:maxSurge": {}, "f:maxUnavailable": {}},
                        "f:type": {},
                    },
                    "f:template": {
                        "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                        "f:spec": {
                            "f:containers": {
                                'k:{"name":"nginx"}': {
                                    ".": {},
                                    "f:image": {},
                                    "f:imagePullPolicy": {},
                                    "f:name": {},
                                    "f:resources": {},
                                    "f:terminationMessagePath": {},
                                    "f:terminationMessagePolicy": {},
                                }
                            },
                            "f:dnsPolicy": {},
                            "f:restartPolicy": {},
                            "f:schedulerName": {},
                            "f:securityContext": {},
                            "f:terminationGracePeriodSeconds": {},
                        },
                    },
                },
            },
        }
    ]


def deployment(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    template = {"spec": {"containers": list(containers)}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {**spec, "template": template},
    }


def test_an_update_by_a_subresource_is_named_in_the_conflict() -> None:
    obj = apply(deployment(replicas=1), None, "a", schema=DEPLOYMENT)
    scaled = obj | {"spec": obj["spec"] | {"replicas": 3}}
    scaler = updater("kubectl", version="apps/v1", subresource="scale")
    obj = updated(scaled, obj, DEPLOYMENT, scaler)
    with pytest.raises(ApiError) as refused:
        apply(deployment(replicas=2), obj, "a", schema=DEPLOYMENT)
    assert refused.value.message == (
        'Apply failed with 1 conflict: conflict with "kubectl" with subresource "scale" using'
        " apps/v1: .spec.replicas"
    )


def test_elements_are_merged_by_all_their_keys_and_go_with_their_last_owner() -> None:
    first = {"name": "a", "image": "1", "ports": [{"containerPort": 80}]}
    obj = apply(deployment(first, {"name": "b"}), None, "one", schema=DEPLOYMENT)
    other = {"name": "a", "ports": [{"containerPort": 80, "protocol": "UDP"}]}
    obj = apply(deployment(other), obj, "two", schema=DEPLOYMENT)
    containers = obj["spec"]["template"]["spec"]["containers"]
    assert containers == [
        {
            "name": "a",
            "image": "1",
            "ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}],
        },
        {"name": "b"},
    ]
    obj = apply(deployment({"name": "b"}), obj, "one", schema=DEPLOYMENT)
    assert obj["spec"]["template"]["spec"]["containers"] == [other, {"name": "b"}]


def test_a_repeated_element_is_refused() -> None:
    with pytest.raises(ApiError) as refused:
        apply(deployment({"name": "c"}, {"name": "c"}), None, "a", schema=DEPLOYMENT)
    assert refused.value.message == (
        "failed to create typed patch object (/web; v1, Kind=Deployment):"
        ' .spec.template.spec.containers: duplicate entries for key [name="c"]'
    )
    assert refused.value.code == 500


def test_finalizers_are_a_set() -> None:
    def owner(name: str) -> dict[str, Any]:
        return config_map() | {"metadata": {"name": "m", "finalizers": [name]}}

    obj = apply(owner("a/x"), None, "a")
    obj = apply(owner("b/y"), obj, "b")
    assert obj["metadata"]["finalizers"] == ["a/x", "b/y"]
    assert fields(obj)["b"] == {"f:metadata": {"f:finalizers": {'v:"b/y"': {}}}}
    obj = apply(config_map(), obj, "a")
    assert obj["metadata"]["finalizers"] == ["b/y"]


def test_the_first_apply_to_an_unmanaged_object_gives_its_fields_to_a_manager() -> None:
    obj = apply(config_map(x="1"), config_map(x="1", y="2"), "a")
    assert fields(obj) == {
        "a": {"f:data": {"f:x": {}}},
        "before-first-apply": {"f:data": {".": {}, "f:x": {}, "f:y": {}}},
    }


@pytest.mark.parametrize("sent", [[], [{}]])
def test_managers_are_forgotten_when_a_client_empties_them(sent: list[Any]) -> None:
    obj = apply(config_map(x="1"), None, "a")
    changed = obj | {"metadata": obj["metadata"] | {"managedFields": sent}}
    forgotten = updated(changed, obj, CONFIG_MAP, updater("b"))
    assert "managedFields" not in forgotten["metadata"]
    again = updated(forgotten | {"data": {"x": "3"}}, forgotten, CONFIG_MAP, updater("b"))
    assert "managedFields" not in again["metadata"]


def test_a_client_may_leave_managers_out_or_replace_them() -> None:
    obj = apply(config_map(x="1"), None, "a")
    silent = updated(config_map(x="1"), obj, CONFIG_MAP, updater("b"))
    assert fields(silent) == fields(obj)
    entry = json.loads(json.dumps(obj["metadata"]["managedFields"][0])) | {"manager": "z"}
    renamed = obj | {"metadata": obj["metadata"] | {"managedFields": [entry]}}
    assert list(fields(updated(renamed, obj, CONFIG_MAP, updater("b")))) == ["z"]


def test_kubectl_takes_over_what_it_applied_from_its_own_side() -> None:
    before = config_map(x="1")
    annotation = "kubectl.kubernetes.io/last-applied-configuration"
    live = before | {"metadata": {"name": "m", "annotations": {annotation: json.dumps(before)}}}
    live = updated(live, None, CONFIG_MAP, updater("kubectl-client-side-apply"))
    obj = apply(config_map(x="2"), live, "kubectl")
    assert obj["data"] == {"x": "2"}
    assert json.loads(obj["metadata"]["annotations"][annotation]) == config_map(x="2")
    with pytest.raises(ApiError):
        apply(config_map(x="2"), live, "somebody else")


def test_at_most_ten_updaters_are_told_apart() -> None:
    obj = updated(config_map(k="0"), None, CONFIG_MAP, updater("m"))
    for number in range(14):
        changed = obj | {"data": obj["data"] | {f"k{number}": "1"}}
        obj = updated(changed, obj, CONFIG_MAP, updater(f"m{number}"))
    assert len(fields(obj)) == 10
    assert "ancient-changes" in fields(obj)


KIND = BY_PLURAL["", "v1", "configmaps"].gvk


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "invalid object type: /, Kind=ConfigMap"),
        (
            {"apiVersion": "v1", "kind": "ConfigMap"},
            "the name of the object (ssa based on URL) was undeterminable: name must be provided",
        ),
        (
            config_map() | {"metadata": {"name": "m", "managedFields": []}},
            "metadata.managedFields must be nil",
        ),
    ],
)
def test_what_cannot_be_applied_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ApiError) as refused:
        configuration(config, "ssa", KIND, is_status=False, has_status=False)
    assert (refused.value.code, refused.value.message) == (400, message)


def test_a_status_is_applied_alone() -> None:
    body = deployment() | {"status": {"replicas": 1}}
    kind = BY_PLURAL["apps", "v1", "deployments"].gvk
    status = configuration(body, "web", kind, is_status=True, has_status=True)
    assert status.keys() == {"apiVersion", "kind", "metadata", "status"}
    main = configuration(body, "web", kind, is_status=False, has_status=True)
    assert "status" not in main
