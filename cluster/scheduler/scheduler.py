"""The shell of the scheduler: informers in, bindings, conditions and events out."""

import asyncio
import logging
from collections.abc import Mapping, Sequence

from cluster.informer.api import (
    ApiError,
    DeleteOptions,
    PatchKind,
    Ref,
    Unreachable,
    is_conflict,
    is_not_found,
    ref_to,
)
from cluster.informer.environment import Environment
from cluster.informer.resources import (
    NAMESPACES,
    NODES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    SERVICES,
    STATEFUL_SETS,
)
from cluster.informer.store import Change, key_of
from cluster.informer.times import timestamp
from cluster.kube_api.objects import JsonObject, list_at, member, object_at, string_at
from cluster.kube_api.resource import Resource
from cluster.kube_api.selectors import (
    LabelSelector,
    Requirement,
    equality_selector,
    label_selector,
)
from cluster.scheduler.cache import Cache
from cluster.scheduler.decision import Decision, decide
from cluster.scheduler.node_info import Snapshot
from cluster.scheduler.pod_info import PodInfo
from cluster.scheduler.preemption import Candidate, may_preempt, preempt
from cluster.scheduler.queue import SchedulingQueue

logger = logging.getLogger(__name__)

DEFAULT_NAME = "default-scheduler"
_OWNERS: Mapping[str, Resource] = {
    "ReplicationController": REPLICATION_CONTROLLERS,
    "ReplicaSet": REPLICA_SETS,
    "StatefulSet": STATEFUL_SETS,
}
_SELECTORS = {"ReplicationController": equality_selector}
_BINDINGS_MAX = 64
_ENDED = ("Succeeded", "Failed")


class Scheduler:
    """Binds pods that name this scheduler to nodes, one decision at a time.

    A pod that is bound, but not seen so by the store, is *assumed* on its node meanwhile.
    """

    def __init__(self, environment: Environment, *, name: str = DEFAULT_NAME) -> None:
        informers = environment.informers
        self._api = environment.api
        self._recorder = environment.recorder
        self._clock = environment.clock
        self._entropy = environment.entropy
        self._name = name
        self._queue = SchedulingQueue()
        self._cache = Cache(self._labels_of_namespaces)
        self._unknown: set[str] = set()
        self._wake = asyncio.Event()
        self._bindings = asyncio.Semaphore(_BINDINGS_MAX)
        self._pods = informers.store(PODS)
        self._nodes = informers.store(NODES)
        self._namespaces = informers.store(NAMESPACES)
        self._budgets = informers.store(POD_DISRUPTION_BUDGETS)
        self._services = informers.store(SERVICES)
        self._owners = {kind: informers.store(resource) for kind, resource in _OWNERS.items()}
        informers.subscribe(PODS, self._pod_changed)
        informers.subscribe(NODES, self._node_changed)
        for resource in (NAMESPACES, POD_DISRUPTION_BUDGETS, SERVICES, *_OWNERS.values()):
            informers.subscribe(resource, lambda _: None)

    async def run(self) -> None:
        """Schedule until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                pod = self._queue.take(self._clock.monotonic())
                if pod is None:
                    await self._wait_for_work()
                    continue
                node_name = await self.schedule(pod)
                if node_name is not None:
                    await self._bindings.acquire()
                    tasks.create_task(self._bind_and_release(pod, node_name))

    async def step(self) -> bool:
        """Decide about the next pod, if there is one, and bind it; return whether there was."""
        pod = self._queue.take(self._clock.monotonic())
        if pod is None:
            return False
        node_name = await self.schedule(pod)
        if node_name is not None:
            await self.bind(pod, node_name)
        return True

    async def schedule(self, pod: JsonObject) -> str | None:
        """Decide about a pod that was taken from the queue; return its node, assumed there now."""
        key = key_of(pod)
        if not await self._settle_unknown(pod):
            self._queue.retry(key, self._clock.monotonic())
            return None
        current = self._pods.get(key)
        if current is None or not self._is_ours(current):
            self._queue.park(key, self._clock.monotonic())
            self._queue.remove(key)
            return None
        info = PodInfo(current)
        snapshot = self.snapshot(info)
        decision = decide(info, snapshot, self._kind_of(current))
        best = decision.best
        if not best:
            await self._failed(info, snapshot, decision)
            return None
        chosen = best[int(self._entropy.fraction() * len(best))]
        self._cache.assume(PodInfo(current, chosen))
        return chosen

    async def bind(self, pod: JsonObject, node_name: str) -> None:
        """Tell the server; if it says no, the pod is tried again."""
        key, uid = key_of(pod), string_at(pod, "metadata", "uid")
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {**_named(pod), "uid": uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node_name},
        }
        try:
            await self._api.post(ref_to(PODS, pod), "binding", binding)
        except Unreachable as error:
            # It may be bound: its room stays taken until the server has said whether it is.
            self._unknown.add(uid)
            self._not_bound(key, node_name, error)
            return
        except ApiError as error:
            self._cache.forget(uid)
            self._not_bound(key, node_name, error)
            return
        self._recorder.normal(pod, "Scheduled", f"Successfully assigned {key} to {node_name}")

    def _not_bound(self, key: str, node_name: str, error: ApiError | Unreachable) -> None:
        logger.warning("not bound", extra={"pod": key, "node": node_name, "why": str(error)})
        if isinstance(error, ApiError) and (is_not_found(error) or is_conflict(error)):
            self._queue.park(key, self._clock.monotonic())  # the watch will tell what it is
        else:
            self._queue.retry(key, self._clock.monotonic())
        self._wake.set()

    async def _settle_unknown(self, pod: JsonObject) -> bool:
        """Ask the server about a binding that was not answered; return whether all is known now."""
        uid = string_at(pod, "metadata", "uid")
        if uid not in self._unknown:
            return True
        try:
            live = await self._api.get(ref_to(PODS, pod))
        except Unreachable:
            return False
        except ApiError as error:
            if not is_not_found(error):
                return False
            live = {}
        self._unknown.discard(uid)
        if not string_at(live, "spec", "nodeName"):
            self._cache.forget(uid)
        return True

    async def _bind_and_release(self, pod: JsonObject, node_name: str) -> None:
        try:
            await self.bind(pod, node_name)
        finally:
            self._bindings.release()

    async def _wait_for_work(self) -> None:
        self._wake.clear()
        due = self._queue.next_due()
        try:
            async with asyncio.timeout(
                None if due is None else max(due - self._clock.monotonic(), 0)
            ):
                await self._wake.wait()
        except TimeoutError:
            return

    # --- what there is

    def snapshot(self, asking: PodInfo) -> Snapshot:
        """Return nodes with their pods as of now, as the pod that asks for one has to see them."""
        return self._cache.snapshot(asking)

    def _labels_of_namespaces(self) -> Mapping[str, JsonObject]:
        return {
            string_at(one, "metadata", "name"): object_at(one, "metadata", "labels")
            for one in self._namespaces.all()
        }

    def _kind_of(self, pod: JsonObject) -> LabelSelector | None:
        """Return what selects the pods of the same Services and owner; None if it has neither."""
        namespace = string_at(pod, "metadata", "namespace")
        labels = object_at(pod, "metadata", "labels")
        found: list[Requirement] = []
        for service in self._services.in_namespace(namespace):
            selector = equality_selector(member(service, "spec", "selector"))
            if selector.matches(labels):
                found += selector.requirements
        for reference in list_at(pod, "metadata", "ownerReferences"):
            store = self._owners.get(string_at(reference, "kind"))
            owner = store.get(f"{namespace}/{string_at(reference, 'name')}") if store else None
            if owner is not None and reference.get("controller") is True:
                spec = member(owner, "spec", "selector")
                is_plain = reference["kind"] == "ReplicationController"
                found += (
                    equality_selector(spec) if is_plain else label_selector(spec)
                ).requirements
        return LabelSelector(tuple(found)) if found else None

    # --- when no node would do

    async def _failed(self, info: PodInfo, snapshot: Snapshot, decision: Decision) -> None:
        message = decision.why()
        nominated = ""
        try:
            if snapshot.nodes and may_preempt(info, snapshot):
                found = preempt(info, snapshot, decision, self._budgets.all())
                if found.chosen is None:
                    message += f" {found.why}"
                else:
                    nominated = found.chosen.node_name
                    await self._end_victims(info, found.chosen)
            self._recorder.warning(info.pod, "FailedScheduling", message)
            await self._set_unschedulable(info.pod, message, nominated)
        except (ApiError, Unreachable) as error:
            logger.warning("status not written", extra={"pod": info.name, "why": str(error)})
        self._queue.park(key_of(info.pod), self._clock.monotonic())

    async def _end_victims(self, info: PodInfo, candidate: Candidate) -> None:
        why = f"{self._name}: preempting to accommodate a higher priority pod"
        for victim in candidate.victims:
            condition = {
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "PreemptionByScheduler",
                "message": why,
                "lastTransitionTime": timestamp(self._clock.unix()),
            }
            try:
                await self._set_condition(victim.pod, condition)
                await self._api.delete(ref_to(PODS, victim.pod), DeleteOptions(uid=victim.uid))
            except ApiError as error:
                if not is_not_found(error):
                    raise
            text = f"Preempted by pod {info.uid} on node {candidate.node_name}"
            self._recorder.normal(victim.pod, "Preempted", text)

    async def _set_unschedulable(self, pod: JsonObject, message: str, nominated: str) -> None:
        before: JsonObject = next(
            (
                one
                for one in list_at(pod, "status", "conditions")
                if string_at(one, "type") == "PodScheduled"
            ),
            {},
        )
        is_same = string_at(before, "message") == message
        if is_same and (
            not nominated or string_at(pod, "status", "nominatedNodeName") == nominated
        ):
            return
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastTransitionTime": string_at(before, "lastTransitionTime")
            or timestamp(self._clock.unix()),
        }
        more = {"nominatedNodeName": nominated} if nominated else {}
        await self._set_condition(pod, condition, more)

    async def _set_condition(
        self, pod: JsonObject, condition: JsonObject, more: JsonObject | None = None
    ) -> None:
        patch = {"status": {"conditions": [condition], **(more or {})}}
        await self._api.patch(
            ref_to(PODS, pod), patch, kind=PatchKind.STRATEGIC, subresource="status"
        )

    # --- what informers tell

    def _is_ours(self, pod: JsonObject) -> bool:
        """Whether a pod waits for this scheduler."""
        return (
            not string_at(pod, "spec", "nodeName")
            and (string_at(pod, "spec", "schedulerName") or DEFAULT_NAME) == self._name
            and not string_at(pod, "metadata", "deletionTimestamp")
            and not list_at(pod, "spec", "schedulingGates")
            and not self._cache.is_assumed(string_at(pod, "metadata", "uid"))
        )

    def _pod_changed(self, change: Change) -> None:
        now = self._clock.monotonic()
        pod = change.object
        uid = string_at(pod, "metadata", "uid")
        if change.old is not None and string_at(change.old, "metadata", "uid") != uid:
            self._cache.remove_pod(string_at(change.old, "metadata", "uid"))  # another of its name
        if change.new is not None:
            self._cache.set_pod(change.new)
        if change.new is None:
            self._cache.remove_pod(uid)
            self._unknown.discard(uid)
            self._queue.remove(key_of(pod))
            self._helped(now)
        elif string_at(pod, "spec", "nodeName"):
            self._unknown.discard(uid)
            self._queue.remove(key_of(pod))
            if string_at(pod, "status", "phase") in _ENDED or _labels_changed(change):
                self._helped(now)
            elif change.old is None or not string_at(change.old, "spec", "nodeName"):
                self._helped(now)  # a pod that others want to be near has its place
        elif self._is_ours(pod):
            if change.old is None or _spec_changed(change):
                self._queue.put(pod, now)
                self._wake.set()
        elif not self._cache.is_assumed(uid):
            self._queue.remove(key_of(pod))

    def _node_changed(self, change: Change) -> None:
        if change.new is None:
            self._cache.remove_node(key_of(change.object))
            return
        self._cache.set_node(change.new)
        if change.old is None or _node_says(change.old) != _node_says(change.new):
            self._helped(self._clock.monotonic())

    def _helped(self, now: float) -> None:
        self._queue.changed(now)
        self._wake.set()


def _named(pod: JsonObject) -> JsonObject:
    ref: Ref = ref_to(PODS, pod)
    return {"namespace": ref.namespace, "name": ref.name}


def _labels_changed(change: Change) -> bool:
    old: JsonObject = change.old or {}
    return object_at(old, "metadata", "labels") != object_at(change.object, "metadata", "labels")


def _spec_changed(change: Change) -> bool:
    """Whether a waiting pod asks for something else; its own conditions are no news."""
    old: JsonObject = change.old or {}
    return _labels_changed(change) or old.get("spec") != change.object.get("spec")


def _node_says(node: JsonObject) -> Sequence[object]:
    """Return all of a node that a rule looks at; heartbeats are not among it."""
    return (
        object_at(node, "metadata", "labels"),
        object_at(node, "spec"),
        object_at(node, "status", "allocatable"),
    )
