"""What to start and stop next in a pod. Pure: the same observation and time give the same step.

Init containers run one after the other; those that restart always (sidecars) stay and run beside
the rest. A container that ended is started again as the restart policy says, later and later. A pod
that is to end is stopped in the other order: sidecars last.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cluster.kube_api.objects import JsonObject, integer_at, list_at, member, string_at
from cluster.kubelet.runtime import Phase, Run

BACKOFF_FIRST_S = 10.0
BACKOFF_MAX_S = 300.0
_STEADY_AFTER_S = 600.0
"""A container that ran for so long starts its backoff anew."""


@dataclass(frozen=True, slots=True)
class Health:
    """What the probes of a running container say; without a probe, all is well."""

    is_started: bool = True
    is_ready: bool = True
    is_failed: bool = False
    """Whether it is to be killed: the liveness or startup probe gave up on it."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a container does not run, in the words of its status."""

    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Start:
    """A container is to be started; `attempt` counts from 0."""

    name: str
    attempt: int


@dataclass(slots=True)
class Step:
    """What is to be done now, and when to look again."""

    start: list[Start] = field(default_factory=list)
    stop: list[str] = field(default_factory=list)
    waiting: dict[str, Waiting] = field(default_factory=dict)
    look_again_at: float | None = None
    is_over: bool = False
    """Whether no container will run again: the pod has succeeded or failed, or is to go."""

    def look_at(self, due: float) -> None:
        """Look again at `due`, if not sooner."""
        self.look_again_at = due if self.look_again_at is None else min(self.look_again_at, due)


@dataclass(frozen=True, slots=True)
class Observation:
    """All that a step is decided from."""

    pod: JsonObject
    runs: Mapping[str, Run]
    """The latest run of each container that ever ran, by name."""
    health: Mapping[str, Health] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)
    """How often in a row a container ended before it was steady, by name."""
    is_ending: bool = False
    """Whether the pod is to go: deleted, evicted, out of time."""


def restart_policy(pod: JsonObject) -> str:
    """Return Always, OnFailure or Never."""
    return string_at(pod, "spec", "restartPolicy") or "Always"


def is_sidecar(container: JsonObject) -> bool:
    """Whether an init container stays for the pod's whole life."""
    return string_at(container, "restartPolicy") == "Always"


def names(containers: Sequence[JsonObject]) -> list[str]:
    """Return the names of containers."""
    return [string_at(one, "name") for one in containers]


def backoff_s(failures: int) -> float:
    """Return how long to wait after the nth end in a row: none after the first."""
    if failures <= 1:
        return 0.0
    return min(BACKOFF_FIRST_S * 2.0 ** (failures - 2), BACKOFF_MAX_S)


def failures_after(run: Run, before: int) -> int:
    """Return how often in a row a container has ended, `run` included."""
    is_steady = run.started_at > 0 and run.finished_at - run.started_at >= _STEADY_AFTER_S
    return 1 if is_steady else before + 1


def next_step(seen: Observation, now: float) -> Step:
    """Decide."""
    if seen.is_ending:
        return _stop_all(seen)
    step = Step()
    inits = list_at(seen.pod, "spec", "initContainers")
    mains = list_at(seen.pod, "spec", "containers")
    if _has_failed_init(seen, inits):
        return _end(seen, step)
    started_mains = any(name in seen.runs for name in names(mains))
    if started_mains and _are_over(seen, mains):
        return _end(seen, step)
    _stop_unhealthy(seen, step, [*inits, *mains])
    if _advance_inits(seen, step, inits, now, is_past=started_mains):
        _advance_mains(seen, step, mains, now)
    return step


def _advance_inits(
    seen: Observation, step: Step, inits: Sequence[JsonObject], now: float, *, is_past: bool
) -> bool:
    """See to the init containers; return whether the main ones may run.

    `is_past`: they run already, so all that is left here is to keep the sidecars up.
    """
    for init in inits:
        if not _advance_init(seen, step, init, now, is_past=is_past) and not is_past:
            return False
    return True


def _advance_mains(seen: Observation, step: Step, mains: Sequence[JsonObject], now: float) -> None:
    for name in names(mains):
        run = seen.runs.get(name)
        if run is None:
            step.start.append(Start(name, 0))
        elif run.phase is Phase.EXITED and _restarts(seen.pod, run):
            _restart(seen, step, run, now)


def _advance_init(
    seen: Observation, step: Step, init: JsonObject, now: float, *, is_past: bool
) -> bool:
    """See to one init container; return whether the next may begin."""
    name = string_at(init, "name")
    run = seen.runs.get(name)
    if run is None:
        if not is_past or is_sidecar(init):
            step.start.append(Start(name, 0))
        return is_past
    if is_sidecar(init):
        if run.phase is Phase.EXITED:
            _restart(seen, step, run, now)
            return False
        return run.phase is Phase.RUNNING and seen.health.get(name, Health()).is_started
    if run.phase is not Phase.EXITED:
        return False
    if run.exit_code == 0:
        return True
    _restart(seen, step, run, now)
    return False


def _restart(seen: Observation, step: Step, run: Run, now: float) -> None:
    name = run.id.name
    wait_s = backoff_s(seen.failures.get(name, 1))
    due = run.finished_at + wait_s
    if due <= now:
        step.start.append(Start(name, run.id.attempt + 1))
        return
    step.look_at(due)
    namespace = string_at(seen.pod, "metadata", "namespace")
    pod = f"{string_at(seen.pod, 'metadata', 'name')}_{namespace}"
    uid = string_at(seen.pod, "metadata", "uid")
    text = f"back-off {_duration(wait_s)} restarting failed container={name} pod={pod}({uid})"
    step.waiting[name] = Waiting("CrashLoopBackOff", text)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def _restarts(pod: JsonObject, run: Run) -> bool:
    policy = restart_policy(pod)
    return policy == "Always" or (policy == "OnFailure" and run.exit_code != 0)


def _has_failed_init(seen: Observation, inits: Sequence[JsonObject]) -> bool:
    if restart_policy(seen.pod) != "Never":
        return False
    found = (seen.runs.get(string_at(one, "name")) for one in inits if not is_sidecar(one))
    return any(run.phase is Phase.EXITED and run.exit_code != 0 for run in found if run is not None)


def _are_over(seen: Observation, mains: Sequence[JsonObject]) -> bool:
    """Whether all main containers have ended and none will be started again."""
    runs = [seen.runs.get(name) for name in names(mains)]
    return all(
        run is not None and run.phase is Phase.EXITED and not _restarts(seen.pod, run)
        for run in runs
    )


def _stop_unhealthy(seen: Observation, step: Step, containers: Sequence[JsonObject]) -> None:
    for name in names(containers):
        run = seen.runs.get(name)
        is_running = run is not None and run.phase is Phase.RUNNING
        if is_running and seen.health.get(name, Health()).is_failed:
            step.stop.append(name)


def _end(seen: Observation, step: Step) -> Step:
    """The pod has come to its end by itself: stop the sidecars."""
    stopping = _stop_all(seen)
    stopping.is_over = True
    stopping.waiting = step.waiting
    return stopping


def _stop_all(seen: Observation) -> Step:
    """Main containers first; sidecars when these are gone, the last one first."""
    step = Step(is_over=True)
    alive = {name for name, run in seen.runs.items() if run.phase is not Phase.EXITED}
    inits = list_at(seen.pod, "spec", "initContainers")
    sidecars = [name for name in names([one for one in inits if is_sidecar(one)]) if name in alive]
    others = sorted(alive - set(sidecars))
    if others:
        step.stop = others
    elif sidecars:
        step.stop = [sidecars[-1]]
    return step


def grace_s(pod: JsonObject) -> float:
    """Return for how long containers may end by themselves before they are killed; at least 2."""
    deleting = member(pod, "metadata", "deletionGracePeriodSeconds")
    spec = integer_at(pod, "spec", "terminationGracePeriodSeconds", default=30)
    return max(float(deleting if isinstance(deleting, int) else spec), 2.0)
