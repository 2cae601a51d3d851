"""The asyncio side of a member's ports: its scheduler and its disk threads."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
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
    """`Worker` with one thread: jobs run in order, their results come back to the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str) -> None:
        self._loop = loop
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    def submit(
        self, work: Callable[[], _Result], done: Callable[[_Result | BaseException], None]
    ) -> None:
        """Run `work` in the thread, then `done` on the loop."""

        def finished(future: Future[_Result]) -> None:
            failure = future.exception()
            result = future.result() if failure is None else failure
            self._loop.call_soon_threadsafe(done, result)

        self._executor.submit(work).add_done_callback(finished)

    def close(self) -> None:
        """Wait for the job under way, drop the others."""
        self._executor.shutdown(wait=True, cancel_futures=True)
