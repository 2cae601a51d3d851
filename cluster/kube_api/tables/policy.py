"""Rows of accounts, rights, limits, budgets, autoscalers, events and the API's own objects."""

from datetime import datetime

from cluster.kube_api.objects import (
    JsonObject,
    JsonValue,
    integer_at,
    list_at,
    member,
    object_at,
    string_at,
)
from cluster.kube_api.tables.cells import (
    NONE,
    UNSET,
    Cells,
    Printer,
    age,
    columns,
    condition,
    duration_text,
    joined,
    name_of,
    or_none,
    since,
)

_TARGETS_MAX = 2


def _namespace(obj: JsonObject, now: datetime) -> Cells:
    return [name_of(obj), string_at(obj, "status", "phase"), age(obj, now)]


def _config_map(obj: JsonObject, now: datetime) -> Cells:
    count = len(object_at(obj, "data")) + len(object_at(obj, "binaryData"))
    return [name_of(obj), count, age(obj, now)]


def _secret(obj: JsonObject, now: datetime) -> Cells:
    return [name_of(obj), string_at(obj, "type"), len(object_at(obj, "data")), age(obj, now)]


def _service_account(obj: JsonObject, now: datetime) -> Cells:
    return [name_of(obj), len(list_at(obj, "secrets")), age(obj, now)]


def _lease(obj: JsonObject, now: datetime) -> Cells:
    return [name_of(obj), string_at(obj, "spec", "holderIdentity"), age(obj, now)]


def _event(obj: JsonObject, now: datetime) -> Cells:
    """Take core/v1's names of the fields; those of events.k8s.io are told in their place."""
    involved = object_at(obj, "involvedObject") or object_at(obj, "regarding")
    first = member(obj, "firstTimestamp") or member(obj, "deprecatedFirstTimestamp")
    last = member(obj, "lastTimestamp") or member(obj, "deprecatedLastTimestamp")
    first = first or member(obj, "eventTime")
    series = object_at(obj, "series")
    count = integer_at(obj, "count") or integer_at(obj, "deprecatedCount") or 1
    target = "/".join(
        filter(None, [string_at(involved, "kind").lower(), string_at(involved, "name")])
    )
    return [
        since(series.get("lastObservedTime") or last or first, now),
        string_at(obj, "type"),
        string_at(obj, "reason"),
        target,
        string_at(involved, "fieldPath"),
        _event_source(obj),
        (string_at(obj, "message") or string_at(obj, "note")).strip(),
        since(first, now),
        series.get("count") or count,
        name_of(obj),
    ]


def _event_source(obj: JsonObject) -> str:
    source = object_at(obj, "source") or object_at(obj, "deprecatedSource")
    component = string_at(source, "component") or string_at(obj, "reportingComponent")
    component = component or string_at(obj, "reportingController")
    host = string_at(source, "host") or string_at(obj, "reportingInstance")
    return joined([component, host], ", ")


def _role_binding(obj: JsonObject, now: datetime) -> Cells:
    reference = object_at(obj, "roleRef")
    names: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in list_at(obj, "subjects"):
        name, namespace = string_at(subject, "name"), string_at(subject, "namespace")
        kind = string_at(subject, "kind")
        shown = f"{namespace}/{name}" if kind == "ServiceAccount" else name
        names.setdefault(kind, []).append(shown)
    return [
        name_of(obj),
        f"{string_at(reference, 'kind')}/{string_at(reference, 'name')}",
        age(obj, now),
        ", ".join(names["User"]),
        ", ".join(names["Group"]),
        ", ".join(names["ServiceAccount"]),
    ]


def _quota(obj: JsonObject, now: datetime) -> Cells:
    hard, used = object_at(obj, "status", "hard"), object_at(obj, "status", "used")
    shown = {name: f"{name}: {used.get(name, '0')}/{hard[name]}" for name in sorted(hard)}
    limits = [text for name, text in shown.items() if name.startswith("limits.")]
    requests = [text for name, text in shown.items() if not name.startswith("limits.")]
    return [name_of(obj), ", ".join(requests), ", ".join(limits), age(obj, now)]


def _disruption_budget(obj: JsonObject, now: datetime) -> Cells:
    minimum, maximum = (member(obj, "spec", name) for name in ("minAvailable", "maxUnavailable"))
    return [
        name_of(obj),
        "N/A" if minimum is None else str(minimum),
        "N/A" if maximum is None else str(maximum),
        integer_at(obj, "status", "disruptionsAllowed"),
        age(obj, now),
    ]


def _autoscaler(obj: JsonObject, now: datetime) -> Cells:
    target = object_at(obj, "spec", "scaleTargetRef")
    least = member(obj, "spec", "minReplicas")
    return [
        name_of(obj),
        f"{string_at(target, 'kind')}/{string_at(target, 'name')}",
        _targets(obj),
        "<unset>" if least is None else str(least),
        integer_at(obj, "spec", "maxReplicas"),
        integer_at(obj, "status", "currentReplicas"),
        age(obj, now),
    ]


def _targets(obj: JsonObject) -> str:
    current = list_at(obj, "status", "currentMetrics")
    texts = []
    for index, metric in enumerate(list_at(obj, "spec", "metrics")):
        seen = current[index] if index < len(current) else {}
        texts.append(_target(metric, seen))
    wanted = member(obj, "spec", "targetCPUUtilizationPercentage")  # of autoscaling/v1
    if wanted is not None:
        measured = member(obj, "status", "currentCPUUtilizationPercentage")
        texts.append(f"cpu: {'<unknown>' if measured is None else f'{measured}%'}/{wanted}%")
    shown, rest = texts[:_TARGETS_MAX], len(texts) - _TARGETS_MAX
    return (", ".join(shown) + (f" + {rest} more..." if rest > 0 else "")) or NONE


def _target(metric: JsonObject, seen: JsonObject) -> str:
    kind = string_at(metric, "type")
    source_name = kind[:1].lower() + kind[1:]
    source, measured = object_at(metric, source_name), object_at(seen, source_name, "current")
    target = object_at(source, "target")
    name = string_at(source, "name")
    prefix = f"{name}: " if name else ""
    if target.get("averageUtilization") is not None:
        used = _shown(measured.get("averageUtilization"), "%")
        return f"{prefix}{used}/{target['averageUtilization']}%"
    for unit, suffix in (("averageValue", " (avg)"), ("value", "")):
        if target.get(unit) is not None:
            average = suffix if kind in ("Object", "External") else ""
            return f"{prefix}{_shown(measured.get(unit), '')}/{target[unit]}{average}"
    return f"{prefix}<unknown>/<auto>"


def _shown(value: JsonValue, unit: str) -> str:
    return "<unknown>" if value is None else f"{value}{unit}"


def _priority_class(obj: JsonObject, now: datetime) -> Cells:
    return [
        name_of(obj),
        integer_at(obj, "value"),
        member(obj, "globalDefault") is True,
        age(obj, now),
        string_at(obj, "preemptionPolicy"),
    ]


def _runtime_class(obj: JsonObject, now: datetime) -> Cells:
    return [name_of(obj), string_at(obj, "handler"), age(obj, now)]


def _signing_request(obj: JsonObject, now: datetime) -> Cells:
    seconds = member(obj, "spec", "expirationSeconds")
    return [
        name_of(obj),
        age(obj, now),
        or_none(string_at(obj, "spec", "signerName")),
        string_at(obj, "spec", "username"),
        NONE if seconds is None else duration_text(seconds),
        _signing_status(obj),
    ]


def _signing_status(obj: JsonObject) -> str:
    kinds = [string_at(one, "type") for one in list_at(obj, "status", "conditions")]
    decision = next((kind for kind in ("Denied", "Approved") if kind in kinds), "Pending")
    failed = ["Failed"] if "Failed" in kinds else []
    issued = ["Issued"] if string_at(obj, "status", "certificate") else []
    return ",".join([decision, *failed, *issued])


def _webhooks(obj: JsonObject, now: datetime) -> Cells:
    return [name_of(obj), len(list_at(obj, "webhooks")), age(obj, now)]


def _admission_policy(obj: JsonObject, now: datetime) -> Cells:
    kind = object_at(obj, "spec", "paramKind")
    shown = "/".join([string_at(kind, "apiVersion"), string_at(kind, "kind")]) if kind else UNSET
    return [name_of(obj), len(list_at(obj, "spec", "validations")), shown, age(obj, now)]


def _policy_binding(obj: JsonObject, now: datetime) -> Cells:
    reference = object_at(obj, "spec", "paramRef")
    where = [string_at(reference, "namespace") or "*", string_at(reference, "name") or "*"]
    shown = "/".join(where) if reference else UNSET
    return [name_of(obj), string_at(obj, "spec", "policyName"), shown, age(obj, now)]


def _api_service(obj: JsonObject, now: datetime) -> Cells:
    service = object_at(obj, "spec", "service")
    where = f"{string_at(service, 'namespace')}/{string_at(service, 'name')}"
    available = condition(obj, "Available")
    status = string_at(available, "status") or "Unknown"
    if available and status != "True":
        status = f"{status} ({string_at(available, 'reason')})"
    return [name_of(obj), where if service else "Local", status, age(obj, now)]


_RBAC, _ADMISSION = "rbac.authorization.k8s.io", "admissionregistration.k8s.io"
_BINDING = Printer(columns("Name, Role, Age, Users w, Groups w, ServiceAccounts w"), _role_binding)
_EVENT = Printer(
    columns(
        "Last Seen, Type, Reason, Object, Subobject w, Source w, Message, First Seen w,"
        " Count int w, Name w"
    ),
    _event,
)
_WEBHOOKS = Printer(columns("Name, Webhooks int, Age"), _webhooks)
PRINTERS = {
    ("", "Namespace"): Printer(columns("Name, Status, Age"), _namespace),
    ("", "ConfigMap"): Printer(columns("Name, Data int, Age"), _config_map),
    ("", "Secret"): Printer(columns("Name, Type, Data int, Age"), _secret),
    ("", "ServiceAccount"): Printer(columns("Name, Secrets int, Age"), _service_account),
    ("", "Event"): _EVENT,
    ("events.k8s.io", "Event"): _EVENT,
    ("", "ResourceQuota"): Printer(columns("Name, Request, Limit, Age"), _quota),
    ("coordination.k8s.io", "Lease"): Printer(columns("Name, Holder, Age"), _lease),
    (_RBAC, "RoleBinding"): _BINDING,
    (_RBAC, "ClusterRoleBinding"): _BINDING,
    ("policy", "PodDisruptionBudget"): Printer(
        columns("Name, Min Available, Max Unavailable, Allowed Disruptions int, Age"),
        _disruption_budget,
    ),
    ("autoscaling", "HorizontalPodAutoscaler"): Printer(
        columns("Name, Reference, Targets, MinPods, MaxPods int, Replicas int, Age"),
        _autoscaler,
    ),
    ("scheduling.k8s.io", "PriorityClass"): Printer(
        columns("Name, Value int, Global-Default bool, Age, PreemptionPolicy"), _priority_class
    ),
    ("node.k8s.io", "RuntimeClass"): Printer(columns("Name, Handler, Age"), _runtime_class),
    ("certificates.k8s.io", "CertificateSigningRequest"): Printer(
        columns("Name, Age, SignerName, Requestor, RequestedDuration, Condition"),
        _signing_request,
    ),
    (_ADMISSION, "MutatingWebhookConfiguration"): _WEBHOOKS,
    (_ADMISSION, "ValidatingWebhookConfiguration"): _WEBHOOKS,
    (_ADMISSION, "ValidatingAdmissionPolicy"): Printer(
        columns("Name, Validations int, ParamKind, Age"), _admission_policy
    ),
    (_ADMISSION, "ValidatingAdmissionPolicyBinding"): Printer(
        columns("Name, PolicyName, ParamRef, Age"), _policy_binding
    ),
    ("apiregistration.k8s.io", "APIService"): Printer(
        columns("Name, Service, Available, Age"), _api_service
    ),
}
