"""nghttp2's h2load: compiled and cheap, one fixed body for all requests.

h2load sees HTTP statuses, and gRPC's are in the trailers. So the answers are checked in two other
ways: our own client sends the same body before and after and reads every trailer; and an answer
that is no OK carries no message, so that the bytes of data received must be those of an OK answer
times the number of requests (what was in flight at the end may add its share).
"""

import re
import resource
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.drivers import Load, LoadFailed, Loop, Requests, percentile
from bench.drivers.own_client import checked_answers

CHECKS = 64
_SUMMARY = re.compile(
    r"requests: (?P<total>\d+) total.*?(?P<succeeded>\d+) succeeded, (?P<failed>\d+) failed, "
    r"(?P<errored>\d+) errored, (?P<timeout>\d+) timeout",
    re.DOTALL,
)
_DATA = re.compile(r"headers \(.*?\), \S+ \((?P<data>\d+)\) data")


@dataclass(frozen=True, slots=True)
class Connections:
    """How the requests in flight are spread."""

    count: int
    streams: int


def spread(in_flight: int, connections: int | None = None) -> Connections:
    """Few connections with many streams each, as a busy client has them, unless told otherwise."""
    if connections is not None:
        return Connections(connections, max(1, in_flight // connections))
    if in_flight < 8:
        return Connections(1, in_flight)
    count = 8 if in_flight % 8 == 0 and in_flight > 500 else 4
    return Connections(count, in_flight // count)


def is_available() -> bool:
    """Whether h2load is installed (Debian: nghttp2-client)."""
    return shutil.which("h2load") is not None


def run(target: Requests, loop: Loop, body: bytes) -> Load:
    """Run a closed loop of `body`.

    Raises:
        LoadFailed: any answer was no OK.
    """
    size_before = checked_answers(target, body, CHECKS)
    with tempfile.TemporaryDirectory() as directory:
        body_file, log_file = Path(directory) / "body", Path(directory) / "log"
        body_file.write_bytes(body)
        # Not --warm-up-time: its answers would be in the bytes of data, but not in their number.
        _h2load(target, loop, body_file, loop.warm_up_s, [])
        before = _children_cpu_s()
        loop.on_start()
        output = _h2load(target, loop, body_file, loop.seconds, [f"--log-file={log_file}"])
        cpu_s = _children_cpu_s() - before
        took = sorted(int(line.split("\t")[2]) for line in log_file.read_text().splitlines())
    size_after = checked_answers(target, body, CHECKS)
    operations = _checked_operations(output, loop.in_flight, size_before, size_after)
    if not took:
        raise LoadFailed(f"h2load logged nothing:\n{output}")
    return Load(
        operations=operations,
        seconds=loop.seconds,
        p50_ms=percentile(took, 0.5) / 1000,
        p99_ms=percentile(took, 0.99) / 1000,
        p999_ms=percentile(took, 0.999) / 1000,
        max_ms=took[-1] / 1000,
        driver="h2load",
        driver_cpu_us=cpu_s * 1e6 / operations,
        status_check=f"{2 * CHECKS} trailers read, data bytes of all",
    )


def _h2load(target: Requests, loop: Loop, body_file: Path, seconds: float, more: list[str]) -> str:
    connections = spread(loop.in_flight, loop.connections)
    done = subprocess.run(
        [
            # Windows of a gigabyte: what is measured is not how often the client opens them.
            *("h2load", "--window-bits=30", "--connection-window-bits=30"),
            *("--threads=1", f"--duration={seconds * 1000:.0f}ms"),
            f"--clients={connections.count}",
            f"--max-concurrent-streams={connections.streams}",
            *("--header=content-type: application/grpc", "--header=te: trailers"),
            f"--data={body_file}",
            *more,
            f"http://{target.endpoint}{target.path}",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LoadFailed(f"h2load ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def _checked_operations(output: str, in_flight: int, size_before: int, size_after: int) -> int:
    summary, data = _SUMMARY.search(output), _DATA.search(output)
    if summary is None or data is None:
        raise LoadFailed(f"h2load's output is not understood:\n{output}")
    operations = int(summary["succeeded"])
    if int(summary["failed"]) or int(summary["errored"]) or int(summary["timeout"]):
        raise LoadFailed(summary[0])
    received = int(data["data"])
    least = operations * min(size_before, size_after)
    most = (operations + in_flight) * max(size_before, size_after)
    if not least <= received <= most:
        raise LoadFailed(
            f"{operations} answers of {size_before} to {size_after} bytes cannot be "
            f"{received} bytes of data: some were no OK"
        )
    return operations


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
