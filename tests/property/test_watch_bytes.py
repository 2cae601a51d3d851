"""The hub's hand-made bytes beside protobuf's own, and its index beside a list."""

from types import SimpleNamespace

from hypothesis import given, settings
from hypothesis import strategies as st

from kvstore.base.key_range import KeyRange
from kvstore.watch import encoding
from kvstore.watch.fragment import fragments
from kvstore.watch.range_index import RangeIndex
from kvstore.wire.pb import kv_pb2, rpc_pb2
from tests.support.watch_world import header

int64 = st.integers(-(1 << 63), (1 << 63) - 1)
keys = st.binary(min_size=1, max_size=3)
key_values = st.builds(
    kv_pb2.KeyValue,
    key=keys,
    mod_revision=st.integers(1, 1 << 40),
    value=st.binary() | st.just(b"v" * 20_000),
)
events = st.tuples(st.booleans(), key_values, key_values | st.none())


def change(is_delete: bool, now: kv_pb2.KeyValue, before: kv_pb2.KeyValue | None) -> object:
    return SimpleNamespace(
        is_delete=is_delete,
        key=now.key,
        key_value=now.SerializeToString(),
        previous=before.SerializeToString() if before else None,
    )


@given(st.lists(events, min_size=1, max_size=4), int64, int64, st.booleans())
def test_an_event_response_is_what_protobuf_writes(
    changed: list[tuple[bool, kv_pb2.KeyValue, kv_pb2.KeyValue | None]],
    watch_id: int,
    revision: int,
    prev_kv: bool,
) -> None:
    expected = rpc_pb2.WatchResponse(watch_id=watch_id)
    expected.header.member_id = 7
    expected.header.revision = revision
    for is_delete, now, before in changed:
        event = expected.events.add(kv=now)
        event.type = kv_pb2.Event.DELETE if is_delete else kv_pb2.Event.PUT
        if prev_kv and before is not None:
            event.prev_kv.CopyFrom(before)
    encoded = [encoding.EncodedEvent(1, change(*one)) for one in changed]  # type: ignore[arg-type]
    fields = encoding.event_fields(encoded, encoding.WITH_PREVIOUS if prev_kv else 0)
    message = header(revision) + encoding.watch_id_field(watch_id) + b"".join(fields)
    assert message == expected.SerializeToString(deterministic=True)


@given(int64, int64, st.text())
def test_control_responses_are_what_protobuf_writes(
    watch_id: int, revision: int, reason: str
) -> None:
    head = header(3) + encoding.watch_id_field(watch_id)
    expected = rpc_pb2.WatchResponse.FromString(header(3))
    expected.watch_id = watch_id
    compacted = rpc_pb2.WatchResponse()
    compacted.CopyFrom(expected)
    compacted.canceled = True
    compacted.compact_revision = revision
    assert rpc_pb2.WatchResponse.FromString(head + encoding.compacted_fields(revision)) == compacted
    expected.created = expected.canceled = True
    expected.cancel_reason = reason
    assert rpc_pb2.WatchResponse.FromString(head + encoding.refusal_fields(reason)) == expected


@given(st.lists(st.integers(1, 50), min_size=1, max_size=12), st.integers(20, 200))
def test_fragments_join_to_the_response_and_are_as_large_as_allowed(
    sizes: list[int], bytes_max: int
) -> None:
    head = header(9) + encoding.watch_id_field(4)
    fields = [
        encoding.event_field(change(False, kv_pb2.KeyValue(value=b"v" * size), None), b"")  # type: ignore[arg-type]
        for size in sizes
    ]
    messages = fragments(head, fields, bytes_max)
    parts = [rpc_pb2.WatchResponse.FromString(message) for message in messages]
    whole = rpc_pb2.WatchResponse.FromString(head + b"".join(fields))
    assert [event for part in parts for event in part.events] == list(whole.events)
    assert [part.fragment for part in parts] == [True] * (len(parts) - 1) + [False]
    assert {(part.watch_id, part.header.revision) for part in parts} == {(4, 9)}
    for message, part in zip(messages, parts, strict=True):
        assert len(message) < bytes_max or len(part.events) == 1
    for message, following in zip(messages, parts[1:], strict=False):
        # One more event would not have fitted.
        assert len(message) + following.events[0].ByteSize() + 2 >= bytes_max


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_the_index_finds_what_a_list_finds(data: st.DataObject) -> None:
    index: RangeIndex[KeyRange] = RangeIndex()
    ranges = st.builds(KeyRange, keys, keys | st.none()).filter(lambda keys: not keys.is_empty)
    ranges |= keys.map(KeyRange.single)
    wanted = data.draw(st.lists(ranges, unique=True, max_size=400))
    for one in wanted:
        index.add(one, one)
    gone = data.draw(st.sets(st.sampled_from(wanted))) if wanted else set()
    for one in gone:
        index.remove(one)
    left = [one for one in wanted if one not in gone]
    assert sorted(index.items(), key=repr) == sorted(left, key=repr)
    assert len(index) == len(left)
    for one in wanted:
        assert index.get(one) == (None if one in gone else one)
    probes = data.draw(st.lists(keys, max_size=20)) + [one.start for one in wanted[:20]]
    for key in probes:
        expected = [one for one in left if key in one]
        assert sorted(index.matching(key), key=repr) == sorted(expected, key=repr)
