"""Rows of what runs pods, and of nodes."""

from datetime import datetime

from cluster.kube_api.objects import JsonObject, integer_at, list_at, member, object_at, string_at
from cluster.kube_api.tables.cells import (
    NONE,
    UNKNOWN,
    Cells,
    Printer,
    age,
    columns,
    condition,
    containers_and_images,
    duration_text,
    instant,
    is_true,
    labels_text,
    name_of,
    or_none,
    selector_text,
    since,
)


def _template(obj: JsonObject) -> Cells:
    return containers_and_images(object_at(obj, "spec", "template"))


def _deployment(obj: JsonObject, now: datetime) -> Cells:
    ready, wanted = integer_at(obj, "status", "readyReplicas"), integer_at(obj, "spec", "replicas")
    return [
        name_of(obj),
        f"{ready}/{wanted}",
        integer_at(obj, "status", "updatedReplicas"),
        integer_at(obj, "status", "availableReplicas"),
        age(obj, now),
        *_template(obj),
        selector_text(member(obj, "spec", "selector")),
    ]


def _replicas(obj: JsonObject, now: datetime) -> Cells:
    return [
        name_of(obj),
        integer_at(obj, "spec", "replicas"),
        integer_at(obj, "status", "replicas"),
        integer_at(obj, "status", "readyReplicas"),
        age(obj, now),
        *_template(obj),
    ]


def _replica_set(obj: JsonObject, now: datetime) -> Cells:
    return [*_replicas(obj, now), selector_text(member(obj, "spec", "selector"))]


def _replication_controller(obj: JsonObject, now: datetime) -> Cells:
    return [*_replicas(obj, now), labels_text(object_at(obj, "spec", "selector"))]


def _stateful_set(obj: JsonObject, now: datetime) -> Cells:
    ready, wanted = integer_at(obj, "status", "readyReplicas"), integer_at(obj, "spec", "replicas")
    return [name_of(obj), f"{ready}/{wanted}", age(obj, now), *_template(obj)]


def _daemon_set(obj: JsonObject, now: datetime) -> Cells:
    counts = [
        integer_at(obj, "status", name)
        for name in (
            "desiredNumberScheduled",
            "currentNumberScheduled",
            "numberReady",
            "updatedNumberScheduled",
            "numberAvailable",
        )
    ]
    return [
        name_of(obj),
        *counts,
        labels_text(object_at(obj, "spec", "template", "spec", "nodeSelector")),
        age(obj, now),
        *_template(obj),
        selector_text(member(obj, "spec", "selector")),
    ]


def _job(obj: JsonObject, now: datetime) -> Cells:
    return [
        name_of(obj),
        _job_status(obj),
        _completions(obj),
        _job_duration(obj, now),
        age(obj, now),
        *_template(obj),
        selector_text(member(obj, "spec", "selector")),
    ]


def _job_status(obj: JsonObject) -> str:
    for kind in ("Complete", "Failed"):
        if is_true(obj, kind):
            return kind
    if member(obj, "metadata", "deletionTimestamp") is not None:
        return "Terminating"
    for kind in ("Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if is_true(obj, kind):
            return kind
    return "Running"


def _completions(obj: JsonObject) -> str:
    succeeded = integer_at(obj, "status", "succeeded")
    completions = member(obj, "spec", "completions")
    if completions is not None:
        return f"{succeeded}/{completions}"
    parallelism = integer_at(obj, "spec", "parallelism")
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def _job_duration(obj: JsonObject, now: datetime) -> str:
    start = instant(member(obj, "status", "startTime"))
    if start is None:
        return ""
    end = instant(member(obj, "status", "completionTime")) or now
    return duration_text((end - start).total_seconds())


def _cron_job(obj: JsonObject, now: datetime) -> Cells:
    last = member(obj, "status", "lastScheduleTime")
    template = object_at(obj, "spec", "jobTemplate", "spec", "template")
    return [
        name_of(obj),
        string_at(obj, "spec", "schedule"),
        or_none(string_at(obj, "spec", "timeZone")),
        "True" if member(obj, "spec", "suspend") is True else "False",
        len(list_at(obj, "status", "active")),
        NONE if last is None else since(last, now),
        age(obj, now),
        *containers_and_images(template),
        selector_text(member(obj, "spec", "jobTemplate", "spec", "selector")),
    ]


def _pod_template(obj: JsonObject, _: datetime) -> Cells:
    template = object_at(obj, "template")
    labels = labels_text(object_at(template, "metadata", "labels"))
    return [name_of(obj), *containers_and_images(template), labels]


def _controller_revision(obj: JsonObject, now: datetime) -> Cells:
    owners = [one for one in list_at(obj, "metadata", "ownerReferences") if one.get("controller")]
    owner = owners[0] if owners else {}
    group = string_at(owner, "apiVersion").rpartition("/")[0]
    kind = string_at(owner, "kind").lower() + (f".{group}" if group else "")
    controller = f"{kind}/{string_at(owner, 'name')}" if owners else NONE
    return [name_of(obj), controller, integer_at(obj, "revision"), age(obj, now)]


def _node(obj: JsonObject, now: datetime) -> Cells:
    info = object_at(obj, "status", "nodeInfo")
    return [
        name_of(obj),
        _node_status(obj),
        _node_roles(obj),
        age(obj, now),
        string_at(info, "kubeletVersion"),
        _address(obj, "InternalIP"),
        _address(obj, "ExternalIP"),
        string_at(info, "osImage") or UNKNOWN,
        string_at(info, "kernelVersion") or UNKNOWN,
        string_at(info, "containerRuntimeVersion") or UNKNOWN,
    ]


def _node_status(obj: JsonObject) -> str:
    ready = condition(obj, "Ready")
    status = ("Ready" if ready.get("status") == "True" else "NotReady") if ready else "Unknown"
    is_cordoned = member(obj, "spec", "unschedulable") is True
    return f"{status},SchedulingDisabled" if is_cordoned else status


_ROLE = "node-role.kubernetes.io/"


def _node_roles(obj: JsonObject) -> str:
    roles = set()
    for key, value in object_at(obj, "metadata", "labels").items():
        if key.startswith(_ROLE) and key != _ROLE:
            roles.add(key.removeprefix(_ROLE))
        elif key == "kubernetes.io/role" and value:
            roles.add(value)
    return or_none(",".join(sorted(roles)))


def _address(obj: JsonObject, kind: str) -> str:
    for one in list_at(obj, "status", "addresses"):
        if one.get("type") == kind:
            return string_at(one, "address")
    return NONE


_WIDE = "Age, Containers w, Images w, Selector w"
_COUNTED = f"Name, Desired int, Current int, Ready int, {_WIDE}"
PRINTERS = {
    ("apps", "Deployment"): Printer(
        columns(f"Name, Ready, Up-to-date int, Available int, {_WIDE}"), _deployment
    ),
    ("apps", "ReplicaSet"): Printer(columns(_COUNTED), _replica_set),
    ("", "ReplicationController"): Printer(columns(_COUNTED), _replication_controller),
    ("apps", "StatefulSet"): Printer(
        columns("Name, Ready, Age, Containers w, Images w"), _stateful_set
    ),
    ("apps", "DaemonSet"): Printer(
        columns(
            "Name, Desired int, Current int, Ready int, Up-to-date int, Available int,"
            f" Node Selector, {_WIDE}"
        ),
        _daemon_set,
    ),
    ("batch", "Job"): Printer(columns(f"Name, Status, Completions, Duration, {_WIDE}"), _job),
    ("batch", "CronJob"): Printer(
        columns(f"Name, Schedule, Timezone, Suspend, Active int, Last Schedule, {_WIDE}"),
        _cron_job,
    ),
    ("", "PodTemplate"): Printer(columns("Name, Containers, Images, Pod Labels"), _pod_template),
    ("apps", "ControllerRevision"): Printer(
        columns("Name, Controller, Revision int, Age"), _controller_revision
    ),
    ("", "Node"): Printer(
        columns(
            "Name, Status, Roles, Age, Version, Internal-IP w, External-IP w, OS-Image w,"
            " Kernel-Version w, Container-Runtime w"
        ),
        _node,
    ),
}
