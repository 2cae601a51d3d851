"""What a pod's status says of what its containers do. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cluster.informer.conditions import turned
from cluster.informer.times import timestamp
from cluster.kube_api.objects import JsonObject, integer_at, list_at, string_at
from cluster.kubelet.pod_lifecycle import (
    Health,
    Observation,
    Step,
    Waiting,
    is_sidecar,
    names,
    restart_policy,
)
from cluster.kubelet.runtime import Phase, Run


@dataclass(frozen=True, slots=True)
class Report:
    """What the status is made from, beside the observation and the step."""

    pod_ip: str
    host_ip: str
    previous: Mapping[str, Run] = field(default_factory=dict)
    """The run before the latest, by name."""
    reason: str = ""
    message: str = ""
    """Why the pod was ended, if the kubelet ended it."""
    started_at: float = 0.0
    """When the kubelet first saw the pod."""


def status(seen: Observation, step: Step, report: Report, now: float) -> JsonObject:
    """Return the whole status."""
    pod = seen.pod
    inits = list_at(pod, "spec", "initContainers")
    mains = list_at(pod, "spec", "containers")
    container_statuses = [_container(seen, step, report, one) for one in mains]
    init_statuses = [_container(seen, step, report, one) for one in inits]
    phase = _phase(seen, step, report)
    result: JsonObject = {
        "phase": phase,
        "conditions": _conditions(seen, phase, container_statuses, init_statuses, now),
        "hostIP": report.host_ip,
        "hostIPs": [{"ip": report.host_ip}],
        "startTime": timestamp(report.started_at),
        "qosClass": quality_of_service(pod),
        "containerStatuses": container_statuses,
    }
    if report.pod_ip:
        result |= {"podIP": report.pod_ip, "podIPs": [{"ip": report.pod_ip}]}
    if inits:
        result["initContainerStatuses"] = init_statuses
    if report.reason:
        result["reason"] = report.reason
    if report.message:
        result["message"] = report.message
    if generation := integer_at(pod, "metadata", "generation"):
        result["observedGeneration"] = generation
    return result


def _phase(seen: Observation, step: Step, report: Report) -> str:
    pod = seen.pod
    mains = [seen.runs.get(name) for name in names(list_at(pod, "spec", "containers"))]
    alive = [run for run in seen.runs.values() if run.phase is not Phase.EXITED]
    if report.reason and not alive:
        return "Failed"
    if step.is_over and not alive and not seen.is_ending:
        is_success = all(run is not None and run.exit_code == 0 for run in mains)
        return "Succeeded" if is_success else "Failed"
    if seen.is_ending and not alive and restart_policy(pod) != "Always" and all(mains):
        is_success = all(run is not None and run.exit_code == 0 for run in mains)
        return "Succeeded" if is_success else "Failed"
    if any(run is None or run.phase is Phase.STARTING for run in mains):
        return "Pending"
    return "Running"


def _container(seen: Observation, step: Step, report: Report, container: JsonObject) -> JsonObject:
    name, image = string_at(container, "name"), string_at(container, "image")
    run = seen.runs.get(name)
    health = seen.health.get(name, Health())
    waiting = step.waiting.get(name)
    is_running = run is not None and run.phase is Phase.RUNNING
    found: JsonObject = {
        "name": name,
        "image": image,
        "imageID": image if run is not None else "",
        "state": _state(run, waiting, is_init_done=_are_inits_done(seen)),
        "lastState": {},
        "ready": is_running and health.is_ready and health.is_started,
        "started": is_running and health.is_started,
        "restartCount": run.id.attempt if run is not None else 0,
    }
    if run is not None:
        found["containerID"] = str(run.id)
        last = (
            run if waiting is not None and run.phase is Phase.EXITED else report.previous.get(name)
        )
        if last is not None:
            found["lastState"] = {"terminated": _terminated(last)}
    is_finished_init = (
        run is not None and run.phase is Phase.EXITED and run.exit_code == 0 and waiting is None
    )
    if is_finished_init and name in names(list_at(seen.pod, "spec", "initContainers")):
        found["ready"] = True
    return found


def _state(run: Run | None, waiting: Waiting | None, *, is_init_done: bool) -> JsonObject:
    if waiting is not None:
        message = {"message": waiting.message} if waiting.message else {}
        return {"waiting": {"reason": waiting.reason, **message}}
    if run is None or run.phase is Phase.STARTING:
        reason = "ContainerCreating" if is_init_done else "PodInitializing"
        return {"waiting": {"reason": reason}}
    if run.phase is Phase.RUNNING:
        return {"running": {"startedAt": timestamp(run.started_at)}}
    return {"terminated": _terminated(run)}


def _terminated(run: Run) -> JsonObject:
    found: JsonObject = {
        "exitCode": run.exit_code,
        "reason": run.reason,
        "startedAt": timestamp(run.started_at),
        "finishedAt": timestamp(run.finished_at),
        "containerID": str(run.id),
    }
    if run.signal:
        found["signal"] = run.signal
    if run.message:
        found["message"] = run.message
    return found


def _are_inits_done(seen: Observation) -> bool:
    for init in list_at(seen.pod, "spec", "initContainers"):
        run = seen.runs.get(string_at(init, "name"))
        if run is None:
            return False
        if is_sidecar(init):
            if not seen.health.get(run.id.name, Health()).is_started:
                return False
        elif run.phase is not Phase.EXITED or run.exit_code != 0:
            return False
    return True


def _conditions(
    seen: Observation,
    phase: str,
    mains: Sequence[JsonObject],
    inits: Sequence[JsonObject],
    now: float,
) -> list[JsonObject]:
    is_over = phase in ("Succeeded", "Failed")
    unready = [string_at(one, "name") for one in mains if not one["ready"]]
    text = f"containers with unready status: [{' '.join(unready)}]"
    uninitialized = [string_at(one, "name") for one in inits if not one["ready"]]
    reason, message = ("ContainersNotReady", text) if unready else ("", "")
    if is_over:
        reason, message = ("PodCompleted" if phase == "Succeeded" else "PodFailed"), ""
    gates = [string_at(one, "conditionType") for one in list_at(seen.pod, "spec", "readinessGates")]
    before = {string_at(one, "type"): one for one in list_at(seen.pod, "status", "conditions")}
    is_gated = any(string_at(before.get(gate, {}), "status") != "True" for gate in gates)
    pending = f"containers with incomplete status: [{' '.join(uninitialized)}]"
    said = [
        _Said("PodReadyToStartContainers", not is_over),
        _Said(
            "Initialized",
            _are_inits_done(seen) or phase == "Succeeded",
            "ContainersNotInitialized",
            pending if uninitialized else "",
        ),
        _Said(
            "Ready",
            not unready and not is_over and not is_gated,
            reason or "ReadinessGatesNotReady",
            message,
        ),
        _Said("ContainersReady", not unready and not is_over, reason, message),
        _Said("PodScheduled", is_true=True),
    ]
    kinds = {one.kind for one in said}
    found = [one.condition(before.get(one.kind, {}), now) for one in said]
    return found + [one for kind, one in before.items() if kind not in kinds]


@dataclass(frozen=True, slots=True)
class _Said:
    """A condition to be; reason and message are for when it is false."""

    kind: str
    is_true: bool
    reason: str = ""
    message: str = ""

    def condition(self, before: JsonObject, now: float) -> JsonObject:
        """Return it; its time is that of its last turn."""
        new: JsonObject = {
            "type": self.kind,
            "status": "True" if self.is_true else "False",
            "lastProbeTime": None,
        }
        found = turned(new, before, now)
        if self.reason and not self.is_true:
            found["reason"] = self.reason
        if self.message and not self.is_true:
            found["message"] = self.message
        return found


def quality_of_service(pod: JsonObject) -> str:
    """Return Guaranteed, Burstable or BestEffort: how sure a pod is of what it uses."""
    containers = list_at(pod, "spec", "containers") + list_at(pod, "spec", "initContainers")
    asked = [
        (one.get("resources") or {}).get(kind) or {}
        for one in containers
        for kind in ("requests", "limits")
    ]
    if not any(amounts.get(name) for amounts in asked for name in ("cpu", "memory")):
        return "BestEffort"
    is_sure = all(
        requests.get(name, limits.get(name)) == limits.get(name) is not None
        for requests, limits in zip(asked[::2], asked[1::2], strict=True)
        for name in ("cpu", "memory")
    )
    return "Guaranteed" if is_sure else "Burstable"


def latest_runs(runs: Sequence[Run], pod_uid: str) -> dict[str, Run]:
    """Return the latest run of each container of a pod, by name."""
    return {run.id.name: run for run in runs if run.id.pod_uid == pod_uid}
