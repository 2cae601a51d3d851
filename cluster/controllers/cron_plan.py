"""When a CronJob is due, and what its status says. Pure.

Schedules are cron's five fields, read by cronsim, and the words that robfig/cron adds, by which
Kubernetes reads them: `@hourly`, `@daily` ..., `@every 1h30m`. Without a time zone they are in UTC.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from cluster.controllers.job_plan import is_over, is_said
from cluster.controllers.ownership import uid_of
from cluster.controllers.pod_facts import condition
from cluster.informer.times import unix_of
from cluster.kube_api.objects import JsonObject, integer_at, object_at, string_at

SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"
MISSED_MAX = 100
"""More missed times than these are told of: the clock may be wrong."""
_WORDS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_EVERY = re.compile(r"@every (?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


class BadSchedule(Exception):
    """A schedule or its time zone cannot be read; says why."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When something is due."""

    expression: str
    zone: tzinfo
    every_s: int = 0
    """For `@every`: seconds from one time to the next; 0 for a cron expression."""

    def after(self, unix: float) -> float:
        """Return the first time after an instant, both in seconds since 1970."""
        if self.every_s:
            return float(int(unix) + self.every_s)
        return next(self._times(unix)).timestamp()

    def latest(self, since: float, now: float) -> tuple[float | None, int]:
        """Return the last time in (since, now], and how many there were; at most one too many."""
        if self.every_s:
            count = int((now - int(since)) // self.every_s)
            return (int(since) + count * self.every_s if count > 0 else None), max(count, 0)
        before = CronSim(self.expression, self._at(int(now) + 1), reverse=True)
        last = next(before).timestamp()
        if last <= since:
            return None, 0
        times = islice(self._times(since), MISSED_MAX + 1)
        return last, sum(one.timestamp() <= now for one in times)

    def _times(self, unix: float) -> CronSim:
        return CronSim(self.expression, self._at(unix))

    def _at(self, unix: float) -> datetime:
        return datetime.fromtimestamp(unix, UTC).astimezone(self.zone)


def schedule_of(cron_job: JsonObject) -> Schedule:
    """Read a CronJob's schedule and time zone.

    Raises:
        BadSchedule: one of them is none.
    """
    text = string_at(cron_job, "spec", "schedule").strip()
    name = string_at(cron_job, "spec", "timeZone")
    try:
        zone: tzinfo = ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise BadSchedule(f'unknown time zone "{name}"') from error
    every = _EVERY.fullmatch(text)
    if every is not None:
        hours, minutes, seconds = (int(part or 0) for part in every.groups())
        period = timedelta(hours=hours, minutes=minutes, seconds=seconds)
        return Schedule("", zone, max(int(period.total_seconds()), 1))
    expression = _WORDS.get(text, text).replace("?", "*")
    try:
        CronSim(expression, datetime.fromtimestamp(0, zone))
    except CronSimError as error:
        raise BadSchedule(f'unparseable schedule "{text}": {error}') from error
    return Schedule(expression, zone)


@dataclass(frozen=True, slots=True)
class Due:
    """What the schedule asks for now."""

    at: float | None
    """The time that a job is to be made for; None if there is none."""
    next_at: float
    missed: int = 0
    is_too_late: bool = False


def due(cron_job: JsonObject, schedule: Schedule, *, now: float) -> Due:
    """Decide; times that are older than the deadline for starting are not made up for."""
    last = string_at(cron_job, "status", "lastScheduleTime")
    since = unix_of(last or string_at(cron_job, "metadata", "creationTimestamp"))
    deadline_s = integer_at(cron_job, "spec", "startingDeadlineSeconds", default=-1)
    if deadline_s >= 0:
        since = max(since, now - deadline_s)
    at, missed = schedule.latest(since, now)
    is_too_late = at is not None and deadline_s >= 0 and at + deadline_s < now
    return Due(at, schedule.after(now), missed, is_too_late)


def job_name(cron_job: JsonObject, at: float) -> str:
    """Return the name of the job for a time: who makes it twice finds it taken."""
    return f"{string_at(cron_job, 'metadata', 'name')}-{int(at) // 60}"


def job_of(cron_job: JsonObject, at: float, zone: tzinfo) -> JsonObject:
    """Return the job to create for a time."""
    template = object_at(cron_job, "spec", "jobTemplate")
    stamp = datetime.fromtimestamp(at, UTC).astimezone(zone).isoformat().replace("+00:00", "Z")
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(cron_job, at),
            "namespace": string_at(cron_job, "metadata", "namespace"),
            "labels": object_at(template, "metadata", "labels"),
            "annotations": {**object_at(template, "metadata", "annotations"), SCHEDULED_AT: stamp},
        },
        "spec": object_at(template, "spec"),
    }


def reference(job: JsonObject) -> JsonObject:
    """Return what `status.active` has of a job."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "namespace": string_at(job, "metadata", "namespace"),
        "name": string_at(job, "metadata", "name"),
        "uid": uid_of(job),
    }


def status(
    cron_job: JsonObject, jobs: Sequence[JsonObject], last: float | None, stamp: str
) -> JsonObject:
    """Return the status: which jobs run, when the last was due, when the last one succeeded.

    `stamp` is `last` as a timestamp.
    """
    result = dict(object_at(cron_job, "status"))
    active = [reference(job) for job in jobs if not is_over(job)]
    result.pop("active", None)
    if active:
        result["active"] = active
    if last is not None and last > unix_of(string_at(result, "lastScheduleTime")):
        result["lastScheduleTime"] = stamp
    ends = [string_at(job, "status", "completionTime") for job in jobs if is_said(job, "Complete")]
    newest = max([*ends, string_at(result, "lastSuccessfulTime")], key=unix_of)
    if newest:
        result["lastSuccessfulTime"] = newest
    return result


def surplus(cron_job: JsonObject, jobs: Sequence[JsonObject]) -> list[JsonObject]:
    """Return finished jobs that are beyond the history's limits, the oldest first."""
    found: list[JsonObject] = []
    for kind, limit, default in (
        ("Complete", "successfulJobsHistoryLimit", 3),
        ("Failed", "failedJobsHistoryLimit", 1),
    ):
        ended = sorted((job for job in jobs if is_said(job, kind)), key=_started)
        kept = integer_at(cron_job, "spec", limit, default=default)
        found += ended[: max(len(ended) - kept, 0)]
    return found


def _started(job: JsonObject) -> tuple[float, str]:
    began = string_at(job, "status", "startTime") or string_at(job, "metadata", "creationTimestamp")
    return unix_of(began), string_at(job, "metadata", "name")


def finished_at(job: JsonObject) -> float | None:
    """Return when a job ended, in seconds since 1970; None if it has not."""
    for kind in ("Complete", "Failed"):
        if is_said(job, kind):
            return unix_of(string_at(condition(job, kind), "lastTransitionTime"))
    return None
