"""Keys wait once, belong to one worker, and come back later after failures."""

from cluster.informer.work_queue import WorkQueue


def test_a_key_added_twice_is_handed_out_once() -> None:
    queue = WorkQueue()
    queue.add("a")
    queue.add("a")
    assert queue.take(0) == "a"
    assert queue.take(0) is None


def test_a_key_added_while_a_worker_has_it_waits_until_it_is_done() -> None:
    queue = WorkQueue()
    queue.add("a")
    assert queue.take(0) == "a"
    queue.add("a")
    assert queue.take(0) is None
    queue.done("a")
    assert queue.take(0) == "a"


def test_the_earlier_of_two_times_counts() -> None:
    queue = WorkQueue()
    queue.add_at("a", 10)
    queue.add_at("a", 5)
    queue.add_at("a", 7)
    assert queue.next_due() == 5
    assert queue.take(4.9) is None
    assert queue.take(5) == "a"
    queue.done("a")
    assert queue.next_due() is None


def test_each_failure_in_a_row_waits_twice_as_long_until_it_is_forgotten() -> None:
    queue = WorkQueue()
    delays = []
    for _ in range(4):
        queue.retry("a", 0)
        due = queue.next_due()
        assert due is not None
        delays.append(due)
        assert queue.take(due) == "a"
        queue.done("a")
    assert delays == [0.005, 0.01, 0.02, 0.04]
    queue.forget("a")
    queue.retry("a", 0)
    assert queue.next_due() == 0.005


def test_many_failing_keys_together_come_back_at_ten_a_second() -> None:
    queue = WorkQueue()
    for number in range(150):
        queue.retry(f"key {number}", 0)
    taken = 0
    while queue.take(1.0) is not None:
        taken += 1
    assert taken == 110  # a burst of a hundred, and ten in the first second
