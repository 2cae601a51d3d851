"""What a Deployment's status says. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from cluster.controllers.pod_facts import condition
from cluster.controllers.replicas import wanted_replicas
from cluster.controllers.rollout import available, bounds, total
from cluster.informer.times import timestamp, unix_of
from cluster.kube_api.objects import JsonObject, integer_at, list_at, object_at, string_at

_COUNTED = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")


@dataclass(frozen=True, slots=True)
class Progress:
    """What this look at the Deployment did, as its Progressing condition tells it."""

    reason: str
    message: str
    status: str = "True"


def counts(
    deployment: JsonObject, new: JsonObject | None, olds: Sequence[JsonObject]
) -> JsonObject:
    """Return the numbers of the status."""
    everything = [*([new] if new else []), *olds]
    numbers = {
        "replicas": sum(integer_at(one, "status", "replicas") for one in everything),
        "updatedReplicas": integer_at(new, "status", "replicas"),
        "readyReplicas": sum(integer_at(one, "status", "readyReplicas") for one in everything),
        "availableReplicas": available(everything),
        "unavailableReplicas": max(total(everything) - available(everything), 0),
    }
    return {name: number for name, number in numbers.items() if number}


def is_complete(deployment: JsonObject, numbers: JsonObject) -> bool:
    """Whether all pods are of the present template and available."""
    wanted = wanted_replicas(deployment)
    return all(
        integer_at(numbers, name) == wanted
        for name in ("updatedReplicas", "replicas", "availableReplicas")
    )


def status(
    deployment: JsonObject,
    new: JsonObject | None,
    olds: Sequence[JsonObject],
    progress: Progress | None,
    *,
    now: float,
) -> JsonObject:
    """Return the status to write; `progress` is what this look did, if anything."""
    numbers = counts(deployment, new, olds)
    conditions = {
        string_at(one, "type"): one for one in list_at(deployment, "status", "conditions")
    }
    _set(conditions, _available(deployment, numbers), now)
    said = progress or _progress(deployment, new, numbers, now=now)
    if said is not None:
        moved = progress is not None or said.reason == "ReplicaSetUpdated"
        _set(conditions, _progressing(said), now, is_news=moved)
    failure = condition(new or {}, "ReplicaFailure")
    if failure:
        _set(conditions, failure, now)
    else:
        conditions.pop("ReplicaFailure", None)
    collisions = integer_at(deployment, "status", "collisionCount")
    return {
        "observedGeneration": integer_at(deployment, "metadata", "generation"),
        **numbers,
        **({"collisionCount": collisions} if collisions else {}),
        "conditions": list(conditions.values()),
    }


def deadline(deployment: JsonObject) -> float | None:
    """Return when the rollout will count as stuck, in seconds since 1970; None if it never will."""
    seconds = integer_at(deployment, "spec", "progressDeadlineSeconds", default=600)
    progressing = condition(deployment, "Progressing")
    if seconds >= (1 << 31) - 1 or string_at(progressing, "status") != "True":
        return None
    if string_at(progressing, "reason") == "NewReplicaSetAvailable":
        return None
    return unix_of(string_at(progressing, "lastUpdateTime")) + seconds


def _progress(
    deployment: JsonObject, new: JsonObject | None, numbers: JsonObject, *, now: float
) -> Progress | None:
    """Return what the numbers say of the rollout; None if they say nothing new."""
    before = object_at(deployment, "status")
    name = string_at(new, "metadata", "name")
    what = (
        f'ReplicaSet "{name}"'
        if name
        else f'Deployment "{string_at(deployment, "metadata", "name")}"'
    )
    if is_complete(deployment, numbers):
        return Progress("NewReplicaSetAvailable", f"{what} has successfully progressed.")
    if _has_moved(before, numbers):
        return Progress("ReplicaSetUpdated", f"{what} is progressing.")
    due = deadline(deployment)
    if due is not None and due <= now:
        return Progress("ProgressDeadlineExceeded", f"{what} has timed out progressing.", "False")
    return None


def _has_moved(before: JsonObject, numbers: JsonObject) -> bool:
    def old_replicas(counts: JsonObject) -> int:
        return integer_at(counts, "replicas") - integer_at(counts, "updatedReplicas")

    return (
        integer_at(numbers, "updatedReplicas") > integer_at(before, "updatedReplicas")
        or old_replicas(numbers) < old_replicas(before)
        or integer_at(numbers, "readyReplicas") > integer_at(before, "readyReplicas")
        or integer_at(numbers, "availableReplicas") > integer_at(before, "availableReplicas")
    )


def _available(deployment: JsonObject, numbers: JsonObject) -> JsonObject:
    least = wanted_replicas(deployment) - bounds(deployment).unavailable
    if integer_at(numbers, "availableReplicas") >= least:
        return {
            "type": "Available",
            "status": "True",
            "reason": "MinimumReplicasAvailable",
            "message": "Deployment has minimum availability.",
        }
    return {
        "type": "Available",
        "status": "False",
        "reason": "MinimumReplicasUnavailable",
        "message": "Deployment does not have minimum availability.",
    }


def _progressing(progress: Progress) -> JsonObject:
    return {
        "type": "Progressing",
        "status": progress.status,
        "reason": progress.reason,
        "message": progress.message,
    }


def _set(
    conditions: dict[str, JsonObject], new: JsonObject, now: float, *, is_news: bool = False
) -> None:
    """Write a condition; its times move only as far as it says something else than before.

    `is_news`: it was said again because something happened, which restarts the deadline.
    """
    kind = string_at(new, "type")
    old = conditions.get(kind, {})
    stamp = timestamp(now)
    is_same = all(old.get(name) == new.get(name) for name in ("status", "reason"))
    if is_same and not is_news:
        return
    turned = old.get("status") != new["status"]
    conditions[kind] = {
        **new,
        "lastUpdateTime": stamp,
        "lastTransitionTime": stamp if turned else old["lastTransitionTime"],
    }
