"""What every controller is given."""

from dataclasses import dataclass
from typing import Protocol

from cluster.informer.api import Api
from cluster.informer.informers import Informers
from cluster.kube_api.objects import JsonObject
from kvstore.base.clock import Clock
from kvstore.base.entropy import Entropy


class EventSink(Protocol):
    """Where a controller tells people what it did."""

    def normal(self, involved: JsonObject, reason: str, message: str) -> None:
        """Tell of something that went as it should."""
        ...

    def warning(self, involved: JsonObject, reason: str, message: str) -> None:
        """Tell of something that somebody should look at."""
        ...


@dataclass(frozen=True, slots=True)
class Environment:
    """The server, the local copies, and the doors to time and chance."""

    api: Api
    informers: Informers
    recorder: EventSink
    clock: Clock
    entropy: Entropy
