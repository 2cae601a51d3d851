"""How a failed call is noted: an error that is wrongly `refused` would accuse a correct store."""

import pytest

from kvstore.base.errors import Code, Compacted, NoLeader, RpcError, SpaceExceeded
from kvstore.check import Outcome
from kvstore.client import Client
from kvstore.client.errors import WriteOutcomeUnknown
from kvstore.testing import RecordingClient, SharedRecorder


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (Compacted(5), Outcome.REFUSED),
        (NoLeader(), Outcome.REFUSED),
        (WriteOutcomeUnknown(Code.DEADLINE_EXCEEDED, "too late"), Outcome.UNKNOWN),
        (SpaceExceeded(), Outcome.UNKNOWN),  # etcd may have applied what it refuses so
        (KeyboardInterrupt(), Outcome.UNKNOWN),
    ],
)
def test_an_error_is_noted_as_what_it_lets_one_conclude(
    error: BaseException, outcome: Outcome
) -> None:
    recorder = SharedRecorder()

    def fails() -> None:
        raise error

    with Client("127.0.0.1:1") as client, pytest.raises(type(error)):
        RecordingClient(client, recorder, "a").call("write", {"value": 1}, fails)
    (noted,) = recorder.history().operations
    assert noted.outcome is outcome
    assert noted.returned >= noted.invoked


def test_a_lock_that_somebody_else_has_is_refused_and_its_error_is_not() -> None:
    recorder = SharedRecorder()

    def lost() -> int:
        raise WriteOutcomeUnknown(Code.UNAVAILABLE, "gone")

    with Client("127.0.0.1:1") as client:
        recording = RecordingClient(client, recorder, "a", endpoint="m1")
        assert recording.lock("door", lambda: 7, lease=3)
        assert not recording.lock("door", lambda: None)
        with pytest.raises(RpcError):
            recording.lock("door", lost)
    taken, refused, unknown = recorder.history().operations
    assert taken.fields == {"revision": 7}
    assert taken.arguments == {"name": "door", "lease": 3}
    assert (refused.outcome, unknown.outcome) == (Outcome.REFUSED, Outcome.UNKNOWN)
    assert taken.endpoint == "m1"
