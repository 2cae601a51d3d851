"""Deployment: one ReplicaSet a template, and a rollout from the old ones to the new one."""

from collections.abc import Sequence

from cluster.controllers import rollout
from cluster.controllers.deployment_status import Progress, deadline, is_complete, status
from cluster.controllers.ownership import (
    claim,
    claims,
    controller_of,
    controller_ref,
    controller_uids,
    owner_key,
    uid_of,
)
from cluster.controllers.pod_facts import condition, is_active, is_deleting
from cluster.controllers.pod_owner import is_namespace_terminating
from cluster.controllers.replicas import wanted_replicas
from cluster.informer.api import (
    ApiError,
    DeleteOptions,
    PatchKind,
    delete_if_there,
    is_already_exists,
    ref_to,
)
from cluster.informer.controller import Controller
from cluster.informer.environment import Environment
from cluster.informer.resources import DEPLOYMENTS, PODS, REPLICA_SETS
from cluster.informer.store import Change, key_of
from cluster.kube_api.objects import JsonObject, integer_at, member, object_at, string_at
from cluster.kube_api.selectors import label_selector


class DeploymentController(Controller):
    """Brings each Deployment's ReplicaSets to its template and its wanted number."""

    name = "deployment"
    workers = 5

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment.clock)
        self._api = environment.api
        self._recorder = environment.recorder
        self._deployments = environment.informers.store(DEPLOYMENTS)
        self._replica_sets = environment.informers.store(REPLICA_SETS)
        self._replica_sets.add_index("controller", controller_uids)
        self._pods = environment.informers.store(PODS)
        self._pods.add_index("controller", controller_uids)
        self.follow(environment.informers, DEPLOYMENTS)
        environment.informers.subscribe(REPLICA_SETS, self._replica_set_changed)
        environment.informers.subscribe(PODS, self._pod_changed)

    async def reconcile(self, key: str) -> None:
        """Do the next step of the rollout, and write the status."""
        deployment = self._deployments.get(key)
        if deployment is None:
            return
        owned = await self._claimed(deployment)
        new = rollout.find_new(deployment, owned)
        olds = [one for one in owned if new is None or uid_of(one) != uid_of(new)]
        progress: Progress | None = None
        if is_deleting(deployment):
            pass
        elif member(deployment, "spec", "paused") is True:
            await self._scale_all(deployment, rollout.proportional(deployment, new, olds))
            progress = self._paused(deployment)
        elif rollout.was_resized(deployment, owned):
            await self._scale_all(deployment, rollout.proportional(deployment, new, olds))
        else:
            new, progress = await self._roll(deployment, new, olds)
        await self._write_status(deployment, new, olds, progress)

    async def _claimed(self, deployment: JsonObject) -> list[JsonObject]:
        namespace = string_at(deployment, "metadata", "namespace")
        candidates = self._replica_sets.by_index("controller", uid_of(deployment)) + [
            one
            for one in self._replica_sets.by_index("controller", "")
            if string_at(one, "metadata", "namespace") == namespace
        ]
        selector = label_selector(member(deployment, "spec", "selector"))
        found = claims(deployment, selector, candidates)
        return await claim(self._api, DEPLOYMENTS, deployment, REPLICA_SETS, found)

    def _paused(self, deployment: JsonObject) -> Progress | None:
        if string_at(condition(deployment, "Progressing"), "reason") == "DeploymentPaused":
            return None
        return Progress("DeploymentPaused", "Deployment is paused", "Unknown")

    async def _roll(
        self, deployment: JsonObject, new: JsonObject | None, olds: list[JsonObject]
    ) -> tuple[JsonObject | None, Progress | None]:
        """Do one step; return the new ReplicaSet as it is then, and what there is to say."""
        is_recreated = string_at(deployment, "spec", "strategy", "type") == "Recreate"
        if is_recreated:
            steps = [rollout.Scale(one, 0) for one in olds if wanted_replicas(one)]
            await self._scale_all(deployment, steps)
            if steps or self._has_running_pods(olds):
                return new, Progress(
                    "ReplicaSetUpdated", "Old replicas are ending."
                ) if steps else None
        if new is None or rollout.grown(deployment, new, olds) is not None:
            new, olds = await self._live(deployment)
        if new is None:
            return await self._create_new(deployment, olds)
        new = await self._annotate(deployment, new, olds)
        step = rollout.grown(deployment, new, olds)
        if step is not None:
            return await self._scale(deployment, step), None
        if not is_recreated:
            await self._scale_all(deployment, rollout.shrunk(deployment, new, olds))
        return new, None

    async def _live(self, deployment: JsonObject) -> tuple[JsonObject | None, list[JsonObject]]:
        """Return new and old ReplicaSets as the server has them.

        The store may not show the last scaling yet; growing on its word could exceed the surge.
        """
        found = await self._api.list(
            REPLICA_SETS,
            namespace=string_at(deployment, "metadata", "namespace"),
            labels=str(label_selector(member(deployment, "spec", "selector"))),
        )
        owned = [one for one in found.items if uid_of(deployment) in controller_uids(one)]
        new = rollout.find_new(deployment, owned)
        return new, [one for one in owned if new is None or uid_of(one) != uid_of(new)]

    def _has_running_pods(self, olds: Sequence[JsonObject]) -> bool:
        return any(
            is_active(pod) or is_deleting(pod)
            for one in olds
            for pod in self._pods.by_index("controller", uid_of(one))
        )

    async def _create_new(
        self, deployment: JsonObject, olds: Sequence[JsonObject]
    ) -> tuple[JsonObject | None, Progress | None]:
        revision = max(map(rollout.revision_of, olds), default=0) + 1
        replica_set = rollout.new_replica_set(
            deployment,
            revision=revision,
            collisions=integer_at(deployment, "status", "collisionCount"),
            replicas=rollout.initial_replicas(deployment, olds),
        )
        replica_set["metadata"]["ownerReferences"] = [controller_ref(deployment)]
        name = string_at(replica_set, "metadata", "name")
        try:
            created = await self._api.create(REPLICA_SETS, replica_set)
        except ApiError as error:
            if is_namespace_terminating(error):
                return None, None
            if is_already_exists(error):
                return await self._taken_name(deployment, replica_set), None
            raise
        await self._set_revision(deployment, revision)
        if wanted_replicas(created):
            self._recorder.normal(
                deployment,
                "ScalingReplicaSet",
                f"Scaled up replica set {name} from 0 to {wanted_replicas(created)}",
            )
        return created, Progress("NewReplicaSetCreated", f'Created new replica set "{name}"')

    async def _taken_name(self, deployment: JsonObject, wanted: JsonObject) -> JsonObject | None:
        """The name exists: it is ours and the watch is late, or another template has our hash."""
        found = await self._api.get(ref_to(REPLICA_SETS, wanted))
        controller = controller_of(found)
        is_ours = controller is not None and string_at(controller, "uid") == uid_of(deployment)
        if is_ours and rollout.same_template(deployment, found):
            return found
        collisions = integer_at(deployment, "status", "collisionCount") + 1
        await self._api.patch(
            ref_to(DEPLOYMENTS, deployment),
            {"status": {"collisionCount": collisions}},
            kind=PatchKind.MERGE,
            subresource="status",
        )
        return None

    async def _annotate(
        self, deployment: JsonObject, new: JsonObject, olds: Sequence[JsonObject]
    ) -> JsonObject:
        """See to it that the new ReplicaSet has the highest revision, and the size annotations."""
        highest = max(map(rollout.revision_of, olds), default=0)
        revision = rollout.revision_of(new)
        if revision <= highest:
            revision = highest + 1
        present = object_at(new, "metadata", "annotations")
        wanted = rollout.annotations(deployment, present, revision=revision)
        ready_for_s = integer_at(deployment, "spec", "minReadySeconds")
        if wanted != present or integer_at(new, "spec", "minReadySeconds") != ready_for_s:
            spec = {**object_at(new, "spec"), "minReadySeconds": ready_for_s}
            metadata = {**object_at(new, "metadata"), "annotations": wanted}
            new = await self._api.update(REPLICA_SETS, {**new, "metadata": metadata, "spec": spec})
        await self._set_revision(deployment, revision)
        return new

    async def _set_revision(self, deployment: JsonObject, revision: int) -> None:
        if rollout.revision_of(deployment) == revision:
            return
        metadata = {"annotations": {rollout.REVISION: str(revision)}}
        await self._api.patch(
            ref_to(DEPLOYMENTS, deployment), {"metadata": metadata}, kind=PatchKind.MERGE
        )

    async def _scale_all(self, deployment: JsonObject, steps: Sequence[rollout.Scale]) -> None:
        for step in steps:
            await self._scale(deployment, step)

    async def _scale(self, deployment: JsonObject, step: rollout.Scale) -> JsonObject:
        one, before = step.replica_set, wanted_replicas(step.replica_set)
        sizes = rollout.size_annotations(deployment, wanted_replicas(deployment))
        annotations = {**object_at(one, "metadata", "annotations"), **sizes}
        scaled = await self._api.update(
            REPLICA_SETS,
            {
                **one,
                "metadata": {**object_at(one, "metadata"), "annotations": annotations},
                "spec": {**object_at(one, "spec"), "replicas": step.replicas},
            },
        )
        if step.replicas != before:
            verb = "up" if step.replicas > before else "down"
            self._recorder.normal(
                deployment,
                "ScalingReplicaSet",
                f"Scaled {verb} replica set {string_at(one, 'metadata', 'name')}"
                f" from {before} to {step.replicas}",
            )
        return scaled

    async def _write_status(
        self,
        deployment: JsonObject,
        new: JsonObject | None,
        olds: Sequence[JsonObject],
        progress: Progress | None,
    ) -> None:
        now = self.clock.unix()
        wanted = status(deployment, new, olds, progress, now=now)
        if wanted != object_at(deployment, "status"):
            # The revision may just have been annotated: only the status is replaced, as a whole.
            patch = [{"op": "add", "path": "/status", "value": wanted}]
            deployment = await self._api.patch(
                ref_to(DEPLOYMENTS, deployment), patch, kind=PatchKind.JSON, subresource="status"
            )
        if is_complete(deployment, wanted) and not is_deleting(deployment):
            await self._prune(deployment, olds)
        elif (due := deadline(deployment)) is not None:
            self.enqueue_after(key_of(deployment), max(due - now, 0) + 1)

    async def _prune(self, deployment: JsonObject, olds: Sequence[JsonObject]) -> None:
        for one in rollout.surplus_history(deployment, olds):
            ref = ref_to(REPLICA_SETS, one)
            await delete_if_there(self._api, ref, DeleteOptions(uid=uid_of(one)))

    def _replica_set_changed(self, change: Change) -> None:
        for seen in (change.old, change.new):
            key = owner_key(seen, "Deployment") if seen is not None else None
            if key is not None:
                self.enqueue(key)
        if change.new is not None and controller_of(change.new) is None:
            labels = member(change.new, "metadata", "labels") or {}
            namespace = string_at(change.new, "metadata", "namespace")
            for deployment in self._deployments.in_namespace(namespace):
                if label_selector(member(deployment, "spec", "selector")).matches(labels):
                    self.enqueue(key_of(deployment))

    def _pod_changed(self, change: Change) -> None:
        """Only Recreate waits for pods to be gone; all else shows in the ReplicaSets' status."""
        if change.new is not None:
            return
        owner = owner_key(change.object, "ReplicaSet")
        replica_set = self._replica_sets.get(owner) if owner is not None else None
        key = owner_key(replica_set, "Deployment") if replica_set is not None else None
        if key is not None:
            self.enqueue(key)
