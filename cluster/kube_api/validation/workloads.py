"""The rules of what makes pods."""

from collections.abc import Callable, Mapping
from typing import Any

from cluster.kube_api.field_errors import FieldError, forbidden, invalid, not_supported, required
from cluster.kube_api.metadata import IMMUTABLE
from cluster.kube_api.objects import JsonObject, member, object_at, same, string_at
from cluster.kube_api.selectors import equality_selector
from cluster.kube_api.validation.checks import (
    count_errors,
    immutable_errors,
    selector_errors,
    selects,
)
from cluster.kube_api.validation.pods import template_errors

_CRON_NAME_CHARS_MAX = 52
_CRON_FIELDS = 5


def _template(spec: JsonObject) -> list[FieldError]:
    """Return what is wrong with the template of a controller whose pods always run."""
    template = object_at(spec, "template")
    errors = template_errors(template, "spec.template")
    policy = string_at(template, "spec", "restartPolicy")
    if policy and policy != "Always":
        errors.append(not_supported("spec.template.spec.restartPolicy", policy, ("Always",)))
    return errors


def _selector(spec: JsonObject) -> list[FieldError]:
    """Return what is wrong with a selector: it has to be there, and to match the template."""
    selector = member(spec, "selector")
    if selector is None:
        return [required("spec.selector")]
    errors = selector_errors(selector, "spec.selector")
    if not selector:
        why = "empty selector is invalid for deployment"
        errors.append(invalid("spec.selector", selector, why))
    labels = object_at(spec, "template", "metadata", "labels")
    if not errors and not selects(selector, labels):
        why = "`selector` does not match template `labels`"
        errors.append(invalid("spec.template.metadata.labels", labels, why))
    return errors


def _deployment(obj: JsonObject) -> list[FieldError]:
    spec = object_at(obj, "spec")
    errors = count_errors(spec, "spec", "replicas", "minReadySeconds", "revisionHistoryLimit")
    errors += _selector(spec) + _template(spec)
    errors += _strategy(object_at(spec, "strategy"))
    deadline, ready = member(spec, "progressDeadlineSeconds"), member(spec, "minReadySeconds") or 0
    if isinstance(deadline, int) and deadline <= ready:
        why = "must be greater than minReadySeconds"
        errors.append(invalid("spec.progressDeadlineSeconds", deadline, why))
    return errors


def _strategy(strategy: JsonObject) -> list[FieldError]:
    kind, path = string_at(strategy, "type"), "spec.strategy"
    rolling = member(strategy, "rollingUpdate")
    if kind == "Recreate":
        why = "may not be specified when strategy `type` is 'Recreate'"
        return [forbidden(f"{path}.rollingUpdate", why)] if rolling is not None else []
    if kind != "RollingUpdate":
        return [not_supported(f"{path}.type", kind, ("Recreate", "RollingUpdate"))]
    errors = _share_errors(rolling, f"{path}.rollingUpdate", "maxUnavailable", "maxSurge")
    if _is_zero(member(rolling, "maxUnavailable")) and _is_zero(member(rolling, "maxSurge")):
        where = f"{path}.rollingUpdate.maxUnavailable"
        value = member(rolling, "maxUnavailable")
        errors.append(invalid(where, value, "may not be 0 when `maxSurge` is 0"))
    return errors


def _is_zero(share: Any) -> bool:
    return share in (0, "0%")


def _share_errors(obj: Any, path: str, *fields: str) -> list[FieldError]:
    errors = []
    for name in fields:
        value = member(obj, name)
        if isinstance(value, str):
            number = value.removesuffix("%")
            if number == value or not number.isdigit():
                why = "a valid percent string must be a numeric string followed by an ending '%'"
                errors.append(invalid(f"{path}.{name}", value, why))
        elif isinstance(value, int) and value < 0:
            errors += count_errors(obj, path, name)
    return errors


def _replica_set(obj: JsonObject) -> list[FieldError]:
    spec = object_at(obj, "spec")
    errors = count_errors(spec, "spec", "replicas", "minReadySeconds")
    return errors + _selector(spec) + _template(spec)


def _replication_controller(obj: JsonObject) -> list[FieldError]:
    spec = object_at(obj, "spec")
    errors = count_errors(spec, "spec", "replicas", "minReadySeconds")
    selector = object_at(spec, "selector")
    if not selector:
        errors.append(required("spec.selector"))
    if member(spec, "template") is None:
        return [*errors, required("spec.template")]
    labels = object_at(spec, "template", "metadata", "labels")
    if selector and not equality_selector(selector).matches(labels):
        why = "`selector` does not match template `labels`"
        errors.append(invalid("spec.template.metadata.labels", labels, why))
    return errors + _template(spec)


def _stateful_set(obj: JsonObject) -> list[FieldError]:
    spec = object_at(obj, "spec")
    errors = count_errors(spec, "spec", "replicas", "minReadySeconds")
    policy = string_at(spec, "podManagementPolicy")
    if policy not in ("OrderedReady", "Parallel"):
        why = "must be 'OrderedReady' or 'Parallel'"
        errors.append(invalid("spec.podManagementPolicy", policy, why))
    return errors + _selector(spec) + _template(spec)


def _daemon_set(obj: JsonObject) -> list[FieldError]:
    spec = object_at(obj, "spec")
    errors = count_errors(spec, "spec", "minReadySeconds", "revisionHistoryLimit")
    return errors + _selector(spec) + _template(spec)


def _job(obj: JsonObject) -> list[FieldError]:
    spec = object_at(obj, "spec")
    errors = job_spec_errors(spec, "spec")
    selector = member(spec, "selector")
    labels = object_at(spec, "template", "metadata", "labels")
    if selector is None:
        errors.append(required("spec.selector"))
    elif not selects(selector, labels):
        why = "`selector` does not match template `labels`"
        errors.append(invalid("spec.template.metadata.labels", labels, why))
    return errors


def job_spec_errors(spec: JsonObject, path: str) -> list[FieldError]:
    """Return what is wrong with what a Job or the template of one says."""
    fields = ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit")
    errors = count_errors(spec, path, *fields, "ttlSecondsAfterFinished")
    errors += template_errors(object_at(spec, "template"), f"{path}.template")
    policy = string_at(spec, "template", "spec", "restartPolicy")
    where = f"{path}.template.spec.restartPolicy"
    if policy not in ("Never", "OnFailure"):
        errors.append(required(where, 'valid values: "OnFailure", "Never"'))
    if string_at(spec, "completionMode") == "Indexed" and member(spec, "completions") is None:
        why = "when completion mode is Indexed"
        errors.append(required(f"{path}.completions", why))
    return errors


def _cron_job(obj: JsonObject) -> list[FieldError]:
    spec = object_at(obj, "spec")
    name, schedule = string_at(obj, "metadata", "name"), string_at(spec, "schedule")
    errors = []
    if len(name) > _CRON_NAME_CHARS_MAX:
        why = f"must be no more than {_CRON_NAME_CHARS_MAX} characters"
        errors.append(invalid("metadata.name", name, why))
    if not schedule:
        errors.append(required("spec.schedule"))
    elif not schedule.startswith("@") and len(schedule.split()) != _CRON_FIELDS:
        found = len(schedule.split())
        why = f"expected exactly 5 fields, found {found}: {schedule.split()}"
        errors.append(invalid("spec.schedule", schedule, why))
    policy = string_at(spec, "concurrencyPolicy")
    policies = ("Allow", "Forbid", "Replace")
    if policy not in policies:
        errors.append(not_supported("spec.concurrencyPolicy", policy, policies))
    counts = ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit")
    errors += count_errors(spec, "spec", *counts)
    return errors + job_spec_errors(object_at(spec, "jobTemplate", "spec"), "spec.jobTemplate.spec")


CHECKS: Mapping[tuple[str, str], Callable[[JsonObject], list[FieldError]]] = {
    ("apps", "Deployment"): _deployment,
    ("apps", "ReplicaSet"): _replica_set,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "DaemonSet"): _daemon_set,
    ("", "ReplicationController"): _replication_controller,
    ("batch", "Job"): _job,
    ("batch", "CronJob"): _cron_job,
}


def _same_selector(new: JsonObject, old: JsonObject) -> list[FieldError]:
    return immutable_errors(object_at(new, "spec"), object_at(old, "spec"), "spec", "selector")


_STATEFUL_CHANGEABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)


def _stateful_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    def fixed(obj: JsonObject) -> JsonObject:
        spec = object_at(obj, "spec")
        return {name: one for name, one in spec.items() if name not in _STATEFUL_CHANGEABLE}

    if same(fixed(new), fixed(old)):
        return []
    others = "', '".join(_STATEFUL_CHANGEABLE[:-1])
    why = (
        f"updates to statefulset spec for fields other than '{others}' and 'minReadySeconds'"
        " are forbidden"
    )
    return [forbidden("spec", why)]


def _job_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    after, before = object_at(new, "spec"), object_at(old, "spec")
    errors = immutable_errors(after, before, "spec", "selector", "completionMode")
    is_suspended = member(before, "suspend") is True
    if not is_suspended and not same(member(after, "template"), member(before, "template")):
        errors.append(invalid("spec.template", member(after, "template"), IMMUTABLE))
    completions = member(after, "completions")
    if completions != member(before, "completions"):
        is_elastic = string_at(after, "completionMode") == "Indexed" and completions == member(
            after, "parallelism"
        )
        if not is_elastic:
            errors.append(invalid("spec.completions", completions, IMMUTABLE))
    return errors


UPDATE_CHECKS: Mapping[tuple[str, str], Callable[[JsonObject, JsonObject], list[FieldError]]] = {
    ("apps", "Deployment"): _same_selector,
    ("apps", "ReplicaSet"): _same_selector,
    ("apps", "DaemonSet"): _same_selector,
    ("apps", "StatefulSet"): _stateful_update,
    ("batch", "Job"): _job_update,
}
