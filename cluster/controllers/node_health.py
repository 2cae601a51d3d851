"""Which nodes live, and which taints and conditions say so. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cluster.controllers.pod_facts import condition
from cluster.informer.times import timestamp, unix_of
from cluster.kube_api.objects import JsonObject, list_at, member, string_at

GRACE_S = 50.0
NEW_NODE_GRACE_S = 60.0
NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
_BY_CONDITION = {
    "MemoryPressure": ("node.kubernetes.io/memory-pressure", "True"),
    "DiskPressure": ("node.kubernetes.io/disk-pressure", "True"),
    "PIDPressure": ("node.kubernetes.io/pid-pressure", "True"),
    "NetworkUnavailable": ("node.kubernetes.io/network-unavailable", "True"),
}
_OURS = {NOT_READY, UNREACHABLE, UNSCHEDULABLE, *(key for key, _ in _BY_CONDITION.values())}
_HEARTBEAT_CONDITIONS = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """When a node was last heard of, by the clock of who listened."""

    sign: tuple[str, str]
    """What it said: its lease's renewTime, its Ready condition's heartbeat."""
    seen_at: float


def sign_of(node: JsonObject, lease: JsonObject | None) -> tuple[str, str]:
    """Return what changes with every heartbeat."""
    ready = string_at(condition(node, "Ready"), "lastHeartbeatTime")
    return string_at(lease or {}, "spec", "renewTime"), ready


def is_silent(node: JsonObject, heartbeat: Heartbeat, *, unix: float, now: float) -> bool:
    """Whether a node was not heard of for too long; a new one is given more time."""
    created = unix_of(string_at(node, "metadata", "creationTimestamp"))
    has_reported = bool(condition(node, "Ready"))
    if not has_reported and unix - created < NEW_NODE_GRACE_S:
        return False
    return now - heartbeat.seen_at >= GRACE_S


def silent_conditions(node: JsonObject, unix: float) -> list[JsonObject]:
    """Return the conditions of a node that is not heard of any more."""
    stamp = timestamp(unix)
    found: list[JsonObject] = []
    for kind in _HEARTBEAT_CONDITIONS:
        old = condition(node, kind)
        if string_at(old, "status") == "Unknown":
            found.append(old)
            continue
        said = ("NodeStatusUnknown", "Kubelet stopped posting node status.")
        if not old:
            said = ("NodeStatusNeverUpdated", "Kubelet never posted node status.")
        reason, message = said
        found.append(
            {
                **old,
                "type": kind,
                "status": "Unknown",
                "reason": reason,
                "message": message,
                "lastHeartbeatTime": old.get("lastHeartbeatTime", stamp),
                "lastTransitionTime": stamp,
            }
        )
    others = [
        one
        for one in list_at(node, "status", "conditions")
        if string_at(one, "type") not in _HEARTBEAT_CONDITIONS
    ]
    return found + others


def taints(node: JsonObject, *, evicts: bool, stamp: str) -> list[JsonObject]:
    """Return all taints that a node should have; those that are not of our making stay.

    `evicts`: whether pods are to be driven from a node that is not well. Not if no node is: the
    fault is likelier here than there.
    """
    ready = string_at(condition(node, "Ready"), "status")
    wanted: list[tuple[str, str]] = []
    if member(node, "spec", "unschedulable") is True:
        wanted.append((UNSCHEDULABLE, "NoSchedule"))
    key = {"False": NOT_READY, "Unknown": UNREACHABLE}.get(ready, "" if ready else NOT_READY)
    if key:
        wanted.append((key, "NoSchedule"))
        if evicts and ready:
            wanted.append((key, "NoExecute"))
    for kind, (pressure, bad) in _BY_CONDITION.items():
        if string_at(condition(node, kind), "status") == bad:
            wanted.append((pressure, "NoSchedule"))
    present = list_at(node, "spec", "taints")
    kept = [one for one in present if string_at(one, "key") not in _OURS]
    by_key = {(string_at(one, "key"), string_at(one, "effect")): one for one in present}
    return kept + [
        by_key.get((name, effect)) or {"key": name, "effect": effect, "timeAdded": stamp}
        for name, effect in wanted
    ]


def evictable_at(pod: JsonObject, node_taints: Sequence[JsonObject]) -> float | None:
    """Return when a pod has to leave, in seconds since 1970; None if it may stay."""
    due: list[float] = []
    for taint in node_taints:
        if string_at(taint, "effect") != "NoExecute":
            continue
        seconds = _tolerated_s(pod, taint)
        if seconds is not None:
            due.append(unix_of(string_at(taint, "timeAdded")) + seconds)
    return min(due, default=None)


def _tolerated_s(pod: JsonObject, taint: Mapping[str, object]) -> float | None:
    """Return for how long a taint is tolerated; None for ever."""
    found: list[float] = []
    for one in list_at(pod, "spec", "tolerations"):
        effect, key = string_at(one, "effect"), string_at(one, "key")
        is_meant = effect in ("", "NoExecute") and key in ("", taint.get("key"))
        exists = string_at(one, "operator") == "Exists"
        if is_meant and (exists or (key and one.get("value", "") == (taint.get("value") or ""))):
            seconds = one.get("tolerationSeconds")
            if seconds is None:
                return None
            found.append(max(float(seconds), 0.0))
    return min(found, default=0.0)
