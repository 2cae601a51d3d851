from kvstore.wire.http2.abuse import PingPolicy, RateLimit


def test_a_rate_is_exceeded_by_one_event_too_many_in_a_second() -> None:
    limit = RateLimit(3)
    assert [limit.is_exceeded(10.0) for _ in range(4)] == [False, False, False, True]
    assert not limit.is_exceeded(11.0)


def judge(pings: PingPolicy, times: list[float], *, has_streams: bool = True) -> list[bool]:
    return [pings.is_violated(t, has_streams=has_streams, has_responded=False) for t in times]


def test_the_third_strike_ends_it() -> None:
    assert judge(PingPolicy(5.0), [0.0, 1.0, 2.0, 3.0]) == [False, False, False, True]


def test_pings_at_the_interval_are_no_strikes() -> None:
    assert not any(judge(PingPolicy(5.0), [5.0 * n for n in range(100)]))


def test_without_streams_only_pings_two_hours_apart_are_permitted() -> None:
    slow = [7200.0 * n for n in range(10)]
    assert not any(judge(PingPolicy(5.0), slow, has_streams=False))
    often = [60.0 * n for n in range(4)]
    assert judge(PingPolicy(5.0), often, has_streams=False)[-1]


def test_a_response_forgives_all_strikes() -> None:
    pings = PingPolicy(5.0)
    judge(pings, [0.0, 1.0, 2.0])
    assert not pings.is_violated(2.1, has_streams=True, has_responded=True)
    assert judge(pings, [2.2, 2.3, 2.4]) == [False, False, True]
