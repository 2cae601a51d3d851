"""Minimal objects, and what appears in them (as a dry run on Kubernetes 1.33 shows it)."""

from typing import Any

import pytest

from cluster.kube_api.catalogue import BUILT_IN, BY_PLURAL
from cluster.kube_api.decoding import decoded
from cluster.kube_api.defaults import defaulted
from cluster.kube_api.schema import definition


def made(plural: str, body: dict[str, Any], group: str = "", version: str = "v1") -> Any:
    resource = BY_PLURAL[group, version, plural]
    obj, _ = decoded(body, definition(resource.definition), resource.gvk)
    return defaulted(resource.gvk, obj)


CONTAINER = {
    "name": "c",
    "image": "nginx",
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "imagePullPolicy": "Always",
    "resources": {},
}
POD_SPEC = {
    "containers": [CONTAINER],
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "securityContext": {},
    "schedulerName": "default-scheduler",
}
MINIMAL = {"containers": [{"name": "c", "image": "nginx"}]}


def test_a_pod() -> None:
    assert made("pods", {"spec": MINIMAL})["spec"] == {**POD_SPEC, "enableServiceLinks": True}


def test_a_deployment_has_a_template_without_what_only_pods_have() -> None:
    body = {"spec": {"selector": {}, "template": {"spec": MINIMAL}}}
    assert made("deployments", body, "apps")["spec"] == {
        "replicas": 1,
        "selector": {},
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
        },
        "template": {"metadata": {"creationTimestamp": None}, "spec": POD_SPEC},
    }


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("a", "Always"),
        ("a:latest", "Always"),
        ("a:1", "IfNotPresent"),
        ("host:5000/a", "Always"),
        ("host:5000/a:1", "IfNotPresent"),
        ("a@sha256:00", "IfNotPresent"),
    ],
)
def test_an_image_that_may_change_is_always_pulled(image: str, policy: str) -> None:
    pod = made("pods", {"spec": {"containers": [{"name": "c", "image": image}]}})
    assert pod["spec"]["containers"][0]["imagePullPolicy"] == policy


def test_requests_follow_limits_in_a_pod_only() -> None:
    resources = {"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "1"}}
    limited = {"containers": [{"name": "c", "resources": resources}]}
    pod = made("pods", {"spec": limited})
    assert pod["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "1", "memory": "1Gi"}
    owner = made("replicasets", {"spec": {"template": {"spec": limited}}}, "apps")
    template = owner["spec"]["template"]["spec"]
    assert template["containers"][0]["resources"]["requests"] == {"cpu": "1"}


def test_probes_volumes_ports_and_references() -> None:
    body = {
        "hostNetwork": True,
        "containers": [
            {
                "name": "c",
                "ports": [{"containerPort": 80}],
                "livenessProbe": {"httpGet": {"port": 80}},
                "readinessProbe": {"grpc": {"port": 1}},
                "env": [{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            }
        ],
        "volumes": [{"name": "a"}, {"name": "b", "configMap": {"name": "m"}}],
    }
    spec = made("pods", {"spec": body})["spec"]
    container = spec["containers"][0]
    assert container["ports"] == [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}]
    assert container["livenessProbe"] == {
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    assert container["readinessProbe"]["grpc"] == {"port": 1, "service": ""}
    assert container["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] == "v1"
    assert spec["volumes"] == [
        {"name": "a", "emptyDir": {}},
        {"name": "b", "configMap": {"name": "m", "defaultMode": 420}},
    ]


def test_a_job_knows_its_pods_by_its_uid() -> None:
    body = {"metadata": {"name": "j", "uid": "u"}, "spec": {"template": {"spec": MINIMAL}}}
    job = made("jobs", body, "batch")
    labels = {
        "batch.kubernetes.io/controller-uid": "u",
        "batch.kubernetes.io/job-name": "j",
        "controller-uid": "u",
        "job-name": "j",
    }
    assert job["metadata"]["labels"] == labels
    assert job["spec"]["template"]["metadata"]["labels"] == labels
    assert job["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == 1


def test_services_secrets_and_bindings() -> None:
    service = made("services", {"spec": {"type": "NodePort", "ports": [{"port": 80}]}})
    assert service["spec"] == {
        "type": "NodePort",
        "sessionAffinity": "None",
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
        "externalTrafficPolicy": "Cluster",
        "internalTrafficPolicy": "Cluster",
    }
    secret = made("secrets", {"stringData": {"a": "x"}, "data": {"b": "eQ=="}})
    assert (secret["type"], secret["data"]) == ("Opaque", {"a": "eA==", "b": "eQ=="})
    assert "stringData" not in secret
    binding = made(
        "rolebindings",
        {"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "u"}]},
        "rbac.authorization.k8s.io",
    )
    assert binding["roleRef"]["apiGroup"] == "rbac.authorization.k8s.io"
    assert binding["subjects"][0]["apiGroup"] == "rbac.authorization.k8s.io"


def test_limits_of_containers_follow_their_maximum_and_minimum() -> None:
    limit = {"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1Mi"}}
    found = made("limitranges", {"spec": {"limits": [limit]}})["spec"]["limits"][0]
    assert found["default"] == {"cpu": "2"}
    assert found["defaultRequest"] == {"cpu": "2", "memory": "1Mi"}


def test_defaults_are_given_once_and_leave_the_input_alone() -> None:
    for resource in BUILT_IN:
        empty, _ = decoded(
            {"metadata": {"name": "x"}}, definition(resource.definition), resource.gvk
        )
        before = repr(empty)
        once = defaulted(resource.gvk, empty)
        assert repr(empty) == before
        assert defaulted(resource.gvk, once) == once
