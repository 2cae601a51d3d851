"""Which pods of a StatefulSet to make and to end next, and what its status says. Pure.

Pods have numbers from `ordinals.start` on, and names that stay: NAME-0, NAME-1. With the policy
OrderedReady a number is dealt with only when all lower ones are well; with Parallel at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cluster.controllers.pod_facts import (
    is_available,
    is_deleting,
    is_finished,
    is_ready,
    ready_since,
)
from cluster.controllers.replicas import wanted_replicas
from cluster.controllers.revisions import REVISION_LABEL
from cluster.kube_api.objects import JsonObject, integer_at, list_at, object_at, string_at

POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"


@dataclass(frozen=True, slots=True)
class Make:
    """A pod is to be made, of one of the revisions."""

    ordinal: int
    revision: str


@dataclass(slots=True)
class Plan:
    """What to do now; never both for the same number."""

    create: list[Make] = field(default_factory=list)
    delete: list[JsonObject] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Versions:
    """The names of two revisions: that which a rollout comes from, and that which it goes to."""

    current: str
    update: str


def ordinal_of(owner: JsonObject, pod: JsonObject) -> int | None:
    """Return a pod's number; None if its name is not one of the set's."""
    name, prefix = string_at(pod, "metadata", "name"), f"{string_at(owner, 'metadata', 'name')}-"
    text = name.removeprefix(prefix)
    return int(text) if name.startswith(prefix) and text.isdecimal() else None


def revision_of(pod: JsonObject) -> str:
    """Return the name of the revision that a pod was made from."""
    return string_at(object_at(pod, "metadata", "labels"), REVISION_LABEL)


def wanted_ordinals(owner: JsonObject) -> range:
    """Return the numbers that there should be."""
    start = integer_at(owner, "spec", "ordinals", "start")
    return range(start, start + wanted_replicas(owner))


def plan(owner: JsonObject, pods: Sequence[JsonObject], versions: Versions, *, now: float) -> Plan:
    """Decide. `pods` are those that the set owns."""
    by_ordinal = {number: pod for pod in pods if (number := ordinal_of(owner, pod)) is not None}
    result = Plan()
    is_held = _replace(owner, by_ordinal, versions, result, now=now)
    if is_held:
        return result
    is_held = _shrink(owner, by_ordinal, result)
    if is_held or result.create or result.delete:
        return result
    _update(owner, by_ordinal, versions, result, now=now)
    return result


def _replace(
    owner: JsonObject,
    by_ordinal: Mapping[int, JsonObject],
    versions: Versions,
    result: Plan,
    *,
    now: float,
) -> bool:
    """Make what is missing and end what has ended; return whether the rest has to wait."""
    is_ordered = string_at(owner, "spec", "podManagementPolicy") != "Parallel"
    for number in wanted_ordinals(owner):
        pod = by_ordinal.get(number)
        if pod is None:
            result.create.append(Make(number, _version(owner, number, versions)))
        elif is_finished(pod) and not is_deleting(pod):
            result.delete.append(pod)
        elif not is_ordered or _is_well(owner, pod, now=now):
            continue
        if is_ordered:
            return True
    return False


def _version(owner: JsonObject, number: int, versions: Versions) -> str:
    """Return the revision for a number: below the partition it stays what it was."""
    start = integer_at(owner, "spec", "ordinals", "start")
    partition = integer_at(owner, "spec", "updateStrategy", "rollingUpdate", "partition")
    return versions.current if number < start + partition else versions.update


def _shrink(owner: JsonObject, by_ordinal: Mapping[int, JsonObject], result: Plan) -> bool:
    """End what is too much, the highest number first; return whether the rest has to wait."""
    is_ordered = string_at(owner, "spec", "podManagementPolicy") != "Parallel"
    wanted = wanted_ordinals(owner)
    surplus = sorted((number for number in by_ordinal if number not in wanted), reverse=True)
    for number in surplus:
        if not is_deleting(by_ordinal[number]):
            result.delete.append(by_ordinal[number])
        if is_ordered:
            return True
    return bool(surplus)


def _update(
    owner: JsonObject,
    by_ordinal: Mapping[int, JsonObject],
    versions: Versions,
    result: Plan,
    *,
    now: float,
) -> None:
    """End one pod of the old template, the highest number first; a well one if all others are."""
    strategy = object_at(owner, "spec", "updateStrategy")
    if string_at(strategy, "type") == "OnDelete":
        return
    wanted = wanted_ordinals(owner)
    lowest = wanted.start + integer_at(strategy, "rollingUpdate", "partition")
    for number in sorted(wanted, reverse=True):
        pod = by_ordinal[number]
        if number >= lowest and revision_of(pod) != versions.update and not is_deleting(pod):
            others = [other for key, other in by_ordinal.items() if key != number]
            is_free = not _is_well(owner, pod, now=now)
            if is_free or all(_is_well(owner, other, now=now) for other in others):
                result.delete.append(pod)
            return
        if not _is_well(owner, pod, now=now):
            return


def _is_well(owner: JsonObject, pod: JsonObject, *, now: float) -> bool:
    ready_for_s = integer_at(owner, "spec", "minReadySeconds")
    is_settled = not is_deleting(pod) and not is_finished(pod)
    return is_settled and is_available(pod, ready_for_s=ready_for_s, now=now)


def next_available_at(owner: JsonObject, pods: Sequence[JsonObject], *, now: float) -> float | None:
    """Return when the next ready pod will have been ready for long enough, if one is waiting."""
    ready_for_s = integer_at(owner, "spec", "minReadySeconds")
    waiting = [pod for pod in pods if is_ready(pod) and not _is_well(owner, pod, now=now)]
    dues = [ready_since(pod) + ready_for_s for pod in waiting if not is_deleting(pod)]
    return min((due for due in dues if due > now), default=None)


def pod_of(owner: JsonObject, template: JsonObject, make: Make) -> JsonObject:
    """Return a pod to create: the template's, with a name, a place in DNS and its own claims."""
    name = f"{string_at(owner, 'metadata', 'name')}-{make.ordinal}"
    labels = {
        **object_at(template, "metadata", "labels"),
        REVISION_LABEL: make.revision,
        POD_NAME: name,
        POD_INDEX: str(make.ordinal),
    }
    metadata: JsonObject = {
        "name": name,
        "namespace": string_at(owner, "metadata", "namespace"),
        "labels": labels,
    }
    if annotations := object_at(template, "metadata", "annotations"):
        metadata["annotations"] = annotations
    spec = {**object_at(template, "spec"), "hostname": name}
    if service := string_at(owner, "spec", "serviceName"):
        spec["subdomain"] = service
    own = {string_at(one, "metadata", "name") for one in claim_templates(owner)}
    if own:
        others = [one for one in list_at(spec, "volumes") if string_at(one, "name") not in own]
        spec["volumes"] = others + [
            {
                "name": claim,
                "persistentVolumeClaim": {"claimName": claim_name(owner, claim, make.ordinal)},
            }
            for claim in sorted(own)
        ]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def claim_templates(owner: JsonObject) -> list[JsonObject]:
    """Return the templates of what each pod has for itself, and keeps."""
    return list_at(owner, "spec", "volumeClaimTemplates")


def claim_name(owner: JsonObject, claim: str, ordinal: int) -> str:
    """Return the name of a pod's own claim."""
    return f"{claim}-{string_at(owner, 'metadata', 'name')}-{ordinal}"


def claims_of(owner: JsonObject, ordinal: int) -> list[JsonObject]:
    """Return the claims of a pod, to create."""
    labels = object_at(owner, "spec", "selector", "matchLabels")
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                **object_at(template, "metadata"),
                "name": claim_name(owner, string_at(template, "metadata", "name"), ordinal),
                "namespace": string_at(owner, "metadata", "namespace"),
                "labels": {**object_at(template, "metadata", "labels"), **labels},
            },
            "spec": object_at(template, "spec"),
        }
        for template in claim_templates(owner)
    ]


def status(
    owner: JsonObject, pods: Sequence[JsonObject], versions: Versions, *, now: float
) -> JsonObject:
    """Return the status to write."""
    ready_for_s = integer_at(owner, "spec", "minReadySeconds")
    present = [pod for pod in pods if not is_finished(pod)]
    settled = [pod for pod in present if not is_deleting(pod)]
    updated = sum(revision_of(pod) == versions.update for pod in settled)
    ready = sum(map(is_ready, settled))
    wanted = wanted_replicas(owner)
    is_rolling = string_at(owner, "spec", "updateStrategy", "type") != "OnDelete"
    is_out = is_rolling and updated == ready == len(present) == wanted
    current = versions.update if is_out else versions.current
    collisions = integer_at(owner, "status", "collisionCount")
    return {
        "observedGeneration": integer_at(owner, "metadata", "generation"),
        "replicas": len(present),
        "readyReplicas": ready,
        "availableReplicas": sum(
            is_available(pod, ready_for_s=ready_for_s, now=now) for pod in settled
        ),
        "currentReplicas": sum(revision_of(pod) == current for pod in settled),
        "updatedReplicas": updated,
        "currentRevision": current,
        "updateRevision": versions.update,
        "collisionCount": collisions,
    }
