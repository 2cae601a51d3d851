"""Creating many things at once, carefully: 1, 2, 4, 8 ... and no more after the first failure."""

import asyncio
from collections.abc import Awaitable, Callable

from cluster.informer.api import ApiError, Unreachable


async def slow_start(
    count: int, create: Callable[[], Awaitable[None]]
) -> tuple[int, ApiError | Unreachable | None]:
    """Call `create` up to `count` times; return how often it was not called, and what failed.

    A quota that is full, or an admission that refuses, is asked once and not five hundred times.
    """
    remaining, size = count, 1
    while remaining:
        batch = min(size, remaining)
        results = await asyncio.gather(*(create() for _ in range(batch)), return_exceptions=True)
        remaining -= batch
        failure: ApiError | Unreachable | None = None
        for result in results:
            if isinstance(result, ApiError | Unreachable):
                failure = failure or result
            elif isinstance(result, BaseException):
                raise result
        if failure is not None:
            return remaining, failure
        size *= 2
    return 0, None
