"""Which lines of a log are shown, and how."""

import asyncio
from pathlib import Path

import pytest

from cluster.apiserver.node_logs import chosen_container, kubelet_url, why_waiting
from cluster.kube_api.errors import ApiError
from cluster.kube_api.objects import JsonObject
from cluster.kubelet.logs import BadLogOptions, LogOptions, lines, read_options, shown

FIRST = b"2026-01-01T00:00:01.000000Z stdout F one\n"
SECOND = b"2026-01-01T00:00:02.000000Z stderr F two\n"
PART = b"2026-01-01T00:00:03.000000Z stdout P beginning of a long \n"
REST = b"2026-01-01T00:00:03.000000Z stdout F line\n"


async def read(path: Path, options: LogOptions, *, runs: bool = False) -> bytes:
    return b"".join([line async for line in lines(path, options, lambda: runs)])


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.write_bytes(FIRST + SECOND + PART + REST)
    return path


@pytest.fixture
def two_lines(tmp_path: Path) -> Path:
    path = tmp_path / "two"
    path.write_bytes(FIRST + SECOND)
    return path


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """The second line is just being written."""
    path = tmp_path / "begun"
    path.write_bytes(FIRST + SECOND[:20])
    return path


async def test_lines_are_shown_without_their_marks_and_long_ones_whole(log: Path) -> None:
    assert await read(log, LogOptions()) == b"one\ntwo\nbeginning of a long line\n"


async def test_the_last_lines_the_first_bytes_and_what_came_since(two_lines: Path) -> None:
    log = two_lines
    assert await read(log, LogOptions(tail_lines=1)) == b"two\n"
    assert await read(log, LogOptions(tail_lines=0)) == b""
    assert await read(log, LogOptions(bytes_max=6)) == b"one\ntw"
    since = read_options({"sinceTime": "2026-01-01T00:00:02Z"}, now=0)
    assert await read(log, since) == b"two\n"


def test_timestamps_stand_in_front_if_asked_for() -> None:
    options = LogOptions(has_timestamps=True)
    assert shown(FIRST, options) == b"2026-01-01T00:00:01.000000Z one\n"


async def test_a_follower_is_shown_what_comes_until_the_container_has_ended(begun: Path) -> None:
    is_running = True
    seen: list[bytes] = []

    async def follow() -> None:
        async for line in lines(begun, LogOptions(follows=True), lambda: is_running):
            seen.append(line)  # noqa: PERF401 - each one as it comes

    following = asyncio.ensure_future(follow())
    async with asyncio.timeout(10):
        while seen != [b"one\n"]:  # noqa: ASYNC110 - a follower has no event to wait for
            await asyncio.sleep(0)
        with begun.open("ab") as file:
            file.write(SECOND[20:])
        is_running = False
        await following
    assert seen == [b"one\n", b"two\n"]


@pytest.mark.parametrize("query", [{"tailLines": "-1"}, {"limitBytes": "x"}, {"sinceSeconds": ""}])
def test_a_number_that_is_none_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(BadLogOptions):
        read_options(query, now=0)


def pod(*names: str, **status: object) -> JsonObject:
    containers = [{"name": name} for name in names]
    return {"metadata": {"name": "p"}, "spec": {"containers": containers}, "status": status}


def test_one_container_need_not_be_named_and_of_several_one_must() -> None:
    assert chosen_container(pod("a"), "") == "a"
    with pytest.raises(ApiError) as caught:
        chosen_container(pod("a", "b"), "")
    assert caught.value.code == 400
    assert caught.value.message == (
        "a container name must be specified for pod p, choose one of: [a b]"
    )
    with pytest.raises(ApiError, match="container c is not valid for pod p"):
        chosen_container(pod("a"), "c")


def test_a_container_that_waits_for_the_first_time_has_no_log() -> None:
    waiting = {"name": "a", "state": {"waiting": {"reason": "ContainerCreating"}}}
    assert why_waiting(pod("a", containerStatuses=[waiting]), "a") == "ContainerCreating"
    again = {**waiting, "lastState": {"terminated": {"exitCode": 1}}}
    assert why_waiting(pod("a", containerStatuses=[again]), "a") == ""


def test_a_kubelet_is_met_at_its_host_name_before_its_address() -> None:
    node: JsonObject = {
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": "::1"},
                {"type": "Hostname", "address": "n1"},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 1234}},
        }
    }
    assert kubelet_url(node, is_tls=True) == "https://n1:1234"
    del node["status"]["addresses"][1]
    assert kubelet_url(node, is_tls=False) == "http://[::1]:1234"
