"""Waiting for a condition, never for a while."""

import asyncio
import time
from collections.abc import Awaitable, Callable

_POLL_S = 0.02


def wait_until(
    condition: Callable[[], bool], *, timeout_s: float = 30.0, what: str, poll_s: float = _POLL_S
) -> None:
    """Return as soon as `condition()` is true.

    Raises:
        TimeoutError: it was not, for `timeout_s`; the text names `what` was waited for.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_s:g} s for {what}")
        time.sleep(poll_s)


async def wait_until_async(
    condition: Callable[[], bool | Awaitable[bool]],
    *,
    timeout_s: float = 30.0,
    what: str,
    poll_s: float = _POLL_S,
) -> None:
    """Do as `wait_until`, and let other tasks run; `condition` may be a coroutine function.

    Raises:
        TimeoutError: as there.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        answer = condition()
        if await answer if isinstance(answer, Awaitable) else answer:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_s:g} s for {what}")
        await asyncio.sleep(poll_s)
