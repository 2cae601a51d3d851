"""A script for etcdctl, as data, and the masks for what no two clusters share in its output."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One command. `{lease}` stands for the id that the last `lease grant` printed."""

    words: tuple[str, ...]
    stdin: str | None = None
    lines: int | None = None
    """Set for a command that never ends: it is interrupted after this many lines of output."""


def step(command: str, stdin: str | None = None, lines: int | None = None) -> Step:
    """A step from words separated by spaces."""
    return Step(tuple(command.split()), stdin, lines)


FORMATS = ("simple", "json", "fields")

SCRIPT: tuple[Step, ...] = (
    step("put a 1"),
    step("put b", stdin="two"),
    step("put c 3 --prev-kv"),
    step("put c 4 --prev-kv"),
    *(step(f"put d 5 -w {form}") for form in FORMATS),
    step("put missing --ignore-value"),
    step("put a 1 --lease 7777"),
    *(step(f"get a -w {form}") for form in FORMATS),
    *(step(f"get a z -w {form}") for form in FORMATS),
    step("get --prefix"),
    step("get a --prefix --keys-only"),
    step("get a z --count-only -w fields"),
    step("get a z --limit 2 --order DESCEND --sort-by CREATE"),
    step("get a z --print-value-only"),
    step("get b --from-key --consistency s"),
    step("get missing"),
    step("get a --hex"),
    step("get a --rev 999"),
    step("del missing"),
    step("del d --prev-kv"),
    step("del d -w json"),
    step("put p/1 x"),
    step("put p/2 y"),
    step("del p/ --prefix"),
    step("txn", stdin='value("a") = "1"\n\nput a 2\nget a\n\nput a 3\n\n'),
    step("txn", stdin='value("a") = "1"\n\nput a 2\n\nget a\ndel b\n\n'),
    step("txn -w json", stdin='version("nothing") > "5"\n\n\nget c\n\n'),
    step("txn", stdin='mod("a") > "0"\ncreate("a") > "0"\n\nput a 4\nput a 5\n\n\n'),
    *(step(f"endpoint hashkv -w {form}") for form in ("simple", "table")),
    step("lease grant 300"),  # its id is random, and part of hashes from here on
    step("put leased v --lease {lease}"),
    step("lease timetolive {lease} --keys"),
    step("lease keep-alive --once {lease}"),
    step("lease list"),
    step("lease revoke {lease}"),
    step("get leased"),
    step("lease revoke {lease}"),
    step("lease timetolive {lease}"),
    step("lease keep-alive --once {lease}"),
    step("lease timetolive zz"),
    step("watch a --rev 2 --prev-kv", lines=8),
    step("watch --prefix p/ --rev 2", lines=6),
    step("watch a c --rev 2 -w json", lines=1),
    step("compaction 5"),
    step("compaction 5"),
    step("compaction 999 --physical"),
    step("get a --rev 3"),
    step("watch a --rev 3", lines=1),
    *(step(f"member list -w {form}") for form in (*FORMATS, "table")),
    *(step(f"endpoint status -w {form}") for form in ("simple", "table")),
    *(step(f"endpoint health -w {form}") for form in ("simple", "table")),
    step("alarm list"),
    step("del a z -w fields"),
)

_MASKS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r'^\{"level":.*\n', re.MULTILINE), ""),
    (re.compile(r"127\.0\.0\.1:\d+"), "ENDPOINT"),
    (re.compile(r"\b[0-9a-f]{12,16}\b"), "ID"),
    (re.compile(r'"(cluster_id|member_id|ID)":\d+'), r'"\1":ID'),
    (re.compile(r'"(ClusterID|MemberID|ID)" : \d+'), r'"\1" : ID'),
    (re.compile(r'"(raft_term)":\d+'), r'"\1":TERM'),
    (re.compile(r'"(RaftTerm)" : \d+'), r'"\1" : TERM'),
    (re.compile(r"took = [^\s,]+"), "took = TIME"),
    (re.compile(r"\b\d+(\.\d+)?(ms|µs)"), "TIME"),
    (re.compile(r"remaining\(\d+s\)"), "remaining(TTL)"),
    (re.compile(r"\b3\.[56]\.\d+\b"), "VERSION"),
    (re.compile(r"\b[\d.]+ [kM]B\b"), "SIZE"),
    (re.compile(r"-{3,}"), "---"),
    (re.compile(r" {2,}"), " "),
)


def masked(step: Step, output: str) -> str:
    """The output with every id, address, time, version and size replaced."""
    for pattern, replacement in _MASKS:
        output = pattern.sub(replacement, output)
    if step.words[:2] == ("endpoint", "status"):
        # Leader or not, and the numbers of the log, follow from who was elected.
        output = re.sub(r"\b(true|false|\d+)\b", "_", output)
    if step.words[:2] == ("member", "list"):
        output = _members_by_name(output)
    return output


def _members_by_name(output: str) -> str:
    """Members are listed by their ids, which follow from ports: order lines by what is left."""
    if output.startswith("{"):
        members = sorted(re.findall(r'\{"ID".*?\}', output))
        return "\n".join(members)
    return "\n".join(sorted(output.splitlines()))
