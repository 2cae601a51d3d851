"""What is started and stopped next in a pod, and when."""

from typing import Any

import pytest

from cluster.kube_api.objects import JsonObject
from cluster.kubelet.pod_lifecycle import (
    Health,
    Observation,
    Start,
    backoff_s,
    failures_after,
    grace_s,
    next_step,
)
from cluster.kubelet.pod_status import Report, quality_of_service, status
from cluster.kubelet.runtime import ContainerId, Phase, Run

NOW = 1_700_000_000.0


def pod(*inits: JsonObject, policy: str = "Always", **spec: Any) -> JsonObject:
    return {
        "metadata": {"name": "p", "namespace": "default", "uid": "u"},
        "spec": {
            "restartPolicy": policy,
            "initContainers": list(inits),
            "containers": [{"name": "main", "image": "i"}],
            **spec,
        },
    }


def init(name: str, **more: Any) -> JsonObject:
    return {"name": name, "image": "i", **more}


def sidecar(name: str) -> JsonObject:
    return init(name, restartPolicy="Always")


def running(name: str, attempt: int = 0) -> Run:
    return Run(ContainerId("u", name, attempt), Phase.RUNNING, NOW - 5)


def ended(name: str, code: int = 0, *, attempt: int = 0, at: float = NOW, ran_s: float = 5) -> Run:
    return Run(ContainerId("u", name, attempt), Phase.EXITED, at - ran_s, at, code)


def seen(one: JsonObject, *runs: Run, **more: Any) -> Observation:
    return Observation(one, {run.id.name: run for run in runs}, **more)


def starts(observation: Observation, now: float = NOW) -> list[Start]:
    return next_step(observation, now).start


def phase(observation: Observation) -> str:
    step = next_step(observation, NOW)
    return str(status(observation, step, Report("1.1.1.1", "2.2.2.2"), NOW)["phase"])


def test_init_containers_run_one_after_the_other_before_the_rest() -> None:
    one = pod(init("a"), init("b"))
    assert starts(seen(one)) == [Start("a", 0)]
    assert starts(seen(one, running("a"))) == []
    assert starts(seen(one, ended("a"))) == [Start("b", 0)]
    assert starts(seen(one, ended("a"), ended("b"))) == [Start("main", 0)]


def test_a_sidecar_has_to_have_started_and_then_stays() -> None:
    one = pod(sidecar("s"))
    is_starting = {"s": Health(is_started=False)}
    assert starts(seen(one, running("s"), health=is_starting)) == []
    assert starts(seen(one, running("s"))) == [Start("main", 0)]
    after = seen(one, ended("s", 1, at=NOW - 1), running("main"), failures={"s": 1})
    assert starts(after) == [Start("s", 1)]


@pytest.mark.parametrize(
    ("policy", "code", "again"),
    [
        ("Always", 0, True),
        ("Always", 1, True),
        ("OnFailure", 0, False),
        ("OnFailure", 1, True),
        ("Never", 1, False),
    ],
)
def test_the_restart_policy_decides_whether_a_container_runs_again(
    policy: str, code: int, again: bool
) -> None:
    observation = seen(pod(policy=policy), ended("main", code, at=NOW - 1), failures={"main": 1})
    assert starts(observation) == ([Start("main", 1)] if again else [])
    assert next_step(observation, NOW).is_over is not again


def test_the_second_crash_in_a_row_waits_and_says_so() -> None:
    observation = seen(pod(), ended("main", 1, attempt=1), failures={"main": 2})
    step = next_step(observation, NOW)
    assert step.start == []
    assert step.look_again_at == NOW + 10
    assert step.waiting["main"].reason == "CrashLoopBackOff"
    assert step.waiting["main"].message == (
        "back-off 10s restarting failed container=main pod=p_default(u)"
    )
    assert starts(observation, NOW + 10) == [Start("main", 2)]


def test_the_backoff_doubles_to_five_minutes_and_starts_anew_after_a_steady_run() -> None:
    assert [backoff_s(failures) for failures in range(1, 8)] == [0, 10, 20, 40, 80, 160, 300]
    assert failures_after(ended("main", 1, ran_s=599), 3) == 4
    assert failures_after(ended("main", 1, ran_s=600), 3) == 1


def test_a_failed_init_container_fails_a_pod_that_never_restarts() -> None:
    one = pod(init("a"), policy="Never")
    observation = seen(one, ended("a", 1))
    assert next_step(observation, NOW).is_over
    assert phase(observation) == "Failed"


def test_an_unhealthy_container_is_stopped_and_nothing_else() -> None:
    observation = seen(pod(), running("main"), health={"main": Health(is_failed=True)})
    step = next_step(observation, NOW)
    assert (step.stop, step.start, step.is_over) == (["main"], [], False)


def test_a_pod_that_is_to_end_stops_its_sidecars_last_and_the_last_one_first() -> None:
    one = pod(sidecar("s1"), sidecar("s2"))
    everything = seen(one, running("s1"), running("s2"), running("main"), is_ending=True)
    assert next_step(everything, NOW).stop == ["main"]
    rest = seen(one, running("s1"), running("s2"), ended("main"), is_ending=True)
    assert next_step(rest, NOW).stop == ["s2"]
    last = seen(one, running("s1"), ended("s2"), ended("main"), is_ending=True)
    assert next_step(last, NOW).stop == ["s1"]


def test_sidecars_end_when_the_main_containers_are_done() -> None:
    observation = seen(pod(sidecar("s"), policy="Never"), running("s"), ended("main"))
    step = next_step(observation, NOW)
    assert (step.stop, step.is_over) == (["s"], True)


@pytest.mark.parametrize(
    ("runs", "policy", "expected"),
    [
        ([], "Always", "Pending"),
        ([running("main")], "Always", "Running"),
        ([ended("main", 1, attempt=3)], "Always", "Running"),
        ([ended("main", 0)], "Never", "Succeeded"),
        ([ended("main", 3)], "Never", "Failed"),
        ([ended("main", 0)], "OnFailure", "Succeeded"),
    ],
)
def test_the_phase_sums_up_the_containers(runs: list[Run], policy: str, expected: str) -> None:
    observation = seen(pod(policy=policy), *runs, failures={"main": 4})
    assert phase(observation) == expected


def test_the_status_of_a_crashing_container_tells_why_it_waits_and_how_it_ended() -> None:
    observation = seen(pod(), ended("main", 7, attempt=2), failures={"main": 3})
    step = next_step(observation, NOW)
    found = status(observation, step, Report("1.1.1.1", "2.2.2.2"), NOW)["containerStatuses"][0]
    assert found["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert found["lastState"]["terminated"]["exitCode"] == 7
    assert (found["restartCount"], found["ready"]) == (2, False)


def test_ready_turns_with_the_probe_and_keeps_the_time_of_its_turn() -> None:
    one = pod()
    one["status"] = {
        "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"}
        ]
    }
    for is_ready in (True, False):
        observation = seen(one, running("main"), health={"main": Health(is_ready=is_ready)})
        step = next_step(observation, NOW)
        conditions = status(observation, step, Report("1.1.1.1", "2.2.2.2"), NOW)["conditions"]
        ready = next(found for found in conditions if found["type"] == "Ready")
        assert ready["status"] == str(is_ready)
        assert (ready["lastTransitionTime"] == "2020-01-01T00:00:00Z") is is_ready
        assert ("reason" in ready) is not is_ready


def test_the_grace_is_the_deletion_s_own_then_the_spec_s_and_two_seconds_at_least() -> None:
    assert grace_s(pod()) == 30
    assert grace_s(pod(terminationGracePeriodSeconds=7)) == 7
    deleting = pod(terminationGracePeriodSeconds=7)
    deleting["metadata"]["deletionGracePeriodSeconds"] = 0
    assert grace_s(deleting) == 2


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        (
            {"requests": {"cpu": "500m"}, "limits": {"cpu": "1", "memory": "1Gi"}},
            "Burstable",
        ),
    ],
)
def test_quality_of_service_follows_requests_and_limits(
    resources: JsonObject, expected: str
) -> None:
    one = pod()
    one["spec"]["containers"][0]["resources"] = resources
    assert quality_of_service(one) == expected
