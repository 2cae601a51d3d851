"""Which ReplicaSet of a Deployment grows, and which shrinks. Pure.

Throughout, `new` is the ReplicaSet whose template is the Deployment's, `olds` are all others. The
total may exceed the wanted number by `surge`, and the available ones may fall short of it by
`unavailable`, never by more: that is what keeps a rollout from being felt.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cluster.controllers.ownership import uid_of
from cluster.controllers.pod_facts import is_deleting
from cluster.controllers.replicas import wanted_replicas
from cluster.informer.times import unix_of
from cluster.kube_api.objects import (
    JsonObject,
    compact,
    integer_at,
    member,
    object_at,
    same,
    string_at,
)

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"
_SAFE_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_NOT_COPIED = (
    "kubectl.kubernetes.io/last-applied-configuration",
    "deprecated.deployment.rollback.to",
    REVISION,
    REVISION_HISTORY,
    DESIRED,
    MAXIMUM,
)


@dataclass(frozen=True, slots=True)
class Scale:
    """A ReplicaSet is to have another number of replicas."""

    replica_set: JsonObject
    replicas: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """By how many pods a rollout may differ from the wanted number."""

    surge: int
    unavailable: int


def bounds(deployment: JsonObject) -> Bounds:
    """Read `strategy.rollingUpdate`; percentages round up for surge, down for unavailability."""
    wanted = wanted_replicas(deployment)
    strategy = object_at(deployment, "spec", "strategy")
    if string_at(strategy, "type") == "Recreate":
        return Bounds(0, wanted)
    rolling = object_at(strategy, "rollingUpdate")
    surge = share(rolling.get("maxSurge", "25%"), wanted, rounds_up=True)
    unavailable = share(rolling.get("maxUnavailable", "25%"), wanted, rounds_up=False)
    if surge == unavailable == 0:
        unavailable = 1  # or nothing would ever move
    return Bounds(surge, min(unavailable, wanted))


def share(value: object, whole: int, *, rounds_up: bool) -> int:
    """Return a number, or a percentage of `whole`."""
    if isinstance(value, str) and value.endswith("%"):
        part = int(value[:-1]) * whole
        return -(-part // 100) if rounds_up else part // 100
    return value if isinstance(value, int) else 0


def template_hash(template: JsonObject, collisions: int) -> str:
    """Return a short name for a template: 32-bit FNV-1a of its JSON, in letters that spell nothing.

    Whose hash it is does not matter, as ReplicaSets are found by comparing templates.
    """
    number = 0x811C9DC5
    for byte in (compact(template) + (str(collisions) if collisions else "")).encode():
        number = ((number ^ byte) * 0x01000193) & 0xFFFFFFFF
    return "".join(_SAFE_LETTERS[ord(digit) % len(_SAFE_LETTERS)] for digit in str(number))


def same_template(deployment: JsonObject, replica_set: JsonObject) -> bool:
    """Whether a ReplicaSet makes the pods that the Deployment wants; its hash label aside."""
    return same(
        _without_hash(object_at(deployment, "spec", "template")),
        _without_hash(object_at(replica_set, "spec", "template")),
    )


def _without_hash(template: JsonObject) -> JsonObject:
    metadata = object_at(template, "metadata")
    labels = {
        name: value for name, value in object_at(metadata, "labels").items() if name != HASH_LABEL
    }
    kept = {name: value for name, value in metadata.items() if value is not None}
    return {**template, "metadata": {**kept, "labels": labels}}


def by_age(replica_sets: Sequence[JsonObject]) -> list[JsonObject]:
    """Return them oldest first."""
    return sorted(
        replica_sets,
        key=lambda one: (
            unix_of(string_at(one, "metadata", "creationTimestamp")),
            string_at(one, "metadata", "name"),
        ),
    )


def find_new(deployment: JsonObject, replica_sets: Sequence[JsonObject]) -> JsonObject | None:
    """Return the ReplicaSet of the present template: the oldest, should there be several."""
    return next((one for one in by_age(replica_sets) if same_template(deployment, one)), None)


def revision_of(value: JsonObject) -> int:
    """Return the revision that an annotation gives; 0 for none."""
    text = string_at(object_at(value, "metadata", "annotations"), REVISION)
    return int(text) if text.isdecimal() else 0


def new_replica_set(
    deployment: JsonObject, *, revision: int, collisions: int, replicas: int
) -> JsonObject:
    """Return the ReplicaSet to create for the present template."""
    template = object_at(deployment, "spec", "template")
    digest = template_hash(template, collisions)
    labels = {**object_at(template, "metadata", "labels"), HASH_LABEL: digest}
    selector = object_at(deployment, "spec", "selector")
    spec: JsonObject = {
        "replicas": replicas,
        "selector": {
            **selector,
            "matchLabels": {**object_at(selector, "matchLabels"), HASH_LABEL: digest},
        },
        "template": {
            **template,
            "metadata": {**object_at(template, "metadata"), "labels": labels},
        },
    }
    if ready_for_s := integer_at(deployment, "spec", "minReadySeconds"):
        spec["minReadySeconds"] = ready_for_s
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{string_at(deployment, 'metadata', 'name')}-{digest}",
            "namespace": string_at(deployment, "metadata", "namespace"),
            "labels": labels,
            "annotations": annotations(deployment, {}, revision=revision),
        },
        "spec": spec,
    }


def annotations(
    deployment: JsonObject, present: JsonObject, *, revision: int | None
) -> dict[str, str]:
    """Return what the new ReplicaSet is to be annotated with; None leaves its revision as it is."""
    wanted = wanted_replicas(deployment)
    own = object_at(deployment, "metadata", "annotations")
    result = {**present, **{name: text for name, text in own.items() if name not in _NOT_COPIED}}
    if revision is not None:
        former = present.get(REVISION, "")
        if former and former != str(revision):
            history = [text for text in present.get(REVISION_HISTORY, "").split(",") if text]
            result[REVISION_HISTORY] = ",".join([*history, former])
        result[REVISION] = str(revision)
    return {**result, **size_annotations(deployment, wanted)}


def size_annotations(deployment: JsonObject, wanted: int) -> dict[str, str]:
    """Return how large the Deployment was when a ReplicaSet was last scaled."""
    return {DESIRED: str(wanted), MAXIMUM: str(wanted + bounds(deployment).surge)}


def total(replica_sets: Sequence[JsonObject]) -> int:
    """Return how many pods they are to have together."""
    return sum(map(wanted_replicas, replica_sets))


def _ceiling(replica_sets: Sequence[JsonObject]) -> int | None:
    """Return how many active pods they have at most; None while that cannot be told.

    A set that was told to shrink still has its pods until its controller has acted on it, which it
    says by `observedGeneration`.
    """
    if any(
        integer_at(one, "status", "observedGeneration") < integer_at(one, "metadata", "generation")
        for one in replica_sets
    ):
        return None
    return sum(
        max(wanted_replicas(one), integer_at(one, "status", "replicas")) for one in replica_sets
    )


def available(replica_sets: Sequence[JsonObject]) -> int:
    """Return how many of their pods are available and will stay.

    A status may be older than the last scaling: of a set that shrinks, more may seem available
    than it is to keep, and those must not be counted on.
    """
    return sum(
        min(integer_at(one, "status", "availableReplicas"), wanted_replicas(one))
        for one in replica_sets
    )


def was_resized(deployment: JsonObject, replica_sets: Sequence[JsonObject]) -> bool:
    """Whether the wanted number changed since the ReplicaSets were scaled last."""
    wanted = str(wanted_replicas(deployment))
    return any(
        desired != wanted
        for one in replica_sets
        if wanted_replicas(one)
        and (desired := member(one, "metadata", "annotations", DESIRED)) is not None
    )


def initial_replicas(deployment: JsonObject, olds: Sequence[JsonObject]) -> int:
    """Return with how many replicas the new ReplicaSet starts."""
    wanted = wanted_replicas(deployment)
    if string_at(deployment, "spec", "strategy", "type") == "Recreate":
        return wanted
    present = _ceiling(olds)
    if present is None:
        return 0
    return max(min(wanted + bounds(deployment).surge - present, wanted), 0)


def grown(deployment: JsonObject, new: JsonObject, olds: Sequence[JsonObject]) -> Scale | None:
    """Return the step that brings the new ReplicaSet nearer to its size, if there is room."""
    wanted, present = wanted_replicas(deployment), wanted_replicas(new)
    if present > wanted:
        return Scale(new, wanted)
    others = _ceiling(olds)
    if others is None:
        return None
    room = wanted + bounds(deployment).surge - present - others
    step = min(room, wanted - present)
    return Scale(new, present + step) if step > 0 else None


def shrunk(deployment: JsonObject, new: JsonObject, olds: Sequence[JsonObject]) -> list[Scale]:
    """Return the steps that take away old replicas: unready ones first, oldest sets first.

    New replicas that are not available yet count against what may be taken: a rollout that does
    not come up stops here.
    """
    least = wanted_replicas(deployment) - bounds(deployment).unavailable
    missing = wanted_replicas(new) - integer_at(new, "status", "availableReplicas")
    room = total([new, *olds]) - least - missing
    spare = available([new, *olds]) - least
    sizes = {uid_of(one): wanted_replicas(one) for one in olds}
    for one in by_age(olds):
        unready = sizes[uid_of(one)] - integer_at(one, "status", "availableReplicas")
        step = max(min(unready, room), 0)
        sizes[uid_of(one)] -= step
        room -= step
    room = min(room, spare)
    for one in by_age(olds):
        step = max(min(sizes[uid_of(one)], room), 0)
        sizes[uid_of(one)] -= step
        room -= step
    return [
        Scale(one, sizes[uid_of(one)])
        for one in by_age(olds)
        if sizes[uid_of(one)] != wanted_replicas(one)
    ]


def proportional(
    deployment: JsonObject, new: JsonObject | None, olds: Sequence[JsonObject]
) -> list[Scale]:
    """Return the steps after the wanted number changed: every set keeps its share of the whole."""
    everything = [*([new] if new else []), *olds]
    active = [one for one in everything if wanted_replicas(one)]
    wanted = wanted_replicas(deployment)
    if len(active) <= 1:
        only = active[0] if active else (new or (by_age(olds)[-1] if olds else None))
        return [Scale(only, wanted)] if only is not None and wanted_replicas(only) != wanted else []
    if new is not None and _is_saturated(deployment, new):
        return [Scale(one, 0) for one in olds if wanted_replicas(one)]
    allowed = wanted + bounds(deployment).surge if wanted else 0
    left = allowed - total(active)
    ordered = sorted(by_age(active), key=wanted_replicas, reverse=True)
    sizes: list[int] = []
    for one in ordered:
        share = _proportion(one, allowed, wanted_replicas(one)) - wanted_replicas(one)
        step = max(min(share, left), 0) if left > 0 else min(max(share, left), 0)
        sizes.append(wanted_replicas(one) + step)
        left -= step
    sizes[0] = max(sizes[0] + left, 0)  # what rounding left over goes to the largest
    return [
        Scale(one, size)
        for one, size in zip(ordered, sizes, strict=True)
        if size != wanted_replicas(one)
    ]


def _proportion(replica_set: JsonObject, allowed: int, size: int) -> int:
    text = string_at(object_at(replica_set, "metadata", "annotations"), MAXIMUM)
    former = int(text) if text.isdecimal() and int(text) else size
    return (2 * size * allowed + former) // (2 * former)  # rounded to the nearest


def _is_saturated(deployment: JsonObject, new: JsonObject) -> bool:
    wanted = wanted_replicas(deployment)
    return (
        wanted_replicas(new) == wanted
        and integer_at(new, "status", "availableReplicas") == wanted
        and member(new, "metadata", "annotations", DESIRED) == str(wanted)
    )


def surplus_history(deployment: JsonObject, olds: Sequence[JsonObject]) -> list[JsonObject]:
    """Return the old ReplicaSets that are not worth keeping for a rollback."""
    limit = integer_at(deployment, "spec", "revisionHistoryLimit", default=10)
    idle = [
        one
        for one in olds
        if not wanted_replicas(one)
        and not integer_at(one, "status", "replicas")
        and integer_at(one, "metadata", "generation")
        <= integer_at(one, "status", "observedGeneration")
        and not is_deleting(one)
    ]
    idle.sort(key=lambda one: (revision_of(one), string_at(one, "metadata", "name")))
    return idle[: max(len(idle) - limit, 0)]
