"""put, get, del, compaction."""

import os
import sys
from typing import TYPE_CHECKING

import click

from kvstore.base.key_range import ALL_KEYS_FROM, prefix_end
from kvstore.cli.ctl.failure import Exit, Stop
from kvstore.cli.ctl.framework import GoCommand, session
from kvstore.cli.ctl.go_text import integer, quoted
from kvstore.cli.ctl.session import write

if TYPE_CHECKING:
    from kvstore.wire.pb import rpc_pb2

WARNING_S = 2.0


@click.command(cls=GoCommand, help="Puts the given key into the store")
@click.argument("words", nargs=-1)
@click.option("--lease", default="0", help="lease ID (in hexadecimal) to attach to the key")
@click.option("--prev-kv", is_flag=True, help="return the previous key-value pair")
@click.option("--ignore-value", is_flag=True, help="updates the key using its current value")
@click.option("--ignore-lease", is_flag=True, help="updates the key using its current lease")
@click.pass_context
def put(context: click.Context, /, **parameters: object) -> None:
    from kvstore.client import calls

    running = session(context)
    running.show(running.exchange(calls.put_call(put_request(parameters, may_read=True))))


def put_request(parameters: dict[str, object], *, may_read: bool) -> "rpc_pb2.PutRequest":
    """Return the request of a `put`; the value may come from standard input if `may_read`."""
    from kvstore.wire.pb import rpc_pb2

    words = _words(parameters)
    ignore_value = bool(parameters["ignore_value"])
    if not words:
        raise Stop(
            Exit.BAD_ARGS, "put command needs 1 argument and input from stdin or 2 arguments"
        )
    if ignore_value and len(words) > 1:
        raise Stop(Exit.BAD_ARGS, "put command needs only 1 argument when 'ignore-value' is set")
    try:
        lease = integer(str(parameters["lease"]), 16)
    except ValueError as error:
        raise Stop(Exit.BAD_ARGS, f"bad lease ID ({error}), expecting ID in Hex") from error
    value = words[1] if len(words) > 1 else b""
    if len(words) == 1 and not ignore_value:
        value = sys.stdin.buffer.read() if may_read and not sys.stdin.isatty() else b""
        if not value:
            raise Stop(
                Exit.BAD_ARGS, "put command needs 1 argument and input from stdin or 2 arguments"
            )
    return rpc_pb2.PutRequest(
        key=words[0],
        value=value,
        lease=lease,
        prev_kv=bool(parameters["prev_kv"]),
        ignore_value=ignore_value,
        ignore_lease=bool(parameters["ignore_lease"]),
    )


@click.command(cls=GoCommand, help="Gets the key or a range of keys")
@click.argument("words", nargs=-1)
@click.option("--consistency", default="l", help="Linearizable(l) or Serializable(s)")
@click.option("--order", default="", help="Order of results; ASCEND or DESCEND")
@click.option("--sort-by", default="", help="CREATE, KEY, MODIFY, VALUE, or VERSION")
@click.option("--limit", default="0", help="Maximum number of results")
@click.option("--rev", default="0", help="Specify the kv revision")
@click.option("--min-create-rev", default="0", help="Minimum create revision")
@click.option("--max-create-rev", default="0", help="Maximum create revision")
@click.option("--min-mod-rev", default="0", help="Minimum modification revision")
@click.option("--max-mod-rev", default="0", help="Maximum modification revision")
@click.option("--prefix", is_flag=True, help="Get keys with matching prefix")
@click.option("--from-key", is_flag=True, help="Get keys greater than or equal to the given key")
@click.option("--keys-only", is_flag=True, help="Get only the keys")
@click.option("--count-only", is_flag=True, help="Get only the count")
@click.option("--print-value-only", is_flag=True, help='Only write values, with "simple"')
@click.pass_context
def get(context: click.Context, /, **parameters: object) -> None:
    from kvstore.client import calls

    running = session(context)
    request = get_request(parameters)
    if request.count_only and running.settings.write_out != "fields":
        raise Stop(Exit.BAD_ARGS, "--count-only is only for `--write-out=fields`")
    values_only = bool(parameters["print_value_only"])
    if values_only and running.settings.write_out != "simple":
        raise Stop(Exit.BAD_ARGS, "print-value-only is only for `--write-out=simple`")
    running.show(running.exchange(calls.range_call(request)), values_only=values_only)


def get_request(parameters: dict[str, object]) -> "rpc_pb2.RangeRequest":
    from kvstore.wire.pb import rpc_pb2

    if parameters["keys_only"] and parameters["count_only"]:
        raise _both("--keys-only", "--count-only")
    key, range_end = key_and_end("get", parameters)
    consistency, order = str(parameters["consistency"]), str(parameters["order"]).upper()
    if consistency not in {"l", "s"}:
        raise Stop(Exit.BAD_FEATURE, f'unknown consistency flag "{consistency}"')
    request = rpc_pb2.RangeRequest(
        key=key,
        range_end=range_end,
        serializable=consistency == "s",
        limit=_int_flag("limit", parameters),
        revision=_int_flag("rev", parameters),
        keys_only=bool(parameters["keys_only"]),
        count_only=bool(parameters["count_only"]),
        min_create_revision=_int_flag("min-create-rev", parameters),
        max_create_revision=_int_flag("max-create-rev", parameters),
        min_mod_revision=_int_flag("min-mod-rev", parameters),
        max_mod_revision=_int_flag("max-mod-rev", parameters),
    )
    orders = {"": request.NONE, "ASCEND": request.ASCEND, "DESCEND": request.DESCEND}
    if order not in orders:
        raise Stop(Exit.BAD_FEATURE, f"bad sort order {order}")
    targets = {
        "": request.KEY,
        "KEY": request.KEY,
        "CREATE": request.CREATE,
        "MODIFY": request.MOD,
        "VALUE": request.VALUE,
        "VERSION": request.VERSION,
    }
    sort_by = str(parameters["sort_by"]).upper()
    if sort_by not in targets:
        raise Stop(Exit.BAD_FEATURE, f"bad sort target {sort_by}")
    request.sort_order = orders[order]
    request.sort_target = targets[sort_by]
    if sort_by and not order:
        request.sort_order = request.ASCEND
    return request


@click.command(cls=GoCommand, help="Removes the specified key or range of keys [key, range_end)")
@click.argument("words", nargs=-1)
@click.option("--prefix", is_flag=True, help="delete keys with matching prefix")
@click.option("--from-key", is_flag=True, help="delete keys from the given one on")
@click.option("--prev-kv", is_flag=True, help="return deleted key-value pairs")
@click.option("--range", "is_range", is_flag=True, help="delete a range without a warning")
@click.pass_context
def delete(context: click.Context, /, **parameters: object) -> None:
    from kvstore.client import calls

    running = session(context)
    request = delete_request(parameters)
    if len(_words(parameters)) > 1 and not parameters["is_range"]:
        _warn_of_range(request)
    running.show(running.exchange(calls.delete_call(request)))


def delete_request(parameters: dict[str, object]) -> "rpc_pb2.DeleteRangeRequest":
    from kvstore.wire.pb import rpc_pb2

    key, range_end = key_and_end("del", parameters)
    return rpc_pb2.DeleteRangeRequest(
        key=key, range_end=range_end, prev_kv=bool(parameters["prev_kv"])
    )


def _warn_of_range(request: "rpc_pb2.DeleteRangeRequest") -> None:
    """Give a person the time to stop a deletion of more than they meant, as etcdctl 3.6 does."""
    import threading

    click.echo(
        f"Warning: Keys between {quoted(request.key)} and {quoted(request.range_end)} will be "
        "deleted. Please interrupt the command within next 2 seconds to cancel. You can provide "
        "`--range` flag to avoid the delay.",
        err=True,
    )
    threading.Event().wait(WARNING_S)


@click.command(cls=GoCommand, help="Compacts the event history in etcd")
@click.argument("words", nargs=-1)
@click.option("--physical", is_flag=True, help="wait until the old revisions are removed")
@click.pass_context
def compaction(context: click.Context, words: tuple[str, ...], *, physical: bool) -> None:
    from kvstore.client import calls

    if len(words) != 1:
        raise Stop(Exit.BAD_ARGS, "compaction command needs 1 argument")
    try:
        revision = integer(words[0])
    except ValueError as error:
        raise Stop(Exit.ERROR, str(error)) from error
    session(context).exchange(calls.compact(revision, physical=physical))
    write(f"compacted revision {revision}")


def key_and_end(command: str, parameters: dict[str, object]) -> tuple[bytes, bytes]:
    """Return `key` and `range_end` of a command with --prefix and --from-key."""
    words = _words(parameters)
    if parameters["prefix"] and parameters["from_key"]:
        raise _both("--prefix", "--from-key")
    if not words:
        raise Stop(
            Exit.BAD_ARGS,
            f"{command} command needs one argument as key and an optional argument as range_end",
        )
    if len(words) > 1 and (parameters["prefix"] or parameters["from_key"]):
        raise Stop(
            Exit.BAD_ARGS,
            "too many arguments, only accept one argument when `--prefix` or `--from-key` is set",
        )
    key = words[0]
    if parameters["prefix"]:
        return key or b"\x00", prefix_end(key) if key else ALL_KEYS_FROM
    if parameters["from_key"]:
        return key or b"\x00", ALL_KEYS_FROM
    return key, words[1] if len(words) > 1 else b""


def _words(parameters: dict[str, object]) -> list[bytes]:
    words = parameters["words"]
    assert isinstance(words, tuple)
    return [os.fsencode(word) for word in words]


def _int_flag(name: str, parameters: dict[str, object]) -> int:
    text = str(parameters[name.replace("-", "_")])
    try:
        return integer(text)
    except ValueError as error:
        raise Stop(Exit.ERROR, f'invalid argument "{text}" for "--{name}" flag: {error}') from error


def _both(one: str, other: str) -> Stop:
    return Stop(Exit.BAD_ARGS, f"`{one}` and `{other}` cannot be set at the same time, choose one")
