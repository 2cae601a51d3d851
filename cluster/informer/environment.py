"""What every controller, and the scheduler, is given."""

from dataclasses import dataclass

from cluster.informer.api import Api
from cluster.informer.informers import Informers
from cluster.informer.recorder import EventSink
from kvstore.base.clock import Clock
from kvstore.base.entropy import Entropy


@dataclass(frozen=True, slots=True)
class Environment:
    """The server, the local copies, and the doors to time and chance."""

    api: Api
    informers: Informers
    recorder: EventSink
    clock: Clock
    entropy: Entropy
