"""What `kvstore.testing` records of a real server is a history that the checker understands."""

import pytest

from kvstore.base.errors import LeaseNotFound
from kvstore.check import History, Verdict, check, read_history, write_history
from kvstore.client import (
    EVERYTHING,
    Client,
    CreateRevision,
    Delete,
    Get,
    LeaseOf,
    ModRevision,
    Put,
    Txn,
    Value,
    Version,
    between,
    prefix,
)
from kvstore.testing import Cluster, RecordedWatch, RecordingClient, SharedRecorder, wait_until

pytestmark = [pytest.mark.slow]


def every_request(client: RecordingClient) -> int:
    """Make each kind of request, in each of its shapes; return the last revision."""
    revision = client.put("a", "1").header.revision
    client.put("a", "2", previous=True)
    client.put(b"\xff", b"\xfe")
    client.get("a")
    client.get("missing")
    client.get("a", serializable=True)
    client.range(EVERYTHING, limit=1)
    client.range(prefix("a"), revision=revision)
    compare = [
        Value("a") == "2",
        Version("a") > 1,
        ModRevision("a") < 99,
        CreateRevision("a") != 0,
        LeaseOf("a") == 0,
    ]
    inner = Txn([Version("b") == 0], [Put("b", "inner")], [Get("b")])
    client.txn(
        compare, [Put("c", "3", previous=True), Delete("a", previous=True), Get(EVERYTHING), inner]
    )
    client.txn([Version(prefix("c")) == 7], [], [Get("c"), Delete(between("x", "z"))])
    client.grant(60, lease_id=5)
    client.put("leased", "x", lease=5)
    assert client.keep_alive_once(5) == 60
    assert client.time_to_live(5).ttl_s > 50
    client.revoke(5)
    with pytest.raises(LeaseNotFound):
        client.put("leased", "y", lease=5)
    assert client.time_to_live(5).ttl_s == -1
    client.delete("missing")
    client.delete(prefix("c"), previous=True)
    client.compact(revision + 2)
    return client.put("a", "last").header.revision


def recorded(cluster: Cluster) -> History:
    recorder = SharedRecorder()
    watches = [
        RecordedWatch(cluster.endpoints, recorder, "all", start_revision=1, previous=True),
        RecordedWatch(cluster.endpoints, recorder, "some", keys=prefix("a"), start_revision=1),
    ]
    for watch in watches:
        watch.start()
    with cluster.client() as client:
        recording = RecordingClient(client, recorder, "one", endpoint=cluster.endpoints[0])
        every_request(recording)
        watches[0].move()
        last = every_request(recording)
    for watch in watches:
        wait_until(lambda watch=watch: watch.next_revision > last, what="the last event")  # type: ignore[misc]
        watch.request_progress()
        watch.close()
    return recorder.history()


def test_every_request_is_recorded_so_that_the_checker_explains_all(cluster: Cluster) -> None:
    history = recorded(cluster)
    report = check(history)
    assert report.verdict is Verdict.HOLDS, report.text
    assert "revisions do not decide" not in report.text
    assert len(history.watches) >= 3
    assert read_history(write_history(history)) == history


def test_a_watch_goes_on_behind_a_compaction(cluster: Cluster) -> None:
    with cluster.client() as client:
        for number in range(5):
            client.put("k", str(number))
        client.compact(4)
        recorder = SharedRecorder(is_complete=False)
        watch = RecordedWatch(cluster.endpoints, recorder, "late", start_revision=1)
        watch.start()
        wait_until(lambda: watch.next_revision > 6, what="the last event")
        watch.close()
    first, second = recorder.history().watches
    assert [response.kind for response in first.responses] == ["created", "canceled"]
    assert second.start_revision == 4
    assert [event.revision for event in second.events] == [4, 5, 6]


def test_without_revisions_keys_are_judged_by_their_values(cluster: Cluster) -> None:
    recorder = SharedRecorder()
    with cluster.client() as client, Client(cluster.endpoints) as other:
        other.put("k", "not recorded")
        one = RecordingClient(client, recorder, "one", has_revisions=False)
        one.put("mine", "1")
        one.get("mine")
        one.txn([Value("mine") == "1"], [Put("mine", "2")], [Get("mine")])
    report = check(recorder.history())
    assert report.verdict is Verdict.HOLDS, report.text
