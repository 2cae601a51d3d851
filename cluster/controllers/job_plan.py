"""What a Job needs next, and what its status says. Pure.

A finished pod is counted once, whatever is lost on the way: its uid is first written into
`status.uncountedTerminatedPods`, then its finalizer is taken away, and then it is counted and its
uid leaves the list. A pod whose finalizer is there and that is not listed is not counted yet.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from cluster.controllers.ownership import uid_of
from cluster.controllers.pod_facts import (
    condition,
    is_active,
    is_deleting,
    is_finished,
    is_ready,
    phase,
    restarts,
)
from cluster.informer.conditions import with_conditions
from cluster.informer.times import timestamp, unix_of
from cluster.kube_api.objects import JsonObject, integer_at, list_at, member, object_at, string_at

FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
BURST_MAX = 500
_BACKOFF_FIRST_S = 10.0
_BACKOFF_MAX_S = 600.0


@dataclass(frozen=True, slots=True)
class Failing:
    """Why a Job is to fail."""

    reason: str
    message: str


@dataclass(slots=True)
class Plan:
    """What to do with pods now."""

    create: list[int | None] = field(default_factory=list)
    """An index each; None for a Job that does not number its pods."""
    delete: list[JsonObject] = field(default_factory=list)
    look_again_at: float | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """Pods that have ended: those in the status, and those that are to be added to it."""

    succeeded: int
    failed: int
    completed: frozenset[int] = frozenset()
    """The indexes that have succeeded."""


def is_over(job: JsonObject) -> bool:
    """Whether it is complete or has failed for good."""
    return is_said(job, "Complete") or is_said(job, "Failed")


def is_said(job: JsonObject, kind: str) -> bool:
    """Whether a condition holds."""
    return string_at(condition(job, kind), "status") == "True"


def is_indexed(job: JsonObject) -> bool:
    """Whether each pod has a number of its own."""
    return string_at(job, "spec", "completionMode") == "Indexed"


def index_of(pod: JsonObject) -> int | None:
    """Return a pod's number."""
    text = string_at(object_at(pod, "metadata", "annotations"), INDEX)
    return int(text) if text.isdecimal() else None


def is_tracked(pod: JsonObject) -> bool:
    """Whether the pod waits to be counted."""
    return FINALIZER in list_at(pod, "metadata", "finalizers")


def is_ended(job: JsonObject, pod: JsonObject) -> bool:
    """Whether its end counts: one that is asked to go may never be seen finished.

    With the replacement policy Failed it is waited for, unless no kubelet has it.
    """
    if is_finished(pod):
        return True
    waits = string_at(job, "spec", "podReplacementPolicy") == "Failed"
    return is_deleting(pod) and not (waits and string_at(pod, "spec", "nodeName"))


def has_succeeded(pod: JsonObject) -> bool:
    """Whether it counts as a success."""
    return phase(pod) == "Succeeded"


def indexes_of(text: str) -> frozenset[int]:
    """Read `1,3-5`."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first.isdecimal():
            found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def text_of(indexes: Iterable[int]) -> str:
    """Write `1,3-5`."""
    parts: list[list[int]] = []
    for index in sorted(indexes):
        if parts and parts[-1][-1] == index - 1:
            parts[-1] = [parts[-1][0], index]
        else:
            parts.append([index])
    return ",".join(map(_part, parts))


def _part(part: list[int]) -> str:
    first, last = part[0], part[-1]
    if first == last:
        return str(first)
    return f"{first},{last}" if last == first + 1 else f"{first}-{last}"


def uncounted(job: JsonObject) -> dict[str, list[str]]:
    """Return the uids of pods that are being counted, as succeeded and failed."""
    listed = object_at(job, "status", "uncountedTerminatedPods")
    return {kind: list(list_at(listed, kind)) for kind in ("succeeded", "failed")}


def counts(job: JsonObject) -> Counts:
    """Return all pods that have ended: those counted, and those whose uids are listed."""
    listed = uncounted(job)
    status = object_at(job, "status")
    return Counts(
        integer_at(status, "succeeded") + len(listed["succeeded"]),
        integer_at(status, "failed") + len(listed["failed"]),
        indexes_of(string_at(status, "completedIndexes")),
    )


def why_failing(
    job: JsonObject, pods: Sequence[JsonObject], ended: Counts, *, now: float
) -> Failing | None:
    """Return why the Job is not to go on, if it is not; what was said once stays."""
    said = condition(job, "FailureTarget")
    if said:
        return Failing(string_at(said, "reason"), string_at(said, "message"))
    limit = integer_at(job, "spec", "backoffLimit", default=6)
    again = sum(map(restarts, filter(is_active, pods)))
    if ended.failed > limit or (again and again >= limit):
        return Failing("BackoffLimitExceeded", "Job has reached the specified backoff limit")
    due = deadline(job)
    if due is not None and due <= now:
        return Failing("DeadlineExceeded", "Job was active longer than specified deadline")
    return None


def deadline(job: JsonObject) -> float | None:
    """Return when a Job is to have ended, in seconds since 1970."""
    seconds = integer_at(job, "spec", "activeDeadlineSeconds", default=-1)
    started = string_at(job, "status", "startTime")
    return unix_of(started) + seconds if seconds >= 0 and started else None


def is_done(job: JsonObject, ended: Counts, active: int) -> bool:
    """Whether enough pods have succeeded: all, or for a work queue one and none runs any more."""
    if is_said(job, "SuccessCriteriaMet"):
        return True
    wanted = member(job, "spec", "completions")
    if is_indexed(job):
        return len(ended.completed) >= integer_at(job, "spec", "completions")
    if isinstance(wanted, int):
        return ended.succeeded >= wanted
    return ended.succeeded > 0 and active == 0


def plan(job: JsonObject, pods: Sequence[JsonObject], ended: Counts, *, now: float) -> Plan:
    """Decide which pods to make and to end, for a Job that is to go on."""
    active = [pod for pod in pods if is_active(pod)]
    if member(job, "spec", "suspend") is True:
        return Plan(delete=active)
    result = Plan()
    parallelism = integer_at(job, "spec", "parallelism", default=1)
    wanted = member(job, "spec", "completions")
    if is_indexed(job):
        missing = _missing_indexes(job, active, ended)
        doubles = _doubles(active, ended)
        room = max(parallelism - (len(active) - len(doubles)), 0)
        result.delete = doubles
        result.create = list[int | None](missing[:room])
    else:
        most = parallelism
        if isinstance(wanted, int):
            most = min(parallelism, max(wanted - ended.succeeded, 0))
        elif ended.succeeded:
            most = min(parallelism, len(active))  # the queue is empty: no more workers
        result.create = [None] * max(most - len(active), 0)
        result.delete = sorted(active, key=_worth)[: max(len(active) - most, 0)]
    if result.create:
        due = _backoff_until(pods, ended)
        if due > now:
            result.create, result.look_again_at = [], due
    result.create = result.create[:BURST_MAX]
    if is_indexed(job) and not result.delete and len(active) > parallelism:
        result.delete = sorted(active, key=_worth)[: len(active) - parallelism]
    return result


def _missing_indexes(job: JsonObject, active: Sequence[JsonObject], ended: Counts) -> list[int]:
    present = {index_of(pod) for pod in active} | ended.completed
    return [
        index for index in range(integer_at(job, "spec", "completions")) if index not in present
    ]


def _doubles(active: Sequence[JsonObject], ended: Counts) -> list[JsonObject]:
    """Return active pods whose index is done, or is another's too."""
    seen = set(ended.completed)
    found = []
    for pod in sorted(active, key=_worth, reverse=True):
        index = index_of(pod)
        if index is None or index in seen:
            found.append(pod)
        else:
            seen.add(index)
    return found


def _worth(pod: JsonObject) -> tuple[bool, bool, float, str]:
    """What is worth least goes first: not bound, not ready, the youngest."""
    created = unix_of(string_at(pod, "metadata", "creationTimestamp"))
    node = bool(string_at(pod, "spec", "nodeName"))
    return (node, is_ready(pod), -created, string_at(pod, "metadata", "name"))


def _backoff_until(pods: Sequence[JsonObject], ended: Counts) -> float:
    """Return until when no pod is made after a failure: 10 s, doubled with each, at most 10 min."""
    failed = [pod for pod in pods if phase(pod) == "Failed"]
    if not failed or not ended.failed:
        return 0.0
    last_success = max((_ended_at(pod) for pod in pods if has_succeeded(pod)), default=0.0)
    recent = [pod for pod in failed if _ended_at(pod) > last_success]
    if not recent:
        return 0.0
    wait_s = min(_BACKOFF_FIRST_S * 2.0 ** min(len(recent) - 1, 10), _BACKOFF_MAX_S)
    return max(map(_ended_at, recent)) + wait_s


def _ended_at(pod: JsonObject) -> float:
    """Return when the last container ended, as far as the status says."""
    times = [
        unix_of(string_at(one, "state", "terminated", "finishedAt"))
        for one in list_at(pod, "status", "containerStatuses")
    ]
    known = max(times, default=0.0)
    return known or unix_of(string_at(condition(pod, "Ready"), "lastTransitionTime"))


def pod_of(job: JsonObject, index: int | None) -> JsonObject:
    """Return a pod to create."""
    template = object_at(job, "spec", "template")
    name = string_at(job, "metadata", "name")
    metadata: JsonObject = {
        "namespace": string_at(job, "metadata", "namespace"),
        "labels": dict(object_at(template, "metadata", "labels")),
        "annotations": dict(object_at(template, "metadata", "annotations")),
        "finalizers": [*list_at(template, "metadata", "finalizers"), FINALIZER],
        "generateName": f"{name}-" if index is None else f"{name}-{index}-",
    }
    spec = dict(object_at(template, "spec"))
    if index is not None:
        metadata["annotations"][INDEX] = metadata["labels"][INDEX] = str(index)
        spec["hostname"] = f"{name}-{index}"
        value = {"fieldRef": {"fieldPath": f"metadata.annotations['{INDEX}']"}}
        variable = {"name": "JOB_COMPLETION_INDEX", "valueFrom": value}
        for kind in ("containers", "initContainers"):
            if kind in spec:
                spec[kind] = [
                    {**one, "env": [*list_at(one, "env"), variable]} for one in spec[kind]
                ]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def with_uncounted(job: JsonObject, pods: Sequence[JsonObject]) -> JsonObject:
    """Return the status in which all ended pods that wait to be counted are listed.

    What is listed and has no finalizer any more, or is gone, is counted and leaves the list.
    """
    status = dict(object_at(job, "status"))
    listed = uncounted(job)
    waiting = {uid_of(pod) for pod in pods if is_tracked(pod)}
    completed = set(indexes_of(string_at(status, "completedIndexes")))
    for kind, uids in listed.items():
        done = [uid for uid in uids if uid not in waiting]
        if done:
            status[kind] = integer_at(status, kind) + len(done)
        listed[kind] = [uid for uid in uids if uid in waiting]
    known = {uid for uids in listed.values() for uid in uids}
    for pod in sorted(pods, key=uid_of):
        if not is_tracked(pod) or not is_ended(job, pod) or uid_of(pod) in known:
            continue
        index = index_of(pod)
        if not is_indexed(job):
            listed["succeeded" if has_succeeded(pod) else "failed"].append(uid_of(pod))
        elif not has_succeeded(pod):
            listed["failed"].append(uid_of(pod))
        elif index is not None and 0 <= index < integer_at(job, "spec", "completions"):
            completed.add(index)
            listed["succeeded"].append(uid_of(pod))
    if is_indexed(job):
        status["completedIndexes"] = text_of(completed)
        if not completed:
            del status["completedIndexes"]
    status["uncountedTerminatedPods"] = {kind: uids for kind, uids in listed.items() if uids}
    return status


def status(
    job: JsonObject, pods: Sequence[JsonObject], failing: Failing | None, *, now: float
) -> JsonObject:
    """Return the status to write; a Job ends when no pod of it waits to be counted any more."""
    result = with_uncounted(job, pods)
    counted = counts({**job, "status": result})
    active = [pod for pod in pods if is_active(pod)]
    going = [pod for pod in pods if is_deleting(pod) and not is_finished(pod)]
    result |= {"ready": sum(map(is_ready, active)), "terminating": len(going)}
    _put(result, "active", len(active))
    is_suspended = member(job, "spec", "suspend") is True
    if is_suspended:
        result.pop("startTime", None)
    elif not string_at(result, "startTime"):
        result["startTime"] = timestamp(now)
    news = []
    if is_suspended or condition(job, "Suspended"):
        news.append(_suspension(is_suspended=is_suspended))
    is_settled = not result["uncountedTerminatedPods"] and not active and not going
    if failing is not None:
        news.append(_said("FailureTarget", failing.reason, failing.message))
        if is_settled:
            news.append(_said("Failed", failing.reason, failing.message))
    elif not is_suspended and is_done(job, counted, len(active)):
        text = "Reached expected number of succeeded pods"
        news.append(_said("SuccessCriteriaMet", "CompletionsReached", text))
        if is_settled:
            news.append(_said("Complete", "CompletionsReached", text))
            result["completionTime"] = timestamp(now)
    before = list_at(job, "status", "conditions")
    conditions = with_conditions(before, [_probed(one, now) for one in news], now)
    if conditions:
        result["conditions"] = _unchanged(conditions, before)
    return result


def _put(status: JsonObject, name: str, number: int) -> None:
    if number:
        status[name] = number
    else:
        status.pop(name, None)


def _said(kind: str, reason: str, message: str) -> JsonObject:
    return {"type": kind, "status": "True", "reason": reason, "message": message}


def _suspension(*, is_suspended: bool) -> JsonObject:
    if is_suspended:
        return _said("Suspended", "JobSuspended", "Job suspended")
    return {**_said("Suspended", "JobResumed", "Job resumed"), "status": "False"}


def _probed(one: JsonObject, now: float) -> JsonObject:
    return {**one, "lastProbeTime": timestamp(now)}


def _unchanged(conditions: list[JsonObject], before: list[JsonObject]) -> list[JsonObject]:
    """Keep the time of the look at what says the same as before: it is no reason for a write."""
    olds = {string_at(one, "type"): one for one in before}

    def kept(one: JsonObject) -> JsonObject:
        old = olds.get(string_at(one, "type"), {})
        names = ("status", "reason", "message")
        return old if all(old.get(name) == one.get(name) for name in names) else one

    return [kept(one) for one in conditions]
