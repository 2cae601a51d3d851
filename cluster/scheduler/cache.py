"""Nodes with their pods, kept as changes come: a decision's snapshot costs what has changed.

A pod is here once, on one node: *placed* there by the store, or *assumed* there because it was just
bound; or *nominated*, which means that room was made for it there.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from cluster.kube_api.objects import JsonObject, integer_at, string_at
from cluster.scheduler.node_info import NodeInfo, Snapshot
from cluster.scheduler.pod_info import PodInfo

_ENDED = ("Succeeded", "Failed")


class _Placed(NamedTuple):
    info: PodInfo
    is_assumed: bool


class Cache:
    """Invariant: the pods of a node's `NodeInfo` are those that `_placed` says, in any order."""

    def __init__(self, namespaces: Callable[[], Mapping[str, JsonObject]]) -> None:
        self._namespaces = namespaces
        self._placed: dict[str, _Placed] = {}
        self._nominated: dict[str, PodInfo] = {}
        self._pods: dict[str, dict[str, PodInfo]] = {}
        """By node and uid; a pod may be seen before its node."""
        self._nodes: dict[str, JsonObject] = {}
        self._infos: dict[str, NodeInfo] = {}

    def set_node(self, node: JsonObject) -> None:
        """A node has come or changed."""
        name = string_at(node, "metadata", "name")
        self._nodes[name] = node
        known = self._infos.get(name)
        if known is not None:
            self._infos[name] = known.as_node(node)

    def remove_node(self, name: str) -> None:
        """A node is gone; its pods go on their own."""
        self._nodes.pop(name, None)
        self._infos.pop(name, None)

    def set_pod(self, pod: JsonObject) -> None:
        """A pod has come or changed; what was assumed of it holds until the store says more."""
        uid = string_at(pod, "metadata", "uid")
        name = string_at(pod, "spec", "nodeName")
        self._nominated.pop(uid, None)
        if string_at(pod, "status", "phase") in _ENDED:
            self.remove_pod(uid)
        elif name:
            self._place(uid, PodInfo(pod, name), is_assumed=False)
        elif uid in self._placed and not self._placed[uid].is_assumed:
            self.remove_pod(uid)
        elif nominated := string_at(pod, "status", "nominatedNodeName"):
            self._nominated[uid] = PodInfo(pod, nominated)

    def remove_pod(self, uid: str) -> None:
        """A pod is gone, or has ended."""
        self._nominated.pop(uid, None)
        placed = self._placed.pop(uid, None)
        if placed is None:
            return
        name = placed.info.node_name
        pods = self._pods[name]
        del pods[uid]
        if not pods:
            del self._pods[name]
        known = self._infos.get(name)
        if known is not None:
            self._infos[name] = known.without([placed.info])

    def assume(self, info: PodInfo) -> None:
        """A pod is being bound to a node."""
        self._place(info.uid, info, is_assumed=True)

    def is_assumed(self, uid: str) -> bool:
        """Whether a pod is being bound, as far as the store shows."""
        placed = self._placed.get(uid)
        return placed is not None and placed.is_assumed

    def forget(self, uid: str) -> None:
        """A pod was not bound after all."""
        if self.is_assumed(uid):
            self.remove_pod(uid)

    def snapshot(self, asking: PodInfo) -> Snapshot:
        """Return everything as the pod that asks for a node has to see it.

        Pods for which room was made on a node count there, unless they are worth less.
        """
        for name in self._nodes.keys() - self._infos.keys():
            pods = tuple(self._pods.get(name, {}).values())
            self._infos[name] = NodeInfo(self._nodes[name], pods)
        infos = {name: self._infos[name] for name in sorted(self._nodes)}
        for uid, info in self._nominated.items():
            is_meant = uid != asking.uid and uid not in self._placed
            is_worth = integer_at(info.pod, "spec", "priority") >= asking.priority
            if is_meant and is_worth and info.node_name in infos:
                infos[info.node_name] = infos[info.node_name].with_pod(info)
        return Snapshot(list(infos.values()), self._namespaces())

    def _place(self, uid: str, info: PodInfo, *, is_assumed: bool) -> None:
        self.remove_pod(uid)
        name = info.node_name
        self._placed[uid] = _Placed(info, is_assumed)
        self._pods.setdefault(name, {})[uid] = info
        known = self._infos.get(name)
        if known is not None:
            self._infos[name] = known.with_pod(info)
