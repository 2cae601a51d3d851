"""DaemonSet: one pod on every node that it is for."""

from cluster.controllers import daemon_plan
from cluster.controllers.ownership import uid_of
from cluster.controllers.pod_facts import is_deleting
from cluster.controllers.pod_owner import Failure, PodOwnerController
from cluster.controllers.replicas import BURST_MAX
from cluster.controllers.revisions import Revisions, name_of
from cluster.informer.api import PatchKind, ref_to
from cluster.informer.environment import Environment
from cluster.informer.resources import DAEMON_SETS, NODES
from cluster.informer.store import Change, key_of
from cluster.kube_api.objects import JsonObject, integer_at, object_at, string_at


class DaemonSetController(PodOwnerController):
    """Brings each DaemonSet's pods to its nodes and its template."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment, DAEMON_SETS)
        self._nodes = environment.informers.store(NODES)
        self._revisions = Revisions(environment, DAEMON_SETS)
        environment.informers.subscribe(NODES, self._node_changed)

    async def reconcile(self, key: str) -> None:
        """Do what is to be done on all nodes, and write the status."""
        owner = self._owners.get(key)
        if owner is None or is_deleting(owner):
            self._expectations.forget(key)
            return
        history = await self._revisions.sync(owner)
        if history is None:
            await self._note_collision(owner)
            return
        revision = name_of(history.update)
        pods = await self.claimed(owner)
        places = {
            string_at(node, "metadata", "name"): daemon_plan.place(owner, node)
            for node in self._nodes.all()
        }
        now = self.clock.unix()
        failure: Failure | None = None
        if self.is_counted(key):
            plan = daemon_plan.plan(owner, places, pods, revision, now=now)
            failure = await self._carry_out(key, owner, plan, revision)
        wanted = daemon_plan.status(owner, places, pods, revision, now=now)
        if wanted != object_at(owner, "status"):
            await self._api.update(DAEMON_SETS, {**owner, "status": wanted}, subresource="status")
        used = {name_of(one) for one in history.revisions for pod in pods if _is_of(pod, one)}
        await self._revisions.prune(owner, history, used)
        due = daemon_plan.next_available_at(owner, pods, now=now)
        if due is not None:
            self.enqueue_after(key, due - now)
        if failure is not None:
            raise failure.error

    async def _carry_out(
        self, key: str, owner: JsonObject, plan: daemon_plan.Plan, revision: str
    ) -> Failure | None:
        """End first, make in the next look: the store shows then what there is room for."""
        if plan.delete:
            unique = {uid_of(pod): pod for pod in plan.delete}
            return await self.delete_pods(key, owner, list(unique.values())[:BURST_MAX])
        if plan.create:
            wanted = plan.create[:BURST_MAX]
            pods = [daemon_plan.pod_of(owner, node, revision) for node in wanted]
            return await self.create_pods(key, owner, pods)
        return None

    async def _note_collision(self, owner: JsonObject) -> None:
        collisions = integer_at(owner, "status", "collisionCount") + 1
        await self._api.patch(
            ref_to(DAEMON_SETS, owner),
            {"status": {"collisionCount": collisions}},
            kind=PatchKind.MERGE,
            subresource="status",
        )

    def _node_changed(self, change: Change) -> None:
        """A node's heartbeat changes nothing; its coming, going, labels and taints may."""
        if (
            change.old is not None
            and change.new is not None
            and _says(change.old) == _says(change.new)
        ):
            return
        for owner in self._owners.all():
            self.enqueue(key_of(owner))


def _is_of(pod: JsonObject, revision: JsonObject) -> bool:
    return daemon_plan.is_of(pod, name_of(revision))


def _says(node: JsonObject) -> tuple[object, object]:
    return object_at(node, "metadata", "labels"), object_at(node, "spec")
