from kvstore.base.ids import LeaseId
from kvstore.lease.expiry_queue import ExpiryQueue, spread

A, B = LeaseId(1), LeaseId(2)


def test_renewals_and_departed_leases_do_not_pile_up_in_the_heap() -> None:
    queue = ExpiryQueue()
    queue.add(A, 1000.0)
    for number in range(1000):
        queue.extend(A, 1000.0 + number)
        queue.add(B, 5000.0)
        queue.discard(B)
    assert len(queue._heap) < 200
    assert len(queue) == 1


def test_a_deadline_never_moves_to_an_earlier_instant() -> None:
    queue = ExpiryQueue({A: 10.0})
    queue.extend(A, 20.0)
    queue.extend(A, 15.0)
    assert queue.deadline(A) == 20.0
    assert queue.due(19.9, 1, retry_after_s=3.0) == []
    assert queue.due(20.0, 1, retry_after_s=3.0) == [A]


def test_an_id_that_comes_back_with_an_earlier_deadline_is_due_then_and_once() -> None:
    queue = ExpiryQueue({A: 100.0})
    queue.discard(A)
    queue.add(A, 50.0)
    assert queue.due(60.0, 5, retry_after_s=1000.0) == [A]
    assert queue.due(100.0, 5, retry_after_s=1000.0) == []


def test_the_longest_overdue_comes_first() -> None:
    queue = ExpiryQueue({A: 5.0, B: 4.0})
    assert queue.due(10.0, 1, retry_after_s=3.0) == [B]
    assert queue.due(10.0, 1, retry_after_s=3.0) == [A]
    assert not queue.has_due(10.0)
    assert queue.by_deadline() == [B, A]


def test_spreading_keeps_order_and_leaves_alone_what_is_not_crowded() -> None:
    assert spread([(A, 1.0), (B, 1.0)], per_second_max=1) == {A: 1.0, B: 2.0}
    assert spread([(A, 1.0), (B, 1.0)], per_second_max=2) == {A: 1.0, B: 1.0}
    assert spread([(A, 9.0), (B, 1.0)], per_second_max=1) == {A: 9.0, B: 1.0}
