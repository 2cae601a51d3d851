"""What was promised of a lease, and what a lock is worth."""

from kvstore.check import (
    Event,
    History,
    Operation,
    ResponseKind,
    Verdict,
    Watch,
    WatchResponse,
    check,
)
from kvstore.check.json_value import Json
from kvstore.check.leases import check_leases
from kvstore.check.locks import check_locks
from tests.unit.check.worlds import history, ok, unknown


def grant(ttl: float, begin: float = 0) -> Operation:
    return ok("a", "grant", (begin, begin + 1), {"revision": 1, "ttl": ttl}, id=7, ttl=ttl)


def keep_alive(begin: float, ttl: float) -> Operation:
    return ok("a", "keep_alive", (begin, begin + 1), {"ttl": ttl}, id=7)


def leases(*operations: Operation) -> Verdict:
    return check_leases(history(*operations), None).verdict


def test_a_lease_that_lives_out_its_time_is_well() -> None:
    assert leases(grant(10), keep_alive(5, 10), keep_alive(20, 0)) is Verdict.HOLDS


def test_a_lease_cut_short_is_found() -> None:
    assert leases(grant(10), keep_alive(5, 0)) is Verdict.VIOLATED


def test_a_renewal_lengthens_the_promise() -> None:
    assert leases(grant(10), keep_alive(8, 10), keep_alive(14, 0)) is Verdict.VIOLATED


def test_a_lease_that_may_have_been_revoked_was_not_cut_short() -> None:
    revoke = unknown("b", "revoke", (2, 3), id=7)
    assert leases(grant(10), revoke, keep_alive(5, 0)) is Verdict.HOLDS


def test_a_dead_lease_does_not_rise() -> None:
    assert leases(grant(5), keep_alive(20, 0), keep_alive(22, 5)) is Verdict.VIOLATED


def test_an_id_that_is_granted_anew_lives_again() -> None:
    assert leases(grant(5), keep_alive(20, 0), grant(5, 22), keep_alive(24, 5)) is Verdict.HOLDS


def test_clocks_that_drift_are_forgiven_as_far_as_asked() -> None:
    early = history(grant(10), keep_alive(8.5, 0))
    assert check_leases(early, None).verdict is Verdict.VIOLATED
    assert check_leases(early, None, drift_s=1.0).verdict is Verdict.HOLDS


def expired_at(time: float) -> History:
    """A watch sees the lease's key deleted at `time`."""
    deleted = Event(key="k", revision=3, is_delete=True)
    watch = Watch(
        name="w",
        client="b",
        key="k",
        start_revision=3,
        responses=(
            WatchResponse(kind=ResponseKind.EVENTS, time=time, revision=3, events=(deleted,)),
        ),
    )
    put = ok("a", "put", (1, 2), {"revision": 2}, key="k", value="v", lease=7)
    return history(grant(10), put, watches=(watch,))


def test_etcd_15247_a_live_lease_whose_key_is_deleted_is_found() -> None:
    report = check(expired_at(5.0))
    assert report.violation is not None
    assert report.violation.guarantee == "lease safety"
    assert check(expired_at(15.0)).verdict is Verdict.HOLDS


def lock(client: str, begin: float, token: int, lease: int = 0, name: str = "l") -> Operation:
    result: Json = {"key": f"{name}/{client}", "revision": token}
    return ok(client, "lock", (begin, begin + 1), result, name=name, lease=lease)


def unlock(client: str, begin: float, name: str = "l") -> Operation:
    return ok(client, "unlock", (begin, begin + 1), key=f"{name}/{client}")


def test_a_lock_that_passes_on_after_its_unlock_is_safe() -> None:
    passed = history(lock("a", 0, 2), unlock("a", 2), lock("b", 2, 4))
    assert check_locks(passed).verdict is Verdict.HOLDS


def test_two_holders_at_once_are_found() -> None:
    both = history(lock("a", 0, 2), lock("b", 2, 4), unlock("a", 9))
    finding = check_locks(both)
    assert finding.verdict is Verdict.VIOLATED
    assert finding.operations == (0, 1)


def test_different_locks_are_independent() -> None:
    two = history(lock("a", 0, 2), lock("b", 2, 3, name="m"))
    assert check_locks(two).verdict is Verdict.HOLDS


def test_a_lock_is_free_once_its_lease_was_promised_no_longer() -> None:
    late = history(grant(10), lock("a", 0, 2, lease=7), lock("b", 20, 4))
    early = history(grant(10), lock("a", 0, 2, lease=7), lock("b", 5, 4))
    assert check_locks(late).verdict is Verdict.HOLDS
    assert check_locks(early).verdict is Verdict.VIOLATED


def test_jepsen_2020_a_token_that_does_not_grow_is_found() -> None:
    back = history(lock("a", 0, 5), unlock("a", 2), lock("b", 4, 4))
    assert check_locks(back).verdict is Verdict.VIOLATED


def test_being_told_again_is_no_second_holder() -> None:
    again = history(lock("a", 0, 2), lock("a", 2, 2))
    assert check_locks(again).verdict is Verdict.HOLDS


def test_a_keep_alive_that_found_the_lease_dead_promised_nothing() -> None:
    passed_on = history(
        grant(3), lock("a", 0, 2, lease=7), lock("b", 4, 4), keep_alive(6, 0), unlock("b", 9)
    )
    assert check_locks(passed_on).verdict is Verdict.HOLDS
