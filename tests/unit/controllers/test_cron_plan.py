"""Schedules: fields and words, time zones, what was missed, what is too late."""

from datetime import UTC, datetime

import pytest

from cluster.controllers.cron_plan import BadSchedule, due, job_of, schedule_of
from cluster.kube_api.objects import JsonObject


def unix(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def cron_job(schedule: str, **spec: object) -> JsonObject:
    created = "2026-01-01T00:00:30Z"
    return {
        "metadata": {"name": "tidy", "namespace": "default", "creationTimestamp": created},
        "spec": {"schedule": schedule, **spec},
    }


@pytest.mark.parametrize(
    ("schedule", "zone", "expected"),
    [
        ("*/5 * * * *", "", "2026-03-28T10:05:00+00:00"),
        ("@hourly", "", "2026-03-28T11:00:00+00:00"),
        ("@daily", "Europe/Berlin", "2026-03-28T23:00:00+00:00"),
        ("30 2 ? * *", "", "2026-03-29T02:30:00+00:00"),
        ("@every 1h30m", "", "2026-03-28T11:31:00+00:00"),
        ("0 9 * * MON", "America/New_York", "2026-03-30T13:00:00+00:00"),
    ],
)
def test_the_next_time_is_by_the_fields_in_the_zone(
    schedule: str, zone: str, expected: str
) -> None:
    found = schedule_of(cron_job(schedule, timeZone=zone)).after(unix("2026-03-28T10:01:00+00:00"))
    assert datetime.fromtimestamp(found, UTC).isoformat() == expected


@pytest.mark.parametrize("bad", ["nonsense", "61 * * * *", "@sometimes", "@every x"])
def test_what_is_no_schedule_is_refused(bad: str) -> None:
    with pytest.raises(BadSchedule):
        schedule_of(cron_job(bad))
    with pytest.raises(BadSchedule, match="unknown time zone"):
        schedule_of(cron_job("@daily", timeZone="Nowhere/At_All"))


def test_of_several_missed_times_the_last_is_made_up_for() -> None:
    one = cron_job("*/10 * * * *")
    found = due(one, schedule_of(one), now=unix("2026-01-01T00:35:00Z"))
    assert (found.at, found.missed) == (unix("2026-01-01T00:30:00Z"), 3)
    assert found.next_at == unix("2026-01-01T00:40:00Z")
    one["status"] = {"lastScheduleTime": "2026-01-01T00:30:00Z"}
    assert due(one, schedule_of(one), now=unix("2026-01-01T00:35:00Z")).at is None
    long = due(one, schedule_of(one), now=unix("2026-02-01T00:35:00Z"))
    assert (long.at, long.missed) == (unix("2026-02-01T00:30:00Z"), 101)


def test_a_time_before_the_deadline_for_starting_is_given_up() -> None:
    one = cron_job("0 * * * *", startingDeadlineSeconds=60)
    assert due(one, schedule_of(one), now=unix("2026-01-01T01:00:59Z")).at is not None
    assert due(one, schedule_of(one), now=unix("2026-01-01T01:05:00Z")).at is None


def test_the_same_time_makes_the_same_job() -> None:
    one = cron_job("@hourly", jobTemplate={"spec": {"completions": 2}})
    made = job_of(one, unix("2026-01-01T01:00:00Z"), UTC)
    assert made["metadata"]["name"] == f"tidy-{int(unix('2026-01-01T01:00:00Z')) // 60}"
    stamp = "batch.kubernetes.io/cronjob-scheduled-timestamp"
    assert made["metadata"]["annotations"][stamp] == "2026-01-01T01:00:00Z"
    assert made["spec"] == {"completions": 2}
