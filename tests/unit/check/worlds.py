"""Histories that a correct store can have produced, made by being one.

Clients call one atomic object at once: each call takes effect at one random instant between its
invocation and its return, or, with an unknown outcome, later or never.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from random import Random

from kvstore.check import (
    FOREVER,
    Event,
    History,
    Operation,
    Outcome,
    ResponseKind,
    Watch,
    WatchResponse,
)
from kvstore.check.json_value import Fields, Json

Apply = Callable[[str, Fields], Json]
REFUSED = "refused"
"""What `apply` returns where nothing was changed."""


@dataclass(frozen=True)
class Shape:
    """How much happens at once, and how much goes wrong."""

    clients: int = 4
    operations: int = 30
    keys: int = 2
    unknown: float = 0.1
    refused: float = 0.05


def shape(random: Random, operations: int = 30) -> Shape:
    """Draw one, the extremes included."""
    return Shape(
        clients=random.choice([1, 2, 3, 5, 8]),
        operations=random.randint(max(operations // 2, 8), operations),
        keys=random.choice([1, 2, 3]),
        unknown=random.choice([0.0, 0.1, 0.3]),
        refused=random.choice([0.0, 0.1]),
    )


def simulate(
    random: Random,
    shape: Shape,
    request: Callable[[str], tuple[str, Fields]],
    apply: Apply,
) -> tuple[Operation, ...]:
    """Let clients call `apply`, in the order of the instants at which calls take effect."""
    free = {f"c{number}": random.random() for number in range(shape.clients)}
    planned: list[tuple[float, int, Operation]] = []
    for index in range(shape.operations):
        client = min(free, key=lambda name: free[name])
        invoked = free[client]
        returned = invoked + random.choice([0.01, 1.0, 5.0]) * (0.01 + random.random())
        free[client] = returned + random.choice([0.0, 0.5]) * random.random() + 1e-6
        kind, arguments = request(client)
        outcome = random.choices(
            [Outcome.OK, Outcome.UNKNOWN, Outcome.REFUSED],
            [1 - shape.unknown - shape.refused, shape.unknown, shape.refused],
        )[0]
        effect = random.uniform(invoked, returned)
        if outcome is Outcome.UNKNOWN and random.random() < 0.5:
            effect = random.choice([FOREVER, effect + 10 * random.random()])
        if outcome is Outcome.REFUSED:
            effect = FOREVER
        operation = Operation(
            index=index,
            client=client,
            kind=kind,
            arguments=arguments,
            invoked=invoked,
            returned=returned,
            outcome=outcome,
        )
        planned.append((effect, index, operation))
    operations = [operation for _, _, operation in planned]
    for effect, index, operation in sorted(planned, key=lambda item: item[:2]):
        if effect != FOREVER:
            result = apply(operation.kind, operation.arguments)
            if result == REFUSED:
                operations[index] = replace(operation, outcome=Outcome.REFUSED)
            elif operation.outcome is Outcome.OK:
                operations[index] = replace(operation, result=result)
    return tuple(operations)


def with_operations(history: History, *operations: Operation) -> History:
    """Return the history with operations put at its end, numbered anew."""
    start = len(history.operations)
    added = tuple(replace(o, index=start + number) for number, o in enumerate(operations))
    return replace(history, operations=(*history.operations, *added))


def changed(history: History, index: int, **fields: object) -> History:
    """Return the history with one operation changed."""
    operations = list(history.operations)
    operations[index] = replace(operations[index], **fields)
    return replace(history, operations=tuple(operations))


def ok(
    client: str, kind: str, span: tuple[float, float], result: Json = None, **args: Json
) -> Operation:
    """Return an operation that is ok; its index is for `history` to set."""
    return Operation(
        index=0,
        client=client,
        kind=kind,
        arguments=args,
        invoked=span[0],
        returned=span[1],
        outcome=Outcome.OK,
        result=result,
    )


def unknown(client: str, kind: str, span: tuple[float, float], **args: Json) -> Operation:
    return replace(ok(client, kind, span, None, **args), outcome=Outcome.UNKNOWN)


def refused(client: str, kind: str, span: tuple[float, float], **args: Json) -> Operation:
    return replace(ok(client, kind, span, None, **args), outcome=Outcome.REFUSED)


def history(*operations: Operation, watches: tuple[Watch, ...] = ()) -> History:
    """Return a history of operations in this order."""
    return replace(with_operations(History(), *operations), watches=watches)


# --- registers


def register_history(random: Random, shape: Shape) -> History:
    """Reads, unique writes, and compare-and-sets on registers."""
    values: dict[str, Json] = {}
    numbers = iter(range(1, 1 << 30))

    def request(_client: str) -> tuple[str, Fields]:
        key = f"k{random.randrange(shape.keys)}"
        match random.choice(["read", "read", "write", "cas"]):
            case "cas":
                old = values.get(key) if random.random() < 0.7 else random.randrange(20)
                return "cas", {"key": key, "old": old, "new": next(numbers)}
            case "write":
                return "write", {"key": key, "value": next(numbers)}
            case read:
                return read, {"key": key}

    def apply(kind: str, arguments: Fields) -> Json:
        key = str(arguments["key"])
        match kind:
            case "read":
                return values.get(key)
            case "write":
                values[key] = arguments["value"]
                return None
            case _:
                if values.get(key) != arguments["old"]:
                    return False
                values[key] = arguments["new"]
                return True

    return History(operations=simulate(random, shape, request, apply))


# --- the store


@dataclass
class Store:
    """The store, written a second time: a dictionary and a log of events."""

    revision: int = 1
    keys: dict[str, dict[str, Json]] = field(default_factory=dict)
    log: list[list[Event]] = field(default_factory=list)
    """The events of revision 2, 3, ..."""

    leases: set[int] = field(default_factory=set)

    def apply(self, kind: str, arguments: Fields) -> Json:
        events: list[Event] = []
        lease = arguments.get("lease" if kind == "put" else "id", 0)
        if lease and kind != "grant" and lease not in self.leases:
            return REFUSED
        response = self._apply(kind, arguments, events)
        if events:
            self.revision += 1
            self.log.append(events)
        return {**response, "revision": self.revision}

    def _apply(
        self, kind: str, arguments: Mapping[str, Json], events: list[Event]
    ) -> dict[str, Json]:
        if kind in {"grant", "revoke"}:
            return self._lease(kind, int(arguments["id"]), events)
        if kind == "txn":
            holds = all(self._holds(compare) for compare in arguments["compare"])
            responses = [
                self._apply(str(request["kind"]), request, events)
                for request in arguments["success" if holds else "failure"]
            ]
            return {"succeeded": holds, "responses": responses}
        key = str(arguments["key"])
        found = sorted(k for k in self.keys if self._covers(arguments, k))
        match kind:
            case "put":
                old = self.keys.get(key)
                self.keys[key] = {
                    "key": key,
                    "value": arguments["value"],
                    "create_revision": old["create_revision"] if old else self.revision + 1,
                    "mod_revision": self.revision + 1,
                    "version": old["version"] + 1 if old else 1,
                    "lease": arguments.get("lease", 0),
                }
                events.append(self._event(self.keys[key], old))
                return {"prev_kv": old} if arguments.get("prev_kv") else {}
            case "get":
                return {"kvs": [self.keys[k] for k in found], "count": len(found), "more": False}
            case _:
                for k in found:
                    old = self.keys.pop(k)
                    events.append(
                        Event(
                            key=k, revision=self.revision + 1, is_delete=True, previous=_prev(old)
                        )
                    )
                return {"deleted": len(found)}

    def _lease(self, kind: str, lease: int, events: list[Event]) -> dict[str, Json]:
        if kind == "grant":
            self.leases.add(lease)
            return {"id": lease, "ttl": 1e-9}
        self.leases.remove(lease)
        for key in sorted(key for key, value in self.keys.items() if value["lease"] == lease):
            self._apply("delete", {"key": key}, events)
        return {}

    def expire(self, random: Random) -> None:
        """Revoke a lease, unasked."""
        if self.leases:
            self.apply("revoke", {"id": random.choice(sorted(self.leases))})

    def _covers(self, arguments: Mapping[str, Json], key: str) -> bool:
        end = arguments.get("range_end", "")
        return key == arguments["key"] if not end else str(arguments["key"]) <= key < str(end)

    def _holds(self, compare: Mapping[str, Json]) -> bool:
        found = self.keys.get(str(compare["key"]))
        actual = found[str(compare["target"])] if found else 0
        return actual == compare["value"]

    def _event(self, new: Mapping[str, Json], old: Mapping[str, Json] | None) -> Event:
        return Event(
            key=str(new["key"]),
            revision=self.revision + 1,
            value=str(new["value"]),
            create_revision=int(new["create_revision"]),
            version=int(new["version"]),
            lease=int(new["lease"]),
            previous=None if old is None else _prev(old),
        )


def _prev(old: Mapping[str, Json]) -> Fields:
    return {"value": old["value"], "mod_revision": old["mod_revision"]}


@dataclass
class StoreClients:
    """What clients ask of the store."""

    random: Random
    keys: int
    store: Store
    has_leases: bool
    granted: list[int] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1, 1 << 30)))

    def request(self, _client: str) -> tuple[str, Fields]:
        if self.has_leases and self.random.random() < 0.3:
            return self._about_leases()
        key = self._key()
        match self.random.choice(["put", "put", "get", "get", "list", "delete", "txn", "cas"]):
            case "put":
                return "put", {**self._put(key), "prev_kv": self.random.random() < 0.5}
            case "list":
                return "get", {"key": "k", "range_end": "l"}
            case "txn":
                success = [{"kind": "put", **self._put(k)} for k in sorted({key, self._key()})]
                return "txn", {"compare": [], "success": success, "failure": []}
            case "cas":
                return "txn", self._compare_and_set(key)
            case kind:
                return kind, {"key": key}

    def _key(self) -> str:
        return f"k{self.random.randrange(self.keys + 2)}"

    def _put(self, key: str) -> dict[str, Json]:
        return {"key": key, "value": f"v{next(self.numbers)}"}

    def _compare_and_set(self, key: str) -> Fields:
        found = self.store.keys.get(key)
        revision = found["mod_revision"] if found else 0
        return {
            "compare": [{"key": key, "target": "mod_revision", "value": revision}],
            "success": [{"kind": "put", **self._put(key)}],
            "failure": [{"kind": "get", "key": key}],
        }

    def _about_leases(self) -> tuple[str, Fields]:
        kind = self.random.choice(["grant", "put", "put", "revoke"])
        if kind == "grant" or not self.granted:
            self.granted.append(next(self.numbers))
            return "grant", {"id": self.granted[-1], "ttl": 1e-9}
        lease = self.random.choice(self.granted)
        if kind == "put":
            return "put", {**self._put(self._key()), "lease": lease}
        return "revoke", {"id": lease}

    def apply(self, kind: str, arguments: Fields) -> Json:
        if self.has_leases and self.random.random() < 0.05:
            self.store.expire(self.random)
        return self.store.apply(kind, arguments)


def store_history(
    random: Random, shape: Shape, *, watches: int = 2, has_leases: bool | None = None
) -> tuple[History, Store]:
    """Puts, gets, deletes, transactions, leases on the store, and watches of what they did."""
    if has_leases is None:
        has_leases = random.random() < 0.4
    store = Store()
    clients = StoreClients(random, shape.keys, store, has_leases)
    operations = simulate(random, shape, clients.request, clients.apply)
    end = max(operation.returned for operation in operations) + 100
    seen = tuple(_watch(random, store, f"w{number}", end) for number in range(watches))
    return History(operations=operations, watches=seen), store


def _watch(random: Random, store: Store, name: str, time: float) -> Watch:
    """Watch the store's past, all of it having happened already."""
    whole = random.random() < 0.5
    start = random.randint(1, max(store.revision, 1))
    no_delete = random.random() < 0.2
    watch = Watch(
        name=name,
        client=f"watcher of {name}",
        key="k" if whole else "k0",
        range_end="l" if whole else "",
        start_revision=start,
        no_delete=no_delete,
        wants_previous=random.random() < 0.5,
    )
    responses = [
        WatchResponse(kind=ResponseKind.CREATED, time=time, revision=store.revision),
    ]
    batch: list[Event] = []
    for revision in range(start, store.revision + 1):
        events = [
            event if watch.wants_previous else replace(event, previous=None)
            for event in (store.log[revision - 2] if revision > 1 else [])
            if (whole or event.key == "k0") and not (no_delete and event.is_delete)
        ]
        batch += events
        time += random.random()
        if batch and random.random() < 0.6:
            responses.append(
                WatchResponse(
                    kind=ResponseKind.EVENTS,
                    time=time,
                    revision=store.revision,
                    events=tuple(batch),
                )
            )
            batch = []
            if random.random() < 0.3:
                responses.append(
                    WatchResponse(kind=ResponseKind.PROGRESS, time=time, revision=revision)
                )
    return replace(watch, responses=tuple(responses))


# --- transactions on lists and registers


def list_history(random: Random, shape: Shape) -> History:
    """Transactions that append unique values to lists and read them."""
    lists: dict[str, list[Json]] = {}
    numbers = iter(range(1, 1 << 30))

    def request(_client: str) -> tuple[str, Fields]:
        ops: list[Json] = []
        for _ in range(random.randint(1, 4)):
            key = f"k{random.randrange(shape.keys)}"
            ops.append(random.choice([["append", key, next(numbers)], ["r", key, None]]))
        return "transaction", {"ops": ops}

    def apply(_kind: str, arguments: Fields) -> Json:
        done: list[Json] = []
        for function, key, value in arguments["ops"]:
            values = lists.setdefault(key, [])
            if function == "append":
                values.append(value)
            done.append([function, key, value if function == "append" else list(values)])
        return {"ops": done}

    return History(operations=simulate(random, shape, request, apply))


def registers_history(random: Random, shape: Shape) -> History:
    """Transactions that write unique values to registers and read them; each has a revision."""
    registers: dict[str, Json] = {}
    numbers = iter(range(1, 1 << 30))
    revisions = iter(range(2, 1 << 30))

    def request(_client: str) -> tuple[str, Fields]:
        ops: list[Json] = []
        for key in random.sample([f"k{n}" for n in range(shape.keys)], k=1):
            ops.append(["r", key, None])
            if random.random() < 0.7:
                ops.append(["w", key, next(numbers)])
        if random.random() < 0.5:
            ops.append(["r", f"k{random.randrange(shape.keys)}", None])
        return "transaction", {"ops": ops}

    def apply(_kind: str, arguments: Fields) -> Json:
        done: list[Json] = []
        for function, key, value in arguments["ops"]:
            if function == "w":
                registers[key] = value
            done.append([function, key, registers.get(key)])
        return {"ops": done, "revision": next(revisions)}

    return History(operations=simulate(random, shape, request, apply))


# --- locks


def mutex_history(random: Random, shape: Shape) -> History:
    """Clients that acquire and release locks, each in its turn."""
    operations: list[Operation] = []
    now = 0.0
    for _ in range(shape.operations // 2):
        client = f"c{random.randrange(shape.clients)}"
        key = f"k{random.randrange(shape.keys)}"
        asked, now = now - random.random() * 0.001, now + 1
        operations.append(ok(client, "acquire", (max(asked, 0.0), now), key=key))
        operations.append(ok(client, "release", (now + 0.1, now + 1.5), key=key))
        now += 1.2 + random.random()
    return history(*operations)
