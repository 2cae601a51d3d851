"""make-mirror between our cluster and a real etcd, both ways."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kvstore.cli.ctl.mirrors import PAGE_KEYS, Mirror
from kvstore.client import Client, Delete, Put
from kvstore.client import prefix as prefix_of
from tests.support.cluster_process import KVSTORED, ClusterProcess, Program

pytestmark = [pytest.mark.slow, pytest.mark.etcd]


@pytest.fixture(scope="module")
def clusters(reference_etcd: Program) -> Iterator[dict[str, str]]:
    with ClusterProcess(KVSTORED, 1) as ours, ClusterProcess(reference_etcd, 1) as theirs:
        yield {"kvstore": ours.endpoints[0], "etcd": theirs.endpoints[0]}


@contextmanager
def mirroring(
    source: str, destination: str, *, prefix: bytes, replacement: bytes, after: int = 0
) -> Iterator[Mirror]:
    with Client(source) as reading, Client(destination) as writing:
        mirror = Mirror(reading, writing, prefix=prefix, replacement=replacement, operations_max=2)
        thread = threading.Thread(target=_run, args=(mirror, after), daemon=True)
        thread.start()
        try:
            yield mirror
        finally:
            reading.close()
            thread.join(10)


def _run(mirror: Mirror, after: int) -> None:
    try:
        mirror.run(after=after)
    except Exception:  # its client was closed
        return


def wait_for(client: Client, key: bytes, value: bytes) -> None:
    with client.watch(prefix_of(b""), start_revision=1) as watch:
        for event in watch:
            if (event.kv.key, event.kv.value) == (key, value):
                return


@pytest.mark.parametrize(("source", "destination"), [("kvstore", "etcd"), ("etcd", "kvstore")])
def test_a_mirror_copies_what_is_there_and_follows_what_comes(
    clusters: dict[str, str], source: str, destination: str
) -> None:
    name = source.encode()
    with Client(clusters[source]) as origin, Client(clusters[destination]) as copy:
        for number in range(3):
            origin.put(b"from/%s/%d" % (name, number), b"old")
        with mirroring(
            clusters[source], clusters[destination], prefix=b"from/" + name, replacement=name
        ):
            wait_for(copy, name + b"/2", b"old")
            puts = [Put(b"from/%s/%d" % (name, number), b"new") for number in range(3, 8)]
            origin.txn(success=[*puts, Delete(b"from/%s/0" % name)])
            origin.put(b"from/%s/last" % name, b"new")
            wait_for(copy, name + b"/last", b"new")
        found = copy.range(prefix_of(name + b"/")).kvs
    expected = {b"%s/%d" % (name, number): b"old" if number < 3 else b"new" for number in range(8)}
    del expected[name + b"/0"]
    assert {kv.key: kv.value for kv in found} == {**expected, name + b"/last": b"new"}


def test_more_than_a_page_is_copied_as_of_one_revision(clusters: dict[str, str]) -> None:
    count = PAGE_KEYS + 1
    with Client(clusters["kvstore"]) as origin, Client(clusters["etcd"]) as copy:
        for begin in range(0, count, 100):
            numbers = range(begin, min(begin + 100, count))
            origin.txn(success=[Put(b"many/%04d" % number, b"v") for number in numbers])
        with mirroring(
            clusters["kvstore"], clusters["etcd"], prefix=b"many/", replacement=b"many/"
        ):
            origin.put(b"many/x", b"end")
            wait_for(copy, b"many/x", b"end")
        assert copy.range(prefix_of("many/"), count_only=True).count == count + 1


def test_a_mirror_that_starts_at_a_revision_leaves_out_what_is_older(
    clusters: dict[str, str],
) -> None:
    with Client(clusters["kvstore"]) as origin, Client(clusters["etcd"]) as copy:
        origin.put(b"rev/old", b"v")
        after = origin.put(b"rev/older", b"v").header.revision
        origin.put(b"rev/young", b"v")
        with mirroring(
            clusters["kvstore"], clusters["etcd"], prefix=b"rev/", replacement=b"", after=after
        ):
            wait_for(copy, b"young", b"v")
        assert copy.get(b"old") is None
