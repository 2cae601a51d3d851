"""Defaults of what makes pods."""

from cluster.kube_api.defaults.pods import set_pod_spec
from cluster.kube_api.defaults.setting import default, each, struct
from cluster.kube_api.objects import JsonObject

_INT32_MAX = (1 << 31) - 1


def _spec_with_template(obj: JsonObject) -> JsonObject:
    spec = struct(obj, "spec")
    set_pod_spec(struct(struct(spec, "template"), "spec"))
    return spec


def _deployment(obj: JsonObject) -> None:
    spec = _spec_with_template(obj)
    default(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    strategy = struct(spec, "strategy")
    default(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        default(struct(strategy, "rollingUpdate"), maxUnavailable="25%", maxSurge="25%")


def _replica_set(obj: JsonObject) -> None:
    default(_spec_with_template(obj), replicas=1)


def _replication_controller(obj: JsonObject) -> None:
    spec = struct(obj, "spec")
    if spec.get("template") is not None:
        _spec_with_template(obj)
        labels = struct(struct(spec, "template"), "metadata").get("labels")
        if labels:
            default(spec, selector=dict(labels))
            default(struct(obj, "metadata"), labels=dict(labels))
    default(spec, replicas=1)


def _stateful_set(obj: JsonObject) -> None:
    spec = _spec_with_template(obj)
    default(spec, replicas=1, revisionHistoryLimit=10, podManagementPolicy="OrderedReady")
    strategy = struct(spec, "updateStrategy")
    default(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        default(struct(strategy, "rollingUpdate"), partition=0)
    retention = struct(spec, "persistentVolumeClaimRetentionPolicy")
    default(retention, whenDeleted="Retain", whenScaled="Retain")
    for claim in each(spec, "volumeClaimTemplates"):
        default(claim, kind="PersistentVolumeClaim", apiVersion="v1")
        default(struct(claim, "spec"), volumeMode="Filesystem")
        default(struct(claim, "status"), phase="Pending")
    default(struct(obj, "status"), replicas=0, availableReplicas=0)


TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"


def _daemon_set(obj: JsonObject) -> None:
    spec = _spec_with_template(obj)
    default(spec, revisionHistoryLimit=10)
    strategy = struct(spec, "updateStrategy")
    default(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        default(struct(strategy, "rollingUpdate"), maxUnavailable=1, maxSurge=0)
    annotations = struct(struct(obj, "metadata"), "annotations")
    default(annotations, **{TEMPLATE_GENERATION: "1"})


_CONTROLLER_UID, _JOB_NAME = "controller-uid", "job-name"
_PREFIX = "batch.kubernetes.io/"


def _job(obj: JsonObject) -> None:
    spec = _spec_with_template(obj)
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    default(
        spec,
        parallelism=1,
        backoffLimit=6 if spec.get("backoffLimitPerIndex") is None else _INT32_MAX,
        completionMode="NonIndexed",
        suspend=False,
        manualSelector=False,
        podReplacementPolicy="Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed",
    )
    _select_own_pods(obj, spec)


def _select_own_pods(obj: JsonObject, spec: JsonObject) -> None:
    """Let a job know its pods by its UID, unless its author takes care of that."""
    metadata = struct(obj, "metadata")
    template = struct(struct(spec, "template"), "metadata")
    uid = metadata.get("uid")
    if uid and not spec["manualSelector"]:
        name = metadata.get("name")
        own = {f"{_PREFIX}{_CONTROLLER_UID}": uid, f"{_PREFIX}{_JOB_NAME}": name}
        own |= {_CONTROLLER_UID: uid, _JOB_NAME: name}
        template["labels"] = own | (template.get("labels") or {})
        selector = struct(spec, "selector")
        labels = struct(selector, "matchLabels")
        default(labels, **{f"{_PREFIX}{_CONTROLLER_UID}": uid})
    if not metadata.get("labels") and template.get("labels"):
        metadata["labels"] = dict(template["labels"])


def _cron_job(obj: JsonObject) -> None:
    spec = struct(obj, "spec")
    default(
        spec,
        concurrencyPolicy="Allow",
        suspend=False,
        successfulJobsHistoryLimit=3,
        failedJobsHistoryLimit=1,
    )
    job = struct(struct(spec, "jobTemplate"), "spec")
    set_pod_spec(struct(struct(job, "template"), "spec"))


SETTERS = {
    ("apps", "Deployment"): _deployment,
    ("apps", "ReplicaSet"): _replica_set,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "DaemonSet"): _daemon_set,
    ("", "ReplicationController"): _replication_controller,
    ("batch", "Job"): _job,
    ("batch", "CronJob"): _cron_job,
}
