"""Nodes that are not heard of any more: told so, tainted, and left by their pods."""

from cluster.controllers import node_health
from cluster.controllers.node_health import Heartbeat
from cluster.controllers.ownership import uid_of
from cluster.controllers.pod_facts import condition, is_deleting, is_finished
from cluster.informer.api import ApiError, DeleteOptions, PatchKind, is_not_found, ref_to
from cluster.informer.controller import Controller
from cluster.informer.environment import Environment
from cluster.informer.resources import LEASES, NODES, PODS
from cluster.informer.store import Change, key_of
from cluster.informer.times import timestamp
from cluster.kube_api.objects import JsonObject, list_at, object_at, string_at

LEASE_NAMESPACE = "kube-node-lease"
_LOOK_EVERY_S = 5.0
_ORPHANED_AFTER_S = 40.0


class NodeLifecycleController(Controller):
    """Watches over nodes by their leases, and drives pods from those that are lost."""

    name = "node-lifecycle"

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment.clock)
        self._api = environment.api
        self._recorder = environment.recorder
        self._nodes = environment.informers.store(NODES)
        self._leases = environment.informers.store(LEASES)
        self._pods = environment.informers.store(PODS)
        self._pods.add_index("node", lambda pod: [string_at(pod, "spec", "nodeName")])
        self._heartbeats: dict[str, Heartbeat] = {}
        self._missing_since: dict[str, float] = {}
        self.follow(environment.informers, NODES)
        environment.informers.subscribe(LEASES, self._lease_changed)
        environment.informers.subscribe(PODS, self._pod_changed)

    async def reconcile(self, key: str) -> None:
        """Look at one node."""
        node = self._nodes.get(key)
        if node is None:
            await self._collect_orphans(key)
            return
        self._missing_since.pop(key, None)
        now, unix = self.clock.monotonic(), self.clock.unix()
        sign = node_health.sign_of(node, self._leases.get(f"{LEASE_NAMESPACE}/{key}"))
        known = self._heartbeats.get(key)
        if known is None or known.sign != sign:
            known = self._heartbeats[key] = Heartbeat(sign, now)
        if node_health.is_silent(node, known, unix=unix, now=now):
            node = await self._tell_silent(node, unix)
        node = await self._taint(node, unix)
        await self._evict(node, unix)
        self.enqueue_after(key, _LOOK_EVERY_S)

    async def _tell_silent(self, node: JsonObject, unix: float) -> JsonObject:
        wanted = node_health.silent_conditions(node, unix)
        if wanted == list_at(node, "status", "conditions"):
            return node
        status = {**object_at(node, "status"), "conditions": wanted}
        written = await self._api.update(NODES, {**node, "status": status}, subresource="status")
        name = string_at(node, "metadata", "name")
        self._recorder.normal(node, "NodeNotReady", f"Node {name} status is now: NodeNotReady")
        for pod in self._pods.by_index("node", name):
            await self._tell_unready(pod, unix)
        return written

    async def _tell_unready(self, pod: JsonObject, unix: float) -> None:
        ready = condition(pod, "Ready")
        if string_at(ready, "status") != "True":
            return
        turned = {**ready, "status": "False", "lastTransitionTime": timestamp(unix)}
        patch = {"status": {"conditions": [turned]}}
        try:
            await self._api.patch(
                ref_to(PODS, pod), patch, kind=PatchKind.STRATEGIC, subresource="status"
            )
        except ApiError as error:
            if not is_not_found(error):
                raise

    async def _taint(self, node: JsonObject, unix: float) -> JsonObject:
        is_any_well = any(
            string_at(condition(one, "Ready"), "status") == "True" for one in self._nodes.all()
        )
        wanted = node_health.taints(node, evicts=is_any_well, stamp=timestamp(unix))
        if wanted == list_at(node, "spec", "taints"):
            return node
        spec = {**object_at(node, "spec"), "taints": wanted}
        return await self._api.update(NODES, {**node, "spec": spec})

    async def _evict(self, node: JsonObject, unix: float) -> None:
        taints = list_at(node, "spec", "taints")
        name = string_at(node, "metadata", "name")
        for pod in self._pods.by_index("node", name):
            due = node_health.evictable_at(pod, taints)
            if due is None or is_deleting(pod) or is_finished(pod):
                continue
            if due > unix:
                self.enqueue_after(name, due - unix)
                continue
            condition_now = {
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "DeletionByTaintManager",
                "message": "Taint manager: deleting due to NoExecute taint",
                "lastTransitionTime": timestamp(unix),
            }
            await self._end(pod, condition_now, DeleteOptions(uid=uid_of(pod)))
            self._recorder.normal(
                pod, "TaintManagerEviction", f"Marking for deletion Pod {key_of(pod)}"
            )

    async def _collect_orphans(self, name: str) -> None:
        """Pods of a node that is gone, and stays gone, are gone too."""
        pods = self._pods.by_index("node", name)
        self._heartbeats.pop(name, None)
        if not pods or not name:
            self._missing_since.pop(name, None)
            return
        now = self.clock.monotonic()
        due = self._missing_since.setdefault(name, now) + _ORPHANED_AFTER_S
        if due > now:
            self.queue.add_at(name, due)
            return
        for pod in pods:
            condition_now = {
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "DeletionByPodGC",
                "message": "PodGC: node no longer exists",
                "lastTransitionTime": timestamp(self.clock.unix()),
            }
            await self._end(pod, condition_now, DeleteOptions(uid=uid_of(pod), grace_s=0))

    async def _end(self, pod: JsonObject, why: JsonObject, options: DeleteOptions) -> None:
        status: JsonObject = {"conditions": [why]}
        if options.grace_s == 0 and not is_finished(pod):
            status["phase"] = "Failed"
        try:
            await self._api.patch(
                ref_to(PODS, pod),
                {"status": status},
                kind=PatchKind.STRATEGIC,
                subresource="status",
            )
            await self._api.delete(ref_to(PODS, pod), options)
        except ApiError as error:
            if not is_not_found(error):
                raise

    def _lease_changed(self, change: Change) -> None:
        ref = ref_to(LEASES, change.object)
        if ref.namespace == LEASE_NAMESPACE:
            self.enqueue(ref.name)

    def _pod_changed(self, change: Change) -> None:
        name = string_at(change.object, "spec", "nodeName")
        if name:
            self.enqueue(name)
