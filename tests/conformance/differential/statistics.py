"""What a run exercised: by rpc, by field that was set, by status, by watch outcome."""

from collections import Counter

from google.protobuf.message import Message

from tests.conformance.differential.differences import Allowed


class Statistics:
    """Counters of one or more runs."""

    def __init__(self) -> None:
        self.operations = 0
        self.rpcs: Counter[str] = Counter()
        self.fields: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.differences: Counter[Allowed] = Counter()
        self.events = 0
        self.fragmented_responses = 0

    def count_request(self, rpc: str, request: Message) -> None:
        """Count a request and every field set in it, nested ones by their path."""
        self.operations += 1
        self.rpcs[rpc] += 1
        self._count_fields(rpc, request)

    def _count_fields(self, path: str, message: Message) -> None:
        for descriptor, value in message.ListFields():
            name = f"{path}.{descriptor.name}"
            self.fields[name] += 1
            if descriptor.message_type is None:
                continue
            for element in [value] if isinstance(value, Message) else value:
                self._count_fields(message_path(path, descriptor.name), element)

    def report(self) -> str:
        """The distribution as text."""
        lines = [f"operations: {self.operations}, watch events: {self.events}"]
        for title, counter in (
            ("by rpc", self.rpcs),
            ("by field set", self.fields),
            ("by error", self.errors),
            ("by allowed difference", Counter({d.name: n for d, n in self.differences.items()})),
        ):
            lines.append(f"{title}:")
            lines += [f"  {count:7}  {name}" for name, count in counter.most_common()]
        lines.append(f"fragmented watch responses: {self.fragmented_responses}")
        return "\n".join(lines)


def message_path(path: str, field: str) -> str:
    """The path of a nested message: nested transactions count as one level."""
    if field == "request_txn":
        return "Txn(nested)"
    return f"{path}.{field}"
