"""member list, endpoint status, health, hashkv, alarm list, version."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

import click
from google.protobuf.message import Message

from kvstore.base.version import ETCD_VERSION
from kvstore.cli.ctl.failure import Exit, Stop
from kvstore.cli.ctl.framework import GoCommand, GoGroup, session
from kvstore.cli.ctl.go_text import duration, quoted, size
from kvstore.cli.ctl.output.fields_format import header_lines
from kvstore.cli.ctl.output.json_format import Json, dumped, plain
from kvstore.cli.ctl.output.simple_format import member_row
from kvstore.cli.ctl.output.table_format import table_lines
from kvstore.cli.ctl.session import Session, write
from kvstore.wire.pb import rpc_pb2

if TYPE_CHECKING:
    from kvstore.client.calls import Call

Reply = TypeVar("Reply", bound=Message)
Result = TypeVar("Result")
Reply_contra = TypeVar("Reply_contra", bound=Message, contravariant=True)
VERSION = ETCD_VERSION
API_VERSION = "3.6"


class Fields(Protocol[Reply_contra]):
    """The lines of one endpoint's reply under `-w fields`."""

    def __call__(self, name: str, reply: Reply_contra, /, *, is_hex: bool) -> list[str]: ...


@click.group(cls=GoGroup, help="Membership related commands")
def member() -> None:
    """Hold the member commands."""


@member.command("list", help="Lists all members in the cluster")
@click.argument("words", nargs=-1)
@click.option("--consistency", default="l", help="Linearizable(l) or Serializable(s)")
@click.pass_context
def list_members(context: click.Context, words: tuple[str, ...], consistency: str) -> None:
    from kvstore.client import calls

    del words  # etcdctl ignores them
    running = session(context)
    reply = running.exchange(calls.member_list(linearizable=consistency != "s"))
    if running.settings.write_out != "table":
        running.show(reply)
        return
    titles = ("ID", "Status", "Name", "Peer Addrs", "Client Addrs", "Is Learner")
    _print_table(titles, [member_row(member) for member in reply.members])


@click.group(cls=GoGroup, help="Endpoint related commands")
def endpoint() -> None:
    """Hold the endpoint commands."""


_of_cluster = click.option(
    "--cluster", is_flag=True, help="use all endpoints from the cluster member list"
)


@endpoint.command(help="Prints out the status of the endpoints")
@click.argument("words", nargs=-1)
@_of_cluster
@click.pass_context
def status(context: click.Context, words: tuple[str, ...], *, cluster: bool) -> None:
    from kvstore.client import calls

    del words
    running = session(context)
    replies, failure = _asked(
        running, endpoints_of(running, cluster=cluster), calls.status, "status"
    )
    titles = (
        "endpoint",
        "ID",
        "version",
        "storage version",
        "db size",
        "in use",
        "percentage not in use",
        "quota",
        "is leader",
        "is learner",
        "raft term",
        "raft index",
        "raft applied index",
        "errors",
        "downgrade target version",
        "downgrade enabled",
    )
    _show_each(
        running, "Status", replies=replies, titles=titles, row=_status_row, fields=_status_fields
    )
    if failure is not None:
        raise Stop(Exit.ERROR)


def _status_row(name: str, reply: rpc_pb2.StatusResponse) -> list[str]:
    unused = 100 - reply.dbSizeInUse * 100 // reply.dbSize if reply.dbSize else 0
    return [
        name,
        f"{reply.header.member_id:x}",
        reply.version,
        reply.storageVersion,
        size(reply.dbSize),
        size(reply.dbSizeInUse),
        f"{unused}%",
        size(reply.dbSizeQuota),
        _boolean(on=reply.leader == reply.header.member_id),
        _boolean(on=reply.isLearner),
        str(reply.raftTerm),
        str(reply.raftIndex),
        str(reply.raftAppliedIndex),
        ", ".join(reply.errors),
        reply.downgradeInfo.targetVersion,
        _boolean(on=reply.downgradeInfo.enabled),
    ]


def _status_fields(name: str, reply: rpc_pb2.StatusResponse, *, is_hex: bool) -> list[str]:
    return [
        *header_lines(reply.header, is_hex=is_hex),
        f'"Version" : {quoted(reply.version)}',
        f'"StorageVersion" : {quoted(reply.storageVersion)}',
        f'"DBSize" : {reply.dbSize}',
        f'"DBSizeInUse" : {reply.dbSizeInUse}',
        f'"DBSizeQuota" : {reply.dbSizeQuota}',
        f'"Leader" : {reply.leader}',
        f'"IsLearner" : {_boolean(on=reply.isLearner)}',
        f'"RaftIndex" : {reply.raftIndex}',
        f'"RaftAppliedIndex" : {reply.raftAppliedIndex}',
        f'"Errors" : [{" ".join(map(quoted, reply.errors))}]',
        f'"Endpoint" : {quoted(name)}',
        f'"DowngradeTargetVersion" : {quoted(reply.downgradeInfo.targetVersion)}',
        f'"DowngradeEnabled" : {_boolean(on=reply.downgradeInfo.enabled)}',
        "",
    ]


@endpoint.command(help="Prints the KV history hash of the endpoints")
@click.argument("words", nargs=-1)
@click.option("--rev", default=0, help="maximum revision to hash (default: all revisions)")
@_of_cluster
@click.pass_context
def hashkv(context: click.Context, words: tuple[str, ...], rev: int, *, cluster: bool) -> None:
    from kvstore.client import calls

    del words
    running = session(context)
    names = endpoints_of(running, cluster=cluster)
    replies, failure = _asked(running, names, lambda: calls.hash_kv(rev), "hash")
    if failure is not None:
        raise failure

    def row(name: str, reply: rpc_pb2.HashKVResponse) -> list[str]:
        return [name, str(reply.hash), str(reply.hash_revision)]

    def fields(name: str, reply: rpc_pb2.HashKVResponse, *, is_hex: bool) -> list[str]:
        return [
            *header_lines(reply.header, is_hex=is_hex),
            f'"Endpoint" : {quoted(name)}',
            f'"Hash" : {reply.hash}',
            f'"HashRevision" : {reply.hash_revision}',
            "",
        ]

    titles = ("endpoint", "hash", "hash_revision")
    _show_each(running, "HashKV", replies=replies, titles=titles, row=row, fields=fields)


@endpoint.command(help="Checks the healthiness of the endpoints")
@click.argument("words", nargs=-1)
@_of_cluster
@click.pass_context
def health(context: click.Context, words: tuple[str, ...], *, cluster: bool) -> None:
    del words
    running = session(context)
    found = [_health(running, name) for name in endpoints_of(running, cluster=cluster)]
    match running.settings.write_out:
        case "simple":
            for name, took, error in found:
                if error:
                    click.echo(f"{name} is unhealthy: failed to commit proposal: {error}", err=True)
                else:
                    write(f"{name} is healthy: successfully committed proposal: took = {took}")
        case "json":
            write(dumped([_health_json(*one) for one in found]))
        case "fields":
            for name, took, error in found:
                for line in (
                    f'"Endpoint" : {quoted(name)}',
                    f'"Health" : {_boolean(on=not error)}',
                    f'"Took" : {took}',
                    f'"Error" : {error}',
                    "",
                ):
                    write(line)
        case "table":
            rows = [[name, _boolean(on=not error), took, error] for name, took, error in found]
            _print_table(("endpoint", "health", "took", "error"), rows)
        case _:
            raise Stop(Exit.BAD_FEATURE, "protobuf not supported as output format")
    if any(error for _, _, error in found):
        raise Stop(Exit.ERROR, "unhealthy cluster")


def _health(running: Session, name: str) -> tuple[str, str, str]:
    """Return the endpoint, how long it took, and what is wrong with it."""
    from kvstore.client import Get, calls

    started = time.monotonic()
    error = ""
    try:
        running.exchange(calls.range_call(calls.range_request(Get("health"))), name)
    except Stop as stop:
        # Who is not allowed to read was answered, by a quorum.
        if stop.message != "etcdserver: permission denied":
            error = stop.message
    took = duration(time.monotonic() - started)
    if not error:
        try:
            alarms = running.exchange(calls.alarms(), name).alarms
        except Stop:
            error = "Unable to fetch the alarm list"
        else:
            kinds = [rpc_pb2.AlarmType.Name(alarm.alarm) for alarm in alarms]
            error = f"Active Alarm(s): {', '.join(kinds)}" if kinds else ""
    return name, took, error


def _health_json(name: str, took: str, error: str) -> Json:
    shown: dict[str, Json] = {"endpoint": name, "health": not error, "took": took}
    return {**shown, "error": error} if error else shown


@click.group(cls=GoGroup, help="Alarm related commands")
def alarm() -> None:
    """Hold the alarm commands."""


@alarm.command("list", help="Lists all alarms")
@click.argument("words", nargs=-1)
@click.pass_context
def list_alarms(context: click.Context, words: tuple[str, ...]) -> None:
    from kvstore.client import calls

    if words:
        raise Stop(Exit.BAD_ARGS, "alarm list command accepts no arguments")
    running = session(context)
    running.show(running.exchange(calls.alarms()))


@alarm.command("disarm", help="Disarms all alarms")
@click.argument("words", nargs=-1)
@click.pass_context
def disarm_alarms(context: click.Context, words: tuple[str, ...]) -> None:
    from kvstore.client import calls

    if words:
        raise Stop(Exit.BAD_ARGS, "alarm disarm command accepts no arguments")
    running = session(context)
    found = running.exchange(calls.alarms())
    disarmed = rpc_pb2.AlarmResponse(header=found.header)
    for one in calls.alarms().decode(found):
        reply = running.exchange(calls.disarm(one))
        disarmed.header.CopyFrom(reply.header)
        disarmed.alarms.extend(reply.alarms)
    running.show(disarmed)


@click.command(cls=GoCommand, help="Prints the version of etcdctl that this one stands for")
@click.argument("words", nargs=-1)
def version(words: tuple[str, ...]) -> None:
    del words
    write(f"etcdctl version: {VERSION}")
    write(f"API version: {API_VERSION}")


def endpoints_of(running: Session, *, cluster: bool) -> Sequence[str]:
    """Return the endpoints named, or those of all members."""
    if not cluster:
        return running.settings.endpoints
    from kvstore.client import calls

    members = running.exchange(calls.member_list(linearizable=True)).members
    return [url for member in members for url in member.clientURLs]


def _asked(
    running: Session,
    names: Sequence[str],
    call: "Callable[[], Call[Reply, Result]]",
    what: str,
) -> tuple[list[tuple[str, Reply]], Stop | None]:
    """Return the replies of the endpoints that answer, and the failure of the last that did not."""
    replies: list[tuple[str, Reply]] = []
    failure: Stop | None = None
    for name in names:
        try:
            replies.append((name, running.exchange(call(), name)))
        except Stop as stop:
            click.echo(f"Failed to get the {what} of endpoint {name} ({stop.message})", err=True)
            failure = stop
    return replies, failure


def _show_each(  # noqa: PLR0913  how one endpoint looks in each format
    running: Session,
    kind: str,
    *,
    replies: Sequence[tuple[str, Reply]],
    titles: Sequence[str],
    row: Callable[[str, Reply], list[str]],
    fields: "Fields[Reply]",
) -> None:
    match running.settings.write_out:
        case "simple":
            for name, reply in replies:
                write(", ".join(row(name, reply)))
        case "json":
            write(dumped([{"Endpoint": name, kind: plain(reply)} for name, reply in replies]))
        case "fields":
            for name, reply in replies:
                for line in fields(name, reply, is_hex=running.settings.is_hex):
                    write(line)
        case "table":
            _print_table(titles, [row(name, reply) for name, reply in replies])
        case _:
            raise Stop(Exit.BAD_FEATURE, "protobuf not supported as output format")


def _print_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    for line in table_lines(titles, rows):
        write(line)


def _boolean(*, on: bool) -> str:
    return "true" if on else "false"
