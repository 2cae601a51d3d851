"""Defaults of rights, limits, autoscalers and admission."""

from cluster.kube_api.defaults.setting import default, each, struct
from cluster.kube_api.objects import JsonObject

_RBAC = "rbac.authorization.k8s.io"
_ADMISSION = "admissionregistration.k8s.io"
_CPU_PERCENT = 80


def _role_binding(obj: JsonObject) -> None:
    reference = struct(obj, "roleRef")
    if not reference.get("apiGroup"):
        reference["apiGroup"] = _RBAC
    for subject in each(obj, "subjects"):
        if not subject.get("apiGroup") and subject.get("kind") in ("User", "Group"):
            subject["apiGroup"] = _RBAC


def _limit_range(obj: JsonObject) -> None:
    for limit in each(struct(obj, "spec"), "limits"):
        if limit.get("type") != "Container":
            continue
        amounts = {**(limit.get("max") or {}), **(limit.get("default") or {})}
        if amounts:
            limit["default"] = amounts
        requests = {**(limit.get("min") or {}), **amounts, **(limit.get("defaultRequest") or {})}
        if requests:
            limit["defaultRequest"] = requests


def _autoscaler(obj: JsonObject) -> None:
    spec = struct(obj, "spec")
    default(spec, minReplicas=1)
    is_v1 = obj.get("apiVersion") == "autoscaling/v1"
    if not spec.get("metrics") and not is_v1:
        target = {"type": "Utilization", "averageUtilization": _CPU_PERCENT}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]


def _priority_class(obj: JsonObject) -> None:
    default(obj, preemptionPolicy="PreemptLowerPriority")


def _webhooks(obj: JsonObject) -> None:
    for webhook in each(obj, "webhooks"):
        default(
            webhook,
            failurePolicy="Fail",
            matchPolicy="Equivalent",
            timeoutSeconds=10,
            namespaceSelector={},
            objectSelector={},
        )
        for rule in each(webhook, "rules"):
            default(rule, scope="*")
        service = struct(webhook, "clientConfig").get("service")
        if isinstance(service, dict):
            default(service, port=443)


def _mutating_webhooks(obj: JsonObject) -> None:
    _webhooks(obj)
    for webhook in each(obj, "webhooks"):
        default(webhook, reinvocationPolicy="Never")


def _matched_resources(resources: JsonObject) -> None:
    default(resources, matchPolicy="Equivalent", namespaceSelector={}, objectSelector={})
    for name in ("resourceRules", "excludeResourceRules"):
        for rule in each(resources, name):
            default(rule, scope="*")


def _admission_policy(obj: JsonObject) -> None:
    spec = struct(obj, "spec")
    default(spec, failurePolicy="Fail")
    if isinstance(spec.get("matchConstraints"), dict):
        _matched_resources(spec["matchConstraints"])


def _policy_binding(obj: JsonObject) -> None:
    resources = struct(obj, "spec").get("matchResources")
    if isinstance(resources, dict):
        _matched_resources(resources)


SETTERS = {
    (_RBAC, "RoleBinding"): _role_binding,
    (_RBAC, "ClusterRoleBinding"): _role_binding,
    ("", "LimitRange"): _limit_range,
    ("autoscaling", "HorizontalPodAutoscaler"): _autoscaler,
    ("scheduling.k8s.io", "PriorityClass"): _priority_class,
    (_ADMISSION, "ValidatingWebhookConfiguration"): _webhooks,
    (_ADMISSION, "MutatingWebhookConfiguration"): _mutating_webhooks,
    (_ADMISSION, "ValidatingAdmissionPolicy"): _admission_policy,
    (_ADMISSION, "ValidatingAdmissionPolicyBinding"): _policy_binding,
}
