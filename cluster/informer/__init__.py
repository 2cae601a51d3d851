"""What every controller stands on: a local copy of objects, and a queue of what to look at.

    api            the port to an API server; `http_api` is its adapter over HTTP
    reflector      list, then watch, for ever: keeps a `Store` equal to a collection of the server
    store          the copy, with indexes
    informers      one reflector a resource, shared by all who subscribe
    work_queue     keys that wait for a look: each once, one worker a key, later after failures
    controller     takes keys from the queue and reconciles them
    leader_election, recorder    who of several may act; what people see of it (Events)

Invariants
- Objects in a store are shared: nobody changes one.
- A handler only puts keys into queues. What to do is decided from the store when the key's turn has
  come, so that a missed, doubled or late event changes nothing.
- A store moves forward only: a list that is older than what was seen is asked for again.
"""

from cluster.informer.api import Api, ObjectList, PatchKind, WatchEvent, WatchEventType
from cluster.informer.controller import Controller, run_controllers
from cluster.informer.informers import Informers, SharedInformers
from cluster.informer.store import Change, Store, key_of
from cluster.informer.work_queue import WorkQueue

__all__ = [
    "Api",
    "Change",
    "Controller",
    "Informers",
    "ObjectList",
    "PatchKind",
    "SharedInformers",
    "Store",
    "WatchEvent",
    "WatchEventType",
    "WorkQueue",
    "key_of",
    "run_controllers",
]
