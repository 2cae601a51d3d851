"""Who owns whom, over all resources. Pure.

A node is an object by uid. One that only others name as their owner is *virtual*: it may not have
been seen yet, or be gone long since; only the server can tell.
"""

from dataclasses import dataclass, field

from cluster.controllers.ownership import uid_of
from cluster.controllers.pod_facts import is_deleting
from cluster.informer.api import Ref, ref_to
from cluster.kube_api.objects import JsonObject, list_at, string_at
from cluster.kube_api.resource import Resource

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"


@dataclass(slots=True)
class Node:
    """What the collector has to know of an object."""

    uid: str
    ref: Ref | None = None
    """None while it is virtual."""
    claimed: tuple[str, str, str, str] = ("", "", "", "")
    """apiVersion, kind, namespace and name by which others call it, while it is virtual."""
    owners: list[JsonObject] = field(default_factory=list)
    is_ending: bool = False
    finalizers: list[str] = field(default_factory=list)
    dependents: set[str] = field(default_factory=set)

    @property
    def waits_for_dependents(self) -> bool:
        """Whether it is to go after those that block it."""
        return self.is_ending and FOREGROUND in self.finalizers

    @property
    def lets_dependents_go(self) -> bool:
        """Whether its dependents are to be told that they have no owner any more."""
        return self.is_ending and ORPHAN in self.finalizers

    def blocks(self, owner_uid: str) -> bool:
        """Whether the owner cannot go before this one."""
        return any(
            string_at(owner, "uid") == owner_uid and owner.get("blockOwnerDeletion") is True
            for owner in self.owners
        )


class OwnershipGraph:
    """Invariant: a node has as dependents just those whose ownerReferences name its uid."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}

    def node(self, uid: str) -> Node | None:
        """Return a node."""
        return self._nodes.get(uid)

    def dependents(self, uid: str) -> list[Node]:
        """Return who names `uid` as an owner."""
        node = self._nodes.get(uid)
        return [self._nodes[one] for one in sorted(node.dependents)] if node is not None else []

    def put(self, resource: Resource, value: JsonObject) -> set[str]:
        """Take an object's state; return the uids that are to be looked at now."""
        uid = uid_of(value)
        node = self._nodes.get(uid)
        if node is None:
            node = self._nodes[uid] = Node(uid)
        before = {string_at(owner, "uid") for owner in node.owners}
        node.ref = ref_to(resource, value)
        node.owners = [dict(owner) for owner in list_at(value, "metadata", "ownerReferences")]
        node.is_ending = is_deleting(value)
        node.finalizers = list(list_at(value, "metadata", "finalizers"))
        after = {string_at(owner, "uid") for owner in node.owners}
        namespace = string_at(value, "metadata", "namespace")
        for owner in node.owners:
            self._own(owner, namespace, uid)
        for gone in before - after:
            self._disown(gone, uid)
        return self._to_look_at(node) | (before - after)

    def remove(self, uid: str) -> set[str]:
        """Forget an object that is gone; return the uids that are to be looked at now."""
        node = self._nodes.get(uid)
        if node is None:
            return set()
        owners = {string_at(owner, "uid") for owner in node.owners}
        for owner in owners:
            self._disown(owner, uid)
        dependents = set(node.dependents)
        if dependents:
            node.ref, node.owners, node.finalizers = None, [], []
        else:
            del self._nodes[uid]
        return dependents | owners

    def _to_look_at(self, node: Node) -> set[str]:
        """Return who may have something to do after `node` was seen."""
        found = {node.uid} if node.owners or node.is_ending else set()
        if node.waits_for_dependents:
            found |= node.dependents
        return found | {string_at(owner, "uid") for owner in node.owners if self._is_waiting(owner)}

    def _is_waiting(self, owner: JsonObject) -> bool:
        node = self._nodes.get(string_at(owner, "uid"))
        return node is not None and node.waits_for_dependents

    def _own(self, owner: JsonObject, namespace: str, dependent: str) -> None:
        uid = string_at(owner, "uid")
        node = self._nodes.get(uid)
        if node is None:
            called = string_at(owner, "apiVersion"), string_at(owner, "kind")
            node = self._nodes[uid] = Node(
                uid, claimed=(*called, namespace, string_at(owner, "name"))
            )
        node.dependents.add(dependent)

    def _disown(self, owner: str, dependent: str) -> None:
        node = self._nodes.get(owner)
        if node is not None:
            node.dependents.discard(dependent)
            if node.ref is None and not node.dependents:
                del self._nodes[owner]
