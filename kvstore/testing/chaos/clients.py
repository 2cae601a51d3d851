"""What clients do during a run: each draws its next request from a seed of its own.

All go to any member, one after the other; every value is written once. Together they touch all that
the checker judges: strict serializability, leases, locks. Watches are `RecordedWatch`es.
"""

import contextlib
import random
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

from kvstore.base.errors import RpcError
from kvstore.check import Recorder
from kvstore.client import (
    Client,
    Delete,
    Get,
    KeyValue,
    ModRevision,
    Operation,
    Put,
    RangeResult,
    Value,
    Version,
    prefix,
)
from kvstore.testing.recording import RecordingClient

KEYS = prefix("k/")
_KEY_COUNT = 12
_LOCKS = 2
_TTLS_S = (2, 3, 5)


class ChaosClient(ABC):
    """A thread that asks until it is told to stop."""

    def __init__(
        self,
        name: str,
        seed: int,
        members: Mapping[str, Client],
        recorder: Recorder,
        *,
        pause_s: float,
    ) -> None:
        """Prepare it; `members` are clients by endpoint, `pause_s` is its rest on average."""
        self.name = name
        self.dice = random.Random(f"client {name} {seed}")
        self._pause_s = pause_s
        self._by_member = [
            RecordingClient(client, recorder, name, endpoint=endpoint)
            for endpoint, client in members.items()
        ]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._values = 0
        self.failure: BaseException | None = None
        """What ended it, if it was not told to stop."""

    @property
    def client(self) -> RecordingClient:
        """A client of any member."""
        return self.dice.choice(self._by_member)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end after its present request."""
        self._stopping.set()

    def join(self) -> None:
        """Wait until it has ended."""
        self._thread.join()

    def rest(self, seconds: float | None = None) -> None:
        """Wait a while, or until it has to stop."""
        self._stopping.wait(
            self.dice.expovariate(1 / self._pause_s) if seconds is None else seconds
        )

    def chance(self, probability: float) -> bool:
        """Return whether the dice say so."""
        return self.dice.random() < probability

    @property
    def is_stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stopping.is_set()

    def new_value(self) -> str:
        """Return a value that nobody has written."""
        self._values += 1
        return f"{self.name}.{self._values}"

    def _run(self) -> None:
        try:
            while not self.is_stopping:
                with contextlib.suppress(RpcError):  # recorded, which is what we are here for
                    self.act()
                self.rest()
        except BaseException as failure:
            self.failure = failure

    @abstractmethod
    def act(self) -> None:
        """Make one request, or a few that belong together."""


class KeyClient(ChaosClient):
    """Puts, gets, deletes, transactions and compactions of a few keys."""

    def __init__(
        self,
        name: str,
        seed: int,
        members: Mapping[str, Client],
        recorder: Recorder,
        *,
        pause_s: float,
    ) -> None:
        super().__init__(name, seed, members, recorder, pause_s=pause_s)
        self._known: dict[str, int] = {}
        """Mod revision by key, as last read."""
        self._revision = 1
        self._kinds: Sequence[tuple[int, Callable[[], None]]] = (
            (30, self._put),
            (24, self._get),
            (8, self._list),
            (4, self._list_the_past),
            (6, self._get_serializable),
            (14, self._compare_and_set),
            (7, self._transfer),
            (6, self._delete),
            (1, self._delete_all),
            (1, self._compact),
        )
        self._weights = [weight for weight, _ in self._kinds]

    def act(self) -> None:
        """Make one request."""
        _, request = self.dice.choices(self._kinds, self._weights)[0]
        request()

    def _key(self) -> str:
        return f"k/{self.dice.randrange(_KEY_COUNT)}"

    def _learn(self, kvs: Sequence[KeyValue]) -> None:
        for kv in kvs:
            self._known[kv.key.decode()] = kv.mod_revision

    def _put(self) -> None:
        result = self.client.put(self._key(), self.new_value(), previous=self.chance(0.3))
        self._revision = result.header.revision

    def _get(self) -> None:
        result = self.client.range(self._key())
        self._revision = result.header.revision
        self._learn(result.kvs)

    def _get_serializable(self) -> None:
        self.client.get(self._key(), serializable=True)

    def _list(self) -> None:
        self._learn(self.client.range(KEYS).kvs)

    def _list_the_past(self) -> None:
        revision = max(1, self._revision - self.dice.choice((0, 1, 10, 50)))
        self.client.range(KEYS, revision=revision)

    def _compare_and_set(self) -> None:
        key = self._key()
        result = self.client.txn(
            compare=[ModRevision(key) == self._known.get(key, 0)],
            success=[Put(key, self.new_value())],
            failure=[Get(key)],
        )
        for inner in result.results:
            if isinstance(inner, RangeResult):
                self._learn(inner.kvs)

    def _transfer(self) -> None:
        """Write two keys, delete a third, and look at it from inside, in one step."""
        first, second, third = self.dice.sample(range(_KEY_COUNT), 3)
        operations: list[Operation] = [
            Put(f"k/{first}", self.new_value()),
            Delete(f"k/{third}"),
            Put(f"k/{second}", self.new_value()),
            Get(KEYS),
        ]
        self.client.txn(success=operations)

    def _delete(self) -> None:
        self.client.delete(self._key(), previous=self.chance(0.3))

    def _delete_all(self) -> None:
        self.client.delete(KEYS)

    def _compact(self) -> None:
        self.client.compact(max(1, self._revision - self.dice.choice((20, 100, 300))))


class LeaseClient(ChaosClient):
    """Holds a key by a lease, renews it for a while, then lets it run out or revokes it."""

    def act(self) -> None:
        """Live through one lease."""
        lease = self.dice.getrandbits(40) + 1
        ttl_s = self.client.grant(self.dice.choice(_TTLS_S), lease_id=lease).ttl_s
        self.client.put(f"l/{self.name}", self.new_value(), lease=lease)
        for _ in range(self.dice.choice((0, 1, 4, 10))):
            self.rest(ttl_s * self.dice.choice((0.1, 0.4, 0.9, 1.3)))
            if self.is_stopping or self.client.keep_alive_once(lease) <= 0:
                return
        if self.chance(0.3):
            self.client.revoke(lease)
            return
        self.rest(ttl_s * self.dice.choice((0.5, 1.0, 1.5)))
        self.client.time_to_live(lease)


class LockClient(ChaosClient):
    """Takes a lock that lives by a lease: a key that only one transaction can create."""

    def act(self) -> None:
        """Try to take a lock, hold it for a while, give it back."""
        name = f"lock/{self.dice.randrange(_LOCKS)}"
        lease = self.dice.getrandbits(40) + 1
        mine = self.new_value()
        ttl_s = self.client.grant(self.dice.choice(_TTLS_S), lease_id=lease).ttl_s

        def acquire() -> int | None:
            result = self.client.txn([Version(name) == 0], [Put(name, mine, lease=lease)])
            return result.header.revision if result.succeeded else None

        if self.client.lock(name, acquire, lease=lease):
            for _ in range(self.dice.choice((0, 1, 3))):
                self.rest(ttl_s * self.dice.choice((0.2, 0.5)))
                if self.client.keep_alive_once(lease) <= 0:
                    return
            if self.chance(0.7):
                self.client.unlock(
                    name, lambda: self.client.txn([Value(name) == mine], [Delete(name)])
                )
        if self.chance(0.7):
            self.client.revoke(lease)
