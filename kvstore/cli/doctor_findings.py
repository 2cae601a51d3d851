"""What `kvstore doctor` concludes from what it measured: pure, and each finding with its cure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

DISK_SYNC_P99_S = 0.010
"""etcd's own advice: above it, a busy disk brings elections about."""
LOOP_LAG_P99_S = 0.050
CLOCK_SKEW_S = 2.0
"""The Date header counts whole seconds."""
CERTIFICATE_DAYS = 30
QUOTA_SHARE = 0.8
OPEN_FILES = 4096
BEHIND_ENTRIES = 5000


class Grade(Enum):
    """How bad it is."""

    OK = "ok"
    NOTE = "note"
    """Something to know, or that could not be looked at."""
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    check: str
    grade: Grade
    text: str
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberSeen:
    """One endpoint, as it answered."""

    endpoint: str
    problem: str = ""
    """Why it did not answer; the rest is worthless then."""
    has_leader: bool = True
    raft_index: int = 0
    used_bytes: int = 0
    file_bytes: int = 0
    quota_bytes: int = 0
    alarms: tuple[str, ...] = ()
    clock_ahead_s: float | None = None
    """Of this machine's clock; None if it does not say."""
    certificate_days: float | None = None
    """For which the certificate that it shows is still valid; None without TLS."""


def percentile(samples: Sequence[float], share: float) -> float:
    """Return the sample that this share of all is not above."""
    ordered = sorted(samples)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def disk(samples_s: Sequence[float], directory: str) -> Finding:
    p99 = percentile(samples_s, 0.99)
    text = f"p99 of a synced write to {directory} is {1000 * p99:.1f} ms"
    if p99 <= DISK_SYNC_P99_S:
        return Finding("disk", Grade.OK, text)
    fix = (
        f"Over {1000 * DISK_SYNC_P99_S:.0f} ms, leaders come late with heartbeats. Put --wal-dir "
        "on a local SSD that others do not write to; raise --heartbeat-interval and "
        "--election-timeout if that cannot be"
    )
    return Finding("disk", Grade.BAD, text, fix)


def loop(lags_s: Sequence[float]) -> Finding:
    p99 = percentile(lags_s, 0.99)
    text = f"p99 of how late an idle event loop is woken here is {1000 * p99:.1f} ms"
    if p99 <= LOOP_LAG_P99_S:
        return Finding("loop", Grade.OK, text)
    fix = "The processors are busy with something else: give members processors of their own"
    return Finding("loop", Grade.BAD, text, fix)


def clock(*, is_synchronized: bool | None) -> Finding:
    if is_synchronized is None:
        return Finding("clock", Grade.NOTE, "the system does not say whether its clock is set")
    if is_synchronized:
        return Finding("clock", Grade.OK, "this machine's clock is kept by a time service")
    text = "nobody keeps this machine's clock"
    fix = "Run chrony or systemd-timesyncd: certificates and JSON web tokens are judged by it"
    return Finding("clock", Grade.NOTE, text, fix)


def files(limit: int) -> Finding:
    text = f"a process may open {limit} files"
    if limit >= OPEN_FILES:
        return Finding("files", Grade.OK, text)
    fix = f"Every client is one: `ulimit -n {16 * OPEN_FILES}`, or LimitNOFILE in the unit"
    return Finding("files", Grade.BAD, text, fix)


def port(number: int, owner: str | None, *, is_free: bool) -> Finding:
    if is_free:
        return Finding("ports", Grade.OK, f"port {number} is free")
    text = f"port {number} is taken" + (f" by {owner}" if owner else "")
    fix = "Stop that process, or name another port in --listen-client-urls / --listen-peer-urls"
    return Finding("ports", Grade.BAD, text, fix)


def certificate(name: str, days: float) -> Finding:
    if days > CERTIFICATE_DAYS:
        return Finding("certificates", Grade.OK, f"{name} is valid for {days:.0f} days")
    fix = "Make a new one with `kvstore tls cert`, and replace the file: members read it again"
    if days > 0:
        return Finding("certificates", Grade.BAD, f"{name} ends in {days:.0f} days", fix)
    return Finding("certificates", Grade.BAD, f"{name} ended {-days:.0f} days ago", fix)


def members(seen: Sequence[MemberSeen]) -> list[Finding]:
    """Judge the members one by one, and beside each other."""
    found = []
    ahead = max((one.raft_index for one in seen if not one.problem), default=0)
    for one in seen:
        if one.problem:
            text = f"{one.endpoint} does not answer: {one.problem}"
            fix = "Is the process up, and its port reachable from here? Its log says why it stopped"
            found.append(Finding("members", Grade.BAD, text, fix))
            continue
        found += [_leader(one), _lag(one, ahead), _quota(one), *_alarms(one)]
        if one.certificate_days is not None:
            found.append(certificate(f"the certificate of {one.endpoint}", one.certificate_days))
    return [*found, *_skew([one for one in seen if not one.problem])]


def _leader(one: MemberSeen) -> Finding:
    if one.has_leader:
        return Finding("members", Grade.OK, f"{one.endpoint} answers, and knows a leader")
    text = f"{one.endpoint} knows no leader"
    fix = "A majority of the members must be up and reach each other: look at the peer ports"
    return Finding("members", Grade.BAD, text, fix)


def _lag(one: MemberSeen, ahead: int) -> Finding:
    behind = ahead - one.raft_index
    text = f"{one.endpoint} is {behind} entries behind the first"
    if behind <= BEHIND_ENTRIES:
        return Finding("members", Grade.OK, text)
    fix = "Its disk, network or processor is too slow for the writes: run doctor on its machine"
    return Finding("members", Grade.BAD, text, fix)


def _quota(one: MemberSeen) -> Finding:
    share = one.used_bytes / one.quota_bytes if one.quota_bytes > 0 else 0.0
    text = f"{one.endpoint} uses {share:.0%} of its space quota"
    if share < QUOTA_SHARE:
        return Finding("quota", Grade.OK, text)
    fix = (
        "Compact old revisions (`kvstorectl compaction`, or --auto-compaction-retention), delete "
        "what is not needed, or raise --quota-backend-bytes"
    )
    return Finding("quota", Grade.BAD, text, fix)


def _alarms(one: MemberSeen) -> list[Finding]:
    fixes = {
        "NOSPACE": "Make room (see quota), then `kvstorectl alarm disarm`",
        "CORRUPT": "Replace the member that is named (member remove, then add), then disarm",
    }
    return [
        Finding("alarms", Grade.BAD, f"{one.endpoint} reports {alarm}", fix)
        for alarm in one.alarms
        for kind, fix in fixes.items()
        if kind in alarm
    ]


def _skew(seen: Sequence[MemberSeen]) -> list[Finding]:
    clocks = [one.clock_ahead_s for one in seen if one.clock_ahead_s is not None]
    if not clocks:
        return []
    skew = max([*clocks, 0.0]) - min([*clocks, 0.0])
    text = f"clocks of the members and of this machine differ by {skew:.0f} s at most"
    if skew <= CLOCK_SKEW_S:
        return [Finding("skew", Grade.OK, text)]
    fix = "Leases do not care, but certificates, JSON web tokens and your logs do: set the clocks"
    return [Finding("skew", Grade.BAD, text, fix)]
