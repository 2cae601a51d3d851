"""Talk with processes: commands beside a container, and the container itself by its witness."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from cluster.kubelet.process_runtime import ProcessRuntime
from cluster.kubelet.runtime import Channel, ContainerConfig, ContainerId, Conversation, Phase, Size

pytestmark = pytest.mark.slow
CONTAINER = ContainerId("uid", "c", 0)
TIMEOUT_S = 60.0


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not is_so():  # noqa: ASYNC110 - files of another process
            await asyncio.sleep(0.01)


class Running:
    """A container of a runtime of its own."""

    def __init__(self, directory: Path) -> None:
        self.runtime = ProcessRuntime(directory)

    async def start(self, *argv: str, **config: bool) -> None:
        env = {"PATH": "/usr/bin:/bin"}
        self.runtime.start(CONTAINER, ContainerConfig(list(argv), env, "/", **config))
        await self.until(Phase.RUNNING)

    async def until(self, phase: Phase) -> None:
        await _until(lambda: self.runtime.runs("uid")[0].phase is phase)

    async def close(self) -> None:
        """End the container, and wait for its witness."""
        runs = self.runtime.runs("uid")
        if runs and runs[0].phase is not Phase.EXITED:
            self.runtime.signal(CONTAINER, signal.SIGKILL)
        await _until(lambda: not (self.runtime.runs("uid") and self.runtime._shims))

    async def attach(self) -> Conversation:
        found = await self.runtime.attach(CONTAINER)
        assert found is not None
        return found

    async def command(self, *argv: str, hears: bool = True, tty: bool = False) -> Conversation:
        found = await self.runtime.command(CONTAINER, argv, hears=hears, tty=tty)
        assert found is not None
        return found


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    deep = tmp_path / ("deep" * 25)  # longer than the address of a socket may be
    one = Running(deep)
    yield one
    await one.close()


class Heard:
    """Takes what is said."""

    def __init__(self) -> None:
        self.said: dict[Channel, bytes] = {}
        self._news = asyncio.Event()

    async def __call__(self, channel: Channel, data: bytes) -> None:
        self.said[channel] = self.said.get(channel, b"") + data
        self._news.set()

    async def until(self, text: bytes) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while text not in self.said.get(Channel.STDOUT, b""):
                self._news.clear()
                await self._news.wait()


async def whole(talk: Conversation) -> tuple[dict[Channel, bytes], int]:
    heard = Heard()
    async with asyncio.timeout(TIMEOUT_S):
        await talk.copy_output(heard)
        return heard.said, await talk.ended()


async def test_a_command_hears_says_and_ends_with_its_code(running: Running) -> None:
    await running.start("sleep", "1000")
    talk = await running.command("sh", "-c", "cat; echo no >&2; exit 3")
    big = b"line\n" * 100_000
    saying = asyncio.ensure_future(_say(talk, [big]))
    said, code = await whole(talk)
    await saying
    assert (said[Channel.STDOUT], said[Channel.STDERR], code) == (big, b"no\n", 3)


async def _say(talk: Conversation, pieces: Sequence[bytes]) -> None:
    for piece in pieces:
        await talk.write(piece)
    await talk.end_input()


async def test_what_a_command_leaves_behind_is_not_waited_for(running: Running) -> None:
    await running.start("sleep", "1000")
    talk = await running.command("sh", "-c", "sleep 1000 & echo done", hears=False)
    said, code = await whole(talk)
    assert (said[Channel.STDOUT], code) == (b"done\n", 0)


async def test_a_command_with_a_terminal_sees_the_size_of_the_window(running: Running) -> None:
    await running.start("sleep", "1000")
    script = "trap 'stty size; exit 0' WINCH; echo set $TERM; while :; do sleep 0.05; done"
    talk = await running.command("sh", "-c", script, tty=True)
    heard = Heard()
    copying = asyncio.ensure_future(talk.copy_output(heard))
    await heard.until(b"set xterm")
    talk.resize(Size(width=101, height=33))
    await heard.until(b"33 101")
    assert await talk.ended() == 0
    await copying


async def test_who_hangs_up_ends_the_command(running: Running) -> None:
    await running.start("sleep", "1000")
    talk = await running.command("sleep", "1000")
    talk.hang_up()
    async with asyncio.timeout(TIMEOUT_S):
        assert await talk.ended() == 128 + signal.SIGKILL


async def test_who_attaches_is_heard_and_hears_to_the_end(running: Running) -> None:
    await running.start("sh", "-c", "cat; echo bye >&2", stdin=True)
    one, other = await running.attach(), await running.attach()
    texts = asyncio.gather(whole(one), whole(other))
    # Both are attached when the witness has taken what one of them says: connections are in order.
    big = b"0123456789\n" * 50_000
    await _say(other, [big])
    for said, _ in await texts:
        assert said == {Channel.STDOUT: big, Channel.STDERR: b"bye\n"}
    await running.until(Phase.EXITED)
    assert await running.runtime.attach(CONTAINER) is None


async def test_an_input_for_one_ends_when_that_one_goes(running: Running) -> None:
    await running.start("sh", "-c", "cat > /dev/null; exit 7", stdin=True, stdin_once=True)
    talk = await running.attach()
    await talk.write(b"something")
    talk.hang_up()
    await running.until(Phase.EXITED)
    assert running.runtime.runs("uid")[0].exit_code == 7


async def test_a_container_with_a_terminal_is_typed_to(running: Running) -> None:
    code = "import os; print(os.isatty(0), os.isatty(1)); print(input())"
    await running.start(sys.executable, "-c", f"input(); {code}", stdin=True, tty=True)
    talk = await running.attach()
    heard = Heard()
    copying = asyncio.ensure_future(talk.copy_output(heard))
    await talk.write(b"go\nhello\n")
    await heard.until(b"True True\r\nhello\r\n")
    await copying
    await talk.ended()
    await running.until(Phase.EXITED)
    assert b"hello" in running.runtime.log_path(CONTAINER).read_bytes()
