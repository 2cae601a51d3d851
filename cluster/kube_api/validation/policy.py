"""The rules of rights, limits, budgets, autoscalers and webhooks."""

from collections.abc import Callable, Mapping

from cluster.kube_api import names
from cluster.kube_api.field_errors import FieldError, forbidden, invalid, not_supported, required
from cluster.kube_api.objects import (
    JsonObject,
    integer_at,
    list_at,
    member,
    object_at,
    same,
    string_at,
)
from cluster.kube_api.quantity import parse_quantity
from cluster.kube_api.validation.checks import (
    NEGATIVE,
    count_errors,
    immutable_errors,
    named_errors,
    selector_errors,
)

_RBAC = "rbac.authorization.k8s.io"
_ADMISSION = "admissionregistration.k8s.io"
_USER_PRIORITY_MAX = 1_000_000_000
_WEBHOOK_TIMEOUT_S_MAX = 30


def _role(obj: JsonObject) -> list[FieldError]:
    errors = []
    is_cluster = string_at(obj, "kind") == "ClusterRole"
    for index, rule in enumerate(list_at(obj, "rules")):
        path = f"rules[{index}]"
        if not list_at(rule, "verbs"):
            errors.append(required(f"{path}.verbs", "verbs must contain at least one value"))
        urls = list_at(rule, "nonResourceURLs")
        if urls and not is_cluster:
            why = "namespaced rules cannot apply to non-resource URLs"
            errors.append(invalid(f"{path}.nonResourceURLs", urls, why))
        elif not urls:
            if not list_at(rule, "apiGroups"):
                why = "resource rules must supply at least one api group"
                errors.append(required(f"{path}.apiGroups", why))
            if not list_at(rule, "resources"):
                why = "resource rules must supply at least one resource"
                errors.append(required(f"{path}.resources", why))
    return errors


def _role_binding(obj: JsonObject) -> list[FieldError]:
    reference = object_at(obj, "roleRef")
    is_cluster = string_at(obj, "kind") == "ClusterRoleBinding"
    kinds = ("ClusterRole",) if is_cluster else ("Role", "ClusterRole")
    errors = []
    if string_at(reference, "apiGroup") != _RBAC:
        errors.append(not_supported("roleRef.apiGroup", string_at(reference, "apiGroup"), (_RBAC,)))
    if string_at(reference, "kind") not in kinds:
        errors.append(not_supported("roleRef.kind", string_at(reference, "kind"), kinds))
    name = string_at(reference, "name")
    if not name:
        errors.append(required("roleRef.name"))
    errors += [invalid("roleRef.name", name, one) for one in names.path_segment(name)]
    for index, subject in enumerate(list_at(obj, "subjects")):
        errors += _subject(subject, f"subjects[{index}]")
    return errors


def _subject(subject: JsonObject, path: str) -> list[FieldError]:
    kind = string_at(subject, "kind")
    errors = [] if string_at(subject, "name") else [required(f"{path}.name")]
    if kind == "ServiceAccount":
        if not string_at(subject, "namespace"):
            errors.append(required(f"{path}.namespace"))
    elif kind not in ("User", "Group"):
        errors.append(not_supported(f"{path}.kind", kind, ("ServiceAccount", "User", "Group")))
    return errors


def _role_binding_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    if same(member(new, "roleRef"), member(old, "roleRef")):
        return []
    return [invalid("roleRef", member(new, "roleRef"), "cannot change roleRef")]


def _quota(obj: JsonObject) -> list[FieldError]:
    errors = []
    for name, amount in object_at(obj, "spec", "hard").items():
        path = f"spec.hard[{name}]"
        if parse_quantity(amount).nano < 0:
            errors.append(invalid(path, amount, NEGATIVE))
        errors += [invalid(path, name, one) for one in names.qualified_name(name)]
    return errors


def _limit_range(obj: JsonObject) -> list[FieldError]:
    errors = []
    for index, limit in enumerate(list_at(obj, "spec", "limits")):
        path = f"spec.limits[{index}]"
        least, most = object_at(limit, "min"), object_at(limit, "max")
        for name, amount in least.items():
            if name in most and parse_quantity(most[name]) < parse_quantity(amount):
                why = f"min value {amount} is greater than max value {most[name]}"
                errors.append(invalid(f"{path}.min[{name}]", amount, why))
        defaults, requests = object_at(limit, "default"), object_at(limit, "defaultRequest")
        for name, amount in requests.items():
            if name in defaults and parse_quantity(defaults[name]) < parse_quantity(amount):
                why = (
                    f"default request value {amount} is greater than default limit value"
                    f" {defaults[name]}"
                )
                errors.append(invalid(f"{path}.defaultRequest[{name}]", amount, why))
    return errors


def _budget(obj: JsonObject) -> list[FieldError]:
    spec = object_at(obj, "spec")
    errors = count_errors(spec, "spec", "minAvailable", "maxUnavailable")
    if member(spec, "minAvailable") is not None and member(spec, "maxUnavailable") is not None:
        why = "minAvailable and maxUnavailable cannot be both set"
        errors.append(invalid("spec", spec, why))
    return errors + selector_errors(member(spec, "selector"), "spec.selector")


def _autoscaler(obj: JsonObject) -> list[FieldError]:
    spec = object_at(obj, "spec")
    most, least = integer_at(spec, "maxReplicas"), integer_at(spec, "minReplicas", default=1)
    errors = []
    if least < 1:
        errors.append(invalid("spec.minReplicas", least, "must be greater than or equal to 1"))
    if most < 1:
        errors.append(invalid("spec.maxReplicas", most, "must be greater than 0"))
    elif most < least:
        why = "must be greater than or equal to `minReplicas`"
        errors.append(invalid("spec.maxReplicas", most, why))
    errors += [
        required(f"spec.scaleTargetRef.{name}")
        for name in ("kind", "name")
        if not string_at(spec, "scaleTargetRef", name)
    ]
    return errors


def _priority_class(obj: JsonObject) -> list[FieldError]:
    name, value = string_at(obj, "metadata", "name"), integer_at(obj, "value")
    if name.startswith("system-") and value <= _USER_PRIORITY_MAX:
        why = "priority class names with 'system-' prefix are reserved for system use only"
        return [forbidden("metadata.name", why)]
    if value > _USER_PRIORITY_MAX and not name.startswith("system-"):
        return [
            forbidden(
                "value", f"maximum allowed value of a user defined priority is {_USER_PRIORITY_MAX}"
            )
        ]
    return []


def _priority_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    if integer_at(new, "value") != integer_at(old, "value"):
        return [forbidden("value", "may not be changed in an update.")]
    return immutable_errors(new, old, "", "preemptionPolicy")


def _webhooks(obj: JsonObject) -> list[FieldError]:
    webhooks = list_at(obj, "webhooks")
    errors = named_errors(webhooks, "webhooks", names.dns_subdomain)
    for index, webhook in enumerate(webhooks):
        path, name = f"webhooks[{index}]", string_at(webhook, "name")
        if name.count(".") < 2:  # noqa: PLR2004
            why = "should be a domain with at least three segments separated by dots"
            errors.append(invalid(f"{path}.name", name, why))
        if not {"v1", "v1beta1"} & set(list_at(webhook, "admissionReviewVersions")):
            why = "must include at least one of v1, v1beta1"
            errors.append(
                invalid(
                    f"{path}.admissionReviewVersions",
                    list_at(webhook, "admissionReviewVersions"),
                    why,
                )
            )
        effects = string_at(webhook, "sideEffects")
        if effects not in ("None", "NoneOnDryRun"):
            errors.append(not_supported(f"{path}.sideEffects", effects, ("None", "NoneOnDryRun")))
        timeout = integer_at(webhook, "timeoutSeconds", default=1)
        if not 1 <= timeout <= _WEBHOOK_TIMEOUT_S_MAX:
            why = "the timeout value must be between 1 and 30 seconds"
            errors.append(invalid(f"{path}.timeoutSeconds", timeout, why))
        client = object_at(webhook, "clientConfig")
        if bool(string_at(client, "url")) == bool(member(client, "service")):
            why = "exactly one of url or service is required"
            errors.append(required(f"{path}.clientConfig", why))
    return errors


CHECKS: Mapping[tuple[str, str], Callable[[JsonObject], list[FieldError]]] = {
    (_RBAC, "Role"): _role,
    (_RBAC, "ClusterRole"): _role,
    (_RBAC, "RoleBinding"): _role_binding,
    (_RBAC, "ClusterRoleBinding"): _role_binding,
    ("", "ResourceQuota"): _quota,
    ("", "LimitRange"): _limit_range,
    ("policy", "PodDisruptionBudget"): _budget,
    ("autoscaling", "HorizontalPodAutoscaler"): _autoscaler,
    ("scheduling.k8s.io", "PriorityClass"): _priority_class,
    (_ADMISSION, "MutatingWebhookConfiguration"): _webhooks,
    (_ADMISSION, "ValidatingWebhookConfiguration"): _webhooks,
}
UPDATE_CHECKS: Mapping[tuple[str, str], Callable[[JsonObject, JsonObject], list[FieldError]]] = {
    (_RBAC, "RoleBinding"): _role_binding_update,
    (_RBAC, "ClusterRoleBinding"): _role_binding_update,
    ("scheduling.k8s.io", "PriorityClass"): _priority_update,
}
