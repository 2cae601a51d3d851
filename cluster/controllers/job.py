"""Job: pods that run to their end, until enough of them have succeeded."""

from collections.abc import Iterable, Sequence

from cluster.controllers import job_plan
from cluster.controllers.job_plan import FINALIZER, Failing
from cluster.controllers.ownership import owner_key, uid_of
from cluster.controllers.pod_facts import is_active, is_deleting
from cluster.controllers.pod_owner import Failure, PodOwnerController
from cluster.informer.api import ApiError, PatchKind, is_not_found, ref_to
from cluster.informer.environment import Environment
from cluster.informer.resources import JOBS, PODS
from cluster.informer.store import split_key
from cluster.kube_api.objects import JsonObject, list_at, object_at, string_at


class JobController(PodOwnerController):
    """Brings each Job to its end; every pod's end is counted once."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment, JOBS)

    async def reconcile(self, key: str) -> None:
        """Let counted pods go, make and end pods, and write the status."""
        job = self._owners.get(key)
        if job is None:
            self._expectations.forget(key)
            await self._release(self._orphans(key))
            return
        pods = await self.claimed(job)
        if job_plan.is_over(job):
            await self._release(pods)
            return
        listed = job_plan.uncounted(job)
        counted = {uid for uids in listed.values() for uid in uids}
        await self._release(pod for pod in pods if uid_of(pod) in counted)
        now = self.clock.unix()
        seen = {**job, "status": job_plan.with_uncounted(job, pods)}
        ended = job_plan.counts(seen)
        failing = job_plan.why_failing(job, pods, ended, now=now)
        failure: Failure | None = None
        if self.is_counted(key) and not is_deleting(job):
            failure = await self._act(key, seen, pods, failing)
        await self._write_status(job, pods, failing)
        due = job_plan.deadline(job)
        if due is not None and failing is None:
            self.enqueue_after(key, max(due - now, 0.0))
        if failure is not None:
            raise failure.error

    async def _act(
        self, key: str, job: JsonObject, pods: Sequence[JsonObject], failing: Failing | None
    ) -> Failure | None:
        active = [pod for pod in pods if is_active(pod)]
        ended = job_plan.counts(job)
        if failing is not None:
            return await self.delete_pods(key, job, active) if active else None
        if job_plan.is_done(job, ended, len(active)):
            return await self._dismiss(key, job, active)
        now = self.clock.unix()
        plan = job_plan.plan(job, pods, ended, now=now)
        if plan.look_again_at is not None:
            self.enqueue_after(key, plan.look_again_at - now)
        if plan.delete:
            return await self._dismiss(key, job, plan.delete)
        if plan.create:
            wanted = [job_plan.pod_of(job, index) for index in plan.create]
            return await self.create_pods(key, job, wanted)
        return None

    async def _dismiss(
        self, key: str, job: JsonObject, pods: Sequence[JsonObject]
    ) -> Failure | None:
        """End pods that are not needed: they do not count as failed."""
        if not pods:
            return None
        await self._release(pods)
        return await self.delete_pods(key, job, pods)

    async def _release(self, pods: Iterable[JsonObject]) -> None:
        """Let pods go that are counted, or need not be."""
        for pod in pods:
            if not job_plan.is_tracked(pod):
                continue
            kept = [one for one in list_at(pod, "metadata", "finalizers") if one != FINALIZER]
            metadata = {
                "uid": uid_of(pod),
                "resourceVersion": string_at(pod, "metadata", "resourceVersion"),
                "finalizers": kept,
            }
            try:
                await self._api.patch(
                    ref_to(PODS, pod), {"metadata": metadata}, kind=PatchKind.MERGE
                )
            except ApiError as error:
                if not is_not_found(error):
                    raise

    def _orphans(self, key: str) -> list[JsonObject]:
        namespace, _ = split_key(key)
        pods = self._pods.in_namespace(namespace)
        return [pod for pod in pods if owner_key(pod, JOBS.kind) == key]

    async def _write_status(
        self, job: JsonObject, pods: Sequence[JsonObject], failing: Failing | None
    ) -> None:
        wanted = job_plan.status(job, pods, failing, now=self.clock.unix())
        if wanted == object_at(job, "status"):
            return
        written = await self._api.update(JOBS, {**job, "status": wanted}, subresource="status")
        if job_plan.is_said(written, "Complete"):
            self._recorder.normal(job, "Completed", "Job completed")
        elif job_plan.is_said(written, "Failed") and failing is not None:
            self._recorder.warning(job, failing.reason, failing.message)
