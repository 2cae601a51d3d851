"""A second script for etcdctl: what it prints in every format, on a store of its own."""

from tests.conformance.etcdctl_script import Step, step

FORMATS = ("simple", "json", "fields", "table")

_TXN = """\
value("a") = "1"
version("a") > "0"

put a 2
get a --prefix
del b
get nothing

put a 3

"""
_TXN_FAILING = _TXN.replace('= "1"', '= "9"')


def _in_every_format(
    command: str, stdin: str | None = None, lines: int | None = None
) -> list[Step]:
    return [step(f"{command} -w {form}", stdin, lines) for form in FORMATS]


FORMAT_SCRIPT: tuple[Step, ...] = (
    *_in_every_format("endpoint hashkv"),
    *_in_every_format("get --prefix"),
    *_in_every_format("put a 1"),
    *_in_every_format("put a 1 --prev-kv"),
    *_in_every_format("put b", stdin="two"),
    *_in_every_format("put b/1 --ignore-value"),
    *_in_every_format("get a --hex"),
    *_in_every_format("get b --prefix --keys-only"),
    *_in_every_format("get a z --count-only"),
    *_in_every_format("get a z --limit 1"),
    *_in_every_format("get a z --rev 3"),
    *_in_every_format("get a z --min-mod-rev 3 --max-mod-rev 8"),
    *_in_every_format("get a z --min-create-rev 2 --max-create-rev 3"),
    *_in_every_format("get a z --sort-by VALUE --order DESCEND"),
    step("get a z --sort-by NOTHING"),
    step("get a z --order NOTHING"),
    step("get a z --prefix"),
    step("get a --prefix --from-key"),
    step("get a --consistency x"),
    step("get"),
    step("put"),
    step("del"),
    step("put a 1 --lease zz"),
    step("put a 1 --ignore-lease"),
    step("put a 1 --ignore-value"),
    step("put none --ignore-lease", stdin="x"),
    *_in_every_format("txn", stdin=_TXN),
    *_in_every_format("txn", stdin=_TXN_FAILING),
    step("txn", stdin='lease("a") = "0"\n\nget a\n\n\n'),
    step("txn", stdin="\nget a\nnothing b\n\n\n"),
    step("txn", stdin="\n\n\n"),
    *_in_every_format("put p/1 x"),
    *_in_every_format("del p/ --prefix --prev-kv"),
    *_in_every_format("del p/ --prefix"),
    step("del a z --range"),
    step("del a --from-key --prefix"),
    *_in_every_format("endpoint hashkv --rev 5"),
    *_in_every_format("endpoint hashkv --cluster"),
    step("endpoint hashkv --rev 9999"),
    *_in_every_format("watch a --rev 2", lines=1),
    *_in_every_format("watch a z --rev 2 --prev-kv", lines=1),
    *_in_every_format("watch p/ --prefix --rev 2", lines=1),
    step("watch a z --rev 2 --prev-kv", lines=30),
    step("watch p/ --prefix --rev 2 -w fields", lines=12),
    step("watch -i", stdin="watch a --rev 2\n", lines=3),
    step("watch -i", stdin="watch --rev 2 --prev-kv a z\n", lines=6),
    step("watch -i", stdin="nothing\n", lines=1),
    step("watch a --rev 2 -- echo seen", lines=4),
    step("watch"),
    *_in_every_format("compaction 4"),
    step("compaction 6 --physical"),
    *_in_every_format("endpoint hashkv --rev 12"),
    step("compaction x"),
    step("compaction"),
    *_in_every_format("get a --rev 2"),
    *_in_every_format("watch a --rev 2", lines=1),
    *_in_every_format("endpoint status"),
    *_in_every_format("endpoint status --cluster"),
    *_in_every_format("endpoint health"),
    *_in_every_format("endpoint health --cluster"),
    *_in_every_format("member list"),
    *_in_every_format("member list --consistency s"),
    *_in_every_format("alarm list"),
    step("alarm disarm"),
    *_in_every_format("lease grant 300"),
    step("lease grant x"),
    step("lease grant 300"),
    step("put held v --lease {lease}"),
    *_in_every_format("get held"),
    *_in_every_format("lease timetolive {lease}"),
    *_in_every_format("lease timetolive {lease} --keys"),
    *_in_every_format("lease keep-alive --once {lease}"),
    step("lease keep-alive {lease}", lines=1),
    *_in_every_format("lease list"),
    *_in_every_format("lease revoke {lease}"),
    *_in_every_format("lease timetolive {lease}"),
    *_in_every_format("lease keep-alive {lease}"),
    step("lease keep-alive"),
    step("lease revoke"),
    step("lease timetolive"),
    *_in_every_format("del --prefix --prev-kv held"),
    step("del --prefix"),
)
