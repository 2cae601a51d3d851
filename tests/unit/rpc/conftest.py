"""Fixtures of the services' tests."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.support.hot_path import HotPath


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Callable[[HotPath], Awaitable[None]]], None]:
    """Run a test's coroutine on a member whose peers agree at once."""

    def run(test: Callable[[HotPath], Awaitable[None]]) -> None:
        async def main() -> None:
            member = HotPath(tmp_path)
            await member.start()
            try:
                await test(member)
            finally:
                await member.close()

        asyncio.run(main())

    return run
