"""The row of a pod: its status is told by its containers."""

from dataclasses import dataclass
from datetime import datetime

from cluster.kube_api.objects import JsonObject, integer_at, list_at, member, object_at, string_at
from cluster.kube_api.tables.cells import (
    NONE,
    Cells,
    Printer,
    age,
    columns,
    condition,
    instant,
    is_true,
    name_of,
    or_none,
    since,
)

_FINISHED = {"Succeeded": "The pod has completed successfully.", "Failed": "The pod failed."}


@dataclass(slots=True)
class _Summary:
    reason: str
    ready: int = 0
    restarts: int = 0
    restarted_at: str = ""

    def count_restarts(self, status: JsonObject) -> None:
        self.restarts += integer_at(status, "restartCount")
        finished = string_at(status, "lastState", "terminated", "finishedAt")
        newest, seen = instant(finished), instant(self.restarted_at)
        if newest is not None and (seen is None or seen < newest):
            self.restarted_at = finished


def _row_conditions(pod: JsonObject) -> list[JsonObject]:
    phase = string_at(pod, "status", "phase")
    if phase not in _FINISHED:
        return []
    return [{"type": "Completed", "status": "True", "reason": phase, "message": _FINISHED[phase]}]


def _cells(pod: JsonObject, now: datetime) -> Cells:
    summary = _summary(pod)
    sidecars = [one for one in list_at(pod, "spec", "initContainers") if _is_sidecar(one)]
    total = len(list_at(pod, "spec", "containers")) + len(sidecars)
    restarts = str(summary.restarts)
    if summary.restarts and summary.restarted_at:
        restarts += f" ({since(summary.restarted_at, now)} ago)"
    addresses = [string_at(one, "ip") for one in list_at(pod, "status", "podIPs")]
    return [
        name_of(pod),
        f"{summary.ready}/{total}",
        summary.reason,
        restarts,
        age(pod, now),
        or_none(addresses[0] if addresses else string_at(pod, "status", "podIP")),
        or_none(string_at(pod, "spec", "nodeName")),
        or_none(string_at(pod, "status", "nominatedNodeName")),
        _gates(pod),
    ]


def _gates(pod: JsonObject) -> str:
    gates = [string_at(one, "conditionType") for one in list_at(pod, "spec", "readinessGates")]
    if not gates:
        return NONE
    return f"{sum(is_true(pod, gate) for gate in gates)}/{len(gates)}"


def _is_sidecar(container: JsonObject) -> bool:
    return container.get("restartPolicy") == "Always"


def _summary(pod: JsonObject) -> _Summary:
    summary = _Summary(string_at(pod, "status", "reason") or string_at(pod, "status", "phase"))
    if condition(pod, "PodScheduled").get("reason") == "SchedulingGated":
        summary.reason = "SchedulingGated"
    is_initializing, sidecars = _look_at_init_containers(pod, summary)
    if not is_initializing or is_true(pod, "Initialized"):
        summary.restarts, summary.restarted_at = sidecars.restarts, sidecars.restarted_at
        _look_at_containers(pod, summary)
    if member(pod, "metadata", "deletionTimestamp") is not None:
        if string_at(pod, "status", "reason") == "NodeLost":
            summary.reason = "Unknown"
        elif string_at(pod, "status", "phase") not in _FINISHED:
            summary.reason = "Terminating"
    return summary


def _look_at_init_containers(pod: JsonObject, summary: _Summary) -> tuple[bool, _Summary]:
    """Return whether one has not done its part yet, and the restarts of those that stay."""
    declared = list_at(pod, "spec", "initContainers")
    stays = {string_at(one, "name"): _is_sidecar(one) for one in declared}
    sidecars = _Summary("")
    for index, status in enumerate(list_at(pod, "status", "initContainerStatuses")):
        summary.count_restarts(status)
        is_sidecar = stays.get(string_at(status, "name"), False)
        if is_sidecar:
            sidecars.count_restarts(status)
        terminated = member(status, "state", "terminated")
        if terminated is not None and integer_at(terminated, "exitCode") == 0:
            continue
        if is_sidecar and status.get("started") is True:
            summary.ready += status.get("ready") is True
            continue
        waiting = string_at(status, "state", "waiting", "reason")
        if terminated is not None:
            summary.reason = f"Init:{_end_of(terminated)}"
        elif waiting not in ("", "PodInitializing"):
            summary.reason = f"Init:{waiting}"
        else:
            summary.reason = f"Init:{index}/{len(declared)}"
        return True, sidecars
    return False, sidecars


def _end_of(terminated: JsonObject) -> str:
    reason, signal = string_at(terminated, "reason"), integer_at(terminated, "signal")
    if reason:
        return reason
    return f"Signal:{signal}" if signal else f"ExitCode:{integer_at(terminated, 'exitCode')}"


def _look_at_containers(pod: JsonObject, summary: _Summary) -> None:
    is_any_running = False
    for status in reversed(list_at(pod, "status", "containerStatuses")):
        summary.count_restarts(status)
        state = object_at(status, "state")
        waiting = string_at(state, "waiting", "reason")
        terminated = state.get("terminated")
        if waiting:
            summary.reason = waiting
        elif terminated is not None:
            summary.reason = _end_of(terminated)
        elif status.get("ready") is True and state.get("running") is not None:
            is_any_running = True
            summary.ready += 1
    if summary.reason == "Completed" and is_any_running:
        summary.reason = "Running" if is_true(pod, "Ready") else "NotReady"


PODS = Printer(
    columns(
        "Name, Ready, Status, Restarts, Age, IP w, Node w, Nominated Node w, Readiness Gates w"
    ),
    _cells,
    _row_conditions,
)
