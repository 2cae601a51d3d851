"""role add, delete, get, list, grant-permission, revoke-permission."""

import os
from collections.abc import Iterator, Sequence

import click

from kvstore.base.key_range import ALL_KEYS_FROM, prefix_end
from kvstore.cli.ctl.auth_commands import OneRpc, asked, show
from kvstore.cli.ctl.failure import Exit, Stop
from kvstore.cli.ctl.framework import GoGroup, session
from kvstore.wire.pb import auth_pb2, rpc_pb2

_TYPES = auth_pb2.Permission.Type
_READS = (auth_pb2.Permission.READ, auth_pb2.Permission.READWRITE)
_WRITES = (auth_pb2.Permission.WRITE, auth_pb2.Permission.READWRITE)


@click.group(cls=GoGroup, help="Role related commands")
def role() -> None:
    """Hold the role commands."""


@role.command(name="grant-permission", help="Grants a key to a role")
@click.argument("words", nargs=-1)
@click.option("--prefix", is_flag=True, help="grant a prefix permission")
@click.option("--from-key", is_flag=True, help="grant a permission of keys from the given one on")
@click.pass_context
def grant_permission(
    context: click.Context, words: tuple[str, ...], *, prefix: bool, from_key: bool
) -> None:
    if len(words) < 3:  # noqa: PLR2004 - role, type, key
        raise Stop(
            Exit.BAD_ARGS,
            "role grant command requires role name, permission type, and key [endkey] "
            "as its argument",
        )
    kind = words[1].upper()
    if kind not in _TYPES.keys():  # noqa: SIM118 - an enum's wrapper
        raise Stop(Exit.BAD_ARGS, f"invalid permission type: {words[1]}")
    key, end = _range(words[2:], prefix=prefix, from_key=from_key)
    permission = auth_pb2.Permission(permType=_TYPES.Value(kind), key=key, range_end=end)
    running = session(context)
    request = rpc_pb2.AuthRoleGrantPermissionRequest(name=words[0], perm=permission)
    reply = asked(running, "RoleGrantPermission", request, rpc_pb2.AuthRoleGrantPermissionResponse)
    show(running, reply, lambda: [f"Role {words[0]} updated"])


@role.command(name="revoke-permission", help="Revokes a key from a role")
@click.argument("words", nargs=-1)
@click.option("--prefix", is_flag=True, help="revoke a prefix permission")
@click.option("--from-key", is_flag=True, help="revoke a permission of keys from the given one on")
@click.pass_context
def revoke_permission(
    context: click.Context, words: tuple[str, ...], *, prefix: bool, from_key: bool
) -> None:
    if len(words) < 2:  # noqa: PLR2004 - role, key
        raise Stop(
            Exit.BAD_ARGS,
            "role revoke-permission command requires role name and key [endkey] as its argument",
        )
    key, end = _range(words[1:], prefix=prefix, from_key=from_key)
    running = session(context)
    request = rpc_pb2.AuthRoleRevokePermissionRequest(role=words[0], key=key, range_end=end)
    reply = asked(
        running, "RoleRevokePermission", request, rpc_pb2.AuthRoleRevokePermissionResponse
    )
    show(running, reply, lambda: [_revoked(words[0], words[1], end)])


def _shown(permission: auth_pb2.Permission) -> str:
    key, end = permission.key, permission.range_end
    text = _text(key)
    if not end:
        return text
    shown = f"[{text}, <open ended>" if end == ALL_KEYS_FROM else f"[{text}, {_text(end)})"
    return shown + (f" (prefix {text})" if key and prefix_end(key) == end else "")


def _revoked(role_name: str, key: str, end: bytes) -> str:
    if not end:
        return f"Permission of key {key} is revoked from role {role_name}"
    until = "<open ended>" if end == ALL_KEYS_FROM else f"{_text(end)})"
    return f"Permission of range [{key}, {until} is revoked from role {role_name}"


def _range(words: Sequence[str], *, prefix: bool, from_key: bool) -> tuple[bytes, bytes]:
    """Return key and range end, as the flags mean them."""
    key = os.fsencode(words[0])
    if prefix and from_key:
        raise Stop(Exit.BAD_ARGS, "--from-key and --prefix flags are mutually exclusive")
    if not key:
        return ALL_KEYS_FROM, ALL_KEYS_FROM if prefix or from_key else b""
    if len(words) > 1:
        for name, is_given in (("prefix", prefix), ("from-key", from_key)):
            if is_given:
                raise Stop(Exit.BAD_ARGS, f"unexpected endkey argument with --{name} flag")
        return key, os.fsencode(words[1])
    if prefix:
        return key, prefix_end(key)
    return key, ALL_KEYS_FROM if from_key else b""


def _text(key: bytes) -> str:
    return key.decode(errors="surrogateescape")


def role_lines(name: str, reply: rpc_pb2.AuthRoleGetResponse) -> Iterator[str]:
    """Yield the simple form of a role: what it may read, and what it may write."""
    yield f"Role {name}"
    for title, kinds in (("KV Read:", _READS), ("KV Write:", _WRITES)):
        yield title
        if name == "root" and not reply.perm:
            yield "\t[, <open ended>"
        for permission in reply.perm:
            if permission.permType in kinds:
                yield "\t" + _shown(permission)


_COMMANDS = (
    OneRpc(
        "add",
        "Adds a new role",
        1,
        "role add command requires role name as its argument",
        "RoleAdd",
        lambda words: rpc_pb2.AuthRoleAddRequest(name=words[0]),
        rpc_pb2.AuthRoleAddResponse,
        lambda words, _: [f"Role {words[0]} created"],
    ),
    OneRpc(
        "delete",
        "Deletes a role",
        1,
        "role delete command requires role name as its argument",
        "RoleDelete",
        lambda words: rpc_pb2.AuthRoleDeleteRequest(role=words[0]),
        rpc_pb2.AuthRoleDeleteResponse,
        lambda words, _: [f"Role {words[0]} deleted"],
    ),
    OneRpc(
        "get",
        "Gets detailed information of a role",
        1,
        "role get command requires role name as its argument",
        "RoleGet",
        lambda words: rpc_pb2.AuthRoleGetRequest(role=words[0]),
        rpc_pb2.AuthRoleGetResponse,
        lambda words, reply: list(role_lines(words[0], reply)),
    ),
    OneRpc(
        "list",
        "Lists all roles",
        0,
        "role list command requires no arguments",
        "RoleList",
        lambda _: rpc_pb2.AuthRoleListRequest(),
        rpc_pb2.AuthRoleListResponse,
        lambda _, reply: list(reply.roles),
    ),
)
for _command in _COMMANDS:
    _command.add_to(role)
