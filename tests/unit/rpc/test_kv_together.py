"""Calls that arrive together are answered as they would be one by one."""

from collections.abc import Awaitable, Callable

from kvstore.wire.pb import rpc_pb2
from tests.support.hot_path import HotPath

PUT, RANGE, DELETE = (f"/etcdserverpb.KV/{name}" for name in ("Put", "Range", "DeleteRange"))
Run = Callable[[Callable[[HotPath], Awaitable[None]]], None]


def put(key: bytes, value: bytes = b"v", **fields: int) -> bytes:
    return rpc_pb2.PutRequest(key=key, value=value, **fields).SerializeToString()  # type: ignore[arg-type]


def get(key: bytes, **fields: bool) -> bytes:
    return rpc_pb2.RangeRequest(key=key, **fields).SerializeToString()  # type: ignore[arg-type]


def test_puts_are_answered_with_their_revisions_in_the_order_in_which_they_came(run: Run) -> None:
    async def test(member: HotPath) -> None:
        before = member.member.machine.store.revision
        answers = await member.calls(PUT, [put(b"k%d" % (n % 7)) for n in range(100)])
        replies = [rpc_pb2.PutResponse.FromString(answer.message) for answer in answers]

        revisions = [reply.header.revision for reply in replies]
        assert revisions == list(range(before + 1, before + 101))
        expected = rpc_pb2.PutResponse(header=replies[0].header)
        for reply, answer in zip(replies, answers, strict=True):
            expected.header.revision = reply.header.revision
            assert answer.message == expected.SerializeToString()
        (answer,) = await member.calls(RANGE, [get(b"k1")])
        (found,) = rpc_pb2.RangeResponse.FromString(answer.message).kvs
        assert (found.create_revision, found.version) == (before + 2, 15)

    run(test)


def test_ranges_are_answered_whether_their_key_is_there_or_deleted_or_never_was(run: Run) -> None:
    async def test(member: HotPath) -> None:
        await member.calls(PUT, [put(b"here", b"1"), put(b"gone"), put(b"here", b"2")])
        await member.calls(DELETE, [rpc_pb2.DeleteRangeRequest(key=b"gone").SerializeToString()])
        keys = [b"here", b"gone", b"never", b"here"]
        for serializable in (False, True):
            together = await member.calls(RANGE, [get(k, serializable=serializable) for k in keys])
            apart = [
                (await member.calls(RANGE, [get(key, serializable=serializable)]))[0]
                for key in keys
            ]

            assert [answer.message for answer in together] == [answer.message for answer in apart]
            first = rpc_pb2.RangeResponse.FromString(together[0].message)
            assert (first.count, first.kvs[0].value) == (1, b"2")

    run(test)


def test_a_refused_put_among_others_is_refused_alone(run: Run) -> None:
    async def test(member: HotPath) -> None:
        good, unknown, empty = put(b"a"), put(b"b", lease=77), put(b"")
        answers = await member.calls(PUT, [good, unknown, empty, good])

        assert answers[0].message != answers[3].message
        assert answers[1].refusal == "etcdserver: requested lease not found"
        assert answers[2].refusal == "etcdserver: key is not provided"

    run(test)


def test_while_authentication_is_on_calls_that_come_together_are_asked_who_they_are(
    run: Run,
) -> None:
    async def test(member: HotPath) -> None:
        auth = "/etcdserverpb.Auth/"
        user = rpc_pb2.AuthUserAddRequest(name="root", password="x").SerializeToString()
        grant = rpc_pb2.AuthUserGrantRoleRequest(user="root", role="root").SerializeToString()
        role = rpc_pb2.AuthRoleAddRequest(name="root").SerializeToString()
        for name, message in (
            ("RoleAdd", role), ("UserAdd", user), ("UserGrantRole", grant), ("AuthEnable", b"")
        ):  # fmt: skip
            _ = (await member.calls(auth + name, [message]))[0].message
        for path, message in ((PUT, put(b"a")), (RANGE, get(b"a"))):
            answers = await member.calls(path, [message, message])
            assert {answer.refusal for answer in answers} == {"etcdserver: user name is empty"}

    run(test)


def test_transactions_are_answered_as_the_general_path_answers_them(run: Run) -> None:
    def swap(version: int, *, reads: bool) -> rpc_pb2.TxnRequest:
        request = rpc_pb2.TxnRequest()
        request.compare.add(key=b"k", target=rpc_pb2.Compare.VERSION, version=version)
        put = request.success.add().request_put
        put.key, put.value = b"k", b"v%d" % version
        if reads:
            request.failure.add().request_range.key = b"k"
        return request

    async def test(member: HotPath) -> None:
        path = "/etcdserverpb.KV/Txn"
        before = member.member.machine.store.revision
        requests = [swap(0, reads=True), swap(5, reads=True), swap(1, reads=False)]
        together = await member.calls(path, [one.SerializeToString() for one in requests])
        replies = [rpc_pb2.TxnResponse.FromString(answer.message) for answer in together]
        assert [reply.succeeded for reply in replies] == [True, False, True]
        assert [reply.header.revision - before for reply in replies] == [1, 1, 2]
        (read,) = replies[1].responses
        assert (read.response_range.count, read.response_range.kvs[0].value) == (1, b"v0")

        late = [swap(0, reads=True), swap(9, reads=False)]
        together = await member.calls(path, [one.SerializeToString() for one in late])
        late[0].success.add().request_range.key = b"x"  # of another shape, with the same outcome
        late[1].success.add().request_range.key = b"x"
        apart = await member.calls(path, [one.SerializeToString() for one in late])
        assert [answer.message for answer in together] == [answer.message for answer in apart]

    run(test)
