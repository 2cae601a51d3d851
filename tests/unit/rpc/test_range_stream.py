"""KV/RangeStream: its merged messages are what Range answers."""

import pytest

from kvstore.base.errors import Code
from kvstore.wire.pb import rpc_pb2
from tests.simulation.members.calls import Status, StreamRequest
from tests.support.sim_member_lab import MemberLab

PATH = "/etcdserverpb.KV/RangeStream"
KEYS = 40


class Collector:
    def __init__(self) -> None:
        self.messages: list[rpc_pb2.RangeResponse] = []
        self.status: Status | None = None

    def received(self, message: bytes, sent_state: int) -> None:
        self.messages.append(rpc_pb2.RangeStreamResponse.FromString(message).range_response)

    def ended(self, status: Status) -> None:
        self.status = status


@pytest.fixture
def lab() -> MemberLab:
    lab = MemberLab(1)
    for number in range(KEYS):
        lab.put(lab.leader(), b"k%02d" % number, b"v" * 100_000)
    return lab


def stream(lab: MemberLab, request: rpc_pb2.RangeRequest) -> Collector:
    collector = Collector()
    call = StreamRequest(lab._wire, lab.leader(), PATH, collector, message_s=0.0001)
    call.request(request.SerializeToString())
    lab.elapse(5.0)
    return collector


@pytest.mark.parametrize(
    "request_",
    [
        rpc_pb2.RangeRequest(key=b"k", range_end=b"l"),
        rpc_pb2.RangeRequest(key=b"k", range_end=b"l", limit=17),
        rpc_pb2.RangeRequest(key=b"k", range_end=b"l", count_only=True),
        rpc_pb2.RangeRequest(key=b"k", range_end=b"l", keys_only=True, serializable=True),
        rpc_pb2.RangeRequest(key=b"k05"),
        rpc_pb2.RangeRequest(key=b"nothing"),
        rpc_pb2.RangeRequest(key=b"k", range_end=b"l", revision=20),
    ],
    ids=str,
)
def test_the_messages_add_up_to_the_answer_of_range(
    lab: MemberLab, request_: rpc_pb2.RangeRequest
) -> None:
    found = stream(lab, request_)
    assert found.status is not None
    assert found.status.code == Code.OK
    merged = rpc_pb2.RangeResponse()
    for message in found.messages:
        merged.MergeFrom(message)
    expected = lab.call(lab.leader(), "KV/Range", request_, rpc_pb2.RangeResponse)
    assert merged == expected
    assert all(not message.HasField("header") for message in found.messages[:-1])


def test_messages_are_bounded_and_the_first_comes_soon(lab: MemberLab) -> None:
    found = stream(lab, rpc_pb2.RangeRequest(key=b"k", range_end=b"l"))
    sizes = [len(message.kvs) for message in found.messages]
    limit = lab.leader().node.member.config.limits.request_bytes_max
    assert sum(sizes) == KEYS
    assert sizes[0] <= 10
    assert all(message.ByteSize() <= limit for message in found.messages)


@pytest.mark.parametrize(
    ("request_", "code", "text"),
    [
        (rpc_pb2.RangeRequest(), Code.INVALID_ARGUMENT, "key is not provided"),
        (
            rpc_pb2.RangeRequest(key=b"k", sort_order=rpc_pb2.RangeRequest.DESCEND),
            Code.UNIMPLEMENTED,
            "RangeStream does not support custom sort orders",
        ),
        (
            rpc_pb2.RangeRequest(key=b"k", min_mod_revision=1),
            Code.UNIMPLEMENTED,
            "RangeStream does not support revision filters",
        ),
        (rpc_pb2.RangeRequest(key=b"k", revision=999), Code.OUT_OF_RANGE, "future revision"),
    ],
)
def test_what_etcd_refuses_is_refused(
    lab: MemberLab, request_: rpc_pb2.RangeRequest, code: Code, text: str
) -> None:
    found = stream(lab, request_)
    assert found.status is not None
    assert found.status.code == code
    assert text in found.status.text
    assert not found.messages
