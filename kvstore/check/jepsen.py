"""Histories of Jepsen: what its `history.edn` says, in our terms.

Understood: `:read :write :cas` on registers, also those of `jepsen.independent`; `:acquire` and
`:release`; `:txn` of `:r :w :append`. `:fail` is refused, `:info` unknown. Of the nemesis, what
begins with `start` lasts until the same with `stop`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from kvstore.check.edn import Edn, Keyword, read_edn
from kvstore.check.history import FOREVER, Band, History, Operation, Outcome
from kvstore.check.json_value import Fields, Json, MalformedHistory

_OUTCOMES = {"ok": Outcome.OK, "fail": Outcome.REFUSED, "info": Outcome.UNKNOWN}
_NANOSECONDS = 1e9


def read_jepsen(text: str) -> History:
    """Read a history: a vector of operations, or one after the other.

    Raises:
        MalformedHistory: it is none.
    """
    operations: list[Operation] = []
    open_of: dict[Edn, int] = {}
    nemesis: list[tuple[str, float]] = []
    records = list(_records(read_edn(text)))
    is_keyed = _is_keyed(records)
    for place, record in enumerate(records):
        process, kind = record.get(Keyword("process")), _name(record, "type")
        time = record.get(Keyword("time"))
        now = time / _NANOSECONDS if isinstance(time, int | float) else float(place)
        function, value = _name(record, "f"), _json(record.get(Keyword("value")))
        if not isinstance(process, int):
            nemesis.append((function, now))
        elif kind == "invoke":
            if process in open_of:
                raise MalformedHistory(f"process {process} invokes twice without an answer")
            open_of[process] = len(operations)
            key, value = _split(value, is_keyed=is_keyed)
            operations.append(
                Operation(
                    index=len(operations),
                    client=str(process),
                    kind="transaction" if function == "txn" else function,
                    arguments=_arguments(function, key, value),
                    invoked=now,
                    returned=FOREVER,
                    outcome=Outcome.UNKNOWN,
                )
            )
        elif kind in _OUTCOMES and process in open_of:
            index = open_of.pop(process)
            _, value = _split(value, is_keyed=is_keyed)
            operations[index] = replace(
                operations[index],
                returned=now,
                outcome=_OUTCOMES[kind],
                result=_result(function, value) if kind == "ok" else None,
                error=str(_json(record.get(Keyword("error"))) or ""),
            )
        else:
            raise MalformedHistory(f"process {process} ends by {kind!r} what it did not invoke")
    return History(operations=tuple(operations), bands=tuple(_bands(nemesis)))


def _records(values: Iterable[Edn]) -> Iterator[dict[Edn, Edn]]:
    for value in values:
        if isinstance(value, tuple):
            yield from _records(value)
        elif isinstance(value, dict):
            yield value
        else:
            raise MalformedHistory(f"{value!r} is no operation")


def _name(record: dict[Edn, Edn], field: str) -> str:
    value = record.get(Keyword(field))
    if not isinstance(value, Keyword):
        raise MalformedHistory(f"an operation has no {field}: {record!r:.200}")
    return value.name


def _json(value: Edn) -> Json:
    if isinstance(value, Keyword):
        return value.name
    if isinstance(value, tuple):
        return [_json(item) for item in value]
    if isinstance(value, dict):
        return {str(_json(name)): _json(item) for name, item in value.items()}
    return value


def _is_keyed(records: Iterable[dict[Edn, Edn]]) -> bool:
    """Whether values are [key, value]: what is asked of a read is then a key and null."""
    reads = [
        record.get(Keyword("value"))
        for record in records
        if record.get(Keyword("type")) == Keyword("invoke")
        and record.get(Keyword("f")) == Keyword("read")
    ]
    return bool(reads) and all(
        isinstance(value, tuple) and len(value) == 2 and value[1] is None  # noqa: PLR2004 - a pair
        for value in reads
    )


def _split(value: Json, *, is_keyed: bool) -> tuple[Json, Json]:
    match value:
        case [key, inner] if is_keyed:
            return key, inner
        case _:
            return None, value


def _arguments(function: str, key: Json, value: Json) -> Fields:
    arguments: dict[str, Json] = {} if key is None else {"key": str(key)}
    match function, value:
        case "write", _:
            arguments["value"] = value
        case "cas", [old, new]:
            arguments |= {"old": old, "new": new}
        case "txn", _:
            arguments["ops"] = value
        case _:
            pass
    return arguments


def _result(function: str, value: Json) -> Json:
    match function:
        case "read":
            return value
        case "cas":
            return True
        case "txn":
            return {"ops": value}
        case _:
            return None


def _bands(nemesis: Iterable[tuple[str, float]]) -> Iterator[Band]:
    begun: dict[str, float] = {}
    for function, now in nemesis:
        if function.startswith("start"):
            begun.setdefault(function.removeprefix("start"), now)
        elif function.startswith("stop"):
            name = function.removeprefix("stop")
            if name in begun:
                yield _fault(name, begun.pop(name), now)
    for name, start in begun.items():
        yield _fault(name, start, FOREVER)


def _fault(name: str, start: float, end: float) -> Band:
    return Band(kind="fault", name=name.strip("-") or "nemesis", start=start, end=end)
