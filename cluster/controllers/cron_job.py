"""CronJob: makes a Job whenever its schedule says so. And Jobs that go after their end."""

from collections.abc import Sequence

from cluster.controllers import cron_plan
from cluster.controllers.job_plan import is_over
from cluster.controllers.ownership import controller_ref, controller_uids, owner_key, uid_of
from cluster.controllers.pod_facts import is_deleting
from cluster.controllers.pod_owner import is_namespace_terminating
from cluster.informer.api import (
    ApiError,
    DeleteOptions,
    Ref,
    delete_if_there,
    is_already_exists,
    is_not_found,
    ref_to,
)
from cluster.informer.controller import Controller
from cluster.informer.environment import Environment
from cluster.informer.resources import CRON_JOBS, JOBS
from cluster.informer.store import Change
from cluster.informer.times import timestamp
from cluster.kube_api.objects import JsonObject, integer_at, list_at, member, object_at, string_at

_LATER_S = 0.1
"""Timers are not exact: looked at just before its time, a schedule would be looked at for ever."""


class CronJobController(Controller):
    """Makes Jobs in time, and forgets old ones."""

    name = "cronjob"
    workers = 5

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment.clock)
        self._api = environment.api
        self._recorder = environment.recorder
        self._cron_jobs = environment.informers.store(CRON_JOBS)
        self._jobs = environment.informers.store(JOBS)
        self._jobs.add_index("controller", controller_uids)
        self.follow(environment.informers, CRON_JOBS)
        environment.informers.subscribe(JOBS, self._job_changed)

    async def reconcile(self, key: str) -> None:
        """Make the job that is due, forget old ones, write the status, and come back in time."""
        cron_job = self._cron_jobs.get(key)
        if cron_job is None or is_deleting(cron_job):
            return
        jobs = await self._jobs_of(cron_job)
        last: float | None = None
        if member(cron_job, "spec", "suspend") is not True:
            try:
                schedule = cron_plan.schedule_of(cron_job)
            except cron_plan.BadSchedule as error:
                self._recorder.warning(cron_job, "UnparseableSchedule", str(error))
                return
            now = self.clock.unix()
            due = cron_plan.due(cron_job, schedule, now=now)
            self.enqueue_after(key, due.next_at - now + _LATER_S)
            if due.at is not None:
                last, jobs = await self._run(cron_job, schedule, due, jobs)
        await self._write_status(cron_job, jobs, last)
        # Last: a job that is forgotten before its time is noted would be made again.
        for one in cron_plan.surplus(cron_job, jobs):
            await self._delete(one)

    async def _jobs_of(self, cron_job: JsonObject) -> list[JsonObject]:
        """Return the jobs: those that the store shows, and those that it does not show yet."""
        found = self._jobs.by_index("controller", uid_of(cron_job))
        known = {uid_of(job) for job in found}
        for one in list_at(cron_job, "status", "active"):
            if string_at(one, "uid") not in known:
                namespace = string_at(one, "namespace")
                live = await self._live(Ref(JOBS, namespace, string_at(one, "name")))
                if live is not None and uid_of(live) == string_at(one, "uid"):
                    found = [*found, live]
        return found

    async def _live(self, ref: Ref) -> JsonObject | None:
        try:
            return await self._api.get(ref)
        except ApiError as error:
            if is_not_found(error):
                return None
            raise

    async def _run(
        self,
        cron_job: JsonObject,
        schedule: cron_plan.Schedule,
        due: cron_plan.Due,
        jobs: list[JsonObject],
    ) -> tuple[float | None, list[JsonObject]]:
        """Make the job for a time; return the time if it is dealt with, and all jobs."""
        assert due.at is not None, "something is due"
        if due.missed > cron_plan.MISSED_MAX:
            text = f"too many missed start times: {due.missed} or more; check the clock"
            self._recorder.warning(cron_job, "TooManyMissedTimes", text)
        if due.is_too_late:
            text = f"Missed scheduled time to start a job: {timestamp(due.at)}"
            self._recorder.warning(cron_job, "MissSchedule", text)
            return None, jobs
        policy = string_at(cron_job, "spec", "concurrencyPolicy")
        if policy in ("Forbid", "Replace"):
            # The store may not show the last one yet; two must not run beside each other.
            listed = await self._api.list(
                JOBS, namespace=string_at(cron_job, "metadata", "namespace")
            )
            jobs = [job for job in listed.items if uid_of(cron_job) in controller_uids(job)]
        name = cron_plan.job_name(cron_job, due.at)
        if any(string_at(job, "metadata", "name") == name for job in jobs):
            return due.at, jobs
        active = [job for job in jobs if not is_over(job)]
        if active and policy == "Forbid":
            text = "Not starting job because prior execution is running and concurrency policy is"
            self._recorder.normal(cron_job, "JobAlreadyActive", f"{text} Forbid")
            return None, jobs
        if policy == "Replace":
            for job in active:
                await self._delete(job)
            jobs = [job for job in jobs if is_over(job)]
        made = await self._create(cron_job, cron_plan.job_of(cron_job, due.at, schedule.zone))
        return due.at, [*jobs, *([made] if made is not None else [])]

    async def _create(self, cron_job: JsonObject, body: JsonObject) -> JsonObject | None:
        metadata = {**body["metadata"], "ownerReferences": [controller_ref(cron_job)]}
        name = string_at(body, "metadata", "name")
        try:
            made = await self._api.create(JOBS, {**body, "metadata": metadata})
        except ApiError as error:
            if is_namespace_terminating(error):
                return None
            if is_already_exists(error):
                return await self._live(ref_to(JOBS, body))
            self._recorder.warning(cron_job, "FailedCreate", f"Error creating job: {error.message}")
            raise
        self._recorder.normal(cron_job, "SuccessfulCreate", f"Created job {name}")
        return made

    async def _delete(self, job: JsonObject) -> None:
        options = DeleteOptions(uid=uid_of(job), propagation="Background")
        await delete_if_there(self._api, ref_to(JOBS, job), options)

    async def _write_status(
        self, cron_job: JsonObject, jobs: Sequence[JsonObject], last: float | None
    ) -> None:
        stamp = timestamp(last) if last is not None else ""
        ours = [job for job in jobs if uid_of(cron_job) in controller_uids(job)]
        wanted = cron_plan.status(cron_job, ours, last, stamp)
        if wanted != object_at(cron_job, "status"):
            await self._api.update(CRON_JOBS, {**cron_job, "status": wanted}, subresource="status")

    def _job_changed(self, change: Change) -> None:
        key = owner_key(change.object, CRON_JOBS.kind)
        if key is not None:
            self.enqueue(key)


class TtlAfterFinishedController(Controller):
    """Deletes Jobs whose `ttlSecondsAfterFinished` is over."""

    name = "ttl-after-finished"

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment.clock)
        self._api = environment.api
        self._jobs = environment.informers.store(JOBS)
        self.follow(environment.informers, JOBS)

    async def reconcile(self, key: str) -> None:
        """Delete one job, if its time is over; what depends on it goes first."""
        job = self._jobs.get(key)
        if job is None or is_deleting(job):
            return
        ended = cron_plan.finished_at(job)
        ttl_s = integer_at(job, "spec", "ttlSecondsAfterFinished", default=-1)
        if ended is None or ttl_s < 0:
            return
        now = self.clock.unix()
        if ended + ttl_s > now:
            self.enqueue_after(key, ended + ttl_s - now)
            return
        options = DeleteOptions(uid=uid_of(job), propagation="Foreground")
        await delete_if_there(self._api, ref_to(JOBS, job), options)
