"""How many pods to create, which to delete, and what the status says: RC and RS alike. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log2

from cluster.controllers.pod_facts import (
    is_active,
    is_available,
    is_ready,
    phase,
    ready_since,
    restarts,
)
from cluster.informer.times import unix_of
from cluster.kube_api.objects import JsonObject, integer_at, member, object_at, string_at

BURST_MAX = 500
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_PHASE_ORDER = {"Pending": 0, "Unknown": 1, "Running": 2}


@dataclass(frozen=True, slots=True)
class Plan:
    """What brings an owner's pods to the wanted number."""

    create: int = 0
    delete: list[JsonObject] = field(default_factory=list)


def wanted_replicas(owner: JsonObject) -> int:
    """Return `spec.replicas`; 1 where it is not said."""
    return integer_at(owner, "spec", "replicas", default=1)


def plan(
    owner: JsonObject, pods: Sequence[JsonObject], siblings: Sequence[JsonObject], *, now: float
) -> Plan:
    """Decide. `siblings` are the active pods of all owners of the same family, `pods` included."""
    active = [pod for pod in pods if is_active(pod)]
    surplus = len(active) - wanted_replicas(owner)
    if surplus <= 0:
        return Plan(create=min(-surplus, BURST_MAX))
    per_node: dict[str, int] = {}
    for sibling in siblings:
        if is_active(sibling) and is_ready(sibling):
            node = string_at(sibling, "spec", "nodeName")
            per_node[node] = per_node.get(node, 0) + 1
    ranked = sorted(active, key=lambda pod: _rank(pod, per_node, now))
    return Plan(delete=ranked[: min(surplus, BURST_MAX)])


def _rank(pod: JsonObject, per_node: dict[str, int], now: float) -> tuple[object, ...]:
    """What is worth least goes first. The name is last, so that no run depends on list order."""
    node = string_at(pod, "spec", "nodeName")
    ready_for = now - ready_since(pod) if is_ready(pod) else 0.0
    return (
        bool(node),
        _PHASE_ORDER.get(phase(pod), 2),
        is_ready(pod),
        _deletion_cost(pod),
        -per_node.get(node, 0),
        int(log2(ready_for)) if ready_for >= 1 else 0,
        -restarts(pod),
        -unix_of(string_at(pod, "metadata", "creationTimestamp")),
        string_at(pod, "metadata", "name"),
    )


def _deletion_cost(pod: JsonObject) -> int:
    text = string_at(object_at(pod, "metadata", "annotations"), DELETION_COST)
    try:
        return int(text)
    except ValueError:
        return 0


def status(
    owner: JsonObject,
    pods: Sequence[JsonObject],
    failure: JsonObject | None,
    *,
    is_acted_on: bool,
    now: float,
) -> JsonObject:
    """Return the status to write; `failure` is the ReplicaFailure condition that holds now.

    `is_acted_on`: all that was asked for the present spec was seen; only then is its generation
    said to be observed, so that a Deployment can rely on the numbers beside it.
    """
    generation = ("metadata", "generation") if is_acted_on else ("status", "observedGeneration")
    active = [pod for pod in pods if is_active(pod)]
    labels = object_at(owner, "spec", "template", "metadata", "labels")
    ready_for_s = integer_at(owner, "spec", "minReadySeconds")
    counts = {
        "replicas": len(active),
        "fullyLabeledReplicas": sum(_has_labels(pod, labels) for pod in active),
        "readyReplicas": sum(map(is_ready, active)),
        "availableReplicas": sum(
            is_available(pod, ready_for_s=ready_for_s, now=now) for pod in active
        ),
    }
    kept = [
        found
        for found in object_at(owner, "status").get("conditions", [])
        if string_at(found, "type") != "ReplicaFailure"
    ]
    conditions = kept if failure is None else [*kept, failure]
    return {
        "replicas": counts.pop("replicas"),
        **{name: number for name, number in counts.items() if number},
        "observedGeneration": integer_at(owner, *generation),
        **({"conditions": conditions} if conditions else {}),
    }


def next_available_at(owner: JsonObject, pods: Sequence[JsonObject], *, now: float) -> float | None:
    """Return when the next ready pod will have been ready for long enough, if one is waiting."""
    ready_for_s = integer_at(owner, "spec", "minReadySeconds")
    times = [
        ready_since(pod) + ready_for_s
        for pod in pods
        if is_active(pod)
        and is_ready(pod)
        and not is_available(pod, ready_for_s=ready_for_s, now=now)
    ]
    return min(times, default=None)


def _has_labels(pod: JsonObject, labels: JsonObject) -> bool:
    own = member(pod, "metadata", "labels") or {}
    return all(own.get(name) == value for name, value in labels.items())
