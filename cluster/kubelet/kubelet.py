"""The shell of a kubelet: which pods are ours, and a worker for each."""

import asyncio
from ipaddress import ip_network

from cluster.informer.environment import Environment
from cluster.informer.resources import PODS
from cluster.informer.store import Change, key_of
from cluster.kube_api.objects import JsonObject, member, string_at
from cluster.kubelet.node import NodeConfig
from cluster.kubelet.pod_status import latest_runs
from cluster.kubelet.pod_worker import Node, PodWorker
from cluster.kubelet.preparation import NodePreparation
from cluster.kubelet.runtime import Run, Runtime

_LOOK_EVERY_S = 0.1
_ENDED = ("Succeeded", "Failed")


class AddressesExhausted(Exception):
    """Every address of the node's range is taken."""


class Addresses:
    """Gives addresses of a range to pods; the first one is the node's own."""

    def __init__(self, cidr: str) -> None:
        self._hosts = [str(one) for one in ip_network(cidr).hosts()][1:]
        self._taken: dict[str, str] = {}
        self._next = 0

    def take(self, uid: str, wanted: str = "") -> str:
        """Return an address for a pod: the wanted one if it is free; else the one free for longest.

        Raises:
            AddressesExhausted: none is left.
        """
        if uid in self._taken:
            return self._taken[uid]
        used = set(self._taken.values())
        if wanted in self._hosts and wanted not in used:
            self._taken[uid] = wanted
            return wanted
        for offset in range(len(self._hosts)):
            address = self._hosts[(self._next + offset) % len(self._hosts)]
            if address not in used:
                self._next = (self._next + offset + 1) % len(self._hosts)
                self._taken[uid] = address
                return address
        raise AddressesExhausted

    def give_back(self, uid: str) -> None:
        """The pod is gone."""
        self._taken.pop(uid, None)


class Kubelet:
    """Runs the pods that are bound to one node."""

    def __init__(
        self,
        environment: Environment,
        runtime: Runtime,
        preparation: NodePreparation,
        config: NodeConfig,
    ) -> None:
        self._runtime = runtime
        self._preparation = preparation
        self._addresses = Addresses(config.pod_cidr)
        self._node = Node(
            environment.api,
            runtime,
            preparation,
            environment.recorder,
            environment.clock,
            config.address,
        )
        self._pods = environment.informers.store(PODS)
        self._workers: dict[str, PodWorker] = {}
        self._tasks: asyncio.TaskGroup | None = None
        environment.informers.subscribe(PODS, self._pod_changed)

    async def run(self) -> None:
        """Look after all pods until cancelled; the informers have to be filled before."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            # Those that have an address keep it: newer ones must not be given it first.
            for pod in sorted(self._pods.all(), key=_is_without_address):
                self._take_up(pod)
            self._end_strangers()
            while True:
                self._look()
                await asyncio.sleep(_LOOK_EVERY_S)

    def worker(self, key: str) -> PodWorker | None:
        """Return the worker of a pod, by namespace and name."""
        for worker in self._workers.values():
            if key_of(worker.pod) == key:
                return worker
        return None

    def pods(self) -> list[JsonObject]:
        """Return the pods that are looked after."""
        return [worker.pod for worker in self._workers.values()]

    def _look(self) -> None:
        """Tell every worker what its containers do now."""
        by_pod: dict[str, dict[str, Run]] = {}
        for run in self._runtime.runs():
            by_pod.setdefault(run.id.pod_uid, {})[run.id.name] = run
        for uid, worker in self._workers.items():
            worker.runs_changed(by_pod.get(uid, {}))

    def _end_strangers(self) -> None:
        """Processes of pods that are gone were left by a kubelet that was killed: end them."""
        known = set(self._workers)
        for uid in {run.id.pod_uid for run in self._runtime.runs()} - known:
            metadata = {"uid": uid, "name": uid, "namespace": "default"}
            pod: JsonObject = {"kind": "Pod", "metadata": metadata, "spec": {}}
            worker = self._begin(uid, pod, "")
            worker.vanish()

    def _pod_changed(self, change: Change) -> None:
        if self._tasks is None:
            return  # `run` takes up what the store holds then
        uid = string_at(change.object, "metadata", "uid")
        if change.old is not None and string_at(change.old, "metadata", "uid") != uid:
            self._vanish(string_at(change.old, "metadata", "uid"))
        if change.new is None:
            self._vanish(uid)
        elif uid in self._workers:
            self._workers[uid].update(change.new)
        else:
            self._take_up(change.new)

    def _vanish(self, uid: str) -> None:
        worker = self._workers.get(uid)
        if worker is not None:
            worker.vanish()

    def _take_up(self, pod: JsonObject) -> None:
        uid = string_at(pod, "metadata", "uid")
        is_going = bool(string_at(pod, "metadata", "deletionTimestamp"))
        if string_at(pod, "status", "phase") in _ENDED and not is_going:
            return
        try:
            address = self._address_of(uid, pod)
        except AddressesExhausted:
            self._node.recorder.warning(
                pod, "FailedCreatePodSandBox", "no address is left in the node's range"
            )
            return
        self._preparation.pod_ips[uid] = address
        self._begin(uid, pod, address)

    def _address_of(self, uid: str, pod: JsonObject) -> str:
        if member(pod, "spec", "hostNetwork") is True:
            return self._node.host_ip
        return self._addresses.take(uid, string_at(pod, "status", "podIP"))

    def _begin(self, uid: str, pod: JsonObject, address: str) -> PodWorker:
        worker = self._workers[uid] = PodWorker(self._node, pod, address)
        worker.runs_changed(latest_runs(self._runtime.runs(uid), uid))
        assert self._tasks is not None, "begun before run"
        self._tasks.create_task(self._look_after(uid, worker))
        return worker

    async def _look_after(self, uid: str, worker: PodWorker) -> None:
        await worker.run()
        del self._workers[uid]
        self._addresses.give_back(uid)
        self._preparation.forget(uid)


def _is_without_address(pod: JsonObject) -> bool:
    return not string_at(pod, "status", "podIP")
