"""The page: complete, self-contained, small enough, and seen by a browser."""

import re
import shutil
import struct
import subprocess
import zlib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from random import Random

import pytest

from kvstore.check import (
    FOREVER,
    Band,
    History,
    Report,
    ResponseKind,
    Watch,
    WatchResponse,
    check,
    timeline,
)
from tests.unit.check import anomalies
from tests.unit.check.worlds import Shape, history, ok, register_history, store_history

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def failing_report() -> Report:
    random = Random(5)
    shape = Shape(clients=5, operations=120, keys=2)
    made = None
    while made is None:
        made = anomalies.stale_read(random, register_history(random, shape))
    middle = made.end / 2
    bands = (
        Band(kind="term", name="term 2", start=0.0, end=middle, target="m1"),
        Band(kind="term", name="term 3", start=middle, end=FOREVER, target="m2"),
        Band(kind="fault", name="partition", start=middle * 0.9, end=middle * 1.1, target="m1"),
    )
    return check(replace(made, bands=bands))


class Outline(HTMLParser):
    """What the page consists of."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def count(self, tag: str, css: str) -> int:
        return sum(
            name == tag and css in (attributes.get("class") or "").split()
            for name, attributes in self.elements
        )


def test_every_operation_is_a_bar_and_every_band_is_drawn() -> None:
    report = failing_report()
    outline = Outline(timeline(replace(report, findings=())))
    bars = sum(outline.count("rect", css) for css in "oru")
    assert bars == len(report.history.operations)
    assert outline.count("rect", "t") == 2
    assert outline.count("rect", "x") == 1


def test_the_failing_part_is_drawn_alone_and_marked_in_the_whole() -> None:
    report = failing_report()
    assert report.violation is not None
    failing = report.violation.operations
    page = timeline(report)
    assert Outline(page).count("rect", "f") == 2 * len(failing)
    for index in failing:
        assert f"id=o{index} " in page
        assert f'href="#o{index}"' in page


def test_nothing_is_loaded_from_anywhere() -> None:
    page = timeline(failing_report())
    assert "default-src 'none'" in page
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", page)
    linking = [a for _, attributes in Outline(page).elements for a in attributes.items()]
    assert all((value or "").startswith("#") for name, value in linking if name in {"src", "href"})


def test_what_clients_wrote_is_no_markup() -> None:
    evil = "</title><script>alert(1)</script>"
    made = history(
        ok(evil, "write", (0.0, 1.0), key=evil, value=evil),
        ok("b", "read", (2.0, 3.0), "'\"><img src=x>", key=evil),
    )
    page = timeline(check(made))
    assert "<script>alert" not in page
    assert "<img" not in page
    assert Outline(page).count("rect", "o") == 3


def test_overlapping_operations_of_one_client_get_rows_of_their_own() -> None:
    made = history(ok("a", "write", (0.0, 5.0), value=1), ok("a", "write", (1.0, 2.0), value=2))
    assert "a +1" in timeline(check(made))


def test_keys_that_are_no_text_are_spelled_out() -> None:
    made = history(
        ok("\udcfe", "write", (0.0, 1.0), key="\udcff", value=1),
        ok("\udcfe", "read", (2.0, 3.0), 2, key="\udcff"),
    )
    report = check(made)
    assert "\\udcff" in report.text
    assert timeline(report).encode("utf-8")


def test_a_watch_that_broke_a_guarantee_is_framed_and_linked() -> None:
    random = Random(3)
    bad = None
    while bad is None:
        made, _ = store_history(random, Shape(clients=3, operations=60, keys=2, unknown=0))
        bad = anomalies.duplicate_event(random, made)
    page = timeline(check(bad))
    frames = [a["id"] for tag, a in Outline(page).elements if a.get("class") == "h"]
    assert len(frames) == 1
    assert f'href="#{frames[0]}"' in page


def test_the_streams_of_one_client_share_a_row() -> None:
    def stream(name: str, begin: float) -> Watch:
        told = WatchResponse(kind=ResponseKind.CREATED, time=begin, revision=1)
        last = WatchResponse(kind=ResponseKind.PROGRESS, time=begin + 1, revision=1)
        return Watch(name=name, client="a", key="k", responses=(told, last))

    after, beside = [stream("w1", 0.0), stream("w2", 2.0)], [stream("w1", 0.0), stream("w2", 0.5)]
    for watches, rows in ((after, 1), (beside, 2)):
        page = timeline(check(History(watches=tuple(watches))))
        assert page.count("⊙</text>") == rows


def test_an_empty_history_has_a_page() -> None:
    assert "Verdict: holds" in timeline(check(History()))


@pytest.mark.slow
def test_ten_thousand_operations_fit_in_five_megabytes() -> None:
    made, _ = store_history(Random(1), Shape(clients=20, operations=10_000, keys=98, unknown=0))
    assert len(timeline(Report(made, ())).encode()) < 5_000_000


# --- in a browser


def colours(png: bytes) -> dict[bytes, int]:
    """Count the pixels of each colour in an 8-bit RGB or RGBA image."""
    width, height, _, kind = struct.unpack(">IIBB", png[16:26])
    size = {2: 3, 6: 4}[kind]
    place, packed = 8, b""
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        if png[place + 4 : place + 8] == b"IDAT":
            packed += png[place + 8 : place + 8 + length]
        place += 12 + length
    raw, stride = zlib.decompress(packed), width * size
    above, found = bytearray(stride), dict[bytes, int]()
    for row in range(height):
        start = row * (stride + 1)
        line = unfiltered(raw[start], bytearray(raw[start + 1 : start + 1 + stride]), above, size)
        for x in range(0, stride, size):
            pixel = bytes(line[x : x + 3])
            found[pixel] = found.get(pixel, 0) + 1
        above = line
    return found


def unfiltered(kind: int, line: bytearray, above: bytearray, size: int) -> bytearray:
    """Undo a PNG row filter (RFC 2083 §6)."""
    for i in range(len(line)):
        left = line[i - size] if i >= size else 0
        corner = above[i - size] if i >= size else 0
        up = above[i]
        if kind == 1:
            guess = left
        elif kind == 2:
            guess = up
        elif kind == 3:
            guess = (left + up) // 2
        elif kind == 4:
            estimate = left + up - corner
            guess = min((left, up, corner), key=lambda value: abs(estimate - value))
        else:
            guess = 0
        line[i] = (line[i] + guess) & 0xFF
    return line


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="neither chromium nor google-chrome is on PATH")
def test_a_browser_shows_bars_bands_and_the_failing_part(tmp_path: Path) -> None:
    assert CHROMIUM is not None
    page, shot = tmp_path / "page.html", tmp_path / "page.png"
    page.write_text(timeline(failing_report()), encoding="utf-8")
    subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--window-size=1000,900",
            f"--screenshot={shot}",
            page.as_uri(),
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    seen = colours(shot.read_bytes())
    for colour, what in (
        ("2f7fb8", "operations that are ok"),
        ("d7e8d4", "terms"),
        ("b3261e", "the failing part"),
        ("c98a12", "unknown operations"),
        ("fae3dc", "faults"),
    ):
        assert seen.get(bytes.fromhex(colour), 0) > 20, f"{what} cannot be seen"
    assert seen[b"\xff\xff\xff"] < 0.98 * sum(seen.values())
