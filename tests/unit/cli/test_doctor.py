"""What `kvstore doctor` concludes; and one look at this machine."""

import json
from collections.abc import Sequence

import pytest
from click.testing import CliRunner

from kvstore.cli import doctor_findings as findings
from kvstore.cli.doctor import doctor
from kvstore.cli.doctor_findings import Finding, Grade, MemberSeen

FAST, SLOW = [0.001] * 200, [0.001] * 190 + [0.05] * 10
GOOD = MemberSeen(endpoint="a:1", raft_index=9, used_bytes=1, quota_bytes=10)


def bad(found: Sequence[Finding]) -> list[str]:
    return [one.check for one in found if one.grade is Grade.BAD]


@pytest.mark.parametrize(
    ("finding", "grade"),
    [
        (findings.disk(FAST, "/d"), Grade.OK),
        (findings.disk(SLOW, "/d"), Grade.BAD),
        (findings.loop(FAST), Grade.OK),
        (findings.loop([0.2] * 5), Grade.BAD),
        (findings.clock(is_synchronized=True), Grade.OK),
        (findings.clock(is_synchronized=False), Grade.NOTE),
        (findings.clock(is_synchronized=None), Grade.NOTE),
        (findings.files(65536), Grade.OK),
        (findings.files(1024), Grade.BAD),
        (findings.port(2379, None, is_free=True), Grade.OK),
        (findings.port(2379, "pid 1 (etcd)", is_free=False), Grade.BAD),
        (findings.certificate("c.pem", 100), Grade.OK),
        (findings.certificate("c.pem", 3), Grade.BAD),
        (findings.certificate("c.pem", -3), Grade.BAD),
    ],
)
def test_each_look_is_graded_and_what_is_bad_has_its_cure(finding: Finding, grade: Grade) -> None:
    assert finding.grade is grade
    assert bool(finding.fix) or grade is not Grade.BAD


def test_healthy_members_are_good() -> None:
    assert bad(findings.members([GOOD, GOOD])) == []


@pytest.mark.parametrize(
    ("member", "check"),
    [
        (MemberSeen(endpoint="b:1", problem="connection refused"), "members"),
        (MemberSeen(endpoint="b:1", has_leader=False, raft_index=9), "members"),
        (MemberSeen(endpoint="b:1", raft_index=9, used_bytes=9, quota_bytes=10), "quota"),
        (MemberSeen(endpoint="b:1", raft_index=9, alarms=("alarm:NOSPACE",)), "alarms"),
        (MemberSeen(endpoint="b:1", raft_index=9, alarms=("alarm:CORRUPT",)), "alarms"),
        (MemberSeen(endpoint="b:1", raft_index=9, clock_ahead_s=-7.0), "skew"),
        (MemberSeen(endpoint="b:1", raft_index=9, certificate_days=2.0), "certificates"),
        (MemberSeen(endpoint="b:1", raft_index=99_999), "members"),
    ],
)
def test_what_is_wrong_with_a_member_is_found(member: MemberSeen, check: str) -> None:
    found = findings.members([GOOD, member])
    assert bad(found) == [check]
    assert all(one.fix for one in found if one.grade is Grade.BAD)


@pytest.mark.slow
def test_it_measures_this_machine_and_says_so_in_json() -> None:
    ended = CliRunner().invoke(doctor, ["--no-members", "--json"])
    found = json.loads(ended.stdout)
    assert [one["check"] for one in found] == ["disk", "loop", "clock", "files"]
    assert ended.exit_code == any(one["grade"] == "bad" for one in found)


@pytest.mark.slow
def test_an_endpoint_that_is_not_there_is_bad() -> None:
    ended = CliRunner().invoke(doctor, ["--endpoints", "127.0.0.1:1"])
    assert ended.exit_code == 1
    assert "BAD  members: 127.0.0.1:1 does not answer" in ended.output
