"""Text as Go prints it, checked against strings that etcdctl 3.5 printed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvstore.cli.ctl.go_text import duration, duration_s, integer, quoted, size, unquoted
from kvstore.cli.ctl.output.table_format import table_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b'\x01\xff"x\n', r'"\x01\xff\"x\n"'),
        ("é".encode(), '"é"'),
        (b"\\\x7f", r'"\\\x7f"'),
        ("\u200b".encode(), r'"\u200b"'),
    ],
)
def test_bytes_are_quoted_like_percent_q(text: bytes, shown: str) -> None:
    assert quoted(text) == shown


@given(st.binary())
def test_what_is_quoted_reads_back(text: bytes) -> None:
    assert unquoted(quoted(text)) == text


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.003005974, "3.005974ms"), (5.000390417, "5.000390417s"), (61.5, "1m1.5s"), (0, "0s")],
)
def test_durations_are_shown_like_go_does(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_durations_are_read_like_go_does() -> None:
    assert duration_s("1m30s") == 90.0
    assert duration_s("500ms") == 0.5
    with pytest.raises(ValueError, match='invalid duration "5"'):
        duration_s("5")


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 B"), (20480, "20 kB"), (1_500_000, "1.5 MB"), (999, "999 B")]
)
def test_sizes_are_shown_like_go_humanize_does(count: int, shown: str) -> None:
    assert size(count) == shown


def test_integers_are_refused_in_gos_words() -> None:
    with pytest.raises(ValueError, match=r'strconv\.ParseInt: parsing "zz": invalid syntax'):
        integer("zz", 16)
    with pytest.raises(ValueError, match="value out of range"):
        integer(str(1 << 63))


def test_a_table_has_centred_titles_and_cells_to_the_right() -> None:
    assert list(table_lines(("ID", "Name"), [["12345", "default"]])) == [
        "+-------+---------+",
        "|  ID   |  NAME   |",
        "+-------+---------+",
        "| 12345 | default |",
        "+-------+---------+",
    ]
