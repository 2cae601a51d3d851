from collections.abc import Iterator

import pytest

from kvstore.auth import ANONYMOUS, Access, AuthStore, Identity
from kvstore.backend.memory_backend import MemoryBackend
from kvstore.base.errors import (
    AuthenticationFailed,
    AuthRevisionOld,
    NoPasswordUser,
    PermissionDenied,
    RoleNotFound,
    RootRoleMissing,
    RootUserMissing,
    UserExists,
    UserNameEmpty,
    UserNotFound,
)
from kvstore.base.key_range import KeyRange
from kvstore.wire.pb import auth_pb2

K = KeyRange.single(b"k")


class World:
    """A store on a backend; each change is a transaction of its own."""

    def __init__(self) -> None:
        self.backend = MemoryBackend()
        self.store = AuthStore()
        self.txn = self.backend.begin_write()

    def commit(self) -> None:
        self.txn.commit()
        self.txn = self.backend.begin_write()

    def loaded(self) -> AuthStore:
        """The store as a restarted member would have it."""
        self.commit()
        return AuthStore.load(self.txn)

    def user(self, name: str, *roles: str) -> Identity:
        self.store.add_user(self.txn, name, b"hash of " + name.encode(), no_password=False)
        for role in roles:
            self.store.grant_role(self.txn, name, role)
        return Identity(name, self.store.revision)

    def role(self, name: str, kind: int, key: bytes, end: bytes = b"") -> None:
        self.store.add_role(self.txn, name)
        permission = auth_pb2.Permission(permType=kind, key=key, range_end=end)
        self.store.grant_permission(self.txn, name, permission)

    def enabled(self) -> None:
        self.user("root", "root")
        self.store.enable(self.txn)

    def now(self, name: str) -> Identity:
        return Identity(name, self.store.revision)


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.txn.abort()


def test_everybody_may_do_everything_while_it_is_off(world: World) -> None:
    world.store.check(ANONYMOUS, Access.WRITE, K)
    world.store.check_root(ANONYMOUS)


def test_it_is_not_switched_on_before_somebody_could_switch_it_off(world: World) -> None:
    with pytest.raises(RootUserMissing):
        world.store.enable(world.txn)
    world.user("root")
    with pytest.raises(RootRoleMissing):
        world.store.enable(world.txn)

    world.store.grant_role(world.txn, "root", "root")
    world.store.enable(world.txn)

    assert world.store.is_enabled


def test_a_user_may_do_what_all_its_roles_add_up_to(world: World) -> None:
    world.role("first", auth_pb2.Permission.READ, b"a", b"m")
    world.role("second", auth_pb2.Permission.READ, b"m", b"z")
    world.user("u", "first", "second")
    world.enabled()

    world.store.check(world.now("u"), Access.READ, KeyRange(b"b", b"y"))

    with pytest.raises(PermissionDenied):
        world.store.check(world.now("u"), Access.WRITE, K)
    with pytest.raises(PermissionDenied):
        world.store.check(world.now("u"), Access.READ, KeyRange(b"b", b"zz"))


def test_a_role_that_is_revoked_counts_no_more(world: World) -> None:
    world.role("r", auth_pb2.Permission.READWRITE, b"k")
    world.user("u", "r")
    world.enabled()
    world.store.check(world.now("u"), Access.WRITE, K)

    world.store.revoke_role(world.txn, "u", "r")

    with pytest.raises(PermissionDenied):
        world.store.check(world.now("u"), Access.WRITE, K)


def test_an_identity_of_before_the_last_change_is_refused(world: World) -> None:
    world.enabled()
    before = world.now("root")
    world.store.add_role(world.txn, "r")

    with pytest.raises(AuthRevisionOld):
        world.store.check(before, Access.READ, K)
    with pytest.raises(UserNameEmpty):
        world.store.check(ANONYMOUS, Access.READ, K)


def test_a_deleted_role_is_taken_from_every_user(world: World) -> None:
    world.role("r", auth_pb2.Permission.READ, b"k")
    world.user("u", "r", "root")

    world.store.delete_role(world.txn, "r")

    assert world.store.roles_of("u") == ["root"]
    with pytest.raises(RoleNotFound):
        world.store.permissions_of("r")


def test_a_second_grant_on_a_range_replaces_the_first(world: World) -> None:
    world.role("r", auth_pb2.Permission.READ, b"k", b"l")
    again = auth_pb2.Permission(permType=auth_pb2.Permission.WRITE, key=b"k", range_end=b"l")
    world.store.grant_permission(world.txn, "r", again)

    assert world.store.permissions_of("r") == [again]


def test_a_refused_change_leaves_no_trace(world: World) -> None:
    world.user("u")
    revision, stored = world.store.revision, world.loaded().roles_of("u")

    for change in (
        lambda: world.store.add_user(world.txn, "u", b"", no_password=False),
        lambda: world.store.grant_role(world.txn, "u", "no such role"),
        lambda: world.store.delete_user(world.txn, "no such user"),
    ):
        with pytest.raises((UserExists, RoleNotFound, UserNotFound)):
            change()

    assert world.store.revision == revision
    assert world.loaded().roles_of("u") == stored


def test_what_was_stored_is_loaded_again(world: World) -> None:
    long_name = "n" * 2000
    world.role("r", auth_pb2.Permission.READ, b"k")
    world.role("revision", auth_pb2.Permission.READ, b"k")  # named like an entry of the tree
    world.user("u", "r")
    world.user(long_name, "r")
    world.enabled()

    loaded = world.loaded()

    assert (loaded.is_enabled, loaded.revision) == (True, world.store.revision)
    assert loaded.users() == sorted(["root", "u", long_name])
    assert loaded.roles() == ["r", "revision"]
    assert loaded.roles_of(long_name) == ["r"]
    assert loaded.password_hash("u") == b"hash of u"
    loaded.check(Identity("u", loaded.revision), Access.READ, K)


def test_a_token_is_void_after_its_users_password_has_changed(world: World) -> None:
    world.user("u")
    world.enabled()
    world.store.assign_token("u", "t.1", checked_revision=world.store.revision)
    assert world.store.tokens.user_of("t.1", now=0.0, ttl_s=1.0) == "u"

    world.store.change_password(world.txn, "u", b"another")

    assert world.store.tokens.user_of("t.1", now=0.0, ttl_s=1.0) is None


def test_a_password_that_was_checked_before_a_change_gives_no_token(world: World) -> None:
    world.user("u")
    world.enabled()
    checked = world.store.revision
    world.store.change_password(world.txn, "u", b"another")

    with pytest.raises(AuthRevisionOld):
        world.store.assign_token("u", "t.1", checked_revision=checked)
    world.store.delete_user(world.txn, "u")
    with pytest.raises(AuthenticationFailed):
        world.store.assign_token("u", "t.1", checked_revision=world.store.revision)


def test_a_user_without_password_has_none_to_compare_with(world: World) -> None:
    world.store.add_user(world.txn, "u", b"", no_password=True)
    world.enabled()

    with pytest.raises(NoPasswordUser):
        world.store.password_hash("u")


def test_switching_it_off_voids_every_token(world: World) -> None:
    world.enabled()
    world.store.assign_token("root", "t.1", checked_revision=world.store.revision)

    world.store.disable(world.txn)

    assert not world.loaded().is_enabled
    assert len(world.store.tokens) == 0
