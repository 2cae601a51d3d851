"""What a container has said: reading logs in the CRI's format, as `kubectl logs` asks for them."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from io import SEEK_CUR, BufferedReader
from pathlib import Path

from cluster.informer.times import unix_of

_POLL_S = 0.1


class BadLogOptions(Exception):
    """The options make no sense; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """core/v1 PodLogOptions, as far as they choose lines."""

    follows: bool = False
    tail_lines: int | None = None
    since: float = 0.0
    """Seconds since 1970; lines before it are left out."""
    bytes_max: int | None = None
    has_timestamps: bool = False


def read_options(query: Mapping[str, str], now: float) -> LogOptions:
    """Read a query string.

    Raises:
        BadLogOptions: a number is none, or is negative.
    """

    def number(name: str) -> int | None:
        text = query.get(name)
        if text is None:
            return None
        if not text.isdecimal():
            raise BadLogOptions(f"{name}: Invalid value: {text!r}: must be a number, at least 0")
        return int(text)

    since_s = number("sinceSeconds")
    since = now - since_s if since_s is not None else unix_of(query.get("sinceTime", ""))
    return LogOptions(
        follows=query.get("follow") in ("true", "1"),
        tail_lines=number("tailLines"),
        since=since,
        bytes_max=number("limitBytes"),
        has_timestamps=query.get("timestamps") in ("true", "1"),
    )


def shown(line: bytes, options: LogOptions) -> bytes | None:
    """Return what a reader sees of a line of the file; None if it is not meant."""
    stamp, _, rest = line.partition(b" ")
    _, _, rest = rest.partition(b" ")
    tag, _, text = rest.partition(b" ")
    if options.since and unix_of(stamp.decode(errors="replace")) < options.since:
        return None
    end = b"" if tag == b"P" else b"\n"
    text = text.removesuffix(b"\n") + end
    return stamp + b" " + text if options.has_timestamps else text


async def lines(
    path: Path, options: LogOptions, is_running: Callable[[], bool]
) -> AsyncIterator[bytes]:
    """Yield what is to be shown; with `follows`, until the container has ended and all is read.

    Raises:
        FileNotFoundError: the container has said nothing yet, or its log is gone.
    """
    left = options.bytes_max
    with path.open("rb") as file:
        for line in _present(file, options):
            yield line if left is None else line[:left]
            left = None if left is None else left - len(line)
            if left is not None and left <= 0:
                return
        rest = b""
        while options.follows:
            was_running = is_running()
            chunk = file.readline()
            if chunk.endswith(b"\n"):
                text = shown(rest + chunk, options)
                rest = b""
                if text is not None:
                    yield text
                continue
            rest += chunk
            if not was_running:
                return
            await asyncio.sleep(_POLL_S)


def _present(file: BufferedReader, options: LogOptions) -> Iterator[bytes]:
    """Return what the file holds now; only the last lines, if so many were asked for."""
    found = (text for line in _whole_lines(file) if (text := shown(line, options)) is not None)
    return found if options.tail_lines is None else iter(deque(found, options.tail_lines))


def _whole_lines(file: BufferedReader) -> Iterator[bytes]:
    """Yield lines up to one that is just being written, which is left for later."""
    while (line := file.readline()).endswith(b"\n"):
        yield line
    file.seek(-len(line), SEEK_CUR)
