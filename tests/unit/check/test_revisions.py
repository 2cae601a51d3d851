"""The store's guarantees, on the findings published about etcd and on the corners of the replay."""

from random import Random

import pytest

from kvstore.check import FOREVER, History, Operation, Verdict, check
from kvstore.check.json_value import Json
from kvstore.check.keyspace import Keyspace, agrees, apply
from kvstore.check.revisions import check_revisions
from tests.unit.check.worlds import Shape, Store, history, ok, store_history, unknown


def put(client: str, key: str, value: str, revision: int, begin: float, **more: Json) -> Operation:
    return ok(
        client, "put", (begin, begin + 1), {"revision": revision}, key=key, value=value, **more
    )


def get(client: str, key: str, value: str | None, revision: int, begin: float) -> Operation:
    kvs = [] if value is None else [{"key": key, "value": value}]
    result = {"revision": revision, "kvs": kvs}
    return ok(client, "get", (begin, begin + 1), result, key=key)


def grant(lease: int, begin: float, revision: int = 1) -> Operation:
    result = {"revision": revision, "id": lease, "ttl": 10}
    return ok("a", "grant", (begin, begin + 1), result, id=lease, ttl=10)


PUBLISHED = {
    "Jepsen 2014: a cut off leader serves a stale read": history(
        put("a", "x", "1", 2, 0), put("b", "x", "2", 3, 2), get("c", "x", "1", 2, 4)
    ),
    "etcd 14370: an acknowledged write is lost in a crash": history(
        put("a", "x", "1", 2, 0), get("b", "x", None, 1, 2)
    ),
    "etcd 14370: its revision is given to another write": history(
        put("a", "x", "1", 2, 0), put("b", "y", "2", 2, 2)
    ),
    "etcd 13766: a member whose revisions drifted shows other content": history(
        put("a", "x", "1", 2, 0), put("a", "x", "2", 3, 2), get("b", "x", "1", 3, 4)
    ),
    "etcd 17780: the revision is lower after a restart": history(
        put("a", "x", "1", 2, 0), put("a", "x", "2", 3, 2), put("a", "x", "3", 3, 4)
    ),
    "etcd 18667: a transaction answers from the other branch": history(
        put("a", "x", "1", 2, 0),
        ok(
            "b",
            "txn",
            (2, 3),
            {"revision": 2, "succeeded": False, "responses": []},
            compare=[{"key": "x", "target": "mod_revision", "value": 2}],
            success=[{"kind": "put", "key": "x", "value": "2"}],
            failure=[],
        ),
    ),
    "a write applied twice": history(
        put("a", "x", "1", 2, 0),
        get("b", "x", "1", 3, 2),
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_findings_are_found(name: str) -> None:
    report = check(PUBLISHED[name])
    assert report.verdict is Verdict.VIOLATED, report.text
    assert report.violation is not None
    assert report.violation.steps or report.violation.operations


def test_a_stale_read_names_the_two_operations_that_show_it() -> None:
    finding, _ = check_revisions(PUBLISHED["Jepsen 2014: a cut off leader serves a stale read"])
    assert finding.operations == (1, 2)


def test_a_serializable_read_may_be_old_but_not_wrong() -> None:
    def read(value: str) -> Operation:
        result = {"revision": 2, "kvs": [{"key": "x", "value": value}]}
        return ok("c", "get", (4, 5), result, key="x", serializable=True)

    puts = [put("a", "x", "1", 2, 0), put("b", "x", "2", 3, 2)]
    assert check(history(*puts, read("1"))).verdict is Verdict.HOLDS
    assert check(history(*puts, read("2"))).verdict is Verdict.VIOLATED


def test_a_member_whose_serializable_reads_go_back_is_found() -> None:
    def read(revision: int, begin: float) -> Operation:
        operation = get("c", "x", str(revision - 1), revision, begin)
        arguments = {**operation.arguments, "serializable": True}
        return Operation(
            index=0,
            client="c",
            kind="get",
            arguments=arguments,
            invoked=begin,
            returned=begin + 1,
            outcome=operation.outcome,
            result=operation.result,
            endpoint="m1",
        )

    puts = [put("a", "x", "1", 2, 0), put("b", "x", "2", 3, 2)]
    assert check(history(*puts, read(2, 4), read(3, 6))).verdict is Verdict.HOLDS
    assert check(history(*puts, read(3, 4), read(2, 6))).verdict is Verdict.VIOLATED


def test_a_read_of_the_past_shows_that_revision() -> None:
    def read(value: str, at: int = 2, revision: int = 3) -> Operation:
        result = {"revision": revision, "kvs": [{"key": "x", "value": value, "mod_revision": 2}]}
        return ok("c", "get", (4, 5), result, key="x", revision=at)

    puts = [put("a", "x", "1", 2, 0), put("b", "x", "2", 3, 2)]
    assert check(history(*puts, read("1"))).verdict is Verdict.HOLDS
    assert check(history(*puts, read("2"))).verdict is Verdict.VIOLATED
    assert check(history(*puts, read("1", at=9))).verdict is Verdict.VIOLATED


def test_a_lost_answer_is_placed_where_its_revision_is_missing() -> None:
    lost = unknown("b", "put", (0, FOREVER), key="y", value="2")
    seen = history(lost, put("a", "x", "1", 3, 2), get("c", "y", "2", 3, 4))
    assert check_revisions(seen)[0].verdict is Verdict.HOLDS


def test_a_revision_that_nobody_can_have_written_is_found() -> None:
    assert check(history(put("a", "x", "1", 3, 2))).verdict is Verdict.VIOLATED
    late = unknown("b", "put", (9, FOREVER), key="y", value="2")
    assert check(history(put("a", "x", "1", 3, 2), late)).verdict is Verdict.VIOLATED


def test_a_store_that_others_write_to_is_judged_by_time_only() -> None:
    foreign = history(put("a", "x", "1", 30, 0), get("b", "x", "1", 31, 2))
    opened = History(operations=foreign.operations, is_complete=False)
    assert check(opened).verdict is Verdict.UNKNOWN
    stale = history(put("a", "x", "1", 30, 0), get("b", "x", "1", 29, 2))
    assert (
        check(History(operations=stale.operations, is_complete=False)).verdict is Verdict.VIOLATED
    )


def test_a_key_that_went_with_its_lease_had_a_writer() -> None:
    expired = history(grant(7, 0), put("a", "x", "1", 2, 2, lease=7), get("b", "x", None, 3, 40))
    assert check_revisions(expired)[0].verdict is Verdict.HOLDS
    by_itself = history(put("a", "x", "1", 2, 2), get("b", "x", None, 3, 40))
    assert check_revisions(by_itself)[0].verdict is Verdict.VIOLATED


def test_a_put_with_a_lease_that_was_revoked_is_found() -> None:
    revoked = history(
        grant(7, 0),
        ok("a", "revoke", (2, 3), {"revision": 1}, id=7),
        put("a", "x", "1", 2, 4, lease=7),
    )
    assert check(revoked).verdict is Verdict.VIOLATED


def test_results_without_revisions_are_searched_key_by_key() -> None:
    stale = history(
        ok("a", "put", (0, 1), {}, key="x", value="1"),
        ok("a", "put", (2, 3), {}, key="x", value="2"),
        ok("b", "get", (4, 5), {"kvs": [{"key": "x", "value": "1"}]}, key="x"),
        ok("b", "get", (6, 7), {"kvs": []}, key="y"),
    )
    report = check(stale)
    assert report.verdict is Verdict.VIOLATED
    assert report.violation is not None
    assert "key 'x'" in report.violation.summary


@pytest.mark.slow
def test_ten_thousand_operations_are_judged_in_seconds() -> None:
    shape = Shape(clients=20, operations=10_000, keys=98, unknown=0.02, refused=0.02)
    made, _ = store_history(Random(1), shape, has_leases=False)
    assert check(made).verdict is Verdict.HOLDS


def test_the_keyspace_is_the_store_written_twice() -> None:
    """The model of the checker and the dictionary of the tests answer alike."""
    shape = Shape(operations=400, unknown=0, refused=0)
    made, _ = store_history(Random(3), shape, has_leases=False)
    store, keyspace = Store(), Keyspace()
    for operation in made.operations:
        expected = store.apply(operation.kind, operation.arguments)
        applied = apply(keyspace, operation.kind, operation.arguments)
        assert applied is not None
        assert agrees(expected, applied.response)
        keyspace = applied.keyspace
    assert keyspace.revision == store.revision > 100


@pytest.mark.parametrize(
    ("compare", "holds"),
    [
        ({"target": "version", "operator": "=", "value": 1}, True),
        ({"target": "version", "operator": ">", "value": 1}, False),
        ({"target": "value", "operator": "<", "value": "b"}, True),
        ({"target": "create_revision", "operator": "!=", "value": 2}, False),
        ({"target": "lease", "operator": "=", "value": 0}, True),
        ({"key": "none", "target": "version", "operator": "=", "value": 0}, True),
        ({"key": "none", "target": "value", "operator": "!=", "value": "x"}, False),
        ({"key": "a", "range_end": "c", "target": "version", "operator": "=", "value": 1}, True),
    ],
)
def test_a_compare_means_what_etcd_means(compare: dict[str, Json], holds: bool) -> None:
    written = apply(Keyspace(), "put", {"key": "a", "value": "a"})
    assert written is not None
    txn = {"compare": [{"key": "a", **compare}], "success": [], "failure": []}
    applied = apply(written.keyspace, "txn", txn)
    assert applied is not None
    assert applied.response["succeeded"] is holds


def test_a_lock_that_is_told_again_is_no_stale_answer() -> None:
    again = ok("b", "lock", (4, 5), {"key": "l/b", "revision": 2}, name="l")
    made = history(put("a", "l/b", "", 2, 0), put("a", "x", "1", 3, 2), again)
    assert check(made).verdict is Verdict.HOLDS


def test_a_read_of_keys_only_says_nothing_about_values() -> None:
    get_keys = {"kind": "get", "key": "x", "keys_only": True}
    kvs = [{"key": "x", "value": "", "mod_revision": 2}]
    made = history(
        put("a", "x", "1", 2, 0),
        ok(
            "b",
            "txn",
            (2, 3),
            {"revision": 2, "succeeded": True, "responses": [{"kvs": kvs}]},
            compare=[],
            success=[get_keys],
            failure=[],
        ),
        ok("b", "get", (2, 3), {"revision": 2, "kvs": kvs}, key="x", keys_only=True),
        get("b", "x", "1", 2, 4),
    )
    assert check(made).verdict is Verdict.HOLDS
