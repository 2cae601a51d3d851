"""The users and roles of a cluster, and what they are allowed.

AUTH   "u" name         -> authpb.User       "U" SHA-256(name) for a name too long to be an address
       "r" name         -> authpb.Role       "R" SHA-256(name)
       "=enabled"       -> one byte, 1 if authentication is on
       "=revision"      -> the auth revision (u64, big endian)

What is in memory always equals the tree in the turn's transaction.
"""

import logging
from collections.abc import Iterable
from hashlib import sha256
from struct import Struct

from kvstore.auth.identity import ROOT_ROLE, ROOT_USER, Identity
from kvstore.auth.permissions import Access, UserPermissions, is_valid_range
from kvstore.auth.simple_tokens import SimpleTokens
from kvstore.backend.backend import KEY_BYTES_MAX, Reader, WriteTxn
from kvstore.backend.schema import Tree
from kvstore.base.errors import (
    AuthenticationFailed,
    AuthNotEnabled,
    AuthRevisionOld,
    InvalidAuthManagement,
    NoPasswordUser,
    PermissionDenied,
    PermissionNotGiven,
    PermissionNotGranted,
    RoleExists,
    RoleNameEmpty,
    RoleNotFound,
    RoleNotGranted,
    RootRoleMissing,
    RootUserMissing,
    UserExists,
    UserNameEmpty,
    UserNotFound,
)
from kvstore.base.key_range import ALL_KEYS_FROM, KeyRange
from kvstore.wire.pb import auth_pb2

logger = logging.getLogger(__name__)

_USER, _LONG_USER = b"u", b"U"
_ROLE, _LONG_ROLE = b"r", b"R"
_ENABLED = b"=enabled"
_REVISION = b"=revision"
_REVISION_STRUCT = Struct(">Q")
_WHOLE_KEYSPACE = auth_pb2.Permission(
    permType=auth_pb2.Permission.READWRITE, key=b"", range_end=ALL_KEYS_FROM
)


class AuthStore:
    """Who there is, and what they may do.

    Changes take the turn's transaction, and are refused before anything is written.
    """

    def __init__(self) -> None:
        self.is_enabled = False
        """Whether requests are checked at all; looked at for every operation."""
        self.revision = 1
        self.tokens = SimpleTokens()
        self._users: dict[str, auth_pb2.User] = {}
        self._roles: dict[str, auth_pb2.Role] = {}
        self._permissions: dict[str, UserPermissions] = {}
        """What users may do, worked out when it is first asked for after a change."""

    @classmethod
    def load(cls, stored: Reader) -> "AuthStore":
        """Return what the backend holds; no token is known."""
        store = cls()
        for address, value in stored.scan(Tree.AUTH):
            if address == _ENABLED:
                store.is_enabled = value == b"\x01"
            elif address == _REVISION:
                (store.revision,) = _REVISION_STRUCT.unpack(value)
            elif address[:1] in (_USER, _LONG_USER):
                user = auth_pb2.User.FromString(value)
                store._users[user.name.decode()] = user
            else:
                role = auth_pb2.Role.FromString(value)
                store._roles[role.name.decode()] = role
        return store

    # --- what is asked

    def check_root(self, identity: Identity) -> None:
        """Let only those pass who may do everything.

        Raises:
            UserNameEmpty, UserNotFound, PermissionDenied: in this order.
        """
        if not self.is_enabled:
            return
        if not identity.name:
            raise UserNameEmpty
        if identity.name not in self._users:
            raise UserNotFound
        if not self.has_role(identity.name, ROOT_ROLE):
            raise PermissionDenied

    def is_root(self, identity: Identity) -> bool:
        """Whether `identity` may do everything; always while authentication is off."""
        return not self.is_enabled or self.has_role(identity.name, ROOT_ROLE)

    def check(self, identity: Identity, access: Access, keys: KeyRange) -> None:
        """Let only those pass who may read or write all of `keys`.

        Raises:
            UserNameEmpty, AuthRevisionOld, PermissionDenied: in this order.
        """
        if not self.is_enabled:
            return
        if identity.revision == 0:
            raise UserNameEmpty
        if identity.revision < self.revision:
            raise AuthRevisionOld
        if identity.name not in self._users:
            raise PermissionDenied
        if self.has_role(identity.name, ROOT_ROLE):
            return
        if not self._permissions_of(identity.name).allow(access, keys):
            raise PermissionDenied

    def has_role(self, user: str, role: str) -> bool:
        """Whether there is such a user, with this role."""
        found = self._users.get(user)
        return found is not None and role in found.roles

    def users(self) -> list[str]:
        """Return the names of all users, in the order of their bytes."""
        return sorted(self._users, key=str.encode)

    def roles(self) -> list[str]:
        """Return the names of all roles, in the order of their bytes."""
        return sorted(self._roles, key=str.encode)

    def roles_of(self, user: str) -> list[str]:
        """Return the roles of a user, sorted.

        Raises:
            UserNotFound: there is none of this name.
        """
        return list(self._user(user).roles)

    def permissions_of(self, role: str) -> list[auth_pb2.Permission]:
        """Return what a role may do; of the role root, everything.

        Raises:
            RoleNotFound: there is none of this name.
        """
        found = self._role(role)
        return [_WHOLE_KEYSPACE] if role == ROOT_ROLE else list(found.keyPermission)

    def password_hash(self, user: str) -> bytes:
        """Return what the user's password is to be compared with.

        Raises:
            AuthNotEnabled, AuthenticationFailed, NoPasswordUser: in this order.
        """
        if not self.is_enabled:
            raise AuthNotEnabled
        found = self._users.get(user)
        if found is None:
            raise AuthenticationFailed
        if found.options.no_password:
            raise NoPasswordUser
        return found.password

    # --- changes: called by apply, equal on every member

    def enable(self, txn: WriteTxn) -> None:
        """Begin to check requests; nothing happens if that is done already.

        Raises:
            RootUserMissing, RootRoleMissing: nobody could administer it.
        """
        if self.is_enabled:
            return
        if ROOT_USER not in self._users:
            raise RootUserMissing
        if not self.has_role(ROOT_USER, ROOT_ROLE):
            raise RootRoleMissing
        self.is_enabled = True
        txn.put(Tree.AUTH, _ENABLED, b"\x01")
        logger.info("enabled authentication")

    def disable(self, txn: WriteTxn) -> None:
        """Let everybody do everything again; every token is void."""
        if not self.is_enabled:
            return
        self.is_enabled = False
        txn.put(Tree.AUTH, _ENABLED, b"\x00")
        self._changed(txn)
        self.tokens.clear()
        logger.info("disabled authentication")

    def assign_token(self, user: str, token: str, *, checked_revision: int) -> None:
        """Let `token` stand for `user`, whose password was checked at `checked_revision`.

        Raises:
            AuthNotEnabled, AuthenticationFailed: what was checked holds no more.
            AuthRevisionOld: something has changed since; check again.
        """
        self.password_hash(user)
        if checked_revision != self.revision:
            raise AuthRevisionOld
        self.tokens.assign(token, user)

    def add_user(
        self, txn: WriteTxn, name: str, password_hash: bytes, *, no_password: bool
    ) -> None:
        """Add a user without roles.

        Raises:
            UserNameEmpty, UserExists: in this order.
        """
        if not name:
            raise UserNameEmpty
        if name in self._users:
            raise UserExists
        options = auth_pb2.UserAddOptions(no_password=no_password)
        user = auth_pb2.User(name=name.encode(), password=password_hash, options=options)
        self._put_user(txn, name, user)
        self._changed(txn)

    def delete_user(self, txn: WriteTxn, name: str) -> None:
        """Remove a user, whose tokens are void.

        Raises:
            InvalidAuthManagement, UserNotFound: in this order.
        """
        if self.is_enabled and name == ROOT_USER:
            raise InvalidAuthManagement
        self._user(name)
        del self._users[name]
        txn.delete(Tree.AUTH, _address(_USER, _LONG_USER, name))
        self.tokens.invalidate(name)
        self._changed(txn)

    def change_password(self, txn: WriteTxn, name: str, password_hash: bytes) -> None:
        """Give a user another password; tokens of the former one are void.

        Raises:
            UserNotFound: there is none of this name.
        """
        user = auth_pb2.User()
        user.CopyFrom(self._user(name))
        user.password = b"" if user.options.no_password else password_hash
        self._put_user(txn, name, user)
        self.tokens.invalidate(name)
        self._changed(txn)

    def grant_role(self, txn: WriteTxn, user: str, role: str) -> None:
        """Give a user a role; one that it has already changes nothing.

        Raises:
            UserNotFound, RoleNotFound: in this order.
        """
        found = self._user(user)
        if role != ROOT_ROLE:
            self._role(role)
        if role in found.roles:
            return
        self._put_roles(txn, user, [*found.roles, role])
        self._changed(txn)

    def revoke_role(self, txn: WriteTxn, user: str, role: str) -> None:
        """Take a role from a user.

        Raises:
            InvalidAuthManagement, UserNotFound, RoleNotGranted: in this order.
        """
        if self.is_enabled and user == ROOT_USER and role == ROOT_ROLE:
            raise InvalidAuthManagement
        found = self._user(user)
        if role not in found.roles:
            raise RoleNotGranted
        self._put_roles(txn, user, [other for other in found.roles if other != role])
        self._changed(txn)

    def add_role(self, txn: WriteTxn, name: str) -> None:
        """Add a role without permissions.

        Raises:
            RoleNameEmpty, RoleExists: in this order.
        """
        if not name:
            raise RoleNameEmpty
        if name in self._roles:
            raise RoleExists
        self._put_role(txn, name, ())
        self._changed(txn)

    def delete_role(self, txn: WriteTxn, name: str) -> None:
        """Remove a role, also from every user that has it.

        Raises:
            InvalidAuthManagement, RoleNotFound: in this order.
        """
        if self.is_enabled and name == ROOT_ROLE:
            raise InvalidAuthManagement
        self._role(name)
        del self._roles[name]
        txn.delete(Tree.AUTH, _address(_ROLE, _LONG_ROLE, name))
        for user in [user for user in self._users if self.has_role(user, name)]:
            rest = [role for role in self._users[user].roles if role != name]
            self._put_roles(txn, user, rest)
        self._changed(txn)

    def grant_permission(
        self, txn: WriteTxn, role: str, permission: auth_pb2.Permission | None
    ) -> None:
        """Let a role touch a range; one that it may touch already gets the new type.

        Raises:
            PermissionNotGiven, InvalidAuthManagement, RoleNotFound: in this order.
        """
        if permission is None:
            raise PermissionNotGiven
        if not is_valid_range(permission.key, permission.range_end):
            raise InvalidAuthManagement
        found = self._role(role)
        others = [other for other in found.keyPermission if not _is_same_range(other, permission)]
        self._put_role(txn, role, sorted([*others, permission], key=_permission_order))
        self._changed(txn)

    def revoke_permission(self, txn: WriteTxn, role: str, key: bytes, range_end: bytes) -> None:
        """Take from a role what was granted with exactly these ends.

        Raises:
            RoleNotFound, PermissionNotGranted: in this order.
        """
        found = self._role(role)
        revoked = auth_pb2.Permission(key=key, range_end=range_end)
        rest = [other for other in found.keyPermission if not _is_same_range(other, revoked)]
        if len(rest) == len(found.keyPermission):
            raise PermissionNotGranted
        self._put_role(txn, role, rest)
        self._changed(txn)

    # --- inside

    def _user(self, name: str) -> auth_pb2.User:
        user = self._users.get(name)
        if user is None:
            raise UserNotFound
        return user

    def _role(self, name: str) -> auth_pb2.Role:
        role = self._roles.get(name)
        if role is None:
            raise RoleNotFound
        return role

    def _permissions_of(self, user: str) -> UserPermissions:
        permissions = self._permissions.get(user)
        if permissions is None:
            roles = (self._roles.get(role) for role in self._users[user].roles)
            permissions = UserPermissions(
                granted for role in roles if role is not None for granted in role.keyPermission
            )
            self._permissions[user] = permissions
        return permissions

    def _put_roles(self, txn: WriteTxn, name: str, roles: Iterable[str]) -> None:
        user = auth_pb2.User()
        user.CopyFrom(self._users[name])
        user.roles[:] = sorted(roles, key=str.encode)
        self._put_user(txn, name, user)

    def _put_user(self, txn: WriteTxn, name: str, user: auth_pb2.User) -> None:
        self._users[name] = user
        address = _address(_USER, _LONG_USER, name)
        txn.put(Tree.AUTH, address, user.SerializeToString(deterministic=True))

    def _put_role(
        self, txn: WriteTxn, name: str, permissions: Iterable[auth_pb2.Permission]
    ) -> None:
        role = auth_pb2.Role(name=name.encode(), keyPermission=permissions)
        self._roles[name] = role
        address = _address(_ROLE, _LONG_ROLE, name)
        txn.put(Tree.AUTH, address, role.SerializeToString(deterministic=True))

    def _changed(self, txn: WriteTxn) -> None:
        self.revision += 1
        self._permissions.clear()
        txn.put(Tree.AUTH, _REVISION, _REVISION_STRUCT.pack(self.revision))


def _address(short: bytes, long: bytes, name: str) -> bytes:
    encoded = name.encode()
    if len(encoded) < KEY_BYTES_MAX:
        return short + encoded
    return long + sha256(encoded).digest()


def _is_same_range(one: auth_pb2.Permission, other: auth_pb2.Permission) -> bool:
    return one.key == other.key and one.range_end == other.range_end


def _permission_order(permission: auth_pb2.Permission) -> tuple[bytes, bytes]:
    return permission.key, permission.range_end
