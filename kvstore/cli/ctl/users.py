"""auth enable, disable, status; user add, delete, get, list, passwd, grant-role, revoke-role."""

import sys

import click

from kvstore.base.errors import RootRoleMissing
from kvstore.cli.ctl.auth_commands import OneRpc, asked, exactly, show
from kvstore.cli.ctl.failure import Exit, Stop
from kvstore.cli.ctl.framework import GoGroup, session
from kvstore.cli.ctl.roles import role_lines
from kvstore.cli.ctl.session import write
from kvstore.wire.pb import rpc_pb2

# --- auth


@click.group(cls=GoGroup, help="Enable or disable authentication")
def auth() -> None:
    """Hold the auth commands."""


@auth.command(help="Enables authentication")
@click.argument("words", nargs=-1)
@click.pass_context
def enable(context: click.Context, words: tuple[str, ...]) -> None:
    exactly(words, 0, "auth enable command does not accept any arguments")
    running = session(context)
    request = rpc_pb2.AuthEnableRequest()
    try:
        asked(running, "AuthEnable", request, rpc_pb2.AuthEnableResponse)
    except Stop as stop:
        if stop.message != RootRoleMissing.message:
            raise
        # What every operator would do next.
        root = rpc_pb2.AuthRoleAddRequest(name="root")
        asked(running, "RoleAdd", root, rpc_pb2.AuthRoleAddResponse)
        granted = rpc_pb2.AuthUserGrantRoleRequest(user="root", role="root")
        asked(running, "UserGrantRole", granted, rpc_pb2.AuthUserGrantRoleResponse)
        asked(running, "AuthEnable", request, rpc_pb2.AuthEnableResponse)
    write("Authentication Enabled")


@auth.command(help="Disables authentication")
@click.argument("words", nargs=-1)
@click.pass_context
def disable(context: click.Context, words: tuple[str, ...]) -> None:
    exactly(words, 0, "auth disable command does not accept any arguments")
    request = rpc_pb2.AuthDisableRequest()
    asked(session(context), "AuthDisable", request, rpc_pb2.AuthDisableResponse)
    write("Authentication Disabled")


# --- user


@click.group(cls=GoGroup, help="User related commands")
def user() -> None:
    """Hold the user commands."""


@user.command(help="Adds a new user")
@click.argument("words", nargs=-1)
@click.option(
    "--interactive/--no-interactive",
    default=True,
    help="Read password from stdin instead of interactive terminal",
)
@click.option("--new-user-password", default="", help="Supply password from the command line flag")
@click.option(
    "--no-password", is_flag=True, help="Create a user without password (CN based auth only)"
)
@click.pass_context
def add(
    context: click.Context,
    words: tuple[str, ...],
    *,
    interactive: bool,
    new_user_password: str,
    no_password: bool,
) -> None:
    exactly(words, 1, "user add command requires user name as its argument")
    name, password = words[0], ""
    if no_password:
        pass
    elif new_user_password:
        password = new_user_password
    elif ":" in name:
        name, _, password = name.partition(":")
        if not name:
            raise Stop(Exit.BAD_ARGS, "empty user name is not allowed")
    else:
        password = _password(name, interactive=interactive)
    request = rpc_pb2.AuthUserAddRequest(name=name, password=password)
    request.options.no_password = no_password
    running = session(context)
    reply = asked(running, "UserAdd", request, rpc_pb2.AuthUserAddResponse)
    show(running, reply, lambda: [f"User {name} created"])


@user.command(help="Gets detailed information of a user")
@click.argument("words", nargs=-1)
@click.option("--detail", is_flag=True, help="Show permissions of roles granted to the user")
@click.pass_context
def get(context: click.Context, words: tuple[str, ...], *, detail: bool) -> None:
    exactly(words, 1, "user get command requires user name as its argument")
    running = session(context)
    request = rpc_pb2.AuthUserGetRequest(name=words[0])
    reply = asked(running, "UserGet", request, rpc_pb2.AuthUserGetResponse)
    if not detail:
        roles = "".join(f" {role}" for role in reply.roles)
        show(running, reply, lambda: [f"User: {words[0]}", f"Roles:{roles}"])
        return
    write(f"User: {words[0]}")
    for role in reply.roles:
        write("")
        role_request = rpc_pb2.AuthRoleGetRequest(role=role)
        found = asked(running, "RoleGet", role_request, rpc_pb2.AuthRoleGetResponse)
        if running.settings.write_out == "simple":
            for line in role_lines(role, found):
                write(line)
        else:
            running.show(found)


@user.command(help="Changes password of user")
@click.argument("words", nargs=-1)
@click.option(
    "--interactive/--no-interactive",
    default=True,
    help="If true, read password from stdin instead of interactive terminal",
)
@click.pass_context
def passwd(context: click.Context, words: tuple[str, ...], *, interactive: bool) -> None:
    exactly(words, 1, "user passwd command requires user name as its argument")
    password = _password(words[0], interactive=interactive)
    running = session(context)
    request = rpc_pb2.AuthUserChangePasswordRequest(name=words[0], password=password)
    reply = asked(running, "UserChangePassword", request, rpc_pb2.AuthUserChangePasswordResponse)
    show(running, reply, lambda: ["Password updated"])


def _password(name: str, *, interactive: bool) -> str:
    """Return a new password: asked for twice, or the first word of the input."""
    if not interactive:
        words = sys.stdin.readline().split()
        return words[0] if words else ""
    import getpass

    try:
        first = getpass.getpass(f"Password of {name}: ")
        if not first:
            raise Stop(Exit.BAD_ARGS, "empty password")
        second = getpass.getpass(f"Type password of {name} again for confirmation: ")
    except EOFError as error:
        raise Stop(Exit.BAD_ARGS, "failed to ask password: EOF") from error
    if first != second:
        raise Stop(Exit.BAD_ARGS, "given passwords are different")
    return first


_AUTH_COMMANDS = (
    OneRpc(
        "status",
        "Returns authentication status",
        0,
        "auth status command does not accept any arguments",
        "AuthStatus",
        lambda _: rpc_pb2.AuthStatusRequest(),
        rpc_pb2.AuthStatusResponse,
        lambda _, reply: [
            f"Authentication Status: {'true' if reply.enabled else 'false'}",
            f"AuthRevision: {reply.authRevision}",
        ],
    ),
)
_USER_COMMANDS = (
    OneRpc(
        "delete",
        "Deletes a user",
        1,
        "user delete command requires user name as its argument",
        "UserDelete",
        lambda words: rpc_pb2.AuthUserDeleteRequest(name=words[0]),
        rpc_pb2.AuthUserDeleteResponse,
        lambda words, _: [f"User {words[0]} deleted"],
    ),
    OneRpc(
        "list",
        "Lists all users",
        0,
        "user list command requires no arguments",
        "UserList",
        lambda _: rpc_pb2.AuthUserListRequest(),
        rpc_pb2.AuthUserListResponse,
        lambda _, reply: list(reply.users),
    ),
    OneRpc(
        "grant-role",
        "Grants a role to a user",
        2,
        "user grant command requires user name and role name as its argument",
        "UserGrantRole",
        lambda words: rpc_pb2.AuthUserGrantRoleRequest(user=words[0], role=words[1]),
        rpc_pb2.AuthUserGrantRoleResponse,
        lambda words, _: [f"Role {words[1]} is granted to user {words[0]}"],
    ),
    OneRpc(
        "revoke-role",
        "Revokes a role from a user",
        2,
        "user revoke-role requires user name and role name as its argument",
        "UserRevokeRole",
        lambda words: rpc_pb2.AuthUserRevokeRoleRequest(name=words[0], role=words[1]),
        rpc_pb2.AuthUserRevokeRoleResponse,
        lambda words, _: [f"Role {words[1]} is revoked from user {words[0]}"],
    ),
)
for _group, _commands in ((auth, _AUTH_COMMANDS), (user, _USER_COMMANDS)):
    for _command in _commands:
        _command.add_to(_group)
