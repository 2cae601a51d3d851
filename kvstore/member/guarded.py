"""Steps that end with their member: a part whose step fails must not go on with half of it done.

Requests and peer messages pass through the member, which stops at whatever it did not foresee.
These two see to it that what parts put off, or leave to a thread, ends no other way: on a bare loop
an exception would be logged, and the part would be missing from then on.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

from kvstore.member.ports import Scheduler, Worker

_Result = TypeVar("_Result")


class Stoppable(Protocol):
    """The member, as its steps see it."""

    @property
    def failure(self) -> BaseException | None: ...

    def stop(self, failure: BaseException) -> None: ...


def run_guarded(owner: Stoppable, step: Callable[[], None]) -> None:
    """Run a step, unless its owner has stopped; stop it if the step fails."""
    if owner.failure is not None:
        return
    try:
        step()
    except Exception as failure:  # whatever it is, this member is done
        owner.stop(failure)


class GuardedScheduler:
    """A `Scheduler` of steps that nobody takes any more once the member has stopped."""

    def __init__(self, scheduler: Scheduler, owner: Stoppable) -> None:
        self._scheduler = scheduler
        self._owner = owner

    def soon(self, action: Callable[[], None]) -> None:
        """Run `action` in the next iteration."""
        self._scheduler.soon(lambda: run_guarded(self._owner, action))

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        """Run `action` after a delay."""
        self._scheduler.later(delay_s, lambda: run_guarded(self._owner, action))


class GuardedWorker:
    """A `Worker` whose results are always taken: a member that has stopped may have to clean up."""

    def __init__(self, worker: Worker, owner: Stoppable) -> None:
        self._worker = worker
        self._owner = owner

    def submit(
        self, work: Callable[[], _Result], done: Callable[[_Result | BaseException], None]
    ) -> None:
        """Run `work` off the loop, then `done` on it."""

        def guarded(result: _Result | BaseException) -> None:
            try:
                done(result)
            except Exception as failure:  # whatever it is, this member is done
                self._owner.stop(failure)

        self._worker.submit(work, guarded)
