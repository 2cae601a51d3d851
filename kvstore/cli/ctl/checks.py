"""check perf, check datascale: is this cluster fast enough, and how much memory do data take?

The loads, the limits that they are judged by and the words are etcdctl's. One process of Python
offers some thousand writes a second; where it is the slower one (loads l and xl), that is said.
"""

import asyncio
import contextlib
import statistics
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from kvstore.base.errors import RpcError
from kvstore.cli.ctl.failure import Exit, Stop
from kvstore.cli.ctl.framework import GoGroup, session
from kvstore.cli.ctl.go_text import quoted
from kvstore.cli.ctl.session import Session, text_of, write

if TYPE_CHECKING:
    from kvstore.client import AsyncClient

DURATION_S = 60
_SLOWEST_S = 0.5
_DEVIATION_S = 0.1
_SHARE_OF_RATE = 0.9
_CLEANUP_S = 30.0
_VALUE_BYTES = 1024
_DATA_BYTES = 512
_MEMORY = "process_resident_memory_bytes"
_ALIASES = {"small": "s", "medium": "m", "large": "l", "xLarge": "xl"}
_PERF = {"s": (150, 50), "m": (1000, 200), "l": (8000, 500), "xl": (15000, 1000)}
"""Writes a second, and clients, by load."""
_DATASCALE = {
    "s": (10_000, 50),
    "m": (100_000, 200),
    "l": (1_000_000, 500),
    "xl": (3_000_000, 1000),
}
"""Keys, and clients, by load."""


@dataclass(slots=True)
class Results:
    """What became of the writes."""

    seconds: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    total_s: float = 0.0


@click.group(cls=GoGroup, help="commands for checking properties of the etcd cluster")
def check() -> None:
    """Hold the check commands."""


@check.command(help="Check the performance of the etcd cluster")
@click.argument("words", nargs=-1)
@click.option("--load", default="s", help="s(small), m(medium), l(large), xl(xLarge)")
@click.option("--prefix", default="/etcdctl-check-perf/", help="The prefix of the keys written")
@click.option("--auto-compact", is_flag=True, help="Compact when the test is finished")
@click.option("--auto-defrag", is_flag=True, help="Defragment when the test is finished")
@click.pass_context
def perf(  # noqa: PLR0913 - etcdctl's flags
    context: click.Context,
    words: tuple[str, ...],
    *,
    load: str,
    prefix: str,
    auto_compact: bool,
    auto_defrag: bool,
) -> None:
    del words
    rate, clients = _of_load(_PERF, load)
    running = session(context)
    _refuse_leftovers(running, prefix)
    results = asyncio.run(_perf(running, prefix, rate=rate, clients=clients))
    _clean_up(running, prefix, compacts=auto_compact, defragments=auto_defrag)
    verdict, lines = judged(results, rate)
    for line in lines:
        write(line)
    if not verdict:
        raise Stop(Exit.ERROR)


def judged(results: Results, rate: int) -> tuple[bool, list[str]]:
    """Return whether the cluster passes, and what to print."""
    lines = []
    if results.errors:
        lines.append("FAIL: too many errors")
        lines += [f"FAIL: ERROR({text}) -> {count}" for text, count in results.errors.items()]
    reached = len(results.seconds) / results.total_s if results.total_s else 0.0
    slowest = max(results.seconds, default=0.0)
    deviation = statistics.pstdev(results.seconds) if results.seconds else 0.0
    is_fast = reached / rate > _SHARE_OF_RATE
    word = "PASS: Throughput is" if is_fast else "FAIL: Throughput too low:"
    lines.append(f"{word} {int(reached) + 1} writes/s")
    is_even = slowest <= _SLOWEST_S
    word = "PASS: Slowest request took" if is_even else "Slowest request took too long:"
    lines.append(f"{word} {slowest:f}s")
    is_steady = deviation <= _DEVIATION_S
    lines.append(f"{'PASS: Stddev is' if is_steady else 'Stddev too high:'} {deviation:f}s")
    passes = is_fast and is_even and is_steady and not results.errors
    return passes, [*lines, "PASS" if passes else "FAIL"]


@check.command(help="Check the memory usage of holding data on a given server endpoint.")
@click.argument("words", nargs=-1)
@click.option("--load", default="s", help="s(small), m(medium), l(large), xl(xLarge)")
@click.option(
    "--prefix", default="/etcdctl-check-datascale/", help="The prefix of the keys written"
)
@click.option("--auto-compact", is_flag=True, help="Compact when the test is finished")
@click.option("--auto-defrag", is_flag=True, help="Defragment when the test is finished")
@click.pass_context
def datascale(  # noqa: PLR0913 - etcdctl's flags
    context: click.Context,
    words: tuple[str, ...],
    *,
    load: str,
    prefix: str,
    auto_compact: bool,
    auto_defrag: bool,
) -> None:
    del words
    keys, clients = _of_load(_DATASCALE, load)
    running = session(context)
    _refuse_leftovers(running, prefix)
    before = _memory(running, "before")
    write(
        f"Start data scale check for work load [{keys} key-value pairs, {2 * _DATA_BYTES} bytes "
        f"per key-value, {clients} concurrent clients]."
    )
    results = asyncio.run(_fill(running, prefix, keys=keys, clients=clients))
    after = _memory(running, "after")
    _clean_up(running, prefix, compacts=auto_compact, defragments=auto_defrag)
    if results.errors:
        write("FAIL: too many errors")
        for text, count in results.errors.items():
            write(f"FAIL: ERROR({text}) -> {count}")
        raise Stop(Exit.ERROR)
    used = (after - before) / 2**20
    write(f"PASS: Approximate system memory used : {used:.2f} MB.")


def _of_load(loads: dict[str, tuple[int, int]], name: str) -> tuple[int, int]:
    found = loads.get(_ALIASES.get(name, name))
    if found is None:
        raise Stop(Exit.BAD_FEATURE, f"unknown load option {name}")
    return found


def _refuse_leftovers(running: Session, prefix: str) -> None:
    from kvstore.client import prefix as keys_of

    with running.client() as client:
        if client.range(keys_of(prefix), limit=1).kvs:
            raise Stop(
                Exit.INVALID_INPUT,
                f"prefix {quoted(prefix)} has keys. "
                f"Delete with 'etcdctl del --prefix {prefix}' first",
            )


def _clean_up(running: Session, prefix: str, *, compacts: bool, defragments: bool) -> None:
    from kvstore.client import admin_calls
    from kvstore.client import prefix as keys_of

    with running.client() as client:
        try:
            deleted = client.within(_CLEANUP_S).delete(keys_of(prefix))
            if compacts:
                client.within(_CLEANUP_S).compact(deleted.header.revision, physical=True)
        except RpcError as error:
            write(f"FAIL: Cleanup failed during key deletion: ERROR({text_of(error)})")
            return
    for name in running.settings.endpoints if defragments else ():
        running.exchange(admin_calls.defragment(), name)
        write(f"Finished defragmenting etcd member[{name}]")


@contextlib.asynccontextmanager
async def _connected(running: Session, count: int) -> "AsyncIterator[list[AsyncClient]]":
    """Give clients, each with a connection of its own."""
    from kvstore.client import AsyncClient

    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(AsyncClient(**running.client_arguments()))
            for _ in range(count)
        ]


async def _perf(running: Session, prefix: str, *, rate: int, clients: int) -> Results:
    """Offer writes at a steady rate, or more slowly if they are not taken as fast."""
    value = bytes(_VALUE_BYTES)
    waiting: asyncio.Queue[bytes | None] = asyncio.Queue(clients)
    started = time.monotonic()

    async def offer() -> None:
        with click.progressbar(length=DURATION_S, label="writing") as bar:
            for number in range(rate * DURATION_S):
                due_s = number / rate - (time.monotonic() - started)
                if due_s > 0:
                    await asyncio.sleep(due_s)
                if time.monotonic() - started >= DURATION_S:
                    break
                await waiting.put(f"{prefix}{number:0256d}".encode())
                if number % rate == 0:
                    bar.update(1)

    return await _written(running, waiting, offer(), value, clients)


async def _fill(running: Session, prefix: str, *, keys: int, clients: int) -> Results:
    waiting: asyncio.Queue[bytes | None] = asyncio.Queue(clients)

    async def offer() -> None:
        with click.progressbar(length=keys, label="writing") as bar:
            for number in range(keys):
                await waiting.put(f"{prefix}{number:0{_DATA_BYTES}d}".encode())
                bar.update(1)

    return await _written(running, waiting, offer(), bytes(_DATA_BYTES), clients)


async def _written(
    running: Session,
    waiting: "asyncio.Queue[bytes | None]",
    offer: Coroutine[object, object, None],
    value: bytes,
    clients: int,
) -> Results:
    """Put every key that is offered, with all clients; end with the offer."""
    results = Results()

    async def put_all(client: "AsyncClient") -> None:
        while (key := await waiting.get()) is not None:
            started = time.monotonic()
            try:
                await client.put(key, value)
            except RpcError as error:
                results.errors[text_of(error)] += 1
            else:
                results.seconds.append(time.monotonic() - started)

    async with _connected(running, clients) as connected, asyncio.TaskGroup() as tasks:
        for client in connected:
            tasks.create_task(put_all(client))
        started = time.monotonic()
        await offer
        for _ in connected:
            await waiting.put(None)
    results.total_s = time.monotonic() - started
    return results


def _memory(running: Session, when: str) -> float:
    """Return the resident memory of the first endpoint's process, in bytes."""
    settings = running.settings
    endpoint = settings.endpoints[0]
    scheme = "https" if settings.is_tls else "http"
    url = endpoint if "://" in endpoint else f"{scheme}://{endpoint}"
    try:
        context = settings.tls_context() if url.startswith("https") else None
        with urllib.request.urlopen(f"{url}/metrics", context=context) as answer:  # noqa: S310
            for line in answer.read().decode().splitlines():
                if line.startswith(f"{_MEMORY} "):
                    return float(line.split()[1])
    except OSError as error:
        write(f"fetch error: {error}")
    write(f"FAIL: Could not read {_MEMORY} {when} the put operations.")
    raise Stop(Exit.ERROR)
