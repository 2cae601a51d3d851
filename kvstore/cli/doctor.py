"""`kvstore doctor`: measures this machine, asks the members, and says what to do about it."""

import asyncio
import contextlib
import ctypes
import datetime
import email.utils
import json
import os
import resource
import ssl
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from kvstore.cli import doctor_findings as findings
from kvstore.cli.ctl.failure import Stop
from kvstore.cli.ctl.session import Session
from kvstore.cli.ctl.settings import STRINGS, Settings, settings_from
from kvstore.cli.doctor_findings import Finding, Grade, MemberSeen
from kvstore.cli.local_ports import owner, taken_ports

_SYNCS = 200
_WRITE_BYTES = 4096
_LOOP_S = 1.0
_LOOP_STEP_S = 0.005
_TIME_ERROR = 5
"""What adjtimex(2) returns while nobody sets the clock."""
_MARKS = {Grade.OK: "ok  ", Grade.NOTE: "note", Grade.BAD: "BAD "}
_TLS_FLAGS = ("endpoints", "cacert", "cert", "key", "user", "password")


def _client_options(command: click.Command) -> click.Command:
    for name in _TLS_FLAGS:
        command.params.append(click.Option([f"--{name}"], default=None, help=STRINGS[name][1]))
    return command


@_client_options
@click.command(epilog="Examples: `kvstore doctor --data-dir /var/lib/kv`, `kvstore doctor --json`")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where a member keeps its data: the disk that is measured.",
)
@click.option("--port", "ports", type=int, multiple=True, help="A port that is to be free.")
@click.option("--no-members", is_flag=True, help="Look at this machine only.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(
    data_dir: Path | None,
    ports: tuple[int, ...],
    *,
    no_members: bool,
    as_json: bool,
    **flags: str | None,
) -> None:
    """Look for what makes clusters ill: disk, clocks, ports, certificates, space.

    Exit status 1 if something is bad.
    """
    found = _of_machine(data_dir, ports)
    if not no_members:
        try:
            settings = settings_from({name: text for name, text in flags.items() if text})
        except Stop as stop:
            raise click.ClickException(stop.message) from stop
        found += _of_files(settings)
        found += findings.members([_seen(Session(settings), name) for name in settings.endpoints])
    if as_json:
        shown = [{**asdict(one), "grade": one.grade.value} for one in found]
        click.echo(json.dumps(shown, indent=2))
    else:
        for line in _lines(found):
            click.echo(line)
    raise click.exceptions.Exit(int(any(one.grade is Grade.BAD for one in found)))


def _lines(found: Sequence[Finding]) -> list[str]:
    lines = []
    for one in found:
        lines.append(f"{_MARKS[one.grade]} {one.check}: {one.text}")
        if one.fix:
            lines.append(f"     {one.fix}.")
    return lines


# --- this machine


def _of_machine(data_dir: Path | None, ports: Sequence[int]) -> list[Finding]:
    directory = data_dir or Path.cwd()
    taken = set(taken_ports(ports))
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return [
        findings.disk(_sync_times(directory), str(directory)),
        findings.loop(asyncio.run(_wake_delays())),
        findings.clock(is_synchronized=_clock_is_kept()),
        findings.files(limit),
        *(findings.port(one, owner(one), is_free=one not in taken) for one in ports),
    ]


def _sync_times(directory: Path) -> list[float]:
    """Return how long writes to the disk of `directory` took to be safe, in seconds."""
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            found = []
            for number in range(_SYNCS):
                os.pwrite(file.fileno(), bytes(_WRITE_BYTES), number * _WRITE_BYTES)
                started = time.perf_counter()
                os.fdatasync(file.fileno())
                found.append(time.perf_counter() - started)
            return found
    except OSError as error:
        raise click.ClickException(f"cannot write to {directory}: {error.strerror}") from error


async def _wake_delays() -> list[float]:
    """Return how much too late a loop with nothing to do was woken, in seconds."""
    found = []
    end = time.perf_counter() + _LOOP_S
    while (started := time.perf_counter()) < end:
        await asyncio.sleep(_LOOP_STEP_S)
        found.append(time.perf_counter() - started - _LOOP_STEP_S)
    return found


def _clock_is_kept() -> bool | None:
    """Return what the kernel says about the clock; None if it cannot be asked."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "adjtimex"):
        return None
    state: int = library.adjtimex(ctypes.create_string_buffer(512))
    return None if state < 0 else state != _TIME_ERROR


# --- files and members


def _of_files(settings: Settings) -> list[Finding]:
    """Judge the certificates that clients use."""
    found = []
    for path in filter(None, (settings.ca_file, settings.certificate_file)):
        try:
            found.append(findings.certificate(path, _days_left(Path(path).read_bytes())))
        except (OSError, ValueError) as error:
            fix = "Name a PEM file that this user may read"
            text = f"{path} cannot be read: {error}"
            found.append(Finding("certificates", Grade.BAD, text, fix))
    return found


def _days_left(pem: bytes) -> float:
    from cryptography import x509

    certificate = x509.load_pem_x509_certificate(pem)
    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    return left.total_seconds() / 86400


def _seen(session: Session, endpoint: str) -> MemberSeen:
    from kvstore.client import calls

    try:
        status = session.exchange(calls.status(), endpoint)
    except Stop as stop:
        return MemberSeen(endpoint=endpoint, problem=stop.message)
    return MemberSeen(
        endpoint=endpoint,
        has_leader=bool(status.leader),
        raft_index=status.raftAppliedIndex,
        used_bytes=status.dbSizeInUse,
        file_bytes=status.dbSize,
        quota_bytes=status.dbSizeQuota,
        alarms=tuple(text.strip() for text in status.errors if "alarm:" in text),
        clock_ahead_s=_clock_ahead_s(session.settings, endpoint),
        certificate_days=_shown_days(session.settings, endpoint),
    )


def _url(settings: Settings, endpoint: str) -> str:
    if "://" in endpoint:
        return endpoint
    return f"{'https' if settings.is_tls else 'http'}://{endpoint}"


def _clock_ahead_s(settings: Settings, endpoint: str) -> float | None:
    url = _url(settings, endpoint)
    context = settings.tls_context() if url.startswith("https") else None
    with contextlib.suppress(OSError, TypeError, ValueError):
        asked = time.time()
        with urllib.request.urlopen(f"{url}/version", context=context, timeout=5) as answer:  # noqa: S310 - the operator's own endpoint
            headers: Mapping[str, str] = answer.headers
            there = email.utils.parsedate_to_datetime(headers["Date"]).timestamp()
        # The header is cut to whole seconds: half of one is what it lacks on average.
        return round(there + 0.5 - (asked + time.time()) / 2, 1)
    return None


def _shown_days(settings: Settings, endpoint: str) -> float | None:
    url = _url(settings, endpoint)
    if not url.startswith("https://"):
        return None
    host, _, port = url.removeprefix("https://").rpartition(":")
    with contextlib.suppress(OSError, ValueError):
        return _days_left(ssl.get_server_certificate((host.strip("[]"), int(port))).encode())
    return None
