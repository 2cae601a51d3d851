"""Calls that come in pieces within one turn are served as one, and answered one by one."""

from collections.abc import Awaitable, Callable

from kvstore.base.errors import MemberFailed
from kvstore.wire.pb import rpc_pb2
from tests.support.hot_path import Answer, HotPath

PUT, RANGE, TXN = (f"/etcdserverpb.KV/{name}" for name in ("Put", "Range", "Txn"))
Run = Callable[[Callable[[HotPath], Awaitable[None]]], None]


async def in_pieces(member: HotPath, calls: list[tuple[str, bytes]]) -> list[Answer]:
    """Make calls that arrive one by one before the member's next turn."""
    first = member._next_stream
    *others, last = [member.requests(path, [message]) for path, message in calls]
    for piece in others:
        member.connection.data_received(piece)
    answers = member._answers(await member.round(last))
    return [answers[first + 2 * number] for number in range(len(calls))]


def put(key: bytes, value: bytes = b"v") -> tuple[str, bytes]:
    return PUT, rpc_pb2.PutRequest(key=key, value=value).SerializeToString()


def get(key: bytes) -> tuple[str, bytes]:
    return RANGE, rpc_pb2.RangeRequest(key=key).SerializeToString()


def create(key: bytes) -> tuple[str, bytes]:
    request = rpc_pb2.TxnRequest(compare=[rpc_pb2.Compare(key=key, version=0)])
    wanted = request.success.add().request_put
    wanted.key, wanted.value = key, b"created"
    return TXN, request.SerializeToString()


def test_writes_of_one_turn_are_one_entry_with_a_revision_each(run: Run) -> None:
    async def test(member: HotPath) -> None:
        machine = member.member.machine
        index, revision = machine.applied.index, machine.store.revision
        answers = await in_pieces(member, [put(b"a"), create(b"b"), put(b"a"), create(b"b")])
        assert machine.applied.index == index + 1

        puts = [rpc_pb2.PutResponse.FromString(answers[place].message) for place in (0, 2)]
        txns = [rpc_pb2.TxnResponse.FromString(answers[place].message) for place in (1, 3)]
        assert [txn.succeeded for txn in txns] == [True, False]
        revisions = {reply.header.revision for reply in (*puts, txns[0])}
        assert revisions == {revision + 1, revision + 2, revision + 3}

    run(test)


def test_each_reader_gets_its_own_key(run: Run) -> None:
    async def test(member: HotPath) -> None:
        await in_pieces(member, [put(b"a", b"1"), put(b"b", b"2")])
        answers = await in_pieces(member, [get(b"a"), get(b"none"), get(b"b"), get(b"a")])
        found = [rpc_pb2.RangeResponse.FromString(answer.message) for answer in answers]
        assert [[kv.value for kv in reply.kvs] for reply in found] == [[b"1"], [], [b"2"], [b"1"]]

    run(test)


def test_a_refused_call_is_refused_alone(run: Run) -> None:
    async def test(member: HotPath) -> None:
        answers = await in_pieces(member, [put(b"a"), put(b""), put(b"c")])
        assert answers[1].refusal == "etcdserver: key is not provided"
        assert all(answers[place].message for place in (0, 2))

    run(test)


def test_who_was_gathered_when_the_member_stops_is_told(run: Run) -> None:
    async def test(member: HotPath) -> None:
        first = member._next_stream
        before, after = (
            member.requests(path, [message]) for path, message in (put(b"a"), get(b"a"))
        )
        member.connection.data_received(before)
        member.member.stop(MemberFailed("for this test"))
        answers = member._answers(await member.round(after))
        refusals = [answers[first + 2 * number].refusal for number in range(2)]
        assert refusals == ["etcdserver: server stopped"] * 2

    run(test)
