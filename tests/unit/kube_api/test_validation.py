"""What Kubernetes refuses, in its words."""

from typing import Any

import pytest

from cluster.kube_api import validation
from cluster.kube_api.catalogue import BUILT_IN
from cluster.kube_api.decoding import decoded
from cluster.kube_api.defaults import defaulted
from cluster.kube_api.field_errors import aggregate
from cluster.kube_api.resource import Resource
from cluster.kube_api.schema import definition

LABELS = {"app": "web"}
POD = {"containers": [{"name": "c", "image": "i"}]}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": POD}
OWNER = {"selector": {"matchLabels": LABELS}, "template": TEMPLATE}


def resource(plural: str) -> Resource:
    return next(one for one in BUILT_IN if one.plural == plural)


def complete(plural: str, **body: Any) -> dict[str, Any]:
    kind = resource(plural)
    named = {"metadata": {"name": "x", "uid": "u", **body.pop("metadata", {})}} | body
    obj, _ = decoded(named, definition(kind.definition), kind.gvk)
    return defaulted(kind.gvk, obj)


def wrong(plural: str, **body: Any) -> str:
    return aggregate(validation.create_errors(resource(plural).gvk, complete(plural, **body)))


def wrong_update(plural: str, old: dict[str, Any], new: dict[str, Any]) -> str:
    kind = resource(plural).gvk
    return aggregate(
        validation.update_errors(kind, complete(plural, **new), complete(plural, **old))
    )


def pod(**container: Any) -> dict[str, Any]:
    return {"containers": [{"name": "c", "image": "i", **container}]}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "spec.containers: Required value"),
        (pod(image=""), "spec.containers[0].image: Required value"),
        (
            {"containers": [{"name": "a", "image": "i"}, {"name": "a", "image": "i"}]},
            'spec.containers[1].name: Duplicate value: "a"',
        ),
        (
            POD | {"restartPolicy": "Sometimes"},
            'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always",'
            ' "OnFailure", "Never"',
        ),
        (
            pod(volumeMounts=[{"name": "v", "mountPath": "/"}]),
            'spec.containers[0].volumeMounts[0].name: Not found: "v"',
        ),
        (
            pod(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
            'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal'
            " to cpu limit of 1",
        ),
        (
            pod(ports=[{"containerPort": 0}]),
            "spec.containers[0].ports[0].containerPort: Required value",
        ),
        (
            pod(ports=[{"containerPort": 70000}]),
            "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and"
            " 65535, inclusive",
        ),
        (
            pod(livenessProbe={}),
            "spec.containers[0].livenessProbe: Required value: must specify a handler type",
        ),
        (POD, "[]"),
    ],
)
def test_a_pod(spec: dict[str, Any], message: str) -> None:
    assert wrong("pods", spec=spec) == message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"containers": [{"name": "c", "image": "new"}]}, "[]"),
        ({"activeDeadlineSeconds": 5}, "[]"),
        ({"tolerations": [{"key": "k", "operator": "Exists"}]}, "[]"),
        ({"hostname": "h"}, "spec: Forbidden: pod updates may not change fields other than"),
        (
            {"schedulingGates": [{"name": "g"}]},
            "spec.schedulingGates: Forbidden: only deletion is allowed, but found new scheduling"
            " gate 'g'",
        ),
    ],
)
def test_little_of_a_pod_may_change(change: dict[str, Any], message: str) -> None:
    assert wrong_update("pods", {"spec": POD}, {"spec": POD | change}).startswith(message)


@pytest.mark.parametrize("plural", ["deployments", "replicasets", "daemonsets", "statefulsets"])
def test_an_owner_of_pods_selects_its_template_and_keeps_its_selector(plural: str) -> None:
    assert wrong(plural, spec=OWNER) == "[]"
    assert wrong(plural, spec={"template": TEMPLATE}) == "spec.selector: Required value"
    other = OWNER | {"selector": {"matchLabels": {"app": "db"}}}
    assert wrong(plural, spec=other) == (
        'spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match'
        " template `labels`"
    )
    assert "spec" in wrong_update(plural, {"spec": other}, {"spec": OWNER})
    never = OWNER | {
        "template": {"metadata": {"labels": LABELS}, "spec": POD | {"restartPolicy": "Never"}}
    }
    assert wrong(plural, spec=never) == (
        'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'
    )


def test_a_rollout_needs_room() -> None:
    strategy = {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}
    assert wrong("deployments", spec=OWNER | {"strategy": strategy}) == (
        "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge`"
        " is 0"
    )
    assert wrong(
        "deployments", spec=OWNER | {"progressDeadlineSeconds": 5, "minReadySeconds": 5}
    ) == ("spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds")


def test_a_job_ends_and_keeps_its_template() -> None:
    ending = {"template": {"spec": POD | {"restartPolicy": "Never"}}}
    assert wrong("jobs", spec=ending) == "[]"
    assert "restartPolicy" in wrong("jobs", spec={"template": {"spec": POD}})
    changed = {"template": {"spec": pod(image="new") | {"restartPolicy": "Never"}}}
    assert "spec.template" in wrong_update("jobs", {"spec": ending}, {"spec": changed})
    suspended = ending | {"suspend": True}
    assert wrong_update("jobs", {"spec": suspended}, {"spec": changed}) == "[]"


def test_a_service_needs_ports_and_names_for_several() -> None:
    assert wrong("services", spec={}) == "spec.ports: Required value"
    assert wrong("services", spec={"clusterIP": "None"}) == "[]"
    assert wrong("services", spec={"ports": [{"port": 1}, {"port": 2, "name": "b"}]}) == (
        "spec.ports[0].name: Required value"
    )
    given = {"ports": [{"port": 1}], "clusterIP": "10.0.0.1"}
    assert wrong_update(
        "services", {"spec": given}, {"spec": given | {"clusterIP": "10.0.0.2"}}
    ) == ('spec.clusterIPs[0]: Invalid value: ["10.0.0.2"]: may not change once set')


def test_secrets_and_config_maps() -> None:
    assert wrong("secrets", type="kubernetes.io/tls") == (
        "[data[tls.crt]: Required value, data[tls.key]: Required value]"
    )
    assert "a valid config key must consist of" in wrong("configmaps", data={"a/b": ""})
    frozen = {"immutable": True, "data": {"a": "1"}}
    assert wrong_update("configmaps", frozen, frozen | {"data": {"a": "2"}}) == (
        "data: Forbidden: field is immutable when `immutable` is set"
    )


def test_a_binding_keeps_its_role() -> None:
    def bound(name: str) -> dict[str, Any]:
        return {"roleRef": {"kind": "Role", "name": name}}

    assert wrong("rolebindings", **bound("a")) == "[]"
    assert "cannot change roleRef" in wrong_update("rolebindings", bound("a"), bound("b"))


def test_a_claim_keeps_all_but_its_size() -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    assert wrong("persistentvolumeclaims", spec=spec) == "[]"
    larger = spec | {"resources": {"requests": {"storage": "2Gi"}}}
    assert wrong_update("persistentvolumeclaims", {"spec": spec}, {"spec": larger}) == "[]"
    moved = spec | {"storageClassName": "fast"}
    assert "spec is immutable" in wrong_update(
        "persistentvolumeclaims", {"spec": spec}, {"spec": moved}
    )


def test_every_kind_is_validated_without_a_crash_and_an_unchanged_one_may_be_updated() -> None:
    for kind in BUILT_IN:
        obj, _ = decoded({"metadata": {"name": "x"}}, definition(kind.definition), kind.gvk)
        obj = defaulted(kind.gvk, obj)
        validation.create_errors(kind.gvk, obj)
        changed = obj | {"metadata": {"name": "x", "labels": {"a": "b"}}, "status": {}}
        assert not [
            error
            for error in validation.update_errors(kind.gvk, changed, obj)
            if kind.kind != "CustomResourceDefinition"  # whose update is judged as a whole
        ], kind.kind
