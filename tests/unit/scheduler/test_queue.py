"""Who is next: by priority, then by age; who failed waits for a change, and a while."""

from cluster.kube_api.objects import JsonObject
from cluster.scheduler.queue import SchedulingQueue
from tests.support.kube_objects import pod


def name(taken: JsonObject | None) -> str | None:
    return None if taken is None else taken["metadata"]["name"]


def test_higher_priority_goes_first_and_then_who_came_first() -> None:
    queue = SchedulingQueue()
    queue.put(pod("a"), 0)
    queue.put(pod("b"), 1)
    queue.put(pod("vip", priority=10), 2)
    assert [name(queue.take(3)) for _ in range(4)] == ["vip", "a", "b", None]


def test_a_pod_that_found_no_node_waits_for_a_change_and_then_for_its_backoff() -> None:
    queue = SchedulingQueue()
    queue.put(pod("a"), 0)
    assert name(queue.take(0)) == "a"
    queue.park("default/a", 0)
    assert queue.take(100) is None
    queue.park("default/a", 100)
    queue.changed(100.5)
    assert queue.take(100.5) is None
    assert queue.next_due() == 101
    assert name(queue.take(101)) == "a"


def test_a_change_during_the_decision_counts() -> None:
    queue = SchedulingQueue()
    queue.put(pod("a"), 0)
    queue.take(0)
    queue.changed(0)
    queue.park("default/a", 0)
    assert name(queue.take(1)) == "a"


def test_the_backoff_doubles_up_to_ten_seconds() -> None:
    queue = SchedulingQueue()
    queue.put(pod("a"), 0)
    now, waits = 0.0, []
    for _ in range(6):
        assert queue.take(now) is not None
        queue.park("default/a", now)
        queue.changed(now)
        due = queue.next_due()
        assert due is not None
        waits.append(due - now)
        now = due
    assert waits == [1, 2, 4, 8, 10, 10]


def test_a_parked_pod_is_tried_after_five_minutes_though_nothing_seems_to_help() -> None:
    queue = SchedulingQueue()
    queue.put(pod("a"), 0)
    queue.take(0)
    queue.park("default/a", 0)
    assert queue.next_due() == 300
    assert name(queue.take(300)) == "a"


def test_a_pod_that_is_gone_is_never_handed_out_and_its_name_can_be_used_again() -> None:
    queue = SchedulingQueue()
    queue.put(pod("a"), 0)
    queue.take(0)
    queue.remove("default/a")
    assert queue.take(0) is None
    queue.put(pod("a"), 1)
    assert name(queue.take(1)) == "a"
