"""What a run says is what README is given."""

import json
from pathlib import Path

import pytest

from bench.publishing import BEGIN, END, PICTURE, publish
from bench.results import load_results
from bench.workload import load_workloads


def results_file(directory: Path) -> Path:
    lines = [
        {
            "workload": "put",
            "in_flight": 64,
            "server": server,
            "rate": rate,
            "p99_ms": 1.5,
            "server_cpu_us": cpu,
            "commit": "abc",
            "cpus": 2,
            "cpu": "a processor",
            "file_system": "ext4",
            "python": "3.11",
        }
        for server, rate, cpu in (("etcd", 1000.0, 90.0), ("kvstore", 3500.0, 30.0))
    ]
    file = directory / "run.jsonl"
    file.write_text("\n".join(json.dumps(line) for line in lines))
    return file


def test_a_published_table_replaces_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    results = load_results(results_file(tmp_path))
    publish(results, "<svg/>", tmp_path)
    once = readme.read_text()
    publish(results, "<svg/>", tmp_path)

    assert "| put | 64 | 1,000 | 3,500 | **3.50x** | 3x | 1.50 → 1.50 | 90 → 30 |" in once
    assert once.startswith("before\n")
    assert once.endswith("after\n")
    assert "old" not in once
    assert readme.read_text() == once
    assert (tmp_path / PICTURE).read_text() == "<svg/>"


def test_a_readme_without_a_place_for_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("nothing")
    with pytest.raises(ValueError, match="benchmark"):
        publish(load_results(results_file(tmp_path)), "<svg/>", tmp_path)


def test_every_workload_can_be_loaded_and_makes_requests() -> None:
    for workload in load_workloads().values():
        assert workload.request(0).SerializeToString()
        assert set(workload.goals) <= set(workload.in_flight)
        assert set(workload.default_in_flight) <= set(workload.in_flight)
