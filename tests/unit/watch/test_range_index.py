from kvstore.base.key_range import KeyRange
from kvstore.watch.range_index import RangeIndex


def numbered(start: int, end: int) -> KeyRange:
    return KeyRange(b"%06d" % start, b"%06d" % end)


def test_thousands_of_nested_and_neighbouring_ranges_are_found() -> None:
    index: RangeIndex[tuple[int, int]] = RangeIndex()
    ranges = [(n, 4000 - n) for n in range(0, 1500, 3)] + [(n, n + 2) for n in range(0, 4000, 2)]
    for start, end in ranges:
        index.add(numbered(start, end), (start, end))
    for probe in (0, 1, 777, 1501, 2000, 3999, 4000):
        found = index.matching(b"%06d" % probe)
        assert sorted(found) == sorted(r for r in ranges if r[0] <= probe < r[1])
    for start, end in ranges:
        index.remove(numbered(start, end))
    assert index.matching(b"000777") == []
    assert len(index) == 0


def test_a_range_of_one_key_written_out_is_the_single_key() -> None:
    index: RangeIndex[str] = RangeIndex()
    index.add(KeyRange(b"k", b"k\x00"), "single")
    assert index.matching(b"k") == ["single"]
    assert index.matching(b"k\x00") == []
    assert index.get(KeyRange.single(b"k")) == "single"
