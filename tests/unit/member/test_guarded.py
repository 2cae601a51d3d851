from collections.abc import Callable
from typing import TypeVar

from kvstore.member.guarded import GuardedScheduler, GuardedWorker

_Result = TypeVar("_Result")


class Owner:
    def __init__(self) -> None:
        self.failure: BaseException | None = None

    def stop(self, failure: BaseException) -> None:
        self.failure = self.failure or failure


class Loop:
    """Collects what is put off."""

    def __init__(self) -> None:
        self.steps: list[Callable[[], None]] = []

    def soon(self, action: Callable[[], None]) -> None:
        self.steps.append(action)

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        self.steps.append(action)


class InlineWorker:
    def submit(
        self, work: Callable[[], _Result], done: Callable[[_Result | BaseException], None]
    ) -> None:
        done(work())


def fail(*_: object) -> None:
    raise ValueError("unforeseen")


def test_a_step_that_fails_stops_its_member() -> None:
    owner, loop = Owner(), Loop()
    GuardedScheduler(loop, owner).soon(fail)
    loop.steps[0]()
    assert isinstance(owner.failure, ValueError)


def test_what_was_put_off_is_not_done_after_the_end() -> None:
    owner, loop, ran = Owner(), Loop(), list[int]()
    scheduler = GuardedScheduler(loop, owner)
    scheduler.soon(lambda: ran.append(1))
    scheduler.later(1.0, lambda: ran.append(2))
    loop.steps[0]()
    owner.stop(ValueError())
    loop.steps[1]()
    assert ran == [1]


def test_a_result_is_taken_after_the_end_and_its_failure_stops_the_member() -> None:
    owner, ran = Owner(), list[object]()
    worker = GuardedWorker(InlineWorker(), owner)
    worker.submit(lambda: 5, fail)
    assert isinstance(owner.failure, ValueError)
    worker.submit(lambda: 6, ran.append)
    assert ran == [6]
