"""What an object has where its author said nothing: one file a topic, one function a kind.

The functions below this package's `defaulted` change an object that is their own, because defaults
are many and small. They come after decoding, which has made the structs that are always there.
What needs the cluster (addresses, ports, accounts) is for the strategies of the API server.
"""

from collections.abc import Mapping
from typing import Any

from cluster.kube_api.defaults import configuration, network, pods, policy, storage, workloads
from cluster.kube_api.defaults.setting import Setter
from cluster.kube_api.objects import JsonObject, copied
from cluster.kube_api.resource import Kind

_SETTERS: Mapping[tuple[str, str], Setter] = {
    ("", "Pod"): pods.set_pod,
    ("", "PodTemplate"): pods.set_pod_template,
    **workloads.SETTERS,
    **network.SETTERS,
    **storage.SETTERS,
    **policy.SETTERS,
    **configuration.SETTERS,
}


def defaulted(kind: Kind, obj: Mapping[str, Any]) -> JsonObject:
    """Return a decoded object with the defaults of its kind."""
    made: JsonObject = copied(dict(obj))
    setter = _SETTERS.get((kind.group, kind.kind))
    if setter is not None:
        setter(made)
    return made


__all__ = ["defaulted"]
