"""One pod: observe, plan, act, report, and again when something has changed."""

import asyncio
import json
import logging
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from cluster.informer.api import (
    Api,
    ApiError,
    DeleteOptions,
    PatchKind,
    Unreachable,
    is_not_found,
    ref_to,
)
from cluster.informer.recorder import EventSink
from cluster.informer.resources import PODS
from cluster.kube_api.objects import JsonObject, integer_at, list_at, member, object_at, string_at
from cluster.kubelet.pod_lifecycle import (
    Observation,
    Start,
    Step,
    Waiting,
    backoff_s,
    failures_after,
    grace_s,
    next_step,
)
from cluster.kubelet.pod_status import Report, latest_runs, status
from cluster.kubelet.probes import ContainerHealth, NetworkProber, http_get
from cluster.kubelet.runtime import CannotStart, ContainerConfig, ContainerId, Phase, Run, Runtime
from kvstore.base.clock import Clock

logger = logging.getLogger(__name__)

_LOOK_AT_LEAST_EVERY_S = 60.0
_VOLUMES_AGAIN_S = 2.0
_HOOK_OUTPUT_MAX = 1000


class Preparation(Protocol):
    """What a pod needs from the node before its containers can start."""

    async def prepare(self, pod: JsonObject) -> None:
        """Make its volumes, or bring them up to date.

        Raises:
            CannotStart: not all of them can be had yet.
        """
        ...

    def config(self, pod: JsonObject, container: JsonObject, image: str) -> ContainerConfig:
        """Decide what a container runs.

        Raises:
            CannotStart: the image, or something that its environment needs, is not there.
        """
        ...


@dataclass(frozen=True, slots=True)
class Node:
    """What all workers of a node share."""

    api: Api
    runtime: Runtime
    preparation: Preparation
    recorder: EventSink
    clock: Clock
    host_ip: str


@dataclass(slots=True)
class _PullFailure:
    due: float
    times: int
    message: str


class PodWorker:
    """The one owner of a pod on this node; `run` ends when nothing of it is left."""

    def __init__(self, node: Node, pod: JsonObject, pod_ip: str) -> None:
        self._node = node
        self._pod = pod
        self._uid = string_at(pod, "metadata", "uid")
        self._pod_ip = pod_ip
        self._wake = asyncio.Event()
        self._runs: Mapping[str, Run] = {}
        self._previous: dict[str, Run] = {}
        self._failures: dict[str, int] = {}
        self._counted: set[ContainerId] = set()
        self._health: dict[ContainerId, ContainerHealth] = {}
        self._tasks: dict[ContainerId, asyncio.Task[None]] = {}
        self._stopping: dict[ContainerId, asyncio.Task[None]] = {}
        self._pull_failures: dict[str, _PullFailure] = {}
        self._is_evicted = ("", "")
        self._is_gone = False
        self._started_at = node.clock.unix()
        self._is_prepared = False
        self._look_again_at = 0.0
        self._written: JsonObject | None = None

    @property
    def pod(self) -> JsonObject:
        """The pod as it was last heard of."""
        return self._pod

    @property
    def pod_ip(self) -> str:
        """Its address."""
        return self._pod_ip

    def update(self, pod: JsonObject) -> None:
        """The pod has changed."""
        self._pod = pod
        self._wake.set()

    def vanish(self) -> None:
        """The pod is gone from the API: end it at once."""
        self._is_gone = True
        self._wake.set()

    def evict(self, reason: str, message: str) -> None:
        """End the pod, and say why."""
        self._is_evicted = (reason, message)
        self._wake.set()

    def runs_changed(self, runs: Mapping[str, Run]) -> None:
        """Something about the containers may have changed."""
        if runs != self._runs:
            for name, run in runs.items():
                before = self._runs.get(name)
                if before is not None and before.id != run.id:
                    self._previous[name] = before
            self._runs = runs
            self._wake.set()

    async def run(self) -> None:
        """Look after the pod until it has ended and is gone."""
        try:
            while not await self._turn():
                await self._wait()
        finally:
            for task in (*self._tasks.values(), *self._stopping.values()):
                task.cancel()
        self._node.runtime.forget(self._uid)

    async def _wait(self) -> None:
        due = self._look_again_at
        now = self._node.clock.unix()
        try:
            async with asyncio.timeout(min(max(due - now, 0.0), _LOOK_AT_LEAST_EVERY_S)):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _turn(self) -> bool:
        """Do what can be done now; return whether all is done for good."""
        self._wake.clear()
        now = self._node.clock.unix()
        self._look_again_at = now + _LOOK_AT_LEAST_EVERY_S
        self._check_deadline(now)
        self._count_ends()
        step = next_step(self._observation(), now)
        if not step.is_over:
            await self._act(step, now)
        self._stop(step)
        if step.look_again_at is not None:
            self._look_again_at = min(self._look_again_at, step.look_again_at)
        is_alive = any(run.phase is not Phase.EXITED for run in self._runs.values())
        if self._is_gone:
            return not is_alive and not step.start
        await self._report(step, now)
        return self._is_deleting and not is_alive and await self._finish()

    @property
    def _is_deleting(self) -> bool:
        return bool(string_at(self._pod, "metadata", "deletionTimestamp"))

    def _observation(self) -> Observation:
        return Observation(
            self._pod,
            self._runs,
            {
                name: self._health[run.id].health
                for name, run in self._runs.items()
                if run.id in self._health
            },
            self._failures,
            is_ending=self._is_deleting or self._is_gone or bool(self._is_evicted[0]),
        )

    def _check_deadline(self, now: float) -> None:
        seconds = integer_at(self._pod, "spec", "activeDeadlineSeconds")
        if not seconds or self._is_evicted[0]:
            return
        due = self._started_at + seconds
        if due <= now:
            text = "Pod was active on the node longer than the specified deadline"
            self._is_evicted = ("DeadlineExceeded", text)
        else:
            self._look_again_at = min(self._look_again_at, due)

    def _count_ends(self) -> None:
        """Count each end of a container once, and let go of what watched over it."""
        for name, run in self._runs.items():
            if run.phase is Phase.RUNNING and run.id not in self._health:
                self._watch_over(run)
            if run.phase is Phase.EXITED and run.id not in self._counted:
                self._counted.add(run.id)
                before = max(self._failures.get(name, 0), run.id.attempt)
                self._failures[name] = failures_after(run, before)
                self._health.pop(run.id, None)
                for tasks in (self._tasks, self._stopping):
                    task = tasks.pop(run.id, None)
                    if task is not None:
                        task.cancel()

    def _watch_over(self, run: Run) -> None:
        container = self._container(run.id.name)

        async def execute(command: list[str], timeout_s: float) -> tuple[int, str]:
            return await self._node.runtime.execute(run.id, command, timeout_s)

        def failed(kind: str, why: str) -> None:
            self._node.recorder.warning(self._pod, "Unhealthy", f"{kind} probe failed: {why}")

        health = ContainerHealth(
            container, NetworkProber(self._pod_ip, container, execute), self._wake.set, failed
        )
        self._health[run.id] = health
        self._tasks[run.id] = asyncio.ensure_future(health.run())

    def _container(self, name: str) -> JsonObject:
        spec = object_at(self._pod, "spec")
        for kind in ("containers", "initContainers"):
            for one in list_at(spec, kind):
                if string_at(one, "name") == name:
                    return dict(one)
        return {}

    # --- start

    async def _act(self, step: Step, now: float) -> None:
        if step.start and not self._is_prepared:
            try:
                await self._node.preparation.prepare(self._pod)
            except (CannotStart, ApiError, Unreachable) as error:
                self._node.recorder.warning(self._pod, "FailedMount", str(error))
                self._look_again_at = min(self._look_again_at, now + _VOLUMES_AGAIN_S)
                return
            self._is_prepared = True
        for start in step.start:
            self._start(step, start, now)

    def _start(self, step: Step, start: Start, now: float) -> None:
        node, name = self._node, start.name
        container = self._container(name)
        failure = self._pull_failures.get(name)
        if failure is not None and failure.due > now:
            text = f'Back-off pulling image "{string_at(container, "image")}"'
            step.waiting[name] = Waiting("ImagePullBackOff", text)
            self._look_again_at = min(self._look_again_at, failure.due)
            return
        try:
            config = node.preparation.config(self._pod, container, string_at(container, "image"))
            node.runtime.start(ContainerId(self._uid, name, start.attempt), config)
        except CannotStart as error:
            self._cannot_start(step, name, error, now)
            return
        self._pull_failures.pop(name, None)
        self.runs_changed(latest_runs(node.runtime.runs(self._uid), self._uid))
        image = string_at(container, "image")
        for reason, message in (
            ("Pulled", f'Container image "{image}" already present on machine'),
            ("Created", f"Created container: {name}"),
            ("Started", f"Started container {name}"),
        ):
            node.recorder.normal(self._pod, reason, message)

    def _cannot_start(self, step: Step, name: str, error: CannotStart, now: float) -> None:
        failure = self._pull_failures.get(name)
        times = (failure.times if failure is not None else 0) + 1
        due = now + max(backoff_s(times + 1), 1.0)
        self._pull_failures[name] = _PullFailure(due, times, error.message)
        self._look_again_at = min(self._look_again_at, due)
        step.waiting[name] = Waiting(error.reason, error.message)
        self._node.recorder.warning(self._pod, "Failed", f"Error: {error.message}")

    # --- stop

    def _stop(self, step: Step) -> None:
        for name in step.stop:
            run = self._runs[name]
            if run.id in self._stopping:
                if self._is_gone:
                    self._node.runtime.signal(run.id, signal.SIGKILL)
                continue
            self._node.recorder.normal(self._pod, "Killing", f"Stopping container {name}")
            self._stopping[run.id] = asyncio.ensure_future(self._stop_one(run))

    async def _stop_one(self, run: Run) -> None:
        """The preStop hook, SIGTERM, and SIGKILL when the grace is over."""
        grace = 0.0 if self._is_gone else grace_s(self._pod)
        loop = asyncio.get_running_loop()
        due = loop.time() + grace
        hook = object_at(self._container(run.id.name), "lifecycle", "preStop")
        if hook and grace:
            try:
                async with asyncio.timeout(grace):
                    await self._run_hook(run, hook)
            except TimeoutError:
                logger.info("preStop took all of the grace period", extra={"pod": self._uid})
        if grace:
            self._node.runtime.signal(run.id, signal.SIGTERM)
            await asyncio.sleep(max(due - loop.time(), 0.0))
        while True:
            self._node.runtime.signal(run.id, signal.SIGKILL)
            await asyncio.sleep(1.0)

    async def _run_hook(self, run: Run, hook: JsonObject) -> None:
        try:
            if action := object_at(hook, "exec"):
                command = [str(one) for one in list_at(action, "command")]
                code, output = await self._node.runtime.execute(run.id, command, 3600.0)
                why = None if code == 0 else output[:_HOOK_OUTPUT_MAX] or f"exit code {code}"
            elif action := object_at(hook, "httpGet"):
                why = await http_get(action, self._pod_ip, integer_at(action, "port"))
            else:
                await asyncio.sleep(integer_at(hook, "sleep", "seconds"))
                why = None
        except OSError as error:
            why = str(error)
        if why is not None:
            text = f"PreStopHook failed: {why}"
            self._node.recorder.warning(self._pod, "FailedPreStopHook", text)

    # --- report

    async def _report(self, step: Step, now: float) -> None:
        reason, message = self._is_evicted
        report = Report(
            self._pod_ip,
            self._node.host_ip,
            self._previous,
            reason,
            message,
            self._started_at,
        )
        wanted = status(self._observation(), step, report, now)
        if wanted == self._written:
            return
        patch = {
            "metadata": {"uid": self._uid},
            "status": {**wanted, **_cleared(self._pod, wanted)},
        }
        try:
            await self._node.api.patch(
                ref_to(PODS, self._pod),
                json.loads(json.dumps(patch)),
                kind=PatchKind.STRATEGIC,
                subresource="status",
            )
        except ApiError as error:
            if is_not_found(error):
                self.vanish()
                return
            self._try_again(error, now)
        except Unreachable as error:
            self._try_again(error, now)
        else:
            self._written = wanted

    def _try_again(self, error: Exception, now: float) -> None:
        logger.warning("status not written", extra={"pod": self._uid, "error": str(error)})
        self._look_again_at = min(self._look_again_at, now + 1.0)

    async def _finish(self) -> bool:
        """Everything has ended: take the pod away, if it is still this one."""
        options = DeleteOptions(uid=self._uid, grace_s=0)
        try:
            await self._node.api.delete(ref_to(PODS, self._pod), options)
        except ApiError as error:
            if not is_not_found(error) and error.reason != "Conflict":
                self._try_again(error, self._node.clock.unix())
                return False
        except Unreachable as error:
            self._try_again(error, self._node.clock.unix())
            return False
        return True


def _cleared(pod: JsonObject, wanted: JsonObject) -> JsonObject:
    """Return nulls for what the status has and should have no more: a patch would keep it."""
    present = member(pod, "status") or {}
    return {name: None for name in ("reason", "message") if name in present and name not in wanted}
