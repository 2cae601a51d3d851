from kvstore.wire.http2.stream_ids import StreamIds


def test_a_stream_is_idle_until_it_or_a_higher_one_is_opened() -> None:
    ids = StreamIds()
    assert ids.is_idle(1)
    ids.open(5)
    assert not ids.is_idle(3)
    assert not ids.is_idle(5)
    assert ids.is_idle(7)
    assert ids.is_idle(2), "a client has no even streams"


def test_skipped_streams_are_told_from_used_ones() -> None:
    ids = StreamIds()
    for stream_id in (1, 3, 9, 11):
        ids.open(stream_id)
    assert [n for n in range(1, 13, 2) if ids.was_skipped(n)] == [5, 7]


def test_memory_is_bounded_and_keeps_the_newest() -> None:
    ids = StreamIds()
    for stream_id in range(1, 100_001, 10):
        ids.open(stream_id)
        ids.note_reset(stream_id)
    assert ids.was_skipped(99_985)
    assert ids.was_reset(99_991)
    assert not ids.was_reset(1)
    assert len(ids._skipped) <= 1024
    assert len(ids._reset) <= 1024
