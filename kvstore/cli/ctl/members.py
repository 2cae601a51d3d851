"""member add, remove, update, promote: changes of who takes part."""

import click
from google.protobuf.message import Message

from kvstore.cli.ctl.cluster import member
from kvstore.cli.ctl.failure import Exit, Stop
from kvstore.cli.ctl.framework import session
from kvstore.cli.ctl.go_text import quoted
from kvstore.cli.ctl.session import Session, write
from kvstore.wire.pb import rpc_pb2

_peer_urls = click.option(
    "--peer-urls", default="", help="comma separated peer URLs for the new member."
)


@member.command(help="Adds a member into the cluster")
@click.argument("words", nargs=-1)
@_peer_urls
@click.option("--learner", is_flag=True, help="indicates if the new member is raft learner")
@click.pass_context
def add(context: click.Context, words: tuple[str, ...], peer_urls: str, *, learner: bool) -> None:
    from kvstore.client import admin_calls

    if not words:
        raise Stop(Exit.BAD_ARGS, "member name not provided")
    if len(words) > 1:
        meant = [f", did you mean --peer-urls={word}" for word in words if word[:4] == "http"]
        raise Stop(Exit.BAD_ARGS, "too many arguments" + "".join(meant))
    if not peer_urls:
        raise Stop(Exit.BAD_ARGS, "member peer urls not provided")
    running = session(context)
    reply = running.exchange(admin_calls.member_add(peer_urls.split(","), is_learner=learner))
    if running.settings.write_out != "simple":
        running.show(reply)
        return
    how = " as learner " if reply.member.isLearner else " "
    write(f"Member {reply.member.ID:16x} added{how}to cluster {reply.header.cluster_id:16x}")
    for line in environment_lines(words[0], reply):
        write(line)


def environment_lines(name: str, reply: rpc_pb2.MemberAddResponse) -> list[str]:
    """Return the variables with which the new member is to be started."""
    cluster = [
        f"{name if each.ID == reply.member.ID else each.name}={url}"
        for each in reply.members
        for url in each.peerURLs
    ]
    return [
        "",
        f"ETCD_NAME={quoted(name)}",
        f"ETCD_INITIAL_CLUSTER={quoted(','.join(cluster))}",
        f"ETCD_INITIAL_ADVERTISE_PEER_URLS={quoted(','.join(reply.member.peerURLs))}",
        'ETCD_INITIAL_CLUSTER_STATE="existing"',
    ]


@member.command(help="Removes a member from the cluster")
@click.argument("words", nargs=-1)
@click.pass_context
def remove(context: click.Context, words: tuple[str, ...]) -> None:
    from kvstore.client import admin_calls

    member_id = _member_id(words)
    running = session(context)
    reply = running.exchange(admin_calls.member_remove(member_id))
    _show(running, reply, f"Member {member_id:16x} removed from cluster")


@member.command(help="Updates a member in the cluster")
@click.argument("words", nargs=-1)
@_peer_urls
@click.pass_context
def update(context: click.Context, words: tuple[str, ...], peer_urls: str) -> None:
    from kvstore.client import admin_calls

    member_id = _member_id(words)
    if not peer_urls:
        raise Stop(Exit.BAD_ARGS, "member peer urls not provided")
    running = session(context)
    reply = running.exchange(admin_calls.member_update(member_id, peer_urls.split(",")))
    _show(running, reply, f"Member {member_id:16x} updated in cluster")


@member.command(help="Promotes a non-voting member in the cluster")
@click.argument("words", nargs=-1)
@click.pass_context
def promote(context: click.Context, words: tuple[str, ...]) -> None:
    from kvstore.client import admin_calls

    member_id = _member_id(words)
    running = session(context)
    reply = running.exchange(admin_calls.member_promote(member_id))
    _show(running, reply, f"Member {member_id:16x} promoted in cluster")


def _member_id(words: tuple[str, ...]) -> int:
    if len(words) != 1:
        raise Stop(Exit.BAD_ARGS, "member ID is not provided")
    try:
        return int(words[0], 16)
    except ValueError:
        problem = f"bad member ID arg (strconv.ParseUint: parsing {quoted(words[0])}: "
        raise Stop(Exit.BAD_ARGS, problem + "invalid syntax), expecting ID in Hex") from None


def _show(running: Session, reply: Message, sentence: str) -> None:
    if running.settings.write_out != "simple":
        running.show(reply)
        return
    header = getattr(reply, "header", rpc_pb2.ResponseHeader())
    write(f"{sentence} {header.cluster_id:16x}")
