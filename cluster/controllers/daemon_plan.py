"""On which nodes a DaemonSet's pods run, and which of them to make and to end next. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cluster.controllers.pod_facts import (
    is_available,
    is_deleting,
    is_finished,
    is_ready,
    ready_since,
)
from cluster.controllers.revisions import REVISION_LABEL
from cluster.controllers.rollout import share
from cluster.informer.times import unix_of
from cluster.kube_api.node_selection import is_tolerated, matches_node
from cluster.kube_api.objects import JsonObject, integer_at, list_at, object_at, string_at

_TOLERATED = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


@dataclass(slots=True)
class Plan:
    """What to do now: nodes that get a pod, and pods that are to end."""

    create: list[str] = field(default_factory=list)
    delete: list[JsonObject] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a rollout goes, and when it is."""

    revision: str
    now: float


@dataclass(frozen=True, slots=True)
class Place:
    """A node, as a DaemonSet sees it."""

    node: JsonObject
    runs: bool
    """Whether a pod is to be started there."""
    keeps: bool
    """Whether one that is there may stay."""


def node_name_of(pod: JsonObject) -> str:
    """Return the node that a pod is bound to, or is made for."""
    if name := string_at(pod, "spec", "nodeName"):
        return name
    terms = list_at(pod, "spec", "affinity", "nodeAffinity", _REQUIRED, "nodeSelectorTerms")
    for term in terms:
        for one in list_at(term, "matchFields"):
            if string_at(one, "key") == "metadata.name" and list_at(one, "values"):
                return str(one["values"][0])
    return ""


def tolerations_of(owner: JsonObject) -> list[JsonObject]:
    """Return what the pods tolerate: what the template says, and what a node may suffer from."""
    spec = object_at(owner, "spec", "template", "spec")
    wanted = [*_TOLERATED]
    if spec.get("hostNetwork") is True:
        wanted.append(("node.kubernetes.io/network-unavailable", "NoSchedule"))
    own = [{"key": key, "operator": "Exists", "effect": effect} for key, effect in wanted]
    return [*list_at(spec, "tolerations"), *own]


def place(owner: JsonObject, node: JsonObject) -> Place:
    """Say whether the DaemonSet runs on a node, and whether it may stay there."""
    spec = object_at(owner, "spec", "template", "spec")
    name = string_at(node, "metadata", "name")
    wanted = string_at(spec, "nodeName")
    labels = object_at(node, "metadata", "labels")
    if (wanted and wanted != name) or not matches_node(spec, labels, name):
        return Place(node, runs=False, keeps=False)
    tolerations = tolerations_of(owner)

    def tolerates(*effects: str) -> bool:
        return all(
            is_tolerated(taint, tolerations)
            for taint in list_at(node, "spec", "taints")
            if string_at(taint, "effect") in effects
        )

    keeps = tolerates("NoExecute")
    return Place(node, runs=keeps and tolerates("NoSchedule"), keeps=keeps)


def by_node(pods: Sequence[JsonObject]) -> dict[str, list[JsonObject]]:
    """Return pods by the node that they are for, oldest first."""
    found: dict[str, list[JsonObject]] = {}
    for pod in pods:
        found.setdefault(node_name_of(pod), []).append(pod)
    for group in found.values():
        group.sort(key=_age)
    return found


def _age(pod: JsonObject) -> tuple[float, str]:
    created = unix_of(string_at(pod, "metadata", "creationTimestamp"))
    return created, string_at(pod, "metadata", "name")


def is_of(pod: JsonObject, revision: str) -> bool:
    """Whether a pod was made from a revision."""
    return string_at(object_at(pod, "metadata", "labels"), REVISION_LABEL) == revision


@dataclass(frozen=True, slots=True)
class Bounds:
    """On how many nodes a rollout may have two pods, or none."""

    surge: int
    unavailable: int


def bounds(owner: JsonObject, nodes: int) -> Bounds:
    """Read `updateStrategy.rollingUpdate`; percentages are of the nodes, and round up."""
    rolling = object_at(owner, "spec", "updateStrategy", "rollingUpdate")
    surge = share(rolling.get("maxSurge", 0), nodes, rounds_up=True)
    unavailable = share(rolling.get("maxUnavailable", 1), nodes, rounds_up=True)
    return Bounds(surge, unavailable if surge or unavailable else 1)


def plan(
    owner: JsonObject,
    places: Mapping[str, Place],
    pods: Sequence[JsonObject],
    revision: str,
    *,
    now: float,
) -> Plan:
    """Decide. `places` are all nodes, by name; `revision` is that of the present template."""
    groups = by_node(pods)
    result = Plan()
    for name, group in groups.items():
        found = places.get(name)
        if found is None or not found.keeps:
            result.delete += [pod for pod in group if not is_deleting(pod)]
    for name, found in places.items():
        if not found.keeps:
            continue
        group = groups.get(name, [])
        ended = [pod for pod in group if is_finished(pod) and not is_deleting(pod)]
        result.delete += ended
        alive = [pod for pod in group if not is_finished(pod)]
        if not group and found.runs:
            result.create.append(name)
        result.delete += _doubles(owner, alive, revision, now=now)
    if string_at(owner, "spec", "updateStrategy", "type") != "OnDelete":
        running = {name: groups.get(name, []) for name, found in places.items() if found.runs}
        _update(owner, running, Target(revision, now), result)
    return result


def _doubles(
    owner: JsonObject, alive: Sequence[JsonObject], revision: str, *, now: float
) -> list[JsonObject]:
    """Return all but one of a node's pods: the old one once the new one is well, else the younger.

    Of an old and a new pod, both stay while the new one is not well yet.
    """
    settled = [pod for pod in alive if not is_deleting(pod)]
    new = [pod for pod in settled if is_of(pod, revision)]
    old = [pod for pod in settled if not is_of(pod, revision)]
    surplus = [*new[1:], *old[1:]]
    if new and old and _is_well(owner, new[0], now=now):
        surplus.append(old[0])
    return surplus


def _update(
    owner: JsonObject, running: Mapping[str, list[JsonObject]], target: Target, result: Plan
) -> None:
    """Replace old pods: first new ones beside them, as far as allowed, or else in their place.

    `running`: the pods of each node that is to have one.
    """
    allowed = bounds(owner, len(running))
    ending = {string_at(pod, "metadata", "name") for pod in result.delete}
    missing, doubled, old = 0, 0, list[tuple[str, JsonObject]]()
    for name, pods in running.items():
        group = [pod for pod in pods if not is_finished(pod)]
        settled = [
            pod
            for pod in group
            if not is_deleting(pod) and string_at(pod, "metadata", "name") not in ending
        ]
        missing += not any(_is_well(owner, pod, now=target.now) for pod in settled)
        has_new = any(is_of(pod, target.revision) for pod in settled)
        doubled += has_new and len(group) > 1
        if settled and not has_new and len(settled) == len(group):
            old.append((name, settled[0]))
    for name, pod in old:
        if not _is_well(owner, pod, now=target.now):
            result.delete.append(pod)  # it is counted as missing already
        elif allowed.surge:
            if doubled < allowed.surge:
                result.create.append(name)
                doubled += 1
        elif missing < allowed.unavailable:
            result.delete.append(pod)
            missing += 1


def _is_well(owner: JsonObject, pod: JsonObject, *, now: float) -> bool:
    ready_for_s = integer_at(owner, "spec", "minReadySeconds")
    return not is_deleting(pod) and is_available(pod, ready_for_s=ready_for_s, now=now)


def next_available_at(owner: JsonObject, pods: Sequence[JsonObject], *, now: float) -> float | None:
    """Return when the next ready pod will have been ready for long enough, if one is waiting."""
    ready_for_s = integer_at(owner, "spec", "minReadySeconds")
    dues = [ready_since(pod) + ready_for_s for pod in pods if is_ready(pod)]
    return min((due for due in dues if due > now), default=None)


def pod_of(owner: JsonObject, node: str, revision: str) -> JsonObject:
    """Return a pod for a node; the scheduler binds it there and nowhere else."""
    template = object_at(owner, "spec", "template")
    spec = {**object_at(template, "spec"), "tolerations": tolerations_of(owner)}
    affinity = object_at(spec, "affinity")
    only_there = {"key": "metadata.name", "operator": "In", "values": [node]}
    required = object_at(affinity, "nodeAffinity", _REQUIRED)
    terms = [
        {**term, "matchFields": [only_there]}
        for term in list_at(required, "nodeSelectorTerms") or [{}]
    ]
    node_affinity = {
        **object_at(affinity, "nodeAffinity"),
        _REQUIRED: {**required, "nodeSelectorTerms": terms},
    }
    spec["affinity"] = {**affinity, "nodeAffinity": node_affinity}
    metadata: JsonObject = {
        "generateName": f"{string_at(owner, 'metadata', 'name')}-",
        "namespace": string_at(owner, "metadata", "namespace"),
        "labels": {**object_at(template, "metadata", "labels"), REVISION_LABEL: revision},
    }
    if annotations := object_at(template, "metadata", "annotations"):
        metadata["annotations"] = annotations
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def status(
    owner: JsonObject,
    places: Mapping[str, Place],
    pods: Sequence[JsonObject],
    revision: str,
    *,
    now: float,
) -> JsonObject:
    """Return the status to write."""
    groups = by_node([pod for pod in pods if not is_finished(pod)])
    counts = dict.fromkeys(("current", "desired", "misplaced", "ready", "updated", "available"), 0)
    for name, found in places.items():
        settled = [pod for pod in groups.get(name, []) if not is_deleting(pod)]
        if not found.runs:
            counts["misplaced"] += bool(groups.get(name)) and not found.keeps
            continue
        counts["desired"] += 1
        counts["current"] += bool(settled)
        counts["ready"] += any(map(is_ready, settled))
        counts["updated"] += any(is_of(pod, revision) for pod in settled)
        counts["available"] += any(_is_well(owner, pod, now=now) for pod in settled)
    collisions = integer_at(owner, "status", "collisionCount")
    missing = counts["desired"] - counts["available"]
    return {
        "currentNumberScheduled": counts["current"],
        "numberMisscheduled": counts["misplaced"],
        "desiredNumberScheduled": counts["desired"],
        "numberReady": counts["ready"],
        "observedGeneration": integer_at(owner, "metadata", "generation"),
        **({"updatedNumberScheduled": counts["updated"]} if counts["updated"] else {}),
        **({"numberAvailable": counts["available"]} if counts["available"] else {}),
        **({"numberUnavailable": missing} if missing else {}),
        **({"collisionCount": collisions} if collisions else {}),
    }
