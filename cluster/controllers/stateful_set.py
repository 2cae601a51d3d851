"""StatefulSet: pods with names that stay, made and ended in order."""

from collections.abc import Sequence

from cluster.controllers import stateful_plan
from cluster.controllers.ownership import controller_ref, uid_of
from cluster.controllers.pod_facts import is_deleting
from cluster.controllers.pod_owner import PodOwnerController, is_namespace_terminating
from cluster.controllers.revisions import History, Revisions, name_of, template_of
from cluster.controllers.stateful_plan import Make, Versions
from cluster.informer.api import (
    ApiError,
    DeleteOptions,
    PatchKind,
    Ref,
    delete_if_there,
    is_already_exists,
    ref_to,
)
from cluster.informer.environment import Environment
from cluster.informer.resources import PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS
from cluster.kube_api.objects import JsonObject, integer_at, object_at, string_at


class StatefulSetController(PodOwnerController):
    """Brings each StatefulSet's pods to its template and its wanted number, one after the other.

    A pod's name can be had once only: the server itself sees to it that none is there twice.
    """

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment, STATEFUL_SETS)
        self._revisions = Revisions(environment, STATEFUL_SETS)
        self._claims = environment.informers.store(PERSISTENT_VOLUME_CLAIMS)

    async def reconcile(self, key: str) -> None:
        """Do the next step, and write the status."""
        owner = self._owners.get(key)
        if owner is None or is_deleting(owner):
            return
        history = await self._revisions.sync(owner)
        if history is None:
            await self._note_collision(owner)
            return
        pods = [
            pod
            for pod in await self.claimed(owner)
            if stateful_plan.ordinal_of(owner, pod) is not None
        ]
        update = name_of(history.update)
        current = string_at(owner, "status", "currentRevision") or update
        versions = Versions(current, update)
        now = self.clock.unix()
        plan = stateful_plan.plan(owner, pods, versions, now=now)
        await self._write_status(owner, pods, versions)
        for make in plan.create:
            await self._create(owner, history, make)
        for pod in plan.delete:
            await self._end(owner, pod)
        await self._drop_claims(owner)
        used = {stateful_plan.revision_of(pod) for pod in pods}
        await self._revisions.prune(owner, history, used | {current})
        due = stateful_plan.next_available_at(owner, pods, now=now)
        if due is not None:
            self.enqueue_after(key, due - now)

    async def _create(self, owner: JsonObject, history: History, make: Make) -> None:
        for one in stateful_plan.claims_of(owner, make.ordinal):
            await self._create_claim(one)
        template = template_of(history.named(make.revision))
        pod = stateful_plan.pod_of(owner, template, make)
        metadata = {**pod["metadata"], "ownerReferences": [controller_ref(owner)]}
        name = string_at(pod, "metadata", "name")
        kind = f"StatefulSet {string_at(owner, 'metadata', 'name')}"
        try:
            await self._api.create(PODS, {**pod, "metadata": metadata})
        except ApiError as error:
            if is_already_exists(error) and await self._is_ours(owner, pod):
                return  # the store does not show it yet
            if not is_namespace_terminating(error):
                text = f"create Pod {name} in {kind} failed error: {error.message}"
                self._recorder.warning(owner, "FailedCreate", text)
                raise
        else:
            text = f"create Pod {name} in {kind} successful"
            self._recorder.normal(owner, "SuccessfulCreate", text)

    async def _is_ours(self, owner: JsonObject, pod: JsonObject) -> bool:
        live = await self._api.get(ref_to(PODS, pod))
        return any(
            string_at(one, "uid") == uid_of(owner)
            for one in object_at(live, "metadata").get("ownerReferences", [])
        )

    async def _create_claim(self, body: JsonObject) -> None:
        try:
            await self._api.create(PERSISTENT_VOLUME_CLAIMS, body)
        except ApiError as error:
            if not is_already_exists(error):
                raise

    async def _end(self, owner: JsonObject, pod: JsonObject) -> None:
        name = string_at(pod, "metadata", "name")
        if await delete_if_there(self._api, ref_to(PODS, pod), DeleteOptions(uid=uid_of(pod))):
            kind = f"StatefulSet {string_at(owner, 'metadata', 'name')}"
            text = f"delete Pod {name} in {kind} successful"
            self._recorder.normal(owner, "SuccessfulDelete", text)

    async def _drop_claims(self, owner: JsonObject) -> None:
        """With `whenScaled: Delete`, claims of numbers that are not wanted go with their pods."""
        policy = object_at(owner, "spec", "persistentVolumeClaimRetentionPolicy")
        if string_at(policy, "whenScaled") != "Delete":
            return
        namespace = string_at(owner, "metadata", "namespace")
        wanted = stateful_plan.wanted_ordinals(owner)
        for template in stateful_plan.claim_templates(owner):
            own = string_at(template, "metadata", "name")
            prefix = stateful_plan.claim_name(owner, own, 0).removesuffix("0")
            for claim in self._claims.in_namespace(namespace):
                name = string_at(claim, "metadata", "name")
                number = name.removeprefix(prefix)
                if not name.startswith(prefix) or not number.isdecimal() or int(number) in wanted:
                    continue
                pod = f"{namespace}/{string_at(owner, 'metadata', 'name')}-{number}"
                if self._pods.get(pod) is None:
                    ref = Ref(PERSISTENT_VOLUME_CLAIMS, namespace, name)
                    await delete_if_there(self._api, ref, DeleteOptions(uid=uid_of(claim)))

    async def _write_status(
        self, owner: JsonObject, pods: Sequence[JsonObject], versions: Versions
    ) -> None:
        wanted = stateful_plan.status(owner, pods, versions, now=self.clock.unix())
        if wanted != object_at(owner, "status"):
            await self._api.update(STATEFUL_SETS, {**owner, "status": wanted}, subresource="status")

    async def _note_collision(self, owner: JsonObject) -> None:
        collisions = integer_at(owner, "status", "collisionCount") + 1
        await self._api.patch(
            ref_to(STATEFUL_SETS, owner),
            {"status": {"collisionCount": collisions}},
            kind=PatchKind.MERGE,
            subresource="status",
        )
