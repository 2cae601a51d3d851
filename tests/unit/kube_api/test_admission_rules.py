"""Limit ranges, quotas, and which webhooks are asked."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from cluster.kube_api import limits, quotas, webhooks
from cluster.kube_api.catalogue import BY_PLURAL
from cluster.kube_api.quantity import parse_quantity

PODS = BY_PLURAL["", "v1", "pods"]
SERVICES = BY_PLURAL["", "v1", "services"]
DEPLOYMENTS = BY_PLURAL["apps", "v1", "deployments"]


def pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    named = [{"name": f"c{at}", **one} for at, one in enumerate(containers)]
    return {"metadata": {"name": "p"}, "spec": {"containers": named, **spec}}


def needs(**amounts: str) -> dict[str, Any]:
    return {"resources": {"requests": dict(amounts), "limits": dict(amounts)}}


def limit_range(**limit: Any) -> dict[str, Any]:
    return {"spec": {"limits": [{"type": "Container", **limit}]}}


def test_containers_are_given_what_they_do_not_state() -> None:
    found = pod({}, needs(cpu="1"))
    limits.give_defaults(
        found, [limit_range(default={"cpu": "2"}, defaultRequest={"cpu": "1", "memory": "1Gi"})]
    )
    first, second = (one["resources"] for one in found["spec"]["containers"])
    assert first == {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2"}}
    assert second == {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1"}}
    assert found["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == (
        "LimitRanger plugin set: cpu, memory request for container c0; cpu limit for container c0;"
        " memory request for container c1"
    )


@pytest.mark.parametrize(
    ("limit", "violation"),
    [
        ({"max": {"cpu": "1"}}, "maximum cpu usage per Container is 1, but limit is 2"),
        ({"min": {"cpu": "3"}}, "minimum cpu usage per Container is 3, but request is 2"),
        (
            {"max": {"memory": "1Gi"}},
            "maximum memory usage per Container is 1Gi.  No limit is specified",
        ),
        ({"type": "Pod", "max": {"cpu": "1"}}, "maximum cpu usage per Pod is 1, but limit is 2"),
    ],
)
def test_what_is_outside_of_the_limits_is_told(limit: dict[str, Any], violation: str) -> None:
    assert limits.pod_violations(pod(needs(cpu="2")), [limit_range(**limit)]) == [violation]


def test_a_pod_needs_the_sum_of_its_containers_or_the_most_of_one_that_initializes() -> None:
    found = pod(
        needs(cpu="1"),
        needs(cpu="1"),
        initContainers=[
            {"name": "side", "restartPolicy": "Always", **needs(cpu="500m")},
            {"name": "big", **needs(cpu="4")},
        ],
    )
    assert limits.pod_resources(found["spec"])["requests"] == {"cpu": "4500m"}


def quota(hard: dict[str, str], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "q2"}, "spec": {"hard": hard, **spec}}


def test_an_exceeded_quota_says_what_was_asked_used_and_limited() -> None:
    asked = quotas.usage(PODS, pod({}))
    why = quotas.exceeded(quota({"pods": "2"}), {"pods": parse_quantity("2")}, asked)
    assert why == "exceeded quota: q2, requested: pods=1, used: pods=2, limited: pods=2"
    assert not quotas.exceeded(quota({"pods": "2"}), {"pods": parse_quantity("1")}, asked)


def test_usage_has_the_names_that_quotas_limit() -> None:
    used = {name: str(one) for name, one in quotas.usage(PODS, pod(needs(cpu="1"))).items()}
    assert used == {
        "count/pods": "1", "pods": "1", "cpu": "1", "requests.cpu": "1", "limits.cpu": "1",
    }  # fmt: skip
    node_port = {"spec": {"type": "NodePort", "ports": [{}, {}]}}
    assert str(quotas.usage(SERVICES, node_port)["services.nodeports"]) == "2"
    assert list(quotas.usage(DEPLOYMENTS, {})) == ["count/deployments.apps"]
    assert "pods" not in quotas.usage(PODS, pod({}) | {"status": {"phase": "Succeeded"}})


def test_a_limited_amount_has_to_be_stated() -> None:
    assert quotas.unspecified(
        quota({"cpu": "1", "limits.memory": "1Gi"}), pod({}, needs(cpu="1"))
    ) == ("cpu for: c0; limits.memory for: c0,c1")


def test_scopes_choose_pods() -> None:
    best_effort = quota({"pods": "1"}, scopes=["BestEffort"])
    assert quotas.is_in_scope(best_effort, PODS, pod({}))
    assert not quotas.is_in_scope(best_effort, PODS, pod(needs(cpu="1")))
    assert not quotas.is_in_scope(best_effort, SERVICES, {})
    classes = [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]
    high = quota({"pods": "1"}, scopeSelector={"matchExpressions": classes})
    assert quotas.is_in_scope(high, PODS, pod({}, priorityClassName="high"))
    assert not quotas.is_in_scope(high, PODS, pod({}))


def test_a_quota_that_nobody_has_counted_is_counted_from_what_is_there() -> None:
    found = quota({"pods": "5"})
    assert quotas.used_of(found) is None
    used = quotas.total(found, [(PODS, pod({})), (PODS, pod({})), (SERVICES, {})])
    charged = quotas.with_usage(found, used, {"pods": parse_quantity("1")})
    assert charged["status"] == {"hard": {"pods": "5"}, "used": {"pods": "3"}}
    assert quotas.used_of(charged) == {"pods": parse_quantity("3")}


REQUEST = webhooks.Request(
    uid="u", resource=PODS, subresource="", name="p", namespace="d", operation="CREATE",
    user={"username": "me"}, obj=pod({}), old=None, is_dry_run=False,
    namespace_labels={"team": "a"},
)  # fmt: skip
RULE = {
    "operations": ["CREATE"],
    "apiGroups": [""],
    "apiVersions": ["v1"],
    "resources": ["pods"],
    "scope": "*",
}


@pytest.mark.parametrize(
    ("webhook", "is_asked"),
    [
        ({"rules": [RULE]}, True),
        ({"rules": [RULE | {"operations": ["DELETE"]}]}, False),
        ({"rules": [RULE | {"resources": ["*/*"]}]}, True),
        ({"rules": [RULE | {"resources": ["pods/status"]}]}, False),
        ({"rules": [RULE | {"apiGroups": ["apps"]}]}, False),
        ({"rules": [RULE | {"scope": "Cluster"}]}, False),
        ({"rules": [RULE], "namespaceSelector": {"matchLabels": {"team": "a"}}}, True),
        ({"rules": [RULE], "namespaceSelector": {"matchLabels": {"team": "b"}}}, False),
        ({"rules": [RULE], "objectSelector": {"matchLabels": {"x": "y"}}}, False),
    ],
)
def test_rules_and_selectors_decide_who_is_asked(webhook: dict[str, Any], is_asked: bool) -> None:
    assert webhooks.is_asked(webhook, REQUEST) is is_asked


def test_webhooks_are_not_asked_about_webhooks() -> None:
    own = BY_PLURAL["admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations"]
    everything = {key: ["*"] for key in ("operations", "apiGroups", "apiVersions", "resources")}
    assert not webhooks.is_asked({"rules": [everything]}, replace(REQUEST, resource=own))


def test_conditions_are_rules_about_the_request() -> None:
    def webhook(expression: str) -> dict[str, Any]:
        return {"matchConditions": [{"name": "c", "expression": expression}]}

    assert webhooks.meets_conditions(webhook("object.metadata.name == 'p'"), REQUEST)
    assert not webhooks.meets_conditions(webhook("request.operation == 'DELETE'"), REQUEST)
    with pytest.raises(webhooks.CallFailed):
        webhooks.meets_conditions(webhook("object.nothing == 1"), REQUEST)


def response(**fields: Any) -> bytes:
    return json.dumps({"response": {"uid": "u", **fields}}).encode()


def test_an_answer_allows_refuses_or_patches() -> None:
    webhook = {"name": "x.y.z"}
    refused = webhooks.answered(
        webhook, REQUEST, response(allowed=False, status={"message": "no", "code": 403})
    )
    assert refused.refusal is not None
    assert refused.refusal.message == 'admission webhook "x.y.z" denied the request: no'
    patch = [{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}]
    encoded = base64.b64encode(json.dumps(patch).encode()).decode()
    patched = webhooks.answered(
        webhook, REQUEST, response(allowed=True, patchType="JSONPatch", patch=encoded)
    )
    assert patched.obj is not None
    assert patched.obj["metadata"]["labels"] == {"a": "b"}
    assert REQUEST.obj == pod({})


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", json.dumps({"response": {"uid": "other", "allowed": True}}).encode(),
        response(allowed=True, patch="!", patchType="JSONPatch"),
        response(allowed=True, patch="W10=", patchType="Other"),
    ],
)  # fmt: skip
def test_an_answer_that_makes_no_sense_is_a_failed_call(body: bytes) -> None:
    with pytest.raises(webhooks.CallFailed):
        webhooks.answered({"name": "x"}, REQUEST, body)


def test_failures_are_errors_unless_they_are_ignored() -> None:
    assert webhooks.failed({"name": "x", "failurePolicy": "Ignore"}, "why") is None
    error = webhooks.failed({"name": "x", "failurePolicy": "Fail"}, "why")
    assert error is not None
    assert error.message == (
        'Internal error occurred: failed calling webhook "x": failed to call webhook: why'
    )
