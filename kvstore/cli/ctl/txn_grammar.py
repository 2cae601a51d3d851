"""The language of `txn`: comparisons and operations, one a line."""

import os
import re
from typing import TYPE_CHECKING

import click

from kvstore.cli.ctl.failure import Exit, Stop
from kvstore.cli.ctl.go_text import integer, quoted, unquoted
from kvstore.cli.ctl.keys import delete, delete_request, get, get_request, put, put_request

if TYPE_CHECKING:
    from kvstore.wire.pb import rpc_pb2

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_REST = re.compile(rf"\s*({_QUOTED})\)\s+(\S+)(?:\s+({_QUOTED}))?")
_WORD = re.compile(rf"{_QUOTED}|'[^']*'|[^'\"\s]\S*[^'\"\s]?")
_TARGETS = {
    "ver": "version",
    "version": "version",
    "c": "create_revision",
    "create": "create_revision",
    "m": "mod_revision",
    "mod": "mod_revision",
    "val": "value",
    "value": "value",
    "lease": "lease",
}
_OPERATORS = {"=": "EQUAL", "!=": "NOT_EQUAL", ">": "GREATER", "<": "LESS"}


def comparison(line: str) -> "rpc_pb2.Compare":
    """Read a line such as `mod("k") > "0"`.

    Raises:
        Stop: with exit code 3 and etcdctl's text.
    """
    from kvstore.wire.pb import rpc_pb2

    target, parenthesis, rest = line.partition("(")
    if not parenthesis:
        raise Stop(Exit.INVALID_INPUT, f"malformed comparison: {line}")
    key, operator, operand = _operands(line, target, rest)
    if target not in _TARGETS:
        raise Stop(Exit.INVALID_INPUT, f"malformed comparison: {line} (unknown target {target})")
    if operator not in _OPERATORS:
        raise Stop(Exit.INVALID_INPUT, f"malformed comparison: {line} (unknown op {operator})")
    field = _TARGETS[target]
    compare = rpc_pb2.Compare(
        key=key,
        result=rpc_pb2.Compare.CompareResult.Value(_OPERATORS[operator]),
        target=rpc_pb2.Compare.CompareTarget.Value(field.removesuffix("_revision").upper()),
    )
    if field == "value":
        compare.value = operand
        return compare
    try:
        number = integer(os.fsdecode(operand), 16 if field == "lease" else 10)
    except ValueError as error:
        raise Stop(Exit.INVALID_INPUT, f"invalid txn compare request: {line}") from error
    setattr(compare, field, number)
    return compare


def _operands(line: str, target: str, rest: str) -> tuple[bytes, str, bytes]:
    """Scan `"key") operator "operand"`, and complain with what was read so far."""
    found = _REST.match(rest)
    key, operator, operand = found.groups() if found else (None, "", None)
    if key is not None and operand is not None:
        try:
            return unquoted(key), operator, unquoted(operand)
        except ValueError as error:
            raise Stop(Exit.INVALID_INPUT, f"malformed comparison: {line} ({error})") from error
    read = quoted(unquoted(key)) if key else '""'
    raise Stop(
        Exit.INVALID_INPUT, f'malformed comparison: {line}; got {target}({read}) {operator} ""'
    )


def words(line: str) -> list[str]:
    """Split a line like a shell: '...' is literal, "..." is a Go string."""
    result = []
    for word in _WORD.findall(line):
        if word[0] == "'":
            result.append(word[1:-1])
        elif word[0] == '"':
            try:
                result.append(os.fsdecode(unquoted(word)))
            except ValueError as error:
                raise Stop(Exit.INVALID_INPUT, f"invalid txn request: {line}") from error
        else:
            result.append(word)
    return result


def operation(line: str) -> "rpc_pb2.RequestOp":
    """Read a line such as `put k v --lease=1f`.

    Raises:
        Stop: with etcdctl's exit code and text.
    """
    from kvstore.wire.pb import rpc_pb2

    name, *arguments = words(line) or [""]
    if not arguments:
        raise Stop(Exit.INVALID_INPUT, f"invalid txn compare request: {line}")
    match name:
        case "put":
            request = put_request(_parsed(put, arguments, line), may_read=False)
            return rpc_pb2.RequestOp(request_put=request)
        case "get":
            return rpc_pb2.RequestOp(request_range=get_request(_parsed(get, arguments, line)))
        case "del":
            deletion = delete_request(_parsed(delete, arguments, line))
            return rpc_pb2.RequestOp(request_delete_range=deletion)
        case _:
            raise Stop(Exit.INVALID_INPUT, f"invalid txn request: {line}")


def _parsed(command: click.Command, arguments: list[str], line: str) -> dict[str, object]:
    try:
        return command.make_context(command.name, arguments).params
    except click.UsageError as error:
        raise Stop(Exit.INVALID_INPUT, f"invalid txn request: {line}") from error
