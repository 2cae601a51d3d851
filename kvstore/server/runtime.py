"""The asyncio side of a member's ports: its scheduler and its disk threads."""

import asyncio
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

_Result = TypeVar("_Result")


class LoopScheduler:
    """`Scheduler` on a running event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def soon(self, action: Callable[[], None]) -> None:
        """Run `action` in the next iteration."""
        self._loop.call_soon(action)

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        """Run `action` after a delay."""
        self._loop.call_later(delay_s, action)


class ThreadWorker:
    """`Worker` with one thread: jobs run in order, their results come back to the loop.

    Plainer than an executor, whose futures would cost more than many a job.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str) -> None:
        self._loop = loop
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(
        self, work: Callable[[], _Result], done: Callable[[_Result | BaseException], None]
    ) -> None:
        """Run `work` in the thread, then `done` on the loop."""

        def job() -> None:
            result: _Result | BaseException
            try:
                result = work()
            except BaseException as failure:  # not handled here: `done` gets it
                result = failure
            self._loop.call_soon_threadsafe(done, result)

        self._jobs.put(job)

    def close(self) -> None:
        """Wait for the jobs that were submitted."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
