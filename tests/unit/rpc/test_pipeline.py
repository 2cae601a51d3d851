import pytest

from kvstore.base.errors import Code, KeyNotProvided
from kvstore.rpc.call import UnaryCall
from kvstore.rpc.pipeline import Pipeline
from kvstore.rpc.stream_gate import StreamGate
from tests.support.fake_calls import FakeStreamCall, FakeUnaryCall


class FakeMember:
    def __init__(self) -> None:
        self.is_learner = False
        self.without_leader_s = 0.0

    def seconds_without_leader(self) -> float:
        return self.without_leader_s


@pytest.fixture
def member() -> FakeMember:
    return FakeMember()


def echo(call: UnaryCall, message: bytes) -> None:
    call.reply(message)


def test_a_call_without_metadata_reaches_its_handler(member: FakeMember) -> None:
    call = FakeUnaryCall()

    Pipeline(member).unary(echo).handle(call, b"hello")

    assert call.message == b"hello"


def test_what_a_handler_raises_becomes_the_status(member: FakeMember) -> None:
    def refuse(call: UnaryCall, message: bytes) -> None:
        raise KeyNotProvided

    call = FakeUnaryCall()
    Pipeline(member).unary(refuse).handle(call, b"")

    assert call.status == (Code.INVALID_ARGUMENT, "etcdserver: key is not provided")


def test_a_learner_refuses_what_is_not_meant_for_it(member: FakeMember) -> None:
    member.is_learner = True
    voters_only, for_learners = FakeUnaryCall(), FakeUnaryCall()

    Pipeline(member).unary(echo).handle(voters_only, b"")
    Pipeline(member).unary(echo, on_learner=True).handle(for_learners, b"x")

    refusal = (Code.FAILED_PRECONDITION, "etcdserver: rpc not supported for learner")
    assert voters_only.status == refusal
    assert for_learners.message == b"x"


def test_who_asks_for_a_leader_is_told_when_there_is_none(member: FakeMember) -> None:
    member.without_leader_s = 0.1
    asking, content = FakeUnaryCall({"hasleader": "true"}), FakeUnaryCall({"hasleader": "no"})

    Pipeline(member).unary(echo).handle(asking, b"")
    Pipeline(member).unary(echo).handle(content, b"x")

    assert asking.status == (Code.UNAVAILABLE, "etcdserver: no leader")
    assert content.message == b"x"


def test_a_client_version_that_is_no_text_is_refused(member: FakeMember) -> None:
    call, fine = FakeUnaryCall({"client-api-version": "\xff"}), FakeUnaryCall()
    fine.metadata = {"client-api-version": "3.5"}

    Pipeline(member).unary(echo).handle(call, b"")
    Pipeline(member).unary(echo).handle(fine, b"x")

    refusal = (Code.INVALID_ARGUMENT, "etcdserver: invalid client api version")
    assert call.status == refusal
    assert fine.message == b"x"


class Streams:
    def __init__(self, member: FakeMember) -> None:
        self.gate = StreamGate(member, Pipeline(member), election_timeout_s=1.0)
        self.ended: list[tuple[str, str]] = []

    def open(self, name: str, metadata: dict[str, str]) -> None:
        def end(error: Exception) -> None:
            self.ended.append((name, str(error)))

        self.release = self.gate(FakeStreamCall(metadata), end)


def test_only_streams_that_asked_for_a_leader_end_without_one(member: FakeMember) -> None:
    streams = Streams(member)
    streams.open("asked", {"hasleader": "true"})
    streams.open("content", {})

    member.without_leader_s = 2.9
    streams.gate.tick()
    assert streams.ended == []
    member.without_leader_s = 3.0
    streams.gate.tick()

    assert streams.ended == [("asked", "etcdserver: no leader")]


def test_a_released_stream_is_not_ended_any_more(member: FakeMember) -> None:
    streams = Streams(member)
    streams.open("asked", {"hasleader": "true"})

    streams.release()
    member.without_leader_s = 60.0
    streams.gate.tick()
    streams.gate.stop()

    assert streams.ended == []


def test_a_stop_ends_every_stream_and_a_refused_one_ends_at_once(member: FakeMember) -> None:
    streams = Streams(member)
    streams.open("content", {})
    streams.gate.stop()
    member.without_leader_s = 1.0
    streams.open("asked", {"hasleader": "true"})

    assert streams.ended == [
        ("content", "etcdserver: server stopped"),
        ("asked", "etcdserver: no leader"),
    ]
